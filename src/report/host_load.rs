//! How busy the whole host was while it was sampled.

use serde::{Deserialize, Serialize};

/// The load of the host during a run, as the kernel counts it, beside what psn saw.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostLoad {
    /// CPUs that are online.
    pub cpus: u64,
    /// The load averages of 1, 5 and 15 minutes at the end; `None` if `/proc/loadavg` could not be read.
    pub load: Option<[f64; 3]>,
    /// Threads on a CPU or waiting for one (`procs_running` of `/proc/stat`), on average, without the one that read it.
    pub running: f64,
    /// Threads waiting for I/O (`procs_blocked`), on average.
    pub blocked: f64,
    /// How often these two were read.
    pub reads: u64,
    /// What psn saw, if it looked at all threads of the host.
    pub seen: Option<SeenLoad>,
}

/// The threads that psn saw in the states that make up the load.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SeenLoad {
    /// In state R, on a CPU or waiting for one, on average over the ticks. The throttled are not among them if psn can tell them.
    pub running: f64,
    /// In state R and throttled by their cgroup; 0 if psn cannot tell them.
    pub throttled: f64,
    /// In state D.
    pub blocked: f64,
}
