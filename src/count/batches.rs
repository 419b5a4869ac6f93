//! Confidence intervals of averages.

/// Counts per batch of consecutive ticks, for the confidence interval.
///
/// Ticks of one thread's state are correlated, so the variance is taken over batch means. Batches
/// double in length when there are too many: fixed memory for a run of any length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Batches {
    sums: Vec<u64>,
    /// A batch is 2 to this power ticks.
    log2_len: u32,
}

impl Batches {
    /// Batches while counting, at most. The report merges them to `REPORTED` at most.
    pub(super) const KEPT: usize = 40;
    const REPORTED: u32 = 20;

    /// Adds the count of a tick.
    #[inline]
    pub(super) fn add(&mut self, tick: u32, count: u64) {
        while (tick >> self.log2_len) as usize >= Self::KEPT {
            self.double();
        }
        let index = (tick >> self.log2_len) as usize;
        if self.sums.len() <= index {
            // Exactly: the spare capacity of a vector would be most of what a rare group takes.
            let more = (index + 1).next_multiple_of(8).min(Self::KEPT) - self.sums.len();
            self.sums.reserve_exact(more);
            self.sums.resize(index + 1, 0);
        }
        if let Some(sum) = self.sums.get_mut(index) {
            *sum += count;
        }
    }

    /// Adds the counts of another group.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.log2_len < other.log2_len {
            self.double();
        }
        while other.log2_len < self.log2_len {
            other.double();
        }
        if self.sums.len() < other.sums.len() {
            self.sums.resize(other.sums.len(), 0);
        }
        for (mine, theirs) in self.sums.iter_mut().zip(&other.sums) {
            *mine += theirs;
        }
    }

    /// Merges each two batches into one of twice the length.
    fn double(&mut self) {
        self.sums = self.sums.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.log2_len += 1;
    }

    /// Half-width of the 95% confidence interval of the mean per tick over `ticks` ticks; `None` if there are too few.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(super) fn ci95(&self, ticks: u32) -> Option<f64> {
        let mut batches = self.clone();
        while (ticks >> batches.log2_len) > Self::REPORTED {
            batches.double();
        }
        let full = (ticks >> batches.log2_len) as usize;
        let len = f64::from(1u32 << batches.log2_len);
        let mean_of = |batch: usize| batches.sums.get(batch).copied().unwrap_or(0) as f64 / len;
        if full < 2 {
            return None;
        }
        let count = full as f64;
        let mean = (0..full).map(mean_of).sum::<f64>() / count;
        let variance = (0..full).map(|batch| (mean_of(batch) - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let t = STUDENT_T_975.get(full - 2).copied().unwrap_or(1.96);
        Some(t * (variance / count).sqrt())
    }
}

/// Student's t, 97.5% quantile, for 1 to 19 degrees of freedom.
const STUDENT_T_975: [f64; 19] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_constant_group_has_no_uncertainty_and_a_rare_one_much() {
        let mut constant = Batches::default();
        let mut rare = Batches::default();
        for tick in 0..100 {
            constant.add(tick, 2);
        }
        rare.add(7, 1);
        assert_eq!(constant.ci95(100), Some(0.0));
        let width = rare.ci95(100).unwrap();
        assert!(width > 0.01 && width < 0.1, "{width}");
        assert_eq!(constant.ci95(1), None);
    }

    proptest! {
        #[test]
        fn batches_keep_the_sum_in_fixed_memory(counts in prop::collection::vec(0u64..1000, 1..3000)) {
            let mut batches = Batches::default();
            for (tick, count) in counts.iter().enumerate() {
                batches.add(tick as u32, *count);
            }
            prop_assert_eq!(batches.sums.iter().sum::<u64>(), counts.iter().sum::<u64>());
            prop_assert!(batches.sums.len() <= Batches::KEPT);
        }

        #[test]
        fn batches_of_two_groups_are_those_of_their_sum(
            counts in prop::collection::vec((0u64..10, 0u64..10), 1..300),
            more in 0usize..300,
        ) {
            let (mut one, mut other, mut both) = (Batches::default(), Batches::default(), Batches::default());
            for (tick, (mine, theirs)) in counts.iter().enumerate() {
                one.add(tick as u32, *mine);
                both.add(tick as u32, *mine);
                let tick = tick + more;
                other.add(tick as u32, *theirs);
                both.add(tick as u32, *theirs);
            }
            one.merge(&other);
            let ticks = (counts.len() + more) as u32;
            prop_assert_eq!(one.sums.iter().sum::<u64>(), both.sums.iter().sum::<u64>());
            prop_assert_eq!(one.ci95(ticks), both.ci95(ticks));
        }
    }
}
