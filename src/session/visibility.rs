//! Warnings about processes that psn cannot see at all, so that a report of some does not pass for one of the whole host.

use std::os::unix::ffi::OsStrExt as _;

use rustix::thread::{CapabilitySet, capabilities};

use crate::config::Config;
use crate::proc::parse::system::{hidepid, proc_gid, proc_mount_options};
use crate::proc::{Buffer, ProcRoot};
use crate::text::escape::printable;
use crate::text::sentence::shown;

/// The inode of the initial PID namespace, which has every process of the host in it (include/linux/proc_ns.h,
/// `PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u64 = 0xefff_fffc;

/// A warning for each reason why processes are hidden from psn.
pub(super) fn warnings(config: &Config, root: &ProcRoot) -> Vec<String> {
    hidden_by_mount(config, root).into_iter().chain(hidden_by_namespace(root)).collect()
}

/// The warning if the mount options of the proc root hide other users' processes.
fn hidden_by_mount(config: &Config, root: &ProcRoot) -> Option<String> {
    let sees_all = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE));
    if sees_all {
        return None;
    }
    let mut buffer = Buffer::default();
    let mounts = root.read_host(c"self/mountinfo", &mut buffer).ok()?;
    let path = std::fs::canonicalize(&config.root).ok()?;
    let options = proc_mount_options(mounts, path.as_os_str().as_bytes())?;
    let value = hidepid(options)?;
    // Members of the group in `gid=` see everything, except with `ptraceable` (fs/proc/base.c, `has_pid_permissions`).
    let has_group = !matches!(value, b"4" | b"ptraceable");
    if has_group && is_in_group(proc_gid(options)) {
        return None;
    }
    let or_group = if has_group { ", or as a member of the group in its gid= option" } else { "" };
    Some(format!(
        "other users' processes are hidden: {} is mounted with hidepid={}; run as root{or_group}",
        shown(&path),
        printable(value)
    ))
}

fn is_in_group(gid: u32) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().chain([rustix::process::getegid()]).any(|group| group.as_raw() == gid)
}

/// The warning if the proc root shows a PID namespace other than the initial one.
fn hidden_by_namespace(root: &ProcRoot) -> Option<String> {
    // Process 1 of the root is in its namespace. If psn may not read that, psn's own namespace is likely the same one, provided
    // that the root shows psn under the pid that psn has in its own namespace.
    let own = || root.own_pid().filter(|pid| *pid == std::process::id()).and_then(|_| root.pid_namespace("self"));
    let namespace = root.pid_namespace("1").or_else(own)?;
    (namespace != FIRST_PID_NAMESPACE).then(|| {
        format!(
            "{} shows the processes of one PID namespace, such as a container's; all others of the host are hidden: run psn \
             outside, or in the host's PID namespace (docker run --pid=host)",
            shown(root.path())
        )
    })
}
