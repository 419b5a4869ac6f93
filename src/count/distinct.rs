//! How many distinct values a group's rows have: exact while they are few, then an estimate.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::count::hyperloglog::HyperLogLog;
use crate::row::memory::Budget;
use crate::row::memory::table_entry;

/// Hashes of values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distinct {
    few: HashSet<u64, RandomState>,
    many: Option<HyperLogLog>,
    is_incomplete: bool,
}

impl Distinct {
    /// Up to so many are exact. Their hashes take as much memory as an estimate.
    const FEW: usize = 256;

    /// Notes the hash of a value. Returns the memory that was taken.
    pub fn add(&mut self, hash: u64, budget: &Budget) -> usize {
        if let Some(many) = &mut self.many {
            many.add(hash);
            return 0;
        }
        if self.few.contains(&hash) {
            return 0;
        }
        if self.few.len() >= Self::FEW {
            return self.estimate_from_now_on(budget) + if self.many.is_some() { self.add(hash, budget) } else { 0 };
        }
        // A table grows to twice its size.
        let taken = if self.few.len() < self.few.capacity() {
            0
        } else {
            self.few.capacity().max(4) * table_entry(size_of::<u64>())
        };
        if !budget.take(taken) {
            self.is_incomplete = true;
            return 0;
        }
        self.few.insert(hash);
        taken
    }

    /// Puts an estimate in the place of the hashes, whose table keeps its memory.
    fn estimate_from_now_on(&mut self, budget: &Budget) -> usize {
        if !budget.take(HyperLogLog::BYTES) {
            self.is_incomplete = true;
            return 0;
        }
        let mut many = HyperLogLog::default();
        self.few.drain().for_each(|hash| many.add(hash));
        self.many = Some(many);
        HyperLogLog::BYTES
    }

    /// Notes all that `other` has noted. Returns the memory that was taken.
    pub fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.is_incomplete |= other.is_incomplete;
        let mut taken: usize = other.few.iter().map(|hash| self.add(*hash, budget)).sum();
        if let Some(theirs) = &other.many {
            if self.many.is_none() {
                taken += self.estimate_from_now_on(budget);
            }
            if let Some(mine) = &mut self.many {
                mine.merge(theirs);
            }
        }
        taken
    }

    /// Forgets the values; what was taken for them is kept.
    pub fn clear(&mut self) {
        self.few.clear();
        self.is_incomplete = false;
        if let Some(many) = &mut self.many {
            many.clear();
        }
    }

    /// How many there are; none if there was no memory to count them.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let many = || self.many.as_ref().map(HyperLogLog::estimate);
        (!self.is_incomplete).then(|| many().unwrap_or(self.few.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = u64>, budget: &Budget) -> Distinct {
        let state = foldhash::quality::FixedState::with_seed(7);
        let mut distinct = Distinct::default();
        for number in numbers {
            distinct.add(state.hash_one(number), budget);
        }
        distinct
    }

    #[test]
    fn few_are_exact_and_many_estimated() {
        let budget = Budget::new(usize::MAX);
        for count in [0, 1, 200, 256] {
            assert_eq!(of((0..count).chain(0..count), &budget).number(), Some(count));
        }
        for count in [257, 1000, 100_000] {
            let number = of((0..count).chain(0..count), &budget).number().unwrap();
            assert!(number.abs_diff(count) <= count / 12, "{number} for {count}");
        }
    }

    #[test]
    fn put_together_none_is_counted_twice() {
        let budget = Budget::new(usize::MAX);
        for (mine, theirs, all) in
            [(0..10, 5..20, 20), (0..200, 100..300, 300), (0..10, 0..5000, 5000), (0..5000, 0..10, 5000)]
        {
            let mut distinct = of(mine, &budget);
            distinct.merge(&of(theirs, &budget), &budget);
            let number = distinct.number().unwrap();
            assert!(number.abs_diff(all) <= all / 12 && (all > 256 || number == all), "{number} for {all}");
        }
    }

    #[test]
    fn without_memory_there_is_no_telling() {
        assert_eq!(of(0..10, &Budget::new(0)).number(), None);
        let mut distinct = of(0..300, &Budget::new(usize::MAX));
        distinct.clear();
        assert_eq!(distinct.number(), Some(0));
    }
}
