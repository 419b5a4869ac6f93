//! The limits on the number of threads of this host, how full each is, and how to raise it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// One limit on the number of threads or processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name, as in `sysctl`, `ulimit` or the cgroup file system.
    pub name: String,
    /// Its value; memory in kB.
    pub value: u64,
    /// How much of it is in use, where that is known.
    pub in_use: Option<u64>,
    /// How to raise it.
    pub raise: String,
    /// The part of the value that cannot be used.
    #[serde(skip)]
    reserved: u64,
}

impl Limit {
    fn new(name: &str, value: u64, in_use: Option<u64>, raise: &str) -> Self {
        Self { name: name.to_owned(), value, in_use, raise: raise.to_owned(), reserved: 0 }
    }

    /// How full it is, in percent.
    fn percent(&self) -> u64 {
        self.in_use.unwrap_or(0).saturating_mul(100) / self.value.saturating_sub(self.reserved).max(1)
    }
}

/// All limits that are set on this host for this user. `pid` is the process whose memory mappings are
/// counted. Reads all of `/proc` if RLIMIT_NPROC is set, which takes long: do not call it in a loop.
#[must_use]
pub(crate) fn limits(pid: u32) -> Vec<Limit> {
    let mut limits = Vec::new();
    let tasks = tasks_on_host();
    if let Some(value) = number("/proc/sys/kernel/threads-max") {
        limits.push(Limit::new("kernel.threads-max", value, tasks, "sysctl -w kernel.threads-max=N"));
    }
    if let Some(value) = number("/proc/sys/kernel/pid_max") {
        let raise = "sysctl -w kernel.pid_max=4194304";
        let limit = Limit::new("kernel.pid_max", value, tasks, raise);
        // The kernel hands out no number under 300 twice.
        limits.push(Limit { reserved: 300, ..limit });
    }
    if let Some(value) = number("/proc/sys/vm/max_map_count") {
        let maps = fs::read(format!("/proc/{pid}/maps")).ok();
        let maps = maps.map(|maps| maps.iter().filter(|byte| **byte == b'\n').count() as u64);
        limits.push(Limit::new("vm.max_map_count", value, maps, "sysctl -w vm.max_map_count=N"));
    }
    if let (Some(value), false) = (getrlimit(Resource::Nproc).current, may_exceed_nproc()) {
        let raise = "ulimit -u N, or CAP_SYS_RESOURCE";
        limits.push(Limit::new("RLIMIT_NPROC", value, Some(tasks_of_user()), raise));
    }
    limits.extend(cgroup_pids());
    limits.extend(memory());
    limits
}

/// The limits on the address space of process `pid` that are set, in kB.
#[must_use]
pub(crate) fn address_space(pid: u32) -> Vec<Limit> {
    let mut limits = Vec::new();
    if let Some(bytes) = getrlimit(Resource::As).current {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let in_use = field(&status, "VmSize:");
        limits.push(Limit::new("RLIMIT_AS", bytes >> 10, in_use, "ulimit -v unlimited"));
    }
    // In the other two modes a mapping made with MAP_NORESERVE is not counted.
    if number("/proc/sys/vm/overcommit_memory") == Some(2) {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        if let Some(value) = field(&meminfo, "CommitLimit:") {
            let in_use = field(&meminfo, "Committed_AS:");
            let raise = "sysctl -w vm.overcommit_memory=1";
            limits.push(Limit::new("vm.overcommit_memory=2", value, in_use, raise));
        }
    }
    limits
}

/// The limit that has been hit: the fullest one, if it is at least 97% full.
#[must_use]
pub(crate) fn nearest(limits: &[Limit]) -> Option<&Limit> {
    limits.iter().filter(|limit| limit.percent() >= 97).max_by_key(|limit| limit.percent())
}

/// Whether so little memory is left that a storm must stop growing, before the kernel kills processes.
#[must_use]
pub(crate) fn memory_is_short() -> bool {
    memory().iter().any(|limit| {
        let left = limit.value.saturating_sub(limit.in_use.unwrap_or(0));
        left < (limit.value / 32).clamp(64 << 10, 1 << 20)
    })
}

/// The limits on memory: of the host, and of the cgroups that this process is in.
fn memory() -> Vec<Limit> {
    let mut limits = Vec::new();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let (Some(total), Some(available)) = (field(&meminfo, "MemTotal:"), field(&meminfo, "MemAvailable:")) {
        let used = total.saturating_sub(available);
        limits.push(Limit::new("memory", total, Some(used), "fewer threads, or a larger host"));
    }
    for dir in cgroup_dirs("memory") {
        let (usage, bound, cache) = if dir.join("memory.max").exists() {
            ("memory.current", "memory.max", "inactive_file")
        } else {
            ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        };
        let Some(bytes) = number(dir.join(bound)).filter(|bytes| *bytes < 1 << 60) else {
            continue;
        };
        let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
        let used = number(dir.join(usage)).unwrap_or(0);
        let used = used.saturating_sub(field(&stat, cache).unwrap_or(0));
        let file = dir.join(bound);
        limits.push(Limit::new(
            &format!("cgroup {}", file.display()),
            bytes >> 10,
            Some(used >> 10),
            &format!("echo BYTES > {}", file.display()),
        ));
    }
    limits
}

fn cgroup_pids() -> Vec<Limit> {
    let bounded = |dir: PathBuf| {
        let file = dir.join("pids.max");
        let name = format!("cgroup {}", file.display());
        let raise = format!("echo N > {} (systemd: TasksMax=)", file.display());
        Some(Limit::new(&name, number(&file)?, number(dir.join("pids.current")), &raise))
    };
    cgroup_dirs("pids").into_iter().filter_map(bounded).collect()
}

/// The directories of a controller from this process's cgroup up to the root of its mount.
fn cgroup_dirs(controller: &str) -> Vec<PathBuf> {
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut dirs = Vec::new();
    for membership in memberships.lines() {
        // hierarchy-ID:controller,…:path, the second field empty for the unified hierarchy
        let mut fields = membership.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|name| name == controller) {
            continue;
        }
        let mount = mounts.lines().find_map(|mount| {
            let (left, right) = mount.split_once(" - ")?;
            let mut right = right.split(' ');
            let (fstype, options) = (right.next()?, right.nth(1)?);
            let wanted = if unified {
                fstype == "cgroup2"
            } else {
                fstype == "cgroup" && options.split(',').any(|name| name == controller)
            };
            let mut left = left.split(' ').skip(3);
            let (root, point) = (left.next()?, left.next()?);
            wanted.then_some((root, point))
        });
        let Some((root, point)) = mount else { continue };
        // In a container the mount may show only a part of the hierarchy.
        let path = path.strip_prefix(root.trim_end_matches('/')).unwrap_or("");
        let point = Path::new(point);
        let own = point.join(path.trim_start_matches('/'));
        dirs.extend(own.ancestors().take_while(|dir| dir.starts_with(point)).map(Path::to_owned));
    }
    dirs
}

/// All tasks on the host: the fourth field of loadavg is `running/total`.
fn tasks_on_host() -> Option<u64> {
    let loadavg = fs::read_to_string("/proc/loadavg").ok()?;
    loadavg.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// All tasks of this user: the owner of `/proc/PID`, and its count of entries in `task`.
fn tasks_of_user() -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let tasks = entries.filter_map(|entry| {
        let task = fs::metadata(entry.ok()?.path().join("task")).ok()?;
        (task.uid() == user).then(|| task.nlink().saturating_sub(2))
    });
    tasks.sum()
}

/// Whether RLIMIT_NPROC does not apply to this process: it has CAP_SYS_ADMIN or CAP_SYS_RESOURCE in the initial
/// user namespace.
fn may_exceed_nproc() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    // The initial user namespace is the one that maps every user to itself.
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let initial = uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
    initial && effective.unwrap_or(0) & (SYS_ADMIN | SYS_RESOURCE) != 0
}

/// The number in a file that holds one; `None` for `max` too.
fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after a name in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_limit_is_the_one_that_was_hit() {
        let limit = |name, value, in_use| Limit::new(name, value, in_use, "");
        let limits =
            [limit("a", 100, Some(96)), limit("b", 1000, Some(980)), limit("c", 10, Some(10)), limit("d", 10, None)];
        assert_eq!(nearest(&limits).unwrap().name, "c");
        assert_eq!(nearest(&limits[..1]), None);
    }

    #[test]
    fn this_host_has_limits() {
        let limits = limits(std::process::id());
        for name in ["kernel.threads-max", "kernel.pid_max", "vm.max_map_count", "memory"] {
            let limit = limits.iter().find(|limit| limit.name == name).unwrap();
            assert!(limit.value > 0 && limit.in_use.is_some_and(|in_use| in_use > 0), "{limit:?}");
        }
    }
}
