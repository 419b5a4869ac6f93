//! Intervals: how far an estimate may be off.

use super::claim::Estimate;

/// The normal distribution, 97.5% quantile.
pub(super) const NORMAL_975: f64 = 1.96;

/// Waves by which a variance over time is estimated. Each has a cosine and a sine: together they have twice as many degrees of
/// freedom.
const WAVES: u32 = 4;
/// Student's t of so many degrees of freedom, 97.5% quantile.
const STUDENT_975: f64 = 2.306;

/// The least number of slices by which a variance over time is estimated.
pub(super) const LEAST_SLICES: usize = 4 * WAVES as usize;

/// The variance of the sum of a series, whose terms may be correlated: the mean of its periodogram at the lowest frequencies
/// (the equal-weighted periodogram estimator of Lazarus, Lewis, Stock and Watson 2018).
pub(super) fn variance_of_sum(series: &[f64]) -> f64 {
    let count = series.len() as f64;
    let powers = (1..=WAVES).map(|wave| {
        let step = std::f64::consts::TAU * f64::from(wave) / count;
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (term, at) in series.iter().zip(0_u32..) {
            let angle = step * f64::from(at);
            sine += term * angle.sin();
            cosine += term * angle.cos();
        }
        sine * sine + cosine * cosine
    });
    powers.sum::<f64>() / f64::from(WAVES)
}

/// A relative variance, and what part of it was estimated over time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relative {
    pub(super) variance: f64,
    pub(super) over_time: f64,
}

impl Relative {
    /// By how many standard deviations the interval extends to each side.
    fn deviations(self) -> f64 {
        NORMAL_975 + (STUDENT_975 - NORMAL_975) * (self.over_time / self.variance).clamp(0.0, 1.0)
    }

    /// A rate with the interval of a Poisson count that has this relative variance, by the Wilson-Hilferty approximation
    /// of the gamma distribution.
    pub(super) fn of_count(self, value: f64) -> Estimate {
        let (count, z) = (1.0 / self.variance, self.deviations());
        let cube = |count: f64, z: f64| (1.0 - 1.0 / (9.0 * count) + z / (3.0 * count.sqrt())).max(0.0).powi(3);
        let high = (count + 1.0) / count * cube(count + 1.0, z);
        Estimate { value, low: value * cube(count, -z), high: value * high }
    }

    /// A ratio with an interval that is symmetric on a logarithmic scale.
    pub(super) fn of_ratio(self, value: f64) -> Estimate {
        let factor = (self.deviations() * self.variance.sqrt()).exp();
        Estimate { value, low: value / factor, high: value * factor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_count_is_that_of_poisson() {
        for (count, low, high) in [(10.0, 4.795, 18.39), (30.0, 20.24, 42.83), (1000.0, 938.97, 1063.94)] {
            let found = Relative { variance: 1.0 / count, over_time: 0.0 }.of_count(count);
            assert!((found.low / low - 1.0).abs() < 0.005 && (found.high / high - 1.0).abs() < 0.005, "{found:?}");
        }
    }

    #[test]
    fn what_alternates_hardly_adds_to_the_variance_of_a_sum_and_what_drifts_adds_much() {
        let alternating: Vec<f64> = (0..32).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let drifting: Vec<f64> = (0..32).map(|at| if at < 16 { 1.0 } else { -1.0 }).collect();
        assert!(variance_of_sum(&alternating) < 2.0);
        assert!(variance_of_sum(&drifting) > 64.0);
        assert!(variance_of_sum(&[3.0; 32]) < 1e-9, "a constant has none");
    }
}
