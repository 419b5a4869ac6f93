//! A number with its confidence interval.

/// The 97.5th percentile of the normal distribution.
pub(super) const Z: f64 = 1.96;

/// A number with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// An estimate whose logarithm is off by `error`, as a standard deviation.
    pub(super) fn of(value: f64, error: f64) -> Self {
        let factor = (Z * error).exp();
        Self { value, low: value / factor, high: value * factor }
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        Self { value: self.value * by, low: self.low * by, high: self.high * by }
    }

    /// The standard deviation of its logarithm.
    pub(super) fn error(self) -> f64 {
        (self.high / self.value).ln() / Z
    }
}
