//! Latency from samples: how many waits there were in a group, and how long they lasted, seen or not.
//!
//! A sample meets a wait at an instant that has nothing to do with the wait. The density of the ages at which waits are met,
//! per tick, is *rate × share of waits that last longer*. So its value at age 0 is the rate at which waits begin, the average
//! number of threads divided by that rate is the mean duration (Little's law), and the age at which the density has
//! fallen to 1% of its value at 0 is the 99th percentile. docs/statistics.md tells the method, its sources and limits.

mod ages;
mod buckets;
mod claim;
mod density;
mod fit;
mod interval;
mod log;
mod onset;
#[cfg(test)]
mod simulation;
mod slices;
mod tail;
#[cfg(test)]
mod tests;
mod ticks;
mod unseen;
mod wait_ages;

pub use claim::{Claim, WaitEstimates};
pub use log::TickStart;
pub(crate) use log::{SeenBetween, TickLog};
pub use ticks::{Pace, RecentTicks};
pub use unseen::UnseenAges;
pub(crate) use wait_ages::WaitAges;

use ages::Ages;
use claim::NoClaim;

use density::Density;
use interval::{LEAST_SLICES, Relative, variance_of_sum};
use onset::Onset;
use tail::Tail;

/// Ages that a kernel walk tells are off by no more than this, nanoseconds: the distance of the scheduler's clock is known so well.
pub const CLOCK_ERROR_NS: u64 = 20_000;

/// The share of samples above which waits longer than the run forbid to tell the mean.
const LONGER_THAN_RUN: f64 = 0.01;

/// What `ages`, collected at ticks of this pace, tell about all waits of a group. Ages that are in `unseen` were not among
/// those that were collected. Each age may be off by up to `clock_error_ns` nanoseconds. None if there is no sample.
#[must_use]
pub fn estimate(ages: &Ages, pace: Pace, unseen: &UnseenAges, clock_error_ns: u64) -> Option<WaitEstimates> {
    if ages.samples() == 0 {
        return None;
    }
    let series = ages.slices().full(pace.ticks);
    if series.len() < LEAST_SLICES {
        return Some(WaitEstimates::none(NoClaim::TooFewTicks));
    }
    let density = Density::new(ages, pace, unseen);
    let clock_error = clock_error_ns as f64 / 1e9;
    let onset = match Onset::estimate(&density, clock_error) {
        Ok(onset) => onset,
        Err(why) => return Some(WaitEstimates::none(why)),
    };
    let Some(over_time) = OverTime::new(&series) else { return Some(WaitEstimates::none(NoClaim::TooFewSamples)) };
    let tail = Tail::new(&density, onset, clock_error);
    let exceeded_by = |share| tail.exceeded_by(share).map(|seconds| seconds.scaled(1e3));
    Some(WaitEstimates {
        waits_s: over_time.of_rate(&onset).of_count(onset.rate).claim(),
        mean_wait_ms: mean(&density, &onset, &over_time).map(|seconds| seconds.scaled(1e3)),
        p50_wait_ms: exceeded_by(0.5),
        p95_wait_ms: exceeded_by(0.05),
        p99_wait_ms: exceeded_by(0.01),
    })
}

/// The mean duration in seconds: average threads by rate.
fn mean(density: &Density, onset: &Onset, over_time: &OverTime) -> Claim {
    // Of the youngest waits some could not be seen: there were as many as the rate says.
    let young = onset.rate * density.ticks * onset.least_age;
    let all = young + density.between(onset.least_age, f64::INFINITY);
    if density.between(density.length, f64::INFINITY) > all * LONGER_THAN_RUN {
        return Err(NoClaim::LongerThanRun);
    }
    over_time.of_mean(onset).of_ratio(all / density.ticks / onset.rate).claim()
}

/// The correlation of rate and samples where later meetings have a part in the rate: that of exponential waits of some periods,
/// rounded up.
const LATER_MEETINGS: f64 = 0.4;

/// How much counts vary over time, as relative variances of their sums.
struct OverTime {
    firsts: f64,
    variance_of_firsts: f64,
    variance_of_ratio: f64,
}

impl OverTime {
    /// None if no wait was met in its first period.
    fn new(series: &[(u64, u64)]) -> Option<Self> {
        let samples: f64 = series.iter().map(|(samples, _)| *samples as f64).sum();
        let firsts: f64 = series.iter().map(|(_, firsts)| *firsts as f64).sum();
        let by_time: Vec<f64> = series.iter().map(|(_, first)| *first as f64 / firsts).collect();
        let ratio = series.iter().map(|(more, first)| *more as f64 / samples - *first as f64 / firsts);
        (firsts > 0.0).then(|| Self {
            firsts,
            variance_of_firsts: variance_of_sum(&by_time),
            variance_of_ratio: variance_of_sum(&ratio.collect::<Vec<_>>()),
        })
    }

    /// Of the rate: first meetings vary as they do over time, and which of them are young, as if drawn by lot.
    fn of_rate(&self, onset: &Onset) -> Relative {
        // Even where waits begin at regular times, a count may be off by one.
        let least = self.firsts.powi(-2);
        let variance = (onset.variance - 1.0 / self.firsts).max(0.0) + self.variance_of_firsts + least;
        Relative { variance, over_time: self.variance_of_firsts }
    }

    /// Of the mean: samples per first meeting vary as they do over time, and which of the first meetings are young, as if drawn
    /// by lot.
    fn of_mean(&self, onset: &Onset) -> Relative {
        let by_lot = (onset.variance - 1.0 / self.firsts).max(0.0) + self.firsts.powi(-2);
        // Waits that were not met again add to the rate and take from the samples.
        let both = if onset.has_later_meetings {
            2.0 * LATER_MEETINGS * (by_lot * self.variance_of_ratio).sqrt()
        } else {
            0.0
        };
        Relative { variance: by_lot + self.variance_of_ratio + both, over_time: self.variance_of_ratio }
    }
}
