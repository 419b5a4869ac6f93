//! How often numbers fell into each of many ranges, in a table that takes its memory from a budget.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::row::memory::Budget;
use crate::row::memory::table_entry;

/// Counts by the number of the range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangeCounts {
    counts: HashMap<i16, u64, RandomState>,
    /// Numbers for which there was no memory.
    lost: u64,
}

impl RangeCounts {
    /// Counts a number so many times. Returns the memory that was taken.
    pub(crate) fn add(&mut self, range: i16, times: u64, budget: &Budget) -> usize {
        if let Some(known) = self.counts.get_mut(&range) {
            *known += times;
            return 0;
        }
        // A table grows to twice its size.
        let taken = if self.counts.len() < self.counts.capacity() {
            0
        } else {
            self.counts.capacity().max(4) * table_entry(size_of::<(i16, u64)>())
        };
        if budget.take(taken) {
            self.counts.insert(range, times);
            return taken;
        }
        self.lost += times;
        0
    }

    /// Counts all that `other` has counted. Returns the memory that was taken.
    pub(crate) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.lost += other.lost;
        other.counts.iter().map(|(range, times)| self.add(*range, *times, budget)).sum()
    }

    /// Forgets the counts; the table keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.lost = 0;
    }

    /// Whether numbers are missing.
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.lost > 0
    }

    /// The ranges in order, with their counts.
    pub(crate) fn sorted(&self) -> Vec<(i16, u64)> {
        let mut ranges: Vec<(i16, u64)> = self.counts.iter().map(|(range, times)| (*range, *times)).collect();
        ranges.sort_unstable();
        ranges
    }
}
