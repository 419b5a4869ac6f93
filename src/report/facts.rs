//! The account of a run: what was sampled, how well, and what it cost.

use super::host_load::HostLoad;
use super::sleepers::Sleepers;
use crate::proc::health::Counts;
use crate::time::histogram::Histogram;
use serde::{Deserialize, Serialize};

/// What was run, where and when.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// psn's version.
    pub version: String,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// Start, nanoseconds since 1970.
    pub started_ns: u64,
    /// Seconds that were sampled.
    pub duration_s: f64,
    /// The rate asked for.
    pub hz: f64,
    /// How tasks were found: `kernel` (walks), `proc` (files), or `replay` (recordings).
    pub scan: String,
    /// The kind of kernel walk, if there was one.
    pub scan_level: Option<String>,
    /// Why a better scan was not used, if one was tried.
    pub scan_reason: Option<String>,
}

/// The ticks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ticks {
    /// Due, by the rate asked for.
    pub expected: u64,
    /// In which every thread was looked at.
    pub completed: u64,
    /// Due and not completed: skipped because a pass was late, or given up.
    pub missed: u64,
    /// Of the missed ticks, those skipped to keep within `--max-cpu`.
    pub throttled: u64,
    /// Of the missed ticks, those given up because a process blocked its reader.
    pub abandoned: u64,
}

/// The tasks of the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tasks {
    /// Processes in the last task set.
    pub processes: u64,
    /// Threads in it.
    pub threads: u64,
    /// Threads that a listing may have skipped.
    pub skipped: u64,
    /// Threads that the kernel walk cannot see; they are read from /proc.
    pub unseen: u64,
    /// The most threads in state R in one tick, if running and runnable threads cannot be told apart.
    pub running_max: u64,
    /// Online CPUs of the host, if `running_max` is larger; else 0.
    pub cpus: u64,
}

/// What psn cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// CPU seconds, user and system.
    pub cpu_s: f64,
    /// Median duration of a pass, milliseconds.
    pub pass_p50_ms: f64,
    /// 99th percentile of the durations.
    pub pass_p99_ms: f64,
    /// Longest duration.
    pub pass_max_ms: f64,
    /// Median lateness of a pass's start, milliseconds.
    pub late_p50_ms: f64,
    /// 99th percentile of the latenesses.
    pub late_p99_ms: f64,
    /// Largest lateness.
    pub late_max_ms: f64,
    /// Files kept open.
    pub fds: u64,
    /// Lanes.
    pub workers: u64,
    /// CPUs that psn may run on.
    pub cpus: u64,
    /// Kernel memory that the open files pin, kB, estimated.
    pub kernel_kb_est: u64,
}

impl Cost {
    /// The quantiles of the durations and the latenesses of passes; nothing else is known.
    pub(crate) fn of_passes(durations: &Histogram, latenesses: &Histogram) -> Self {
        let [pass_p50_ms, pass_p99_ms, pass_max_ms] = quantiles_ms(durations);
        let [late_p50_ms, late_p99_ms, late_max_ms] = quantiles_ms(latenesses);
        Self { pass_p50_ms, pass_p99_ms, pass_max_ms, late_p50_ms, late_p99_ms, late_max_ms, ..Self::default() }
    }

    /// Median, 99th percentile and maximum of the durations of passes, milliseconds.
    pub(crate) const fn pass_ms(&self) -> [f64; 3] {
        [self.pass_p50_ms, self.pass_p99_ms, self.pass_max_ms]
    }

    /// Median, 99th percentile and maximum of the latenesses of passes, milliseconds.
    pub(crate) const fn late_ms(&self) -> [f64; 3] {
        [self.late_p50_ms, self.late_p99_ms, self.late_max_ms]
    }
}

/// Median, 99th percentile and maximum, milliseconds.
#[expect(clippy::cast_precision_loss, reason = "times to be shown")]
fn quantiles_ms(times: &Histogram) -> [f64; 3] {
    [times.quantile_ns(0.5), times.quantile_ns(0.99), times.max_ns()].map(|ns| ns as f64 / 1e6)
}

/// How complete the rows' columns are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CoverageReport {
    /// Observations counted.
    pub rows: u64,
    /// Observations of waiting threads whose wait columns were read.
    pub checked: u64,
    /// Of those, observations of threads that were switched in between the reads.
    pub torn: u64,
    /// For each file, the number of observations with `[denied]` because of it.
    pub denied: Vec<(String, u64)>,
    /// Observations that passed the gate and did not meet the conditions of `--where`.
    pub rejected: u64,
    /// Of those, the ones of which the kernel refused to tell what the condition asks for.
    pub refused: u64,
}

/// The account of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What was run, where and when.
    pub meta: Meta,
    /// The ticks of the run.
    pub ticks: Ticks,
    /// The tasks of the selection.
    pub tasks: Tasks,
    /// What psn cost.
    pub cost: Cost,
    /// The attempted reads of each file, the cheapest file first.
    pub health: Vec<(String, Counts)>,
    /// The errors behind dropped reads: file, message, how many.
    pub dropped: Vec<(String, String, u64)>,
    /// How complete the rows' columns are.
    pub coverage: CoverageReport,
    /// Sentences that a reader of the report must not miss.
    pub warnings: Vec<String>,
    /// The names of columns that the kernel does not measure.
    pub unmeasured: Vec<String>,
    /// Where threads slept, if none was active.
    pub sleepers: Option<Sleepers>,
    /// How busy the host was.
    pub host_load: Option<HostLoad>,
    /// Whether sleepers can be shown by what they wait for (`--waits`). No recording says so of itself.
    #[serde(skip)]
    pub can_show_waits: bool,
}

impl Facts {
    /// Completed ticks a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn achieved_hz(&self) -> f64 {
        // In a run shorter than a period, one tick is all that was asked for.
        let rate = if self.meta.duration_s > 0.0 { self.ticks.completed as f64 / self.meta.duration_s } else { 0.0 };
        if self.ticks.completed == 1 { rate.min(self.meta.hz) } else { rate }
    }
}
