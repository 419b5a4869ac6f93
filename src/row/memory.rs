//! Memory limits in bytes, and estimates of the memory that data structures take.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::value::OwnedValue;

/// A number of bytes, shared by all who take from it.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    /// Takes `bytes` if they are left; returns whether it did.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // Read before write: when the budget is used up, all workers ask again and again.
        if self.taken().saturating_add(bytes) > self.limit {
            return false;
        }
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Returns bytes that were taken.
    pub(crate) fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether more than three quarters are taken: caches should then be dropped.
    pub(crate) fn is_tight(&self) -> bool {
        self.taken() > self.limit / 4 * 3
    }
}

/// The bytes that a hash table takes per entry of `bytes`, at most: after it has grown it is only 7/16 full, and each slot has
/// a control byte.
#[must_use]
pub(crate) const fn table_entry(bytes: usize) -> usize {
    (bytes + 1) * 16 / 7
}

/// The bytes that an allocation of `bytes` takes at most, because allocators round up.
#[must_use]
pub(crate) const fn allocation(bytes: usize) -> usize {
    bytes + bytes / 8 + 16
}

/// Statistics that every report has, besides those that are selected: `samples` and `avg_threads`.
pub(crate) const FIXED_STATISTICS: usize = 2;

/// Bytes of a row of a report, without what its two boxed slices hold: the statistics and the group. The last word has the bounds.
pub(crate) const REPORT_ROW: usize = 2 * size_of::<Box<[OwnedValue]>>() + size_of::<usize>();

/// Bytes that a row of a report takes, with what sorting the rows takes.
pub(crate) const fn report_row(selected: usize, dimensions: usize) -> usize {
    let statistics = allocation((FIXED_STATISTICS + selected) * size_of::<OwnedValue>());
    // An `Arc` has two counts.
    let group = allocation(dimensions * size_of::<OwnedValue>() + 2 * size_of::<usize>());
    2 * REPORT_ROW + statistics + group
}
