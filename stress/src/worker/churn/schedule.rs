//! How many tasks are due by a given time; pure.

use std::time::Duration;

/// The tasks of one churner, due at equal intervals.
pub(super) struct Schedule {
    rate: u32,
    /// Tasks that were due before, started or left out.
    settled: u64,
}

impl Schedule {
    /// `rate` tasks per second, the first one period after the start.
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, settled: 0 }
    }

    /// How many tasks to start now and how many to leave out, of those that became due by `elapsed` and
    /// were not returned before.
    pub(super) fn due(&mut self, elapsed: Duration) -> (u64, u64) {
        let all = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        let due = u64::try_from(all).unwrap_or(u64::MAX).saturating_sub(self.settled);
        self.settled += due;
        let most = u64::from(self.rate / 20).max(1); // 50 ms worth
        (due.min(most), due.saturating_sub(most))
    }

    /// The time until the next task is due: at least a millisecond, so that high rates come in batches.
    pub(super) fn rest(&self, elapsed: Duration) -> Duration {
        let nanos = u128::from(self.settled + 1) * 1_000_000_000 / u128::from(self.rate.max(1));
        let next = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        next.saturating_sub(elapsed).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_churner_starts_exactly_its_rate() {
        let mut schedule = Schedule::new(1000);
        let started: u64 = (1..=1000).map(|ms| schedule.due(Duration::from_millis(ms)).0).sum();
        assert_eq!(started, 1000);
    }

    #[test]
    fn a_late_churner_leaves_out_and_counts() {
        let mut schedule = Schedule::new(1000);
        assert_eq!(schedule.due(Duration::from_secs(1)), (50, 950));
        assert_eq!(schedule.due(Duration::from_secs(1)), (0, 0));
    }

    #[test]
    fn a_slow_churner_sleeps_until_something_is_due() {
        let mut schedule = Schedule::new(2);
        assert_eq!(schedule.due(Duration::from_millis(100)), (0, 0));
        assert_eq!(schedule.rest(Duration::from_millis(100)), Duration::from_millis(400));
        assert_eq!(schedule.due(Duration::from_millis(500)), (1, 0));
    }
}
