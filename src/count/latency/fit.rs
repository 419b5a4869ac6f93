//! An exponential density fitted to counts of ages, by maximum likelihood.

use crate::count::latency::bin::Bin;
use crate::count::latency::estimate::Estimate;

/// The density before the first age that is known may fall by so much more or less than after it, as a standard deviation.
const UNSEEN: f64 = 0.25;

/// An exponential density fitted to the counts of some ranges from 0 on.
pub(super) struct Fit {
    pub(super) density: Estimate,
    /// Whether the counts agree with the fit.
    pub(super) fits: bool,
}

impl Fit {
    pub(super) fn of(bins: &[Bin], ticks: u32) -> Self {
        let ticks = f64::from(ticks);
        let total: f64 = bins.iter().map(|bin| bin.count).sum();
        let end = bins.last().map_or(1.0, |bin| bin.end_ms);
        let end = end - bins.first().map_or(0.0, |bin| bin.start_ms);
        let (mut level, mut slope) = ((total / (ticks * end)).ln(), 0.0_f64);
        let mut variance = 1.0 / total;
        for _ in 0..50 {
            let Moments { mass, first, second } = Moments::of(bins, level, slope, ticks);
            let seen: f64 = bins.iter().map(|bin| bin.count * mean_age(bin, slope)).sum();
            let (score_level, score_slope) = (total - mass, seen - first);
            let determinant = mass * second - first * first;
            if determinant <= 1e-12 * mass * second {
                break;
            }
            let step_level = (second * score_level - first * score_slope) / determinant;
            let step_slope = (mass * score_slope - first * score_level) / determinant;
            level += step_level.clamp(-1.0, 1.0);
            slope += step_slope.clamp(-2.0 / end, 2.0 / end);
            variance = second / determinant;
            if step_level.abs() < 1e-9 && (step_slope * end).abs() < 1e-9 {
                break;
            }
        }
        if slope > 0.0 {
            // The density never rises.
            (level, slope, variance) = ((total / (ticks * end)).ln(), 0.0, variance.min(2.0 / total));
        }
        // How the density falls before the first age that is known, nobody has seen.
        let unseen = UNSEEN * slope * bins.first().map_or(0.0, |bin| bin.start_ms);
        let density = Estimate::of(level.exp(), (variance + unseen * unseen).sqrt());
        Self { density, fits: fits(bins, level, slope, ticks) }
    }
}

/// The expected number of ages and their first two moments.
struct Moments {
    mass: f64,
    first: f64,
    second: f64,
}

impl Moments {
    fn of(bins: &[Bin], level: f64, slope: f64, ticks: f64) -> Self {
        let mut moments = Self { mass: 0.0, first: 0.0, second: 0.0 };
        for bin in bins {
            let mass = expected(bin, level, slope, ticks);
            let mean = mean_age(bin, slope);
            let width = bin.end_ms - bin.start_ms;
            moments.mass += mass;
            moments.first += mass * mean;
            moments.second += mass * (mean * mean + width * width / 12.0);
        }
        moments
    }
}

/// The expected number of ages in a range.
fn expected(bin: &Bin, level: f64, slope: f64, ticks: f64) -> f64 {
    let width = bin.end_ms - bin.start_ms;
    let fall = slope * width;
    let mean = if fall.abs() < 1e-6 { 1.0 + fall / 2.0 } else { fall.exp_m1() / fall };
    ticks * width * (level + slope * bin.start_ms).exp() * mean
}

/// The mean age in a range.
fn mean_age(bin: &Bin, slope: f64) -> f64 {
    let width = bin.end_ms - bin.start_ms;
    let fall = slope * width;
    let share = if fall.abs() < 1e-4 { 0.5 + fall / 12.0 } else { 1.0 / (-(-fall).exp_m1()) - 1.0 / fall };
    bin.start_ms + width * share
}

/// Whether the counts are those of the fit, as far as chance goes: neighbours are put together until eight are expected.
fn fits(bins: &[Bin], level: f64, slope: f64, ticks: f64) -> bool {
    let (mut squares, mut cells) = (0.0, 0.0);
    let (mut seen, mut wanted) = (0.0, 0.0);
    for (index, bin) in bins.iter().enumerate() {
        seen += bin.count;
        wanted += expected(bin, level, slope, ticks);
        if wanted >= 8.0 || (index + 1 == bins.len() && wanted > 0.0) {
            squares += (seen - wanted) * (seen - wanted) / wanted.max(1.0);
            cells += 1.0;
            (seen, wanted) = (0.0, 0.0);
        }
    }
    let freedom: f64 = cells - 2.0;
    // The 80th percentile of chi-squared (Wilson and Hilferty): a fit that is merely not refuted would be biased.
    freedom < 1.0
        || squares <= freedom * (1.0 - 2.0 / (9.0 * freedom) + 0.8416 * (2.0 / (9.0 * freedom)).sqrt()).powi(3)
}
