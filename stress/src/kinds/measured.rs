//! How many waits the threads of a kind have measured, and how long these were.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::memory::shared_u64s;

/// What the threads of a kind have measured of their waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MeasuredWaits {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Ranges of lengths per factor of two.
const PER_OCTAVE: usize = 32;

/// The length below which all waits are in the first range, nanoseconds.
const LEAST_NS: f64 = 1000.0;

/// Up to 18 minutes.
const RANGES: usize = 30 * PER_OCTAVE;

/// How many waits there were of each length, in memory that all processes of the storm share.
pub(super) struct WaitCounts {
    sum_ns: &'static AtomicU64,
    ranges: &'static [AtomicU64],
}

impl WaitCounts {
    pub(super) fn open() -> io::Result<Self> {
        let (sum_ns, ranges) = shared_u64s(1 + RANGES)?.split_first().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { sum_ns, ranges })
    }

    pub(super) fn add(&self, length_ns: u64) {
        let place = ((length_ns as f64 / LEAST_NS).max(1.0).log2() * PER_OCTAVE as f64) as usize;
        if let Some(range) = self.ranges.get(place.min(RANGES - 1)) {
            range.fetch_add(1, Ordering::Relaxed);
            self.sum_ns.fetch_add(length_ns, Ordering::Relaxed);
        }
    }

    /// What was counted up to now. Percentiles are exact to 1%.
    pub(super) fn measured(&self) -> MeasuredWaits {
        let ranges: Vec<u64> = self.ranges.iter().map(|range| range.load(Ordering::Relaxed)).collect();
        let count: u64 = ranges.iter().sum();
        let percentile = |percent: u64| {
            let rank = (count * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let place = ranges.iter().position(|waits| {
                seen += waits;
                seen >= rank
            });
            place.map_or(0.0, |place| LEAST_NS / 1e6 * ((place as f64 + 0.5) / PER_OCTAVE as f64).exp2())
        };
        MeasuredWaits {
            count,
            mean_ms: self.sum_ns.load(Ordering::Relaxed) as f64 / 1e6 / count.max(1) as f64,
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_the_mean_and_percentiles() {
        let waits = WaitCounts::open().unwrap();
        assert_eq!((waits.measured().count, waits.measured().p99_ms), (0, 0.0));
        (1..=1000).for_each(|number| waits.add(number * 1_000_000));
        let found = waits.measured();
        assert_eq!((found.count, found.mean_ms), (1000, 500.5));
        for (value, truth) in [(found.p50_ms, 500.0), (found.p95_ms, 950.0), (found.p99_ms, 990.0)] {
            assert!((value / truth - 1.0_f64).abs() < 0.03, "{value} {truth}");
        }
        waits.add(0);
        waits.add(u64::MAX / 2);
        assert_eq!(waits.measured().count, 1002);
    }
}
