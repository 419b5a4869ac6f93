//! Bounds the memory of counts, in bytes: other users of the host choose how many different names there are.

use std::sync::Arc;

use crate::row::memory::Budget;

/// The budgets of a session: for groups and texts, for the workers' own tables of both, and for rows to be recorded.
#[derive(Debug, Clone)]
pub struct Memory {
    /// `--max-memory`, bytes.
    limit: usize,
    /// For the groups of the run, their texts and the rows of its report.
    pub(crate) kept: Arc<Budget>,
    /// For the tables of the workers.
    pub(crate) held: Arc<Budget>,
    /// For the rows of a tick until they are recorded.
    pub(crate) rows: Arc<Budget>,
}

impl Memory {
    /// The default limit, bytes.
    pub const DEFAULT: u64 = 256 << 20;

    /// Budgets of `limit` bytes together: three quarters for groups and texts, one for the workers. Rows have as much again.
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
