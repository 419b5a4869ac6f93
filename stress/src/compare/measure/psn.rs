//! Measures psn: by its report in JSON, and by the difference of a long and a short run.

use serde::Deserialize;

use super::program::{Finished, Program};
use crate::compare::figures::{Measurement, Probe};

/// The fields of psn's report that the comparison uses.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::compare) struct Report {
    pub(crate) duration_s: f64,
    pub(crate) ticks: Ticks,
    pub(crate) tasks: Tasks,
    pub(crate) cost: Cost,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::compare) struct Ticks {
    pub(crate) completed: u64,
    pub(crate) missed: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::compare) struct Tasks {
    pub(crate) threads: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::compare) struct Cost {
    pub(crate) cpu_s: f64,
    pub(crate) pass_ms: Quantiles,
    pub(crate) kernel_kb_est: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::compare) struct Quantiles {
    pub p50: f64,
}

/// Seconds after which psn is in its steady state: every file it keeps is open, its task list has been
/// refreshed at least once in full, and the threads that it reads in detail have what they may keep.
const WARM_UP_S: f64 = 4.0;

/// A way to run psn.
#[derive(Clone, Debug)]
pub(in crate::compare) struct Psn<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    pub(crate) workers: usize,
    pub(crate) hz: f64,
}

impl Psn<'_> {
    fn program(&self, seconds: f64) -> Program {
        let fixed = [self.program, "--quiet", "--format", "json"].map(str::to_owned);
        let workers = ["--workers".to_owned(), self.workers.to_string()];
        let pace = ["--hz".to_owned(), self.hz.to_string(), "--duration".to_owned(), seconds.to_string()];
        // The bare loops read /proc, so psn must not walk in the kernel unless the step asks for it.
        let has_scan = self.arguments.iter().any(|argument| argument == "--scan");
        let scan = ["--scan", "proc"].map(str::to_owned).into_iter().filter(|_| !has_scan);
        let words = fixed.into_iter().chain(self.arguments.iter().cloned()).chain(scan).chain(workers).chain(pace);
        Program {
            words: words.collect(),
            cores: Some(self.workers),
            wants_output: true,
            deadline: std::time::Duration::from_secs_f64(seconds * 3.0 + 120.0),
        }
    }

    fn run(&self, seconds: f64) -> Result<(Finished, Report), String> {
        let finished = self.program(seconds).run()?;
        let report = parse(&finished.output)?;
        Ok((finished, report))
    }

    /// Seconds of the shortest run that ends in the steady state.
    fn short_s(&self) -> f64 {
        passes_s(WARM_UP_S, 2.0, self.hz)
    }

    /// Measures psn's memory and its open files.
    pub(in crate::compare) fn probe(&self) -> Result<Probe, String> {
        let (finished, mut probe) = self.program(self.short_s() + 1.5).probe()?;
        probe.kernel_kb_est = Some(parse(&finished.output)?.cost.kernel_kb_est);
        Ok(probe)
    }

    /// Measures `passes` passes in the steady state, as the difference of a long and a short run. Starting, listing, opening
    /// files and ending are in both runs, so they cancel.
    pub(in crate::compare) fn steady(&self, seconds: f64) -> Result<Measurement, String> {
        let short_s = self.short_s();
        let (short, first) = self.run(short_s)?;
        let (long, second) = self.run(short_s + seconds)?;
        let passes = second.ticks.completed as f64 - first.ticks.completed as f64;
        if passes < 1.0 {
            return Err(format!("too slow for {} Hz: {} passes at most", self.hz, second.ticks.completed));
        }
        let cpu_s = long.cpu_s - short.cpu_s;
        let seconds = second.duration_s - first.duration_s;
        Ok(Measurement {
            tasks: second.tasks.threads,
            passes,
            seconds,
            cpu_s,
            own_cpu_s: Some(second.cost.cpu_s - first.cost.cpu_s),
            passes_per_s: passes / seconds,
            missed: first.ticks.missed + second.ticks.missed,
            start_up_cpu_s: Some(short.cpu_s - cpu_s / passes * first.ticks.completed as f64),
            others_cpu: (short.others_cpu_s + long.others_cpu_s) / (short.wall_s + long.wall_s),
        })
    }

    /// Measures passes flat out. The rate is that of the median pass, because psn waits for its next deadline between two
    /// passes; at this pace there is a deadline every millisecond.
    pub(in crate::compare) fn flat_out(&self, seconds: f64) -> Result<Measurement, String> {
        let (finished, report) = self.run(seconds)?;
        Ok(Measurement {
            tasks: report.tasks.threads,
            passes: report.ticks.completed as f64,
            seconds: report.duration_s,
            cpu_s: finished.cpu_s,
            own_cpu_s: Some(report.cost.cpu_s),
            passes_per_s: 1e3 / report.cost.pass_ms.p50,
            missed: 0,
            start_up_cpu_s: None,
            others_cpu: finished.others_cpu_s / finished.wall_s,
        })
    }
}

/// `seconds`, or the time of at least `least` passes at `hz` if that is longer, rounded up to whole passes.
pub(in crate::compare) fn passes_s(seconds: f64, least: f64, hz: f64) -> f64 {
    (seconds * hz).ceil().max(least) / hz
}

fn parse(output: &str) -> Result<Report, String> {
    serde_json::from_str(output).map_err(|error| format!("cannot read psn's report: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let report = parse(
            r#"{"version": "0.1.0", "duration_s": 5.01, "hz": 20.0,
                "ticks": {"expected": 100, "completed": 99, "missed": 1},
                "tasks": {"processes": 3, "threads": 7, "skipped": 0},
                "cost": {"cpu_s": 0.5, "pass_ms": {"p50": 1.5, "p99": 2, "max": 3}, "fds": 9, "kernel_kb_est": 45}}"#,
        );
        let report = report.unwrap();
        assert_eq!((report.ticks.completed, report.ticks.missed, report.tasks.threads), (99, 1, 7));
        assert!((report.cost.pass_ms.p50 - 1.5).abs() < 1e-9 && report.cost.kernel_kb_est == 45);
        assert!(parse("").is_err());
    }

    #[test]
    fn durations_are_whole_passes() {
        assert!((passes_s(4.0, 2.0, 0.3) - 2.0 / 0.3).abs() < 1e-9);
        assert!((passes_s(4.0, 2.0, 10.0) - 4.0).abs() < 1e-9);
    }
}
