//! How many samples met waits of which age, in seconds.

use super::ages::Ages;
use super::buckets::upper_ns;
use super::ticks::Pace;
use super::unseen::UnseenAges;

/// Samples of ages from `low` to `high`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where waits of these ages could not be seen in each tick, as many as there would have been in all of them.
    pub(super) count: f64,
}

impl Bin {
    pub(super) fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// The samples of a group by age: consecutive bins from 0 on, up to an empty one beyond the greatest age.
#[derive(Debug)]
pub(super) struct Density {
    pub(super) bins: Vec<Bin>,
    /// Seconds between ticks, on average.
    pub(super) period: f64,
    /// Ticks times seconds between them: how long was sampled.
    pub(super) length: f64,
    pub(super) ticks: f64,
    /// The variance of the time between two ticks, as a share of the square of its mean.
    pub(super) irregularity: f64,
    /// How many samples met their wait for the first, second, third and fourth time.
    pub(super) meetings: [f64; 4],
    /// The least age from which on waits could be seen in nearly every tick, seconds.
    pub(super) seen_from: f64,
    /// How old a wait was on average, when it was seen, that began as a tick was due, seconds.
    pub(super) blind: f64,
    /// How many waits began after their pass had begun, and in which time, in seconds; `None` if it is not known when threads were seen.
    pub(super) begun: Option<(f64, f64)>,
}

/// The share of ticks in which waits of an age must have been seen for what is missing to be made up for: by a tenth more, at most.
const SEEN: f64 = 0.9;

impl Density {
    pub(super) fn new(ages: &Ages, pace: Pace, unseen: &UnseenAges) -> Self {
        let (ticks, period) = (f64::from(pace.ticks), pace.period_s);
        let mut bins = Vec::new();
        let mut low = 0;
        let mut seen_from = 0.0;
        let mut push = |low: &mut u64, count: u64| {
            let high = upper_ns(*low);
            let (seen, at_worst) = unseen.seen(*low);
            if at_worst < SEEN {
                seen_from = high as f64 / 1e9;
            }
            let count = count as f64 / seen.max(SEEN);
            bins.push(Bin { low: *low as f64 / 1e9, high: high as f64 / 1e9, count });
            *low = high;
        };
        for (at, count) in ages.buckets() {
            while low < at {
                push(&mut low, 0);
            }
            push(&mut low, count);
        }
        // Beyond the greatest age there were no samples: the tests of percentiles look so far.
        let last = low as f64 / 1e9 * 1.125 + 2.0 * period;
        while (low as f64) / 1e9 < last && low < 1 << 49 {
            push(&mut low, 0);
        }
        let meetings = ages.meetings().map(|count| count as f64);
        let irregularity = pace.irregularity;
        let begun = ages.begun_in_pass().map(|(waits, seconds)| (waits as f64, seconds));
        let (length, blind) = (ticks * period, unseen.blind_s());
        Self { bins, period, length, ticks, irregularity, meetings, seen_from, blind, begun }
    }

    /// Samples of ages from `low` to `high`, bins being cut where these lie within.
    pub(super) fn between(&self, low: f64, high: f64) -> f64 {
        let share = |bin: &Bin| (bin.high.min(high) - bin.low.max(low)).max(0.0) / bin.width();
        self.bins.iter().map(|bin| bin.count * share(bin)).sum()
    }

    /// The bins that lie within `low` to `high`.
    pub(super) fn within(&self, low: f64, high: f64) -> &[Bin] {
        // Edges are whole nanoseconds: what is less than half of one is due to rounding.
        let from = self.bins.partition_point(|bin| bin.low < low - 5e-10);
        let to = self.bins.partition_point(|bin| bin.high <= high + 5e-10);
        self.bins.get(from..to).unwrap_or(&[])
    }
}
