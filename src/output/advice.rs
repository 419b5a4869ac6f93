//! The sentences that a reader of the report must not miss: what makes it doubtful, and what would help.

use super::footer::{count, milliseconds, rate};
use crate::report::Report;

/// Fewer samples than this say little: one of nine is 11%.
const FEW_SAMPLES: u64 = 10;

/// The report's warnings, after those that its numbers give rise to.
#[must_use]
pub fn warnings(report: &Report) -> Vec<String> {
    let ticks = &report.ticks;
    let found = if ticks.missed > 0 {
        Some(rate_not_held(report))
    } else if ticks.completed < FEW_SAMPLES {
        let taken = count(ticks.completed, "sample was", "samples were");
        let advice = "sample longer (-d) or more often (--hz)";
        Some(format!("only {taken} taken, too few for more than a rough picture: {advice}"))
    } else {
        None
    };
    found.into_iter().chain(report.warnings.iter().cloned()).collect()
}

/// What went wrong when ticks were missed: the work is too long, or psn did not get to it.
fn rate_not_held(report: &Report) -> String {
    let (ticks, cost) = (&report.ticks, &report.cost);
    let period_ms = 1000.0 / report.meta.hz;
    let hz = report.meta.hz;
    let few = if ticks.completed < FEW_SAMPLES {
        format!("; with {} the picture is rough", count(ticks.completed, "sample", "samples"))
    } else {
        String::new()
    };
    let held = format!(
        "the rate could not be held: {hz} Hz asked for, {} Hz achieved, {} missed{few}",
        rate(report.achieved_hz()),
        count(ticks.missed, "sample", "samples"),
    );
    let (median, worst, period) =
        (milliseconds(cost.pass_p50_ms), milliseconds(cost.pass_max_ms), milliseconds(period_ms));
    let less_work = "fewer columns, fewer processes (-p) or a lower --hz would help";
    if ticks.completed == 0 {
        format!("{held}; no pass came to its end: {less_work}")
    } else if cost.pass_p50_ms > period_ms {
        format!("{held}; a pass takes {median}, and {period} are there for it: {less_work}")
    } else if cost.pass_max_ms > period_ms {
        format!("{held}; a pass takes {median}, but up to {worst}, and {period} are there for it: {less_work}")
    } else {
        let late = milliseconds(cost.late_max_ms);
        format!(
            "{held}; psn was up to {late} late to start: a higher priority (nice -n -5 psn ...) or a lower --hz would help"
        )
    }
}
