//! The control map: psn's instructions to the program, and the program's counts. All constants are offsets in bytes unless they
//! say otherwise.

/// The number of bytes of records written, which is the offset of the next record.
pub(crate) const USED: i32 = 0;
/// The number of tasks that passed the gate but have no record, because the memory for records was full.
pub(crate) const MISSED: i32 = 8;
/// A bit for each state, by the number of the state. Tasks pass if the bit of their state is set.
pub(crate) const GATE: i32 = 16;
/// Which bits of a thread id are compared with [`SLICE`].
pub(crate) const SLICE_MASK: i32 = 24;
/// The value that those bits must have.
pub(crate) const SLICE: i32 = 32;
/// The address of the PID namespace whose ids the records have.
pub(crate) const NAMESPACE: i32 = 40;
/// The depth of psn's own PID namespace.
pub(crate) const LEVEL: i32 = 48;
/// `CLOCK_MONOTONIC` minus the time at which psn was last put on a CPU, by the scheduler's clock; 0 until the program notes it.
pub(crate) const CLOCK_OFFSET: i32 = 56;
/// The number of tasks seen in each state: one word for each number of a state.
pub(crate) const COUNTS: i32 = 64;
/// The number of these words, a power of two.
pub(crate) const COUNTS_LEN: i32 = 16;
/// The number of the state for each combination of state bits: one byte each.
pub(crate) const STATES: i32 = COUNTS + 8 * COUNTS_LEN;
/// The number of these bytes, a power of two.
pub(crate) const STATES_LEN: i32 = 256;
/// The size of the map.
pub(crate) const SIZE: usize = (STATES + STATES_LEN) as usize;
