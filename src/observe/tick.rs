//! The tick to which an observation belongs.

/// The number of a tick, and when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TickTime {
    /// The tick's number, from 0.
    pub(crate) tick: u32,
    /// The tick's start, by [`crate::time::clock::monotonic_ns`].
    pub(crate) now_ns: u64,
}
