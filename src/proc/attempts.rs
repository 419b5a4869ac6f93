//! How many reads were attempted: a check on the accounts of reads.

#[cfg(debug_assertions)]
use crate::proc::lookup::PerSource;
use crate::proc::source::Source;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// The reads that were attempted, counted where they are made. Debug builds check that each [`Health`](super::health::Health)
/// accounts for all of them; release builds do not count.
#[derive(Debug, Default)]
pub struct Attempts(#[cfg(debug_assertions)] pub(super) PerSource<AtomicU64>);

impl Attempts {
    /// Counts one attempt. Directories and files of the host have no source, and are in no account.
    #[inline]
    pub fn count(&self, source: Option<Source>) {
        #[cfg(debug_assertions)]
        if let Some(source) = source {
            self.0[source].fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(not(debug_assertions))]
        let _ = source;
    }

    /// Starts again at 0, after all attempts were accounted for.
    pub(crate) fn forget(&self) {
        #[cfg(debug_assertions)]
        self.0.iter().for_each(|(_, count)| count.store(0, Ordering::Relaxed));
    }
}
