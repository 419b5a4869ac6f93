//! Axes of a chart.

/// An axis from its smallest to its largest value, linear (equal steps) or logarithmic (equal factors).
pub(crate) struct Axis {
    pub(super) label: String,
    min: f64,
    max: f64,
    is_log: bool,
    /// The values that are marked, ascending.
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// A logarithmic axis around `values`, with a mark at each of them.
    pub(crate) fn log_at(label: &str, values: &[f64]) -> Self {
        let (min, max) = bounds(values);
        Self::log(label, min, max, values.to_vec())
    }

    /// A logarithmic axis around `values`, with marks at 1, 2 and 5 times every power of ten.
    pub(crate) fn log_around(label: &str, values: &[f64]) -> Self {
        let (min, max) = bounds(values);
        let (min, max) = (min / 1.15, max * 1.15);
        let decades = (min.log10().floor() as i32)..=(max.log10().ceil() as i32);
        let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)));
        Self::log(label, min, max, ticks.collect())
    }

    fn log(label: &str, min: f64, max: f64, mut ticks: Vec<f64>) -> Self {
        ticks.retain(|tick| (min..=max).contains(tick));
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        Self { label: label.to_owned(), min, max, is_log: true, ticks }
    }

    /// A linear axis from 0 to `most` or a little more, with marks at round numbers.
    pub(crate) fn from_zero(label: &str, most: f64) -> Self {
        let step = nice_step(most / 6.0);
        let ticks: Vec<f64> = (0..).map(|tick| f64::from(tick) * step).take_while(|tick| *tick < most + step).collect();
        let max = ticks.last().copied().unwrap_or(1.0).max(1e-6);
        Self { label: label.to_owned(), min: 0.0, max, is_log: false, ticks }
    }

    /// A linear axis from the smallest to the largest of `values`, with a mark at each of them.
    pub(crate) fn linear_at(label: &str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (min, max) = (values.first().copied().unwrap_or(1.0), values.last().copied().unwrap_or(1.0));
        Self { label: label.to_owned(), min, max: max.max(min + 1.0), is_log: false, ticks: values }
    }

    /// The position of a value on the axis, from 0 to 1.
    pub(super) fn position(&self, value: f64) -> f64 {
        if self.is_log {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        }
    }
}

/// The smallest and the largest of `values`; if they are equal, a little less and a little more.
fn bounds(values: &[f64]) -> (f64, f64) {
    let (min, max) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
    if min < max { (min, max) } else { (max.max(1e-6) / 1.5, max.max(1e-6) * 1.5) }
}

/// 1, 2 or 5 times a power of ten, and at least `least`.
fn nice_step(least: f64) -> f64 {
    let least = least.max(1e-6);
    let unit = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * unit).find(|step| *step >= least).unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(Axis::log_around("", &[3.0, 60.0]).ticks, [5.0, 10.0, 20.0, 50.0]);
        assert_eq!(Axis::from_zero("", 1.0).ticks, [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert!((nice_step(0.013) - 0.02).abs() < 1e-12 && (nice_step(1.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_axis_goes_from_its_least_to_its_largest_value() {
        let axis = Axis::log_at("", &[10.0, 1000.0, 100.0]);
        assert_eq!(axis.ticks, [10.0, 100.0, 1000.0]);
        assert!((axis.position(100.0) - 0.5).abs() < 1e-12 && axis.position(10.0).abs() < 1e-12);
        let axis = Axis::linear_at("", vec![4.0, 1.0, 2.0, 4.0]);
        assert_eq!(axis.ticks, [1.0, 2.0, 4.0]);
        assert!((axis.position(4.0) - 1.0).abs() < 1e-12);
    }
}
