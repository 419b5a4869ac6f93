//! Lanes that are out, as the coordinator watches them, and which of them are stuck.

use super::lane::Progress;
use crate::observe::Place;
use crate::proc::own;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{stat, syscall};
use crate::proc::source::Source;
use crate::proc::state::is_running;
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
    pub(super) place: Arc<Place>,
    pub(super) visits: u64,
    pub(super) since_ns: u64,
}

/// Whether a thread of psn's own is blocked in the kernel.
pub(super) fn is_blocked(os_tid: u32) -> bool {
    match own::read_thread(os_tid, Source::Stat) {
        Ok(line) => {
            let waits_for_psn = || waits_for_psn(&own::read_thread(os_tid, Source::Syscall).unwrap_or_default());
            stat::state(&line).is_ok_and(|state| !is_running(state)) && !waits_for_psn()
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
