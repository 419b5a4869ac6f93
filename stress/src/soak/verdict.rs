//! Checks psn's reports and its size. Does no I/O, except that it prints failures.

use std::collections::HashMap;

use serde_json::Value;

use super::runs::Footprint;
use crate::plan::kind::Kind;
use crate::storm::Storm;

/// Memory may grow by this factor plus this many kB during the soak, because the allocator keeps some memory.
const GROWTH: f64 = 1.10;
const GROWTH_KB: f64 = 4096.0;

/// The failures so far.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) failures: Vec<String>,
}

impl Verdict {
    /// Notes and prints a failure unless `holds`.
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            println!("FAILED: {what}");
            self.failures.push(what);
        }
    }
}

/// Memory at the end, and descriptors at any time, must be about the same as in the window after the first quarter, when psn
/// is in its steady state.
pub(super) fn check_growth(footprints: &[Footprint], verdict: &mut Verdict) {
    let Some(settled) = footprints.get(footprints.len() / 4) else { return };
    let Some(last) = footprints.last() else { return };
    #[expect(clippy::cast_precision_loss, reason = "kilobytes of one process")]
    let (before, after) = (settled.rss_kb as f64, last.rss_kb as f64);
    verdict.expect(after <= before * GROWTH + GROWTH_KB, || format!("memory grew: {settled:?} to {last:?}"));
    let most = footprints.iter().map(|footprint| footprint.fds).max().unwrap_or(0);
    verdict.expect(most <= settled.fds * 2 + 1000, || format!("descriptors grew: {settled:?} to {most}"));
}

/// Checks the report of a short run, grouped by thread: no thread has the name of another, and each thread that lived for the
/// whole run was seen in every tick.
pub(super) fn check_window(report: &Value, storm: &Storm, verdict: &mut Verdict) {
    check_accounting(report, verdict);
    let ticks = report["ticks"]["completed"].as_u64().unwrap_or(0);
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let lasting = &storm.truth().threads;
    let is_lasting = |task: u64| lasting.iter().any(|(_, tid, _)| u64::from(*tid) == task);
    let is_parent = |task: u64| lasting.iter().any(|(_, tid, kind)| u64::from(*tid) == task && *kind == Kind::Harness);
    for row in report["rows"].as_array().into_iter().flatten() {
        let task = row["task"].as_u64().unwrap_or(0);
        *seen.entry(task).or_default() += row["samples"].as_u64().unwrap_or(0);
        let named = row["comm2"].as_str().and_then(|name| name.strip_prefix('t')?.parse::<u64>().ok());
        // A new thread has its parent's name until it sets its own, and psn may see it before that.
        let is_newborn = || named.is_some_and(is_parent) && !is_lasting(task);
        verdict.expect(named.is_none_or(|named| named == task) || is_newborn(), || format!("mixed up: {row}"));
    }
    for (pid, tid, kind) in lasting {
        let samples = seen.get(&u64::from(*tid)).copied().unwrap_or(0);
        verdict.expect(samples == ticks, || {
            format!("thread {tid} ({kind:?}) of {pid} was seen in {samples} of {ticks} ticks")
        });
    }
    verdict.expect(ticks > 0, || "a short run without a tick".to_owned());
}

/// Only reads of threads that were gone may have failed, and every counted row must be reported.
pub(super) fn check_accounting(report: &Value, verdict: &mut Verdict) {
    for file in report["health"].as_array().into_iter().flatten() {
        for class in ["denied", "unsupported", "timed_out", "dropped", "malformed"] {
            let count = file[class].as_u64().unwrap_or(0);
            verdict.expect(count == 0, || format!("{} {class} reads: {file}", count));
        }
    }
    let samples: u64 = report["rows"].as_array().into_iter().flatten().filter_map(|row| row["samples"].as_u64()).sum();
    let rows = report["coverage"]["rows"].as_u64().unwrap_or(0);
    verdict.expect(samples == rows, || format!("{rows} rows counted, {samples} reported"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_row_counted_must_be_reported() {
        let report = |rows: u64| json!({"rows": [{"samples": 2}, {"samples": 3}], "coverage": {"rows": rows}});
        let mut verdict = Verdict::default();
        check_accounting(&report(5), &mut verdict);
        assert!(verdict.failures.is_empty(), "{verdict:?}");
        check_accounting(&report(6), &mut verdict);
        assert_eq!(verdict.failures, ["6 rows counted, 5 reported"]);
    }

    #[test]
    fn reads_that_fail_are_failures() {
        let mut verdict = Verdict::default();
        check_accounting(&json!({"health": [{"file": "stat", "denied": 1}]}), &mut verdict);
        assert_eq!(verdict.failures.len(), 1, "{verdict:?}");
    }

    #[test]
    fn growth_beyond_the_allowance_is_a_failure() {
        let footprints = |last| [10_000, 10_000, 10_000, last].map(|rss_kb| Footprint { rss_kb, fds: 5 });
        let mut verdict = Verdict::default();
        check_growth(&footprints(15_000), &mut verdict);
        assert!(verdict.failures.is_empty(), "{verdict:?}");
        check_growth(&footprints(15_200), &mut verdict);
        assert_eq!(verdict.failures.len(), 1, "{verdict:?}");
    }
}
