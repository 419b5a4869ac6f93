//! Memory that what is counted may take, in bytes, however many names other users of the host think up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that all who share it take from.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl Budget {
    /// `limit` bytes, none of them taken.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    /// Takes `bytes`, if so many are left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        // A look first: what is full is asked again and again, by all workers.
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

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether three quarters are taken: who holds what can be made again is to give it back.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.taken() > self.limit / 4 * 3
    }
}

/// The memory for groups, for their texts, and for the workers' own tables of both; where rows are recorded, for those of a
/// tick as well.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Bytes in all.
    limit: usize,
    /// For the groups of the run, their texts and the rows of its report.
    pub(crate) kept: Arc<Budget>,
    /// For what workers hold during a tick.
    pub(crate) held: Arc<Budget>,
    /// For the rows of a tick that are to be recorded, as much again.
    pub(crate) rows: Arc<Budget>,
}

impl Memory {
    /// What is allowed unless something else is asked for, bytes.
    pub const DEFAULT: u64 = 256 << 20;

    /// `limit` bytes: three quarters to keep, and one for the workers.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let held = limit / 4;
        Self {
            limit,
            kept: Arc::new(Budget::new(limit - held)),
            held: Arc::new(Budget::new(held)),
            rows: Arc::new(Budget::new(limit)),
        }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit as u64
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let budget = Budget::new(100);
        assert!(budget.take(60) && !budget.take(41) && budget.take(40));
        assert!(budget.is_tight() && !budget.take(1) && !budget.take(usize::MAX));
        budget.give(60);
        assert!(!budget.is_tight() && budget.take(60));
        assert_eq!(budget.taken(), 100);
    }

    #[test]
    fn workers_that_take_at_once_do_not_take_more() {
        let budget = Budget::new(1000);
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| budget.take(7)).count() * 7)).collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert!(taken == budget.taken() && taken <= 1000);
    }
}
