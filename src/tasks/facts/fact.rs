//! Facts of a process, and how many bytes of them are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proc::ReadError;
use crate::proc::source::Source;

/// One fact, or why it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fact {
    /// It has not been read yet.
    #[default]
    Unread,
    /// The bytes.
    Known(Arc<[u8]>),
    /// The part of the bytes that is kept: there were too many.
    Cut(Arc<[u8]>),
    /// The read failed.
    Failed(ReadError),
    /// The read has not returned.
    Blocked,
}

impl Fact {
    /// The number of bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Known(bytes) | Self::Cut(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// The files that are facts of a process.
pub const FACTS: [Source; 3] = [Source::Cmdline, Source::Exe, Source::Smaps];

/// Those of them that a process may change at any time. They are read again for each row whose thread has run.
pub const TITLES: [Source; 2] = [Source::Cmdline, Source::Exe];

/// The index of a fact in [`FACTS`].
pub(super) fn index(source: Source) -> Option<usize> {
    FACTS.iter().position(|fact| *fact == source)
}

/// How many bytes of facts are kept of all processes together.
#[derive(Debug, Default)]
pub struct FactBudget(AtomicUsize);

impl FactBudget {
    /// The most bytes: without a limit, 100,000 processes could have titles of 128 KiB each.
    pub const BYTES: usize = 128 << 20;

    /// Replaces `less` bytes by `more`; false if that would exceed the limit.
    pub(super) fn swap(&self, less: usize, more: usize) -> bool {
        let swapped = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let used = used.saturating_sub(less).saturating_add(more);
            (used <= Self::BYTES || more <= less).then_some(used)
        });
        swapped.is_ok()
    }
}
