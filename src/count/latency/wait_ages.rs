//! Ages within a limit of memory.

use super::ages::Ages;
use crate::row::memory::Budget;
use crate::row::memory::allocation;

/// The ages at which samples met the waits of a group, in memory that is taken from a budget.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WaitAges {
    ages: Ages,
    /// Bytes that were taken for it.
    taken: usize,
    /// Whether there was no memory for some of them: then there is no telling, and none is kept.
    is_incomplete: bool,
}

impl WaitAges {
    /// Adds a sample: see [`Ages::add`]. Returns the memory that was taken.
    pub(crate) fn add(&mut self, age_ns: u64, earlier: usize, tick: u32, budget: &Budget) -> usize {
        if self.is_incomplete {
            return 0;
        }
        self.ages.add(age_ns, earlier, tick);
        self.pay(budget)
    }

    /// See [`Ages::note_seen`].
    pub(crate) fn note_seen(&mut self, window_ns: u64) {
        self.ages.note_seen(window_ns);
    }

    /// See [`Ages::note_begun`].
    pub(crate) const fn note_begun(&mut self) {
        self.ages.note_begun();
    }

    /// Adds all that `other` has. Returns the memory that was taken.
    pub(crate) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.is_incomplete |= other.is_incomplete;
        if self.is_incomplete {
            self.ages = Ages::new();
            return 0;
        }
        self.ages.merge(&other.ages);
        self.pay(budget)
    }

    /// Takes the memory for what was added; if there is none, what was added is dropped.
    fn pay(&mut self, budget: &Budget) -> usize {
        let needed = self.ages.heap_bytes();
        if needed <= self.taken {
            return 0;
        }
        let more = allocation(needed - self.taken);
        if budget.take(more) {
            self.taken = needed;
            return more;
        }
        self.is_incomplete = true;
        self.ages = Ages::new();
        0
    }

    /// Removes all ages; the memory is kept.
    pub(crate) fn clear(&mut self) {
        self.ages.clear();
        self.is_incomplete = false;
    }

    /// The ages; `None` if some are missing.
    pub(crate) const fn complete(&self) -> Option<&Ages> {
        if self.is_incomplete { None } else { Some(&self.ages) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_memory_there_is_no_telling_until_it_is_cleared() {
        let (none, enough) = (Budget::new(0), Budget::new(1 << 20));
        let mut ages = WaitAges::default();
        let taken = ages.add(1, 0, 0, &enough);
        assert!(taken > 0 && taken < 200, "{taken}");
        assert_eq!(ages.complete().unwrap().samples(), 1);
        for age in 0..100 {
            ages.add(age << 20, 0, 0, &none);
        }
        assert!(ages.complete().is_none());
        let mut other = WaitAges::default();
        other.merge(&ages, &enough);
        assert!(other.complete().is_none());
        ages.clear();
        assert_eq!(ages.complete().unwrap().samples(), 0);
    }

    #[test]
    fn memory_is_taken_once_however_often_they_are_cleared() {
        let budget = Budget::new(1 << 20);
        let mut ages = WaitAges::default();
        let mut taken = 0;
        for tick in 0..1000 {
            taken += (0..200).map(|age| ages.add(age << 20, 0, tick, &budget)).sum::<usize>();
            ages.clear();
        }
        assert!(taken <= 3 * Ages::MAX_BYTES, "{taken}");
    }
}
