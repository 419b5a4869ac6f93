//! The quantiles of numbers, in little memory: numbers are counted in the ranges of [`histogram`], so that a quantile is off by 1.6% of
//! itself at most. Numbers below 128 are exact.

use crate::count::ranges::RangeCounts;
use crate::row::memory::Budget;
use crate::time::histogram;

/// How many numbers there were in each range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantiles {
    ranges: RangeCounts,
    /// The smallest and the largest number.
    ends: Option<(i128, i128)>,
}

impl Quantiles {
    /// Counts a number. Returns the memory that was taken.
    pub(crate) fn add(&mut self, number: i128, budget: &Budget) -> usize {
        self.note_ends((number, number));
        self.ranges.add(range_of(number), 1, budget)
    }

    /// Counts all that `other` has counted. Returns the memory that was taken.
    pub(crate) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        other.ends.into_iter().for_each(|ends| self.note_ends(ends));
        self.ranges.merge(&other.ranges, budget)
    }

    fn note_ends(&mut self, (least, most): (i128, i128)) {
        self.ends = Some(self.ends.map_or((least, most), |known| (known.0.min(least), known.1.max(most))));
    }

    /// Forgets the numbers; the table keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.ends = None;
    }

    /// Whether numbers are missing, so that there is no telling.
    #[must_use]
    pub(crate) const fn is_incomplete(&self) -> bool {
        self.ranges.is_incomplete()
    }

    /// The number that so many percent do not exceed, which is none beyond those that were counted; `None` if there are no
    /// numbers.
    #[must_use]
    pub(crate) fn percentile(&self, percent: u8) -> Option<i128> {
        let (least, most) = self.ends?;
        let ranges = self.ranges.sorted();
        let total: u64 = ranges.iter().map(|(_, times)| times).sum();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        ranges.into_iter().find_map(|(range, times)| {
            seen += u128::from(times);
            (seen >= rank).then(|| middle_of(range).clamp(least, most))
        })
    }
}

/// The range of a number. Ranges are in the order of their numbers.
fn range_of(number: i128) -> i16 {
    let index = i16::try_from(histogram::bucket(number.unsigned_abs())).unwrap_or(i16::MAX);
    if number < 0 { -index } else { index }
}

/// The number in the middle of a range.
fn middle_of(range: i16) -> i128 {
    let (least, most) = histogram::ends(range.unsigned_abs().into());
    let size = i128::try_from(least + (most - least) / 2).unwrap_or(i128::MAX);
    if range < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = i128>) -> Quantiles {
        let budget = Budget::new(usize::MAX);
        let mut quantiles = Quantiles::default();
        for number in numbers {
            quantiles.add(number, &budget);
        }
        quantiles
    }

    #[test]
    fn small_numbers_are_exact_and_large_ones_nearly() {
        let percentiles = |quantiles: &Quantiles| [50, 95, 99, 100].map(|percent| quantiles.percentile(percent));
        assert_eq!(percentiles(&of(1..=100)), [Some(50), Some(95), Some(99), Some(100)]);
        assert_eq!(percentiles(&of([-20, 0, 19])), [Some(0), Some(19), Some(19), Some(19)]);
        assert_eq!(of([]).percentile(50), None);
        assert_eq!(of([7]).percentile(50), Some(7));
        let median = of((1..=1001).map(|number| number * 1_000_000)).percentile(50).unwrap();
        assert!((492_000_000..=509_000_000).contains(&median), "{median}");
    }

    #[test]
    fn a_percentile_is_not_beyond_the_numbers() {
        // The middles of their ranges are 1_015_807 and -1_015_807.
        for number in [1_000_001, 1_030_000, -1_000_001, -1_030_000] {
            let all_alike = of([number; 3]);
            assert_eq!([1, 50, 99, 100].map(|percent| all_alike.percentile(percent)), [Some(number); 4]);
        }
        let mut put_together = of([1_000_001]);
        put_together.merge(&of([1_000_003]), &Budget::new(usize::MAX));
        assert_eq!(put_together.percentile(99), Some(1_000_003));
        put_together.clear();
        put_together.add(5_000_009, &Budget::new(usize::MAX));
        assert_eq!(put_together.percentile(1), Some(5_000_009));
    }

    #[test]
    fn without_memory_there_is_no_telling() {
        let budget = Budget::new(0);
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.add(1, &budget), 0);
        assert!(quantiles.is_incomplete());
        quantiles.clear();
        assert!(!quantiles.is_incomplete());
    }

    proptest! {
        #[test]
        fn a_number_is_near_the_middle_of_its_range(number: i128) {
            let middle = middle_of(range_of(number));
            prop_assert!(middle.abs_diff(number) <= number.unsigned_abs() / 127, "{middle}");
        }

        #[test]
        fn ranges_are_in_order(a: i128, b: i128) {
            prop_assert_eq!(range_of(a.min(b)).min(range_of(a.max(b))), range_of(a.min(b)));
        }

        #[test]
        fn put_together_they_are_as_if_counted_at_once(a in prop::collection::vec(-9999..9999_i128, 0..99), b in prop::collection::vec(any::<i128>(), 0..99)) {
            let mut both = of(a.clone());
            both.merge(&of(b.clone()), &Budget::new(usize::MAX));
            prop_assert_eq!(both, of(a.into_iter().chain(b)));
        }
    }
}
