//! A histogram of durations with a bucket per power of two, each split into 64: quantiles have an error of at most 1.6%, and
//! the memory does not depend on the number or the length of the durations.

/// Each power of two has 2 to the power of this many sub-buckets.
const SUB_BITS: u32 = 6;
const SUB: u128 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS as usize) + 1) << SUB_BITS;

/// Counts of durations in nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn record(&mut self, ns: u64) {
        if let Some(count) = self.counts.get_mut(bucket(ns.into())) {
            *count += 1;
        }
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// The duration that the fraction `quantile` (0 to 1) of durations does not exceed; 0 if there are none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return u64::try_from(ends(index).1).map_or(self.max_ns, |longest| longest.min(self.max_ns));
            }
        }
        self.max_ns
    }

    /// The longest duration.
    #[must_use]
    pub(crate) const fn max_ns(&self) -> u64 {
        self.max_ns
    }
}

/// The index of the bucket for a number. Numbers below twice 64 have buckets of their own.
pub(crate) fn bucket(number: u128) -> usize {
    let index = match number.checked_ilog2() {
        Some(log) if log > SUB_BITS => u128::from(log - SUB_BITS) * SUB + (number >> (log - SUB_BITS)),
        _ => number,
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The least and the greatest number that bucket `index` counts.
pub(crate) const fn ends(index: usize) -> (u128, u128) {
    let index = index as u128;
    if index < 2 * SUB {
        return (index, index);
    }
    let shift = index / SUB - 1;
    let least = (SUB + index % SUB) << shift;
    (least, least + ((1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_to_two_percent(ns in any::<u64>()) {
            let ns = u128::from(ns);
            let (least, bound) = ends(bucket(ns));
            prop_assert!(least <= ns && bound >= ns);
            prop_assert!(bound - ns <= ns / SUB + 1);
        }
    }

    #[test]
    fn quantiles_of_known_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        for ns in 1..=100 {
            histogram.record(ns * 1000);
        }
        let median = histogram.quantile_ns(0.5);
        assert!((50_000..51_000).contains(&median), "{median}");
        assert_eq!((histogram.quantile_ns(1.0), histogram.max_ns(), histogram.total), (100_000, 100_000, 100));
    }
}
