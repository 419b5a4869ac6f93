//! A straight line through the samples of a range of ages, and tests of whether their density is straight there.

use super::density::Bin;

/// A straight line fitted to the density of ages in a range.
#[derive(Debug, Clone, Copy)]
pub(super) struct FittedLine {
    /// Samples in the range.
    pub(super) count: f64,
    /// The line at age 0, samples per second of age.
    at_zero: f64,
    /// The variance of `at_zero` for independent samples.
    variance: f64,
    /// By how much the line rises per second of age.
    slope: f64,
    /// By how much the density is a parabola rather than a line.
    bend: Coefficient,
    /// By how much it is of the third degree.
    twist: Coefficient,
    /// Where age 0 is, in widths of the range above its beginning.
    zero: f64,
    width: f64,
    /// The greatest deviation of the samples below some age from the line, in standard deviations.
    deviation: f64,
}

impl FittedLine {
    /// The least number of bins by which it is fitted.
    pub(super) const LEAST_BINS: usize = 4;

    /// The line through these bins, weighted by their widths; none if there are too few of them, or no samples.
    pub(super) fn fit(bins: &[Bin]) -> Option<Self> {
        let (first, last) = (bins.first()?, bins.last()?);
        let (low, width) = (first.low, last.high - first.low);
        let count: f64 = bins.iter().map(|bin| bin.count).sum();
        if bins.len() < Self::LEAST_BINS || count < 1.0 {
            return None;
        }
        let place = |age: f64| (age - low) / width;
        let zero = place(0.0);
        // Per bin: the samples, its share of the width, and where its middle is.
        let terms = bins
            .iter()
            .map(|bin| (bin.count, bin.width() / width, f64::midpoint(place(bin.low), place(bin.high)) - 0.5));
        let (mut spread, mut tilt) = (0.0, 0.0);
        for (count, share, middle) in terms.clone() {
            spread += share * middle * middle;
            tilt += count * middle;
        }
        let slope = tilt / spread;
        let at_zero = count + slope * (zero - 0.5);
        let variance: f64 =
            terms.map(|(count, _, middle)| count * (1.0 + middle * (zero - 0.5) / spread).powi(2)).sum();
        let deviation = greatest_deviation(bins, count, |bin| {
            let middle = f64::midpoint(place(bin.low), place(bin.high)) - 0.5;
            (count + slope * middle) * bin.width() / width
        });
        (at_zero > 0.0).then(|| Self {
            count,
            at_zero: at_zero / width,
            variance: variance / (width * width),
            slope: slope / (width * width),
            bend: Coefficient::of(bins, legendre_2),
            twist: Coefficient::of(bins, legendre_3),
            zero,
            width,
            deviation,
        })
    }

    /// The density at age 0 and its relative variance, after correction for the curvature that the line through a wider range
    /// shows. All ages may be off by the same time, up to `clock_error`.
    pub(super) fn corrected(&self, wider: &Self, clock_error: f64) -> (f64, f64) {
        // In part of the range a parabola's bend is less by the square of that part.
        let part = (self.width / wider.width).powi(2) * (6.0 * self.zero * (self.zero - 1.0) + 1.0);
        // The density is no parabola either: the correction is as uncertain as it is large.
        let correction = (wider.bend.value.abs().max(wider.bend.deviation) * part).powi(2);
        let shift = (self.slope * clock_error).powi(2) / 3.0;
        let value = self.at_zero + wider.bend.value * part;
        (value, (self.variance + correction + shift) / (value * value))
    }

    /// Whether the density is straight in the range, as far as the samples tell.
    pub(super) fn is_straight(&self) -> bool {
        let is_line = |one: Coefficient| one.value.abs() < CURVATURE * one.deviation;
        is_line(self.bend) && is_line(self.twist) && self.deviation < DEVIATION
    }
}

/// The coefficient of a Legendre polynomial of the place in a range, samples per second of age, and its standard deviation.
#[derive(Debug, Clone, Copy)]
struct Coefficient {
    value: f64,
    deviation: f64,
}

impl Coefficient {
    /// `mean` is the mean of the polynomial from one place to another.
    fn of(bins: &[Bin], mean: impl Fn(f64, f64) -> f64) -> Self {
        let low = bins.first().map_or(0.0, |bin| bin.low);
        let width = bins.last().map_or(0.0, |bin| bin.high) - low;
        let (mut sum, mut squares, mut variance) = (0.0, 0.0, 0.0);
        for bin in bins {
            let value = mean((bin.low - low) / width, (bin.high - low) / width);
            sum += bin.count * value;
            squares += bin.width() * value * value;
            variance += bin.count * value * value;
        }
        Self { value: sum / squares, deviation: variance.sqrt().max(1.0) / squares }
    }
}

/// The mean of the second Legendre polynomial on 0 to 1 between two places.
fn legendre_2(from: f64, to: f64) -> f64 {
    2.0 * (from * from + from * to + to * to) - 3.0 * (from + to) + 1.0
}

/// The mean of the third.
fn legendre_3(from: f64, to: f64) -> f64 {
    let (square, cube) = (from * from + from * to + to * to, (from + to) * (from * from + to * to));
    5.0 * cube - 10.0 * square + 6.0 * (from + to) - 1.0
}

/// From so many standard deviations on the density is curved.
const CURVATURE: f64 = 2.5;
/// From so many standard deviations on, at the worst age, it has a step or a bend.
const DEVIATION: f64 = 3.3;

/// The greatest deviation, in standard deviations, of the samples below an age from what is expected, over all ages that
/// leave some samples to each side.
fn greatest_deviation(bins: &[Bin], count: f64, expected: impl Fn(&Bin) -> f64) -> f64 {
    let (mut below, mut expected_below, mut greatest) = (0.0, 0.0, 0.0_f64);
    for bin in bins {
        below += bin.count;
        expected_below += expected(bin);
        let variance = expected_below * (1.0 - expected_below / count);
        if expected_below > 5.0 && variance > 2.0 {
            greatest = greatest.max((below - expected_below).abs() / variance.sqrt());
        }
    }
    greatest
}
