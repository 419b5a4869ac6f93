//! When ticks were, which tells how often a wait was met before, and how regular they were.

/// How many ticks there were, and how regular.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Completed ticks.
    pub ticks: u32,
    /// Seconds between them, on average.
    pub period_s: f64,
    /// The variance of the time between two ticks, as a share of the square of its mean.
    pub irregularity: f64,
}

/// The instants of the last ticks, and how regular all of them were.
#[derive(Debug, Clone, Copy)]
pub struct RecentTicks {
    /// How long before the current tick each was, in nanoseconds; the latest first.
    ago_ns: [u64; Self::KEPT],
    now_ns: u64,
    period_ns: u64,
    ticks: u32,
    /// The times between ticks: how many there were, and their sum.
    gaps: u32,
    gone_ns: u64,
    /// The sum of the squares of deviations from the period, each as a share of it, of a whole one at most.
    deviations: f64,
}

impl RecentTicks {
    /// Earlier meetings beyond so many are not told apart.
    pub const KEPT: usize = 4;

    /// Those of the first tick, at `now_ns`: the ticks before it are taken to have been `period_ns` apart.
    #[must_use]
    pub fn new(now_ns: u64, period_ns: u64) -> Self {
        let mut first =
            Self { ago_ns: [0; Self::KEPT], now_ns: 0, period_ns: 0, ticks: 0, gaps: 0, gone_ns: 0, deviations: 0.0 };
        first.begin_run(now_ns, period_ns);
        first
    }

    /// Goes on to the first tick of another run, at `now_ns`. How long that was after the run before does not count.
    pub fn begin_run(&mut self, now_ns: u64, period_ns: u64) {
        self.ago_ns.iter_mut().zip(1..).for_each(|(ago, nth)| *ago = period_ns.saturating_mul(nth));
        self.ticks = self.ticks.saturating_add(1);
        (self.now_ns, self.period_ns) = (now_ns, period_ns);
    }

    /// Goes on to the tick at `now_ns`, on the same clock. A tick that is not counted is left out.
    pub fn advance(&mut self, now_ns: u64) {
        let gone_ns = now_ns.saturating_sub(self.now_ns);
        self.ago_ns.rotate_right(1);
        if let Some((latest, rest)) = self.ago_ns.split_first_mut() {
            *latest = gone_ns;
            rest.iter_mut().for_each(|ago| *ago = ago.saturating_add(gone_ns));
        }
        self.now_ns = now_ns;
        self.ticks = self.ticks.saturating_add(1);
        self.gaps = self.gaps.saturating_add(1);
        self.gone_ns = self.gone_ns.saturating_add(gone_ns);
        let deviation = gone_ns.abs_diff(self.period_ns) as f64 / self.period_ns.max(1) as f64;
        self.deviations += deviation.min(1.0).powi(2);
    }

    /// How many ticks there were, and how regular.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let gaps = f64::from(self.gaps).max(1.0);
        let all_ns = if self.gaps > 0 { self.gone_ns } else { self.period_ns };
        Pace { ticks: self.ticks, period_s: all_ns as f64 / 1e9 / gaps, irregularity: self.deviations / gaps }
    }

    /// In how many of the last ticks before the current one a wait that is `age_ns` old was under way.
    #[inline]
    #[must_use]
    pub fn within(&self, age_ns: u64) -> usize {
        self.ago_ns.iter().filter(|ago| **ago <= age_ns).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_ticks() {
        let mut ticks = RecentTicks::new(1000, 50);
        assert_eq!(ticks.pace(), Pace { ticks: 1, period_s: 50e-9, irregularity: 0.0 });
        [1050, 1100, 1200, 1250].iter().for_each(|now| ticks.advance(*now));
        assert_eq!(ticks.pace(), Pace { ticks: 5, period_s: 62.5e-9, irregularity: 0.25 });
    }

    #[test]
    fn a_wait_was_met_in_the_ticks_since_it_began() {
        let mut ticks = RecentTicks::new(1000, 50);
        assert_eq!([0, 49, 50, 120, 200, 9000].map(|age| ticks.within(age)), [0, 0, 1, 2, 4, 4]);
        // One late tick, then one that was missed.
        ticks.advance(1060);
        ticks.advance(1160);
        assert_eq!([99, 100, 159, 160, 209, 210].map(|age| ticks.within(age)), [0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn another_run_begins_anew_and_its_distance_is_no_time_between_ticks() {
        let mut ticks = RecentTicks::new(1000, 50);
        ticks.advance(1050);
        ticks.begin_run(7, 100);
        assert_eq!([99, 100, 399, 400].map(|age| ticks.within(age)), [0, 1, 3, 4]);
        ticks.advance(107);
        assert_eq!(ticks.pace(), Pace { ticks: 4, period_s: 75e-9, irregularity: 0.0 });
    }
}
