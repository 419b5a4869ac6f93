//! Lanes that are out, as the coordinator watches them, and which of them are stuck.

use super::lane::Progress;
use crate::observe::CurrentFile;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{stat, syscall};
use crate::proc::rights;
use crate::proc::source::Source;
use crate::proc::syscall::Abi;
use std::sync::Arc;

/// A lane that was given up: it is stuck in the kernel, as far as is known.
#[derive(Debug)]
pub(super) struct LostLane {
    pub(super) progress: Arc<Progress>,
    /// The process and file that it is stuck in.
    pub(super) tgid: u32,
    pub(super) source: Source,
}

/// A lane that is out, as the coordinator watches it.
pub(super) struct Watch {
    pub(super) progress: Arc<Progress>,
    pub(super) place: Arc<CurrentFile>,
    pub(super) visits: u64,
    pub(super) since_ns: u64,
}

/// Whether a thread of psn's own is blocked in the kernel. It reads psn's own files, which can not
/// block: only a process in exec or hung on its memory blocks its readers, and psn is neither.
pub(super) fn is_blocked(os_tid: u32) -> bool {
    let path = |file: &str| format!("{}/self/task/{os_tid}/{file}", crate::proc::DEFAULT_ROOT);
    // Files of a program that was given capabilities are root's.
    let read = |file: &str| rights::raised(|| std::fs::read(path(file))).flatten();
    match read("stat") {
        Ok(line) => {
            let waits_for_psn = || waits_for_psn(&read("syscall").unwrap_or_default());
            stat::state(&line).is_ok_and(|state| state != b'R') && !waits_for_psn()
        }
        Err(_) => true,
    }
}

/// Whether a thread waits for another of psn's own, which on an overloaded host may hold a lock for
/// long without having a CPU: no process is to blame for that.
pub(super) fn waits_for_psn(line: &[u8]) -> bool {
    match syscall::parse(line) {
        Ok(SyscallLine::Call { number, .. }) => crate::proc::syscall::name(Abi::native(), number) == Some("futex"),
        // On its way in or out of the kernel, or in a fault of its own memory.
        Ok(SyscallLine::Running | SyscallLine::Blocked { .. }) => true,
        Err(_) => false,
    }
}
