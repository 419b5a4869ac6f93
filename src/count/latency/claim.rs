//! What is claimed of a group, and why something is not.

use crate::ask::plan::Latency;

/// The greatest factor from the lower to the upper end of an interval with which a claim is made.
const MOST_FACTOR: f64 = 4.0;

/// A value with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Estimate {
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// A claim of it, unless the interval is too wide for one.
    pub(super) fn claim(self) -> Claim {
        if self.high > MOST_FACTOR * self.low { Err(NoClaim::TooWide) } else { Ok(self) }
    }
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoClaim {
    /// There were fewer than 16 ticks.
    #[error("too few ticks")]
    TooFewTicks,
    /// Too few waits were met, young ones or ones longer than the percentile.
    #[error("too few samples")]
    TooFewSamples,
    /// The density of ages near 0 is curved within the least range that has enough samples: many waits are shorter than it.
    #[error("many waits are too short for the number of samples")]
    Uneven,
    /// Too many waits are about as short as the error of the clock.
    #[error("waits are too short for the clock's error")]
    ClockError,
    /// Threads were seen so long after ticks were due that waits as short as most of these were missed.
    #[error("threads are seen too late for waits this short")]
    SeenLate,
    /// The interval would span more than a factor of four.
    #[error("too uncertain")]
    TooWide,
    /// Part of the waiting is in waits that lasted longer than the run.
    #[error("some waits lasted longer than the run")]
    LongerThanRun,
}

/// A value, or why there is none.
pub type Claim = Result<Estimate, NoClaim>;

/// What samples tell about all waits of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WaitEstimates {
    /// Waits that began per second.
    pub waits_s: Claim,
    /// The mean duration of a wait, milliseconds.
    pub mean_wait_ms: Claim,
    /// The median of the durations, milliseconds.
    pub p50_wait_ms: Claim,
    /// The duration that 5% of the waits exceed, milliseconds.
    pub p95_wait_ms: Claim,
    /// The duration that 1% of the waits exceed, milliseconds.
    pub p99_wait_ms: Claim,
}

impl WaitEstimates {
    /// What is claimed of one of them.
    pub const fn claim(&self, what: Latency) -> Claim {
        match what {
            Latency::Rate => self.waits_s,
            Latency::Mean => self.mean_wait_ms,
            Latency::Median => self.p50_wait_ms,
            Latency::P95 => self.p95_wait_ms,
            Latency::P99 => self.p99_wait_ms,
        }
    }

    pub(super) const fn none(why: NoClaim) -> Self {
        let claim = Err(why);
        Self { waits_s: claim, mean_wait_ms: claim, p50_wait_ms: claim, p95_wait_ms: claim, p99_wait_ms: claim }
    }
}
