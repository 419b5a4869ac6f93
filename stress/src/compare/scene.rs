//! A storm that is being measured, and the pace of each step on it.

use std::collections::HashMap;

use super::figures::Kept;
use super::step::{Pace, Step};

/// The share of one core that a step at [`Pace::Half`] is to take.
const SHARE: f64 = 0.5;

/// The smallest and the largest rate of a step.
const HZ: std::ops::RangeInclusive<f64> = 0.02..=200.0;

/// A storm that is being measured.
pub(super) struct Scene {
    /// Threads that a pass visits.
    pub(super) tasks: u64,
    /// The files that each step of psn keeps open, by the step's id.
    pub(super) kept: HashMap<String, Vec<Kept>>,
    /// CPU seconds of one pass of each kind of bare loop, by id.
    pub(super) pass_s: HashMap<String, f64>,
}

impl Scene {
    /// CPU seconds of one pass of a step's reads.
    pub(super) fn pass_of(&self, step: &Step) -> f64 {
        let like = step.floor.unwrap_or(match step.id.split_once('@') {
            Some(("psn", _)) => "floor-kept",
            Some(("psn-nocache", _)) => "floor-open",
            _ => &step.id,
        });
        let known = self.pass_s.get(like).or_else(|| self.pass_s.get(""));
        known.copied().unwrap_or(1.0)
    }

    /// The rate of a step, in passes per second; `None` is as fast as possible.
    pub(super) fn hz(&self, step: &Step) -> Option<f64> {
        (step.pace == Pace::Half).then(|| rate(self.pass_of(step)))
    }
}

/// The rate at which passes of `pass_s` CPU seconds each take [`SHARE`] of a core, to two digits.
pub(super) fn rate(pass_s: f64) -> f64 {
    let rate = (SHARE / pass_s).clamp(*HZ.start(), *HZ.end());
    let unit = 10f64.powf(rate.log10().floor() - 1.0);
    let digits = 1.0 / unit;
    if unit < 1.0 { (rate * digits).round() / digits.round() } else { (rate / unit).round() * unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        assert!((rate(0.00457) - 110.0).abs() < 1e-9, "{}", rate(0.00457));
        assert!((rate(0.457) - 1.1).abs() < 1e-9);
        assert!((rate(1.5) - 0.33).abs() < 1e-9, "{}", rate(1.5));
        assert!((rate(0.0) - 200.0).abs() < 1e-9);
    }
}
