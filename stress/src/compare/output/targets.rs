//! The targets for psn's cost, beside the measured values. A missed target is shown; it is not an error.

use std::fmt::Write as _;

use crate::compare::figures::{Comparison, StepFigures, StormFigures};
use crate::compare::spread::Spread;

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// What is measured.
    pub(crate) what: String,
    /// The target.
    pub(crate) wanted: String,
    /// The measurement.
    pub(crate) measured: String,
    /// Whether it was reached; `None` if it was not measured.
    pub(crate) met: Option<bool>,
}

/// The targets as lines of text.
pub(in crate::compare) fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for target in targets(comparison) {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:9} {}: target {}: measured {}",
            mark(&target),
            target.what,
            target.wanted,
            target.measured
        );
    }
    text
}

/// Whether a target was reached, as a word.
pub(super) fn mark(target: &Target) -> &'static str {
    match target.met {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "-",
    }
}

/// All targets, in order.
pub(super) fn targets(comparison: &Comparison) -> Vec<Target> {
    let mut targets = Vec::new();
    for storm in &comparison.storms {
        targets.extend(of_cost(storm));
    }
    for storm in &comparison.storms {
        targets.extend(of_size(comparison, storm));
    }
    for storm in comparison.storms.iter().filter(|storm| is_largest(comparison, storm)) {
        targets.extend(of_largest(storm));
    }
    targets.extend(of_account(comparison));
    targets
}

/// psn's own account of its CPU time must agree with the kernel's.
fn of_account(comparison: &Comparison) -> Option<Target> {
    let steps = comparison.storms.iter().flat_map(|storm| &storm.steps);
    let ratios = steps.flat_map(|step| step.runs.iter().flatten()).filter_map(|run| Some(run.own_cpu_s? / run.cpu_s));
    let ratio = Spread::of(ratios)?;
    let what = "psn's own account of its CPU time, all steps".to_owned();
    Some(target(what, "0.95 to 1.05 × the kernel's", Some(ratio), |ratio| (0.95..=1.05).contains(&ratio), ""))
}

/// The CPU time of each visit, beside its floor and its peers.
fn of_cost(storm: &StormFigures) -> Vec<Target> {
    let title = storm.title();
    let mut targets = Vec::new();
    let least_times_floor = [("psn", "files kept within the limit"), ("psn-nocache", "no files kept")];
    for (id, what) in least_times_floor {
        let Some(step) = storm.step(id) else { continue };
        let floor = step.floor.clone().unwrap_or_default();
        let ratio = storm.ratio(id, &floor);
        let us = |id: &str| storm.step(id).and_then(StepFigures::us).map_or(f64::NAN, |us| us.median);
        let detail = format!("{:.2} µs over {:.2} µs", us(id), us(&floor));
        targets.push(target(
            format!("CPU per thread and tick, {what}, {title}"),
            "≤ 1.15 × the bare loop",
            ratio,
            |ratio| ratio <= 1.15,
            &detail,
        ));
    }
    let others = [("floor-path", 2.5, "of opening each stat by its path"), ("original", 15.0, "of the original psn")];
    for (id, least, whose) in others {
        let Some(ratio) = storm.ratio(id, "psn") else { continue };
        let wanted = format!("at least {least} × less");
        targets.push(target(
            format!("CPU {whose} per thread and tick, {title}"),
            &wanted,
            Some(ratio),
            |ratio| ratio >= least,
            "",
        ));
    }
    targets
}

/// The ratio to the floor must not grow with the storm.
fn of_size(comparison: &Comparison, storm: &StormFigures) -> Option<Target> {
    if storm.threads < 100_000 {
        return None;
    }
    let smaller =
        comparison.storms.iter().find(|other| other.threads == storm.threads / 10 && other.is_alike(storm))?;
    let (large, small) = (storm.ratio("psn", "floor-kept")?, smaller.ratio("psn", "floor-kept")?);
    Some(Target {
        what: format!("ratio to the bare loop, {}", storm.title()),
        wanted: format!(
            "no more than with {} threads, {:.3} ({:.3} to {:.3})",
            smaller.threads, small.median, small.min, small.max
        ),
        measured: format!("{:.3} ({:.3} to {:.3})", large.median, large.min, large.max),
        // If the ranges of the two overlap, the difference is noise.
        met: Some(large.median <= small.median || large.min <= small.max),
    })
}

fn is_largest(comparison: &Comparison, storm: &StormFigures) -> bool {
    comparison.storms.iter().all(|other| other.threads <= storm.threads)
}

/// Workers, completeness and memory, on the largest storm.
fn of_largest(storm: &StormFigures) -> Vec<Target> {
    let title = storm.title();
    let mut targets = Vec::new();
    for workers in
        storm.steps.iter().filter(|step| step.id.starts_with("psn@") && step.workers > 1).map(|step| step.workers)
    {
        let least = if workers >= 16 { 0.85 } else { 0.9 } * workers as f64;
        let ratio = storm.scaling("psn", workers);
        let floor = storm.scaling("floor-kept", workers);
        let detail = floor.map_or(String::new(), |floor| format!("the bare loop: {:.2}", floor.median));
        let wanted = format!("at least {least:.1} × that of one");
        targets.push(target(
            format!("rate of {workers} workers, {title}"),
            &wanted,
            ratio,
            |ratio| ratio >= least,
            &detail,
        ));
    }
    if let Some(psn) = storm.step("psn") {
        let seen = psn.runs.iter().flatten().map(|run| run.tasks).min().unwrap_or(0);
        let missed: u64 = psn.runs.iter().flatten().map(|run| run.missed).sum();
        targets.push(Target {
            what: format!("threads visited in every pass, {title}"),
            wanted: format!("all {} of the storm, no tick missed", storm.truth),
            measured: format!("{seen} on the host, {missed} ticks missed"),
            met: Some(seen >= u64::from(storm.truth) && missed == 0),
        });
        let most_kb = 20 * 1024 + u64::from(storm.threads) * 200 / 1024;
        let used_kb = psn.probe.peak_rss_kb;
        targets.push(Target {
            what: format!("memory, {title}"),
            wanted: format!("at most 20 MB and 200 bytes a thread: {} kB", most_kb),
            measured: format!("{used_kb} kB"),
            met: (used_kb > 0).then_some(used_kb <= most_kb),
        });
    }
    targets
}

fn target(what: String, wanted: &str, measured: Option<Spread>, is_met: impl Fn(f64) -> bool, detail: &str) -> Target {
    let measured_text = measured.map_or_else(
        || "nothing".to_owned(),
        |spread| {
            let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
            format!("{:.2} ({:.2} to {:.2}{detail})", spread.median, spread.min, spread.max)
        },
    );
    Target {
        what,
        wanted: wanted.to_owned(),
        measured: measured_text,
        met: measured.map(|spread| is_met(spread.median)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;

    #[test]
    fn a_target_tells_what_was_wanted_and_what_was_measured() {
        let text = text(&comparison());
        assert!(text.contains("≤ 1.15 × the bare loop: measured 1.10 (1.00 to 1.10; 4.95 µs over 4.50 µs)"), "{text}");
        assert!(text.starts_with("reached"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_not_missed() {
        let target = target("x".to_owned(), "y", None, |_| false, "");
        assert_eq!((mark(&target), target.measured.as_str()), ("-", "nothing"));
    }
}
