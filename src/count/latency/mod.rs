//! How long waits last and how often they begin, estimated from the ages at which samples met them.
//!
//! A sample that meets a wait sees its age, not its length. Let waits begin λ times a second, and S(a) be the share of waits that last
//! longer than a. Then a look at any instant meets λ·S(a)·da waits of an age between a and a + da: the *density of ages* is
//! g(a) = λ·S(a). So λ is the density at 0, the mean length is the number of waits at an instant over λ (Little's law), and S(a) is
//! g(a)/g(0). All waits count, also those that no sample met.
//!
//! - **Density at 0.** A wait is met at most once at an age below the period of the ticks, so the counts of ages there are independent.
//!   Over a range from 0 on, the density is taken to fall exponentially, fitted by maximum likelihood. The range is the longest that
//!   fits, by a chi-squared test.
//! - **Tail.** The density never rises: the counts are made to fall by pooling neighbours (the estimate of Grenander). A wait longer
//!   than the period is met several times, which carries no more information: counts are taken for as many waits as there can be.
//!
//! `docs/statistics.md` has the sources, the limits, and how the intervals were checked.

mod bin;
mod estimate;
mod fit;

use crate::count::latency::bin::{Bin, range_of, start_ms};
use crate::count::latency::estimate::{Estimate, Z};
use crate::count::latency::fit::Fit;
use crate::count::memory::Budget;
use crate::count::ranges::RangeCounts;

/// The fewest ages in the range from 0 on for any claim.
const MIN_FIRST: u64 = 40;
/// The fewest waits beyond a percentile for a claim on it.
const MIN_BEYOND: f64 = 10.0;
/// Ranges by which the one that the density at 0 is taken of is shorter than the longest that fits: that halves its length, and the
/// error of a fit that is only nearly right falls to a quarter.
const SHORTER: usize = 8;
/// A percentile is known no better than this share of itself, as ages are counted in ranges, and than the clocks, milliseconds.
const RESOLUTION: f64 = 0.03;
const CLOCK_ERROR_MS: f64 = 0.05;

/// The ages at which samples met waits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WaitAges {
    ranges: RangeCounts,
    /// The oldest, nanoseconds.
    max_ns: i128,
}

/// What the samples were taken at.
#[derive(Debug, Clone, Copy)]
pub struct TickSeries {
    /// How many were completed.
    pub count: u32,
    /// The time between two, seconds.
    pub period_s: f64,
    /// How long after a tick was due its threads were seen, milliseconds: waits that began in between are not among the ages.
    pub blind_ms: f64,
    /// The half-width of the 95% interval of the group's number of threads, as a share of it.
    pub relative_ci95: f64,
}

impl WaitAges {
    /// Notes an age in nanoseconds. Returns the memory that was taken.
    pub(crate) fn add(&mut self, age_ns: i128, budget: &Budget) -> usize {
        self.max_ns = self.max_ns.max(age_ns);
        self.ranges.add(range_of(age_ns), 1, budget)
    }

    /// Notes all that `other` has noted. Returns the memory that was taken.
    pub(crate) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.max_ns = self.max_ns.max(other.max_ns);
        self.ranges.merge(&other.ranges, budget)
    }

    /// Forgets the ages; the table keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.max_ns = 0;
    }

    /// What is known of the waits; `None` if ages are missing.
    #[must_use]
    pub fn latency(&self, ticks: TickSeries) -> Option<AgeDensity> {
        if self.ranges.is_incomplete() || ticks.count == 0 || ticks.period_s <= 0.0 {
            return None;
        }
        let bins: Vec<Bin> = self.ranges.sorted().into_iter().map(|(range, count)| Bin::new(range, count)).collect();
        #[expect(clippy::cast_precision_loss, reason = "an age, to some digits")]
        let max_ms = self.max_ns as f64 / 1e6;
        Some(AgeDensity { bins, max_ms, ticks })
    }
}

/// What the ages tell of the waits of a group.
#[derive(Debug)]
pub struct AgeDensity {
    bins: Vec<Bin>,
    /// The oldest age.
    max_ms: f64,
    ticks: TickSeries,
}

impl AgeDensity {
    /// How often waits begin, a second; `None` if there are too few ages for a claim.
    #[must_use]
    pub fn waits_s(&self) -> Option<Estimate> {
        self.start().map(|start| start.density.scaled(1000.0))
    }

    /// How long waits last on average, milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> Option<Estimate> {
        let start = self.start()?.density;
        let first_ms = start_ms(self.first_range());
        let known: f64 = self.bins.iter().filter(|bin| bin.start_ms >= first_ms).map(|bin| bin.count).sum();
        let waiting = known / f64::from(self.ticks.count) + start.value * first_ms;
        let spread = (start.error().powi(2) + (self.ticks.relative_ci95 / Z).powi(2)).sqrt();
        Some(Estimate::of(waiting / start.value, spread))
    }

    /// The length that `percent` of all waits do not exceed, milliseconds.
    #[must_use]
    pub fn percentile_ms(&self, percent: u8) -> Option<Estimate> {
        let start = self.start()?;
        let share = 1.0 - f64::from(percent) / 100.0;
        let falling = self.falling(&start);
        let value = crossing(&falling, |level| level.value, start.density.value * share)?;
        let beyond = falling.iter().filter(|level| level.end_ms >= value).map(|level| level.waits).fold(0.0, f64::max);
        if beyond < MIN_BEYOND {
            return None;
        }
        // Of a claim near the beginning the density is known no better than there.
        let low = crossing(&falling, |level| level.low, start.density.high * share)?;
        let high = crossing(&falling, |level| level.high, start.density.low * share)?;
        let low = low.min(value * (1.0 - RESOLUTION)).min(value - CLOCK_ERROR_MS).max(0.0);
        let high = high.max(value * (1.0 + RESOLUTION)).max(value + CLOCK_ERROR_MS);
        Some(Estimate { value, low, high })
    }

    /// The density of ages at 0, per tick and millisecond.
    fn start(&self) -> Option<Start> {
        let period_ms = self.ticks.period_s * 1000.0;
        let mut starts: Vec<Start> = Vec::new();
        let mut longest = 0;
        let first = self.first_range();
        let mut end = first.saturating_add(1);
        while let Some(bins) = self.bins_between(first, end, period_ms) {
            end += 1;
            if bins.iter().map(|bin| bin.count).sum::<f64>() < f64::from(u32::try_from(MIN_FIRST).unwrap_or(u32::MAX)) {
                continue;
            }
            let fit = Fit::of(&bins, self.ticks.count);
            if fit.fits {
                longest = starts.len();
            }
            starts.push(Start { density: fit.density, end_ms: bins.last().map_or(0.0, |bin| bin.end_ms) });
        }
        // The shortest range is the best there is, whether it fits or not.
        starts.get(longest.saturating_sub(SHORTER)).copied()
    }

    /// The first range of which all ages are known.
    fn first_range(&self) -> i16 {
        if self.ticks.blind_ms <= 0.0 {
            return 0;
        }
        let known_ms = self.ticks.blind_ms + CLOCK_ERROR_MS;
        (0..i16::MAX).find(|range| start_ms(*range) >= known_ms).unwrap_or(i16::MAX)
    }

    /// The ranges from one to before another, those without ages too; `None` beyond the period of the ticks.
    fn bins_between(&self, first: i16, end: i16, period_ms: f64) -> Option<Vec<Bin>> {
        let is_within = start_ms(end) <= period_ms;
        is_within.then(|| (first..end).map(|range| self.bin(range)).collect())
    }

    fn bin(&self, range: i16) -> Bin {
        let known = self.bins.iter().find(|bin| (bin.start_ms - start_ms(range)).abs() < 1e-9);
        known.copied().unwrap_or_else(|| Bin::new(range, 0))
    }

    /// The density after the beginning, never rising, range by range.
    fn falling(&self, start: &Start) -> Vec<Level> {
        let period_ms = self.ticks.period_s * 1000.0;
        let ticks = f64::from(self.ticks.count);
        let first = self.first_range();
        // Of the ages before nothing is known but what the fit says.
        let mut levels = vec![Level::before(start_ms(first), start.density)];
        for range in first.. {
            let mut bin = self.bin(range);
            if bin.start_ms >= self.max_ms {
                break;
            }
            bin.end_ms = bin.end_ms.min(self.max_ms);
            let width = bin.end_ms - bin.start_ms;
            // A wait is met once a period.
            let waits = bin.count * (period_ms / width).min(1.0);
            levels.push(Level {
                start_ms: bin.start_ms,
                end_ms: bin.end_ms,
                samples: bin.count,
                exposure: width * ticks,
                waits,
                value: 0.0,
                low: 0.0,
                high: 0.0,
            });
            pool(&mut levels);
        }
        for level in levels.iter_mut().skip(1) {
            level.estimate();
            // The fit knows the beginning better than any single range.
            if level.end_ms <= start.end_ms {
                level.value = level.value.min(start.density.value);
            }
        }
        levels
    }
}

/// The density at 0, and the range that it was taken of.
#[derive(Debug, Clone, Copy)]
struct Start {
    density: Estimate,
    end_ms: f64,
}

/// A stretch of ages of one density.
#[derive(Debug, Clone, Copy)]
struct Level {
    start_ms: f64,
    end_ms: f64,
    samples: f64,
    /// Milliseconds times ticks.
    exposure: f64,
    /// Different waits, at least.
    waits: f64,
    value: f64,
    low: f64,
    high: f64,
}

impl Level {
    /// The ages before those that are known.
    const fn before(end_ms: f64, density: Estimate) -> Self {
        let Estimate { value, low, high } = density;
        Self { start_ms: 0.0, end_ms, samples: f64::INFINITY, exposure: 1.0, waits: 0.0, value, low, high }
    }

    fn density(&self) -> f64 {
        self.samples / self.exposure
    }

    /// The density with its interval: that of a Poisson count of the different waits (Wilson and Hilferty's approximation).
    fn estimate(&mut self) {
        let waits = self.waits.max(1e-9);
        let bound =
            |count: f64, sign: f64| count * (1.0 - 1.0 / (9.0 * count) + sign * Z / (3.0 * count.sqrt())).powi(3);
        self.value = self.density();
        self.low = if self.waits < 1.0 { 0.0 } else { self.value * (bound(waits, -1.0) / waits).max(0.0) };
        self.high = (self.samples / waits).max(1.0) * bound(self.waits + 1.0, 1.0) / self.exposure;
    }
}

/// Pools the last stretches until the density falls from each to the next.
fn pool(levels: &mut Vec<Level>) {
    while let [.., before, last] = levels.as_slice()
        && last.density() >= before.density()
    {
        let pooled = Level {
            start_ms: before.start_ms,
            end_ms: last.end_ms,
            samples: before.samples + last.samples,
            exposure: before.exposure + last.exposure,
            waits: before.waits + last.waits,
            ..*before
        };
        levels.truncate(levels.len() - 2);
        levels.push(pooled);
    }
}

/// The age at which a density that falls from stretch to stretch comes to `wanted`, between the middles of the stretches.
fn crossing(levels: &[Level], density: impl Fn(&Level) -> f64, wanted: f64) -> Option<f64> {
    let mut before: Option<(f64, f64)> = None;
    for level in levels {
        let (middle, here) = (f64::midpoint(level.start_ms, level.end_ms), density(level));
        if here <= wanted {
            return Some(match before {
                Some((at, above)) if above > here => at + (middle - at) * (above - wanted) / (above - here),
                Some(_) => middle,
                None => level.start_ms,
            });
        }
        before = Some((middle, here));
    }
    // Beyond the last age there is nothing.
    levels.last().map(|level| level.end_ms)
}

#[cfg(test)]
mod simulation;
