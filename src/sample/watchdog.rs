//! The watchdog: finds the lanes that are stuck in the kernel.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lane::{Heartbeat, Lane};
use crate::observe::CurrentFile;
use crate::proc::own;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{stat, syscall};
use crate::proc::source::Source;
use crate::proc::state::is_running;
use crate::proc::syscall::{Abi, name};
use crate::time::clock::monotonic_ns;

/// A lane blocked at one thread for this long counts as stuck once the next tick is due, so that it costs one tick only.
const PATIENCE_NS: u64 = 20_000_000;

/// A lane blocked at one thread for this long counts as stuck even before the next tick is due.
const MAX_PATIENCE_NS: u64 = 1_000_000_000;

/// A lane that was given up, and has not come back.
#[derive(Debug)]
pub(super) struct StuckLane {
    heartbeat: Arc<Heartbeat>,
    /// The process that it is stuck in.
    pub(super) tgid: u32,
    /// The file that it is stuck in.
    pub(super) source: Source,
    /// Whether it read the process by `status` alone.
    pub(super) by_status: bool,
}

/// A lane that works on the pass, as last seen by the watchdog.
pub(super) struct WatchedLane {
    heartbeat: Arc<Heartbeat>,
    place: Arc<CurrentFile>,
    visits: u64,
    /// When `visits` was first seen.
    since_ns: u64,
}

impl WatchedLane {
    /// Resets the heartbeat of `lane`, which is about to work on the pass that began at `start_ns`.
    pub(super) fn start(lane: &Lane, start_ns: u64) -> Self {
        lane.heartbeat.visits.store(0, Ordering::Relaxed);
        lane.heartbeat.os_tid.store(0, Ordering::Relaxed);
        let (heartbeat, place) = (Arc::clone(&lane.heartbeat), Arc::clone(&lane.observer.reader.current_file));
        Self { heartbeat, place, visits: 0, since_ns: start_ns }
    }

    pub(super) fn is(&self, lane: &Lane) -> bool {
        Arc::ptr_eq(&self.heartbeat, &lane.heartbeat)
    }
}

/// Decides which lanes are stuck, and remembers them until they come back.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    stuck: Vec<StuckLane>,
}

impl Watchdog {
    /// How many lanes are stuck now.
    pub(super) const fn stuck(&self) -> usize {
        self.stuck.len()
    }

    /// Returns and remembers `lane` as stuck if it has been at one thread for too long, and is blocked rather than waiting
    /// for a CPU.
    pub(super) fn check(&mut self, lane: &mut WatchedLane, next_due_ns: u64) -> Option<&StuckLane> {
        let now = monotonic_ns();
        let heartbeat = &lane.heartbeat;
        let visits = heartbeat.visits.load(Ordering::Relaxed);
        if visits != lane.visits {
            (lane.visits, lane.since_ns) = (visits, now);
            return None;
        }
        let os_tid = heartbeat.os_tid.load(Ordering::Relaxed);
        let waited_ns = now.saturating_sub(lane.since_ns);
        let is_late = waited_ns >= MAX_PATIENCE_NS || (waited_ns >= PATIENCE_NS && now >= next_due_ns);
        if !is_late || os_tid == 0 || visits == 0 || !is_blocked(os_tid) {
            return None;
        }
        self.stuck.push(StuckLane {
            heartbeat: Arc::clone(heartbeat),
            tgid: heartbeat.tgid.load(Ordering::Relaxed),
            source: lane.place.source(),
            by_status: heartbeat.by_status.load(Ordering::Relaxed),
        });
        self.stuck.last()
    }

    /// Forgets `lane`, which has come back. Returns where it was stuck, if it was.
    pub(super) fn release(&mut self, lane: &Lane) -> Option<StuckLane> {
        let index = self.stuck.iter().position(|stuck| Arc::ptr_eq(&stuck.heartbeat, &lane.heartbeat))?;
        Some(self.stuck.swap_remove(index))
    }
}

/// Whether a thread of psn is blocked in the kernel. This reads psn's own files, which do not block: only a process in exec
/// or hung while it holds its memory lock blocks its readers, and psn is neither.
fn is_blocked(os_tid: u32) -> bool {
    match own::read_thread(os_tid, Source::Stat) {
        Ok(line) => {
            let waits_for_psn = || waits_for_psn(&own::read_thread(os_tid, Source::Syscall).unwrap_or_default());
            stat::state(&line).is_ok_and(|state| !is_running(state)) && !waits_for_psn()
        }
        Err(_) => true,
    }
}

/// Whether a thread with this `syscall` line waits for another thread of psn. On an overloaded host that one may hold a lock
/// for long because it has no CPU: no process is to blame.
fn waits_for_psn(line: &[u8]) -> bool {
    match syscall::parse(line) {
        Ok(SyscallLine::Call { number, .. }) => name(Abi::native(), number) == Some("futex"),
        // Entering or leaving the kernel, or in a page fault.
        Ok(SyscallLine::Running | SyscallLine::Blocked { .. }) => true,
        Err(_) => false,
    }
}
