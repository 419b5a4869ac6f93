//! How many reads were attempted, counted where they are made, to hold the accounts against.

#[cfg(debug_assertions)]
use crate::proc::lookup::PerSource;
use crate::proc::source::Source;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// The reads that were attempted, counted where they are made rather than where their outcome is: what a [`Health`](super::health::Health) is
/// held to. Debug builds count, others do not.
#[derive(Debug, Default)]
pub struct Attempts(#[cfg(debug_assertions)] pub(super) PerSource<AtomicU64>);

impl Attempts {
    /// Counts one on `source`; directories and files of the whole system have none, and are not accounted for.
    #[inline]
    pub fn count(&self, source: Option<Source>) {
        #[cfg(debug_assertions)]
        if let Some(source) = source {
            self.0[source].fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(not(debug_assertions))]
        let _ = source;
    }

    /// Begins anew: what there was has been accounted for.
    pub fn forget(&self) {
        #[cfg(debug_assertions)]
        self.0.iter().for_each(|(_, count)| count.store(0, Ordering::Relaxed));
    }
}
