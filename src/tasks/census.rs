//! Whether a walk shows what /proc lists.
//!
//! Some hosts hide tasks from programs in the kernel. Completeness is not assumed: after each listing a walk over everything
//! tells which of the listed tasks it does not show, and those are read through /proc.

use std::io;
use std::sync::Arc;

use crate::ask::plan::StateGate;
use crate::kernel::{HostInfo, KernelScan, Unavailable, WalkRequest};
use crate::proc::ProcRoot;
use crate::tasks::{Permit, Process, Task, TaskSet};

/// Tasks that /proc shows and a walk does not.
#[derive(Debug, Clone, Default)]
pub struct Unseen {
    set: Arc<TaskSet>,
    /// Sorted.
    tids: Arc<[u32]>,
}

impl Unseen {
    /// Those that `census` did not see of the threads in `processes`, and that have not ended since they were listed.
    fn of(census: &Census, root: &ProcRoot, processes: &[Arc<Process>]) -> Self {
        let is_unseen = |process: &Process, task: &Task| {
            !census.has_seen(task.tid) && !task.is_gone() && root.has_task(process.task_dir(), task.tid)
        };
        let mut unseen = Vec::new();
        for process in processes {
            let tasks: Vec<_> = process.tasks.iter().filter(|task| is_unseen(process, task)).map(Arc::clone).collect();
            if !tasks.is_empty() {
                unseen.push(Arc::new(process.with_tasks(tasks.into())));
            }
        }
        let mut tids: Vec<u32> = unseen.iter().flat_map(|process| process.tasks.iter().map(|task| task.tid)).collect();
        tids.sort_unstable();
        Self { set: Arc::new(TaskSet::new(unseen)), tids: tids.into() }
    }

    /// The tasks, to be read through /proc.
    #[must_use]
    pub const fn set(&self) -> &Arc<TaskSet> {
        &self.set
    }

    /// Whether the thread is one of them. Should a walk come by it after all, it is left to /proc.
    #[inline]
    #[must_use]
    pub fn contains(&self, tid: u32) -> bool {
        !self.tids.is_empty() && self.tids.binary_search(&tid).is_ok()
    }

    /// Lets their `stat` files stay open, as many as `allowed`; returns how many that are.
    #[must_use]
    pub fn keep_open(&self, allowed: usize) -> usize {
        let mut kept = 0;
        for task in self.set.processes().iter().flat_map(|process| process.tasks.iter()) {
            if kept < allowed && task.permit() == Permit::None {
                task.raise_permit(Permit::Stat);
                kept += 1;
            }
        }
        kept
    }
}

/// A walk that only notes whom it meets.
#[derive(Debug)]
pub struct Census {
    scan: KernelScan,
    /// A bit for each id.
    seen: Vec<u64>,
    /// Tasks on the host when psn started, of all PID namespaces.
    host_tasks: u64,
}

impl Census {
    /// Loads the program. If it `selects`, only the listed processes are looked at.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open(host: &HostInfo, selects: bool) -> Result<Self, Unavailable> {
        let request = WalkRequest { gate: StateGate::all(), selects_processes: selects, ..WalkRequest::default() };
        Ok(Self { scan: KernelScan::open_on(host, &request)?, seen: Vec::new(), host_tasks: host.tasks })
    }

    /// Tasks on the host when psn started, roughly; 0 if that can not be told.
    #[must_use]
    pub const fn host_tasks(&self) -> u64 {
        self.host_tasks
    }

    /// Walks once, after `processes` were listed. Returns the number of tasks met.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn take(&mut self, processes: &[Arc<Process>]) -> io::Result<u64> {
        let Self { scan, seen, .. } = self;
        seen.fill(0);
        // Of no consequence where all are looked at.
        scan.select_processes(processes.iter().map(|process| process.tgid));
        let walk = scan.walk(&mut |record| {
            let place = record.tid as usize / 64;
            if place >= seen.len() {
                seen.resize(place + 1, 0);
            }
            if let Some(word) = seen.get_mut(place) {
                *word |= 1 << (record.tid % 64);
            }
        })?;
        Ok(walk.tasks())
    }

    /// Whether the last walk met the thread.
    #[inline]
    #[must_use]
    pub fn has_seen(&self, tid: u32) -> bool {
        self.seen.get(tid as usize / 64).is_some_and(|word| word >> (tid % 64) & 1 == 1)
    }

    /// The threads of `processes` that the last walk did not meet.
    #[must_use]
    pub fn unseen(&self, root: &ProcRoot, processes: &[Arc<Process>]) -> Unseen {
        Unseen::of(self, root, processes)
    }
}

/// A walk looks at all tasks of the host, each for this share of what it takes to read one thread's `stat`: 180 ns and
/// 4.2 µs on the machine of docs/kernel-scan.md (`benches/kernel_walk.rs`, and `psn-compare` for the read).
const WALKED_FOR_ONE_READ: u64 = 20;

/// Whether a walk over all `tasks` of the host costs less than reading the files of the `selected` ones.
#[must_use]
pub const fn is_worth_a_walk(selected: u64, tasks: u64) -> bool {
    selected.saturating_mul(WALKED_FOR_ONE_READ) >= tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_selection_on_a_large_host_is_not_worth_a_walk() {
        assert!(is_worth_a_walk(100_000, 100_000) && is_worth_a_walk(5_000, 100_000));
        assert!(!is_worth_a_walk(4_999, 100_000) && !is_worth_a_walk(1, 100));
        assert!(is_worth_a_walk(1, 0) && is_worth_a_walk(u64::MAX, u64::MAX), "unknown, or absurd");
    }
}
