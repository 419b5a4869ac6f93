//! What a reader of descriptors tells while it reads, and is told.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a reader tells of its reads, for it to be given up if one does not return. A function that returns `None` tells the reader
/// that it was given up.
pub(super) struct BatchWatch<'a> {
    /// The process whose files are being read.
    pub(super) reads: &'a AtomicU32,
    pub(super) goes_on: &'a dyn Fn() -> bool,
    pub(super) may_read: &'a dyn Fn(u32) -> bool,
}

impl BatchWatch<'_> {
    /// A read of this process's files begins, or goes on.
    pub(super) fn enter(&self, tgid: u32) -> Option<()> {
        self.leave()?;
        self.reads.store(tgid, Ordering::Release);
        Some(())
    }

    /// The read has ended.
    pub(super) fn leave(&self) -> Option<()> {
        (self.goes_on)().then_some(())
    }

    /// Whether the files of a process may be read: it has not blocked a reader.
    pub(super) fn may_read(&self, tgid: u32) -> bool {
        (self.may_read)(tgid)
    }
}
