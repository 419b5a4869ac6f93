//! Which file a worker is reading, for the watchdog to see.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::proc::source::Source;

/// The file that a worker is reading, so that the coordinator can tell which one a stuck worker is blocked in. It has a cache
/// line of its own: the worker writes it at each read of a detail file, and the coordinator hardly ever reads it.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct CurrentFile(AtomicU8);

impl Default for CurrentFile {
    fn default() -> Self {
        Self(AtomicU8::new(Source::Stat as u8))
    }
}

impl CurrentFile {
    /// Notes that `source` is read next.
    #[inline]
    pub(crate) fn enter(&self, source: Source) {
        self.0.store(source as u8, Ordering::Relaxed);
    }

    /// The file being read; `stat` between the reads of detail files.
    #[must_use]
    pub(crate) fn source(&self) -> Source {
        let current = self.0.load(Ordering::Relaxed);
        Source::ALL.into_iter().find(|source| *source as u8 == current).unwrap_or(Source::Stat)
    }
}
