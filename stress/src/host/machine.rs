//! The machine: its hardware and kernel, and its load.

use std::fs;

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// The machine a comparison ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The name of the processor, as in `/proc/cpuinfo`.
    pub(crate) cpu: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    /// Memory, kB.
    pub(crate) memory_kb: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The processor's architecture.
    pub(crate) architecture: String,
    /// RLIMIT_NOFILE, soft and hard; `None` is unlimited.
    pub(crate) open_files: (Option<u64>, Option<u64>),
    /// Whether it runs under a hypervisor.
    pub(crate) is_virtual: bool,
    /// Whether the comparison ran as root.
    pub(crate) as_root: bool,
}

impl Machine {
    /// The machine that this process runs on.
    pub(crate) fn new() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
        let first = |name: &str| cpuinfo.lines().find(|line| line.starts_with(name)).and_then(value);
        let uname = rustix::system::uname();
        let limit = getrlimit(Resource::Nofile);
        Self {
            cpu: first("model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: cores(),
            memory_kb: field_kb("/proc/meminfo", "MemTotal:"),
            kernel: uname.release().to_string_lossy().into_owned(),
            architecture: uname.machine().to_string_lossy().into_owned(),
            open_files: (limit.current, limit.maximum),
            is_virtual: first("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            as_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// Cores that may be used.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The number after `name` in a file of lines `name number kB`; 0 where there is none.
pub(crate) fn field_kb(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Kernel memory in slabs.
pub(crate) fn slab_kb() -> u64 {
    field_kb("/proc/meminfo", "Slab:")
}

/// CPU seconds that all cores have been busy since boot, in steps of a clock tick.
pub(crate) fn busy_s() -> f64 {
    busy_of(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// The busy seconds in the text of `/proc/stat`. Its first line is user, nice, system, idle, iowait, irq, softirq and
/// steal, in clock ticks; all but idle and iowait are busy.
fn busy_of(stat: &str) -> f64 {
    let Some(line) = stat.lines().next() else { return 0.0 };
    let ticks = line.split_whitespace().skip(1).take(8).enumerate();
    let busy: u64 =
        ticks.filter(|(place, _)| !matches!(place, 3 | 4)).filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum();
    busy as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_name_and_limits() {
        let machine = Machine::new();
        assert!(machine.cores > 0 && machine.memory_kb > 0 && !machine.kernel.is_empty(), "{machine:?}");
        assert!(slab_kb() > 0);
    }

    #[test]
    fn idle_and_waiting_for_disks_are_not_busy() {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let busy = busy_of("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 …");
        assert!((busy * ticks - 63.0).abs() < 1e-6);
        assert!(busy_of("") == 0.0);
    }
}
