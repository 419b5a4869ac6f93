//! What a report says of the run that its rows do not.

use super::sleepers::Sleepers;
use crate::proc::health::Counts;
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
    /// How long was sampled, seconds.
    pub duration_s: f64,
    /// The rate asked for.
    pub hz: f64,
    /// How threads were found: `kernel`, by its own walk, or `proc`.
    pub scan: String,
    /// How the kernel was made to walk, where it was.
    pub scan_level: Option<String>,
    /// Why they were not found in a better way, where one was tried.
    pub scan_reason: Option<String>,
}

/// The ticks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ticks {
    /// Due, by the rate asked for.
    pub expected: u64,
    /// In which every thread was visited.
    pub completed: u64,
    /// Not taken: skipped because a pass was late, or given up.
    pub missed: u64,
    /// Of those missed, the ones skipped to keep within `--max-cpu`.
    pub throttled: u64,
    /// Of those missed, the ones begun and given up: a process blocked its reader.
    pub abandoned: u64,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tasks {
    /// Processes in the last task set.
    pub processes: u64,
    /// Threads in it.
    pub threads: u64,
    /// Threads that a listing may have skipped.
    pub skipped: u64,
    /// Threads that /proc shows and the kernel's walk does not: they are read through /proc.
    pub unseen: u64,
    /// The most threads in state R in one tick, where those on a CPU can not be told from those that wait for one.
    pub running_max: u64,
    /// CPUs of the host, if there were fewer than that.
    pub cpus: u64,
}

/// What psn cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// CPU seconds, user and system.
    pub cpu_s: f64,
    /// Median time of a pass, milliseconds.
    pub pass_p50_ms: f64,
    /// 99th percentile.
    pub pass_p99_ms: f64,
    /// The longest.
    pub pass_max_ms: f64,
    /// Median lateness of a tick, milliseconds.
    pub late_p50_ms: f64,
    /// 99th percentile.
    pub late_p99_ms: f64,
    /// The largest.
    pub late_max_ms: f64,
    /// Files kept open.
    pub fds: u64,
    /// Threads that read in parallel.
    pub workers: u64,
    /// CPUs psn may run on.
    pub cpus: u64,
    /// Kernel memory they pin, kB, estimated.
    pub kernel_kb_est: u64,
}

/// What could be told of the rows' columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CoverageReport {
    /// Observations counted.
    pub rows: u64,
    /// Observations of waiting threads whose wait columns were read.
    pub checked: u64,
    /// Of those, the ones that moved on between the reads.
    pub torn: u64,
    /// Observations by file in which a refusal stands.
    pub denied: Vec<(String, u64)>,
    /// Observations of threads in the states counted that the conditions left out.
    pub rejected: u64,
}

/// The parts of a report that only its maker knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// See [`Report::meta`](super::Report::meta).
    pub meta: Meta,
    /// See [`Report::ticks`](super::Report::ticks).
    pub ticks: Ticks,
    /// See [`Report::tasks`](super::Report::tasks).
    pub tasks: Tasks,
    /// See [`Report::cost`](super::Report::cost).
    pub cost: Cost,
    /// See [`Report::health`](super::Report::health).
    pub health: Vec<(String, Counts)>,
    /// See [`Report::dropped`](super::Report::dropped).
    pub dropped: Vec<(String, String, u64)>,
    /// See [`Report::coverage`](super::Report::coverage).
    pub coverage: CoverageReport,
    /// See [`Report::warnings`](super::Report::warnings).
    pub warnings: Vec<String>,
    /// See [`Report::unmeasured`](super::Report::unmeasured).
    pub unmeasured: Vec<String>,
    /// See [`Report::sleepers`](super::Report::sleepers).
    pub sleepers: Option<Sleepers>,
}
