//! Whether a walk shows what /proc lists.
//!
//! Some hosts hide tasks from programs in the kernel. So psn checks: after each listing a walk over all tasks tells which of the
//! listed ones it does not show, and those are read through /proc.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::kernel::{HostInfo, KernelScan, Unavailable, WalkRequest};
use crate::proc::ProcRoot;
use crate::proc::health::Health;
use crate::proc::source::Source;
use crate::proc::state::StateGate;
use crate::tasks::set::{Process, TaskSet};
use crate::tasks::task::{Permit, Task};

/// Tasks that /proc shows and a walk does not.
#[derive(Debug, Clone, Default)]
pub struct Unseen {
    set: Arc<TaskSet>,
    /// Sorted.
    tids: Arc<[u32]>,
}

impl Unseen {
    /// The threads of `processes` that `census` did not meet, without those that have ended since they were listed.
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

    /// The tasks.
    #[must_use]
    pub const fn set(&self) -> &Arc<TaskSet> {
        &self.set
    }

    /// Whether the thread is one of them. If a walk meets it later after all, the walk leaves it out.
    #[inline]
    #[must_use]
    pub fn contains(&self, tid: u32) -> bool {
        !self.tids.is_empty() && self.tids.binary_search(&tid).is_ok()
    }

    /// Permits at most `allowed` of them to keep `stat` open; returns how many got the permit.
    fn keep_open(&self, allowed: usize) -> usize {
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

/// A walk that only notes which tasks it meets.
#[derive(Debug)]
pub struct Census {
    scan: KernelScan,
    /// A bit for each tid.
    seen: Vec<u64>,
    /// Tasks on the host when psn started, in all PID namespaces.
    host_tasks: u64,
}

impl Census {
    /// Loads the program. If it `selects`, it looks only at the listed processes.
    ///
    /// # Errors
    /// Why the program cannot be loaded.
    pub fn open(host: &HostInfo, selects: bool) -> Result<Self, Unavailable> {
        let request = WalkRequest { gate: StateGate::all(), selects_processes: selects, ..WalkRequest::default() };
        Ok(Self { scan: KernelScan::open_on(host, &request)?, seen: Vec::new(), host_tasks: host.tasks })
    }

    /// About how many tasks the host had when psn started; 0 if unknown.
    const fn host_tasks(&self) -> u64 {
        self.host_tasks
    }

    /// Walks once, after `processes` were listed. Returns how many tasks it met.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn take(&mut self, processes: &[Arc<Process>]) -> io::Result<u64> {
        let Self { scan, seen, .. } = self;
        seen.fill(0);
        // Without effect if the program looks at all processes.
        scan.select_processes(processes.iter().map(|process| process.tgid));
        let walk = scan.walk(&mut |record| {
            let index = record.tid as usize / 64;
            if index >= seen.len() {
                seen.resize(index + 1, 0);
            }
            if let Some(word) = seen.get_mut(index) {
                *word |= 1 << (record.tid % 64);
            }
        })?;
        Ok(walk.tasks())
    }

    /// Whether the last walk met the thread.
    #[inline]
    #[must_use]
    pub(crate) fn has_seen(&self, tid: u32) -> bool {
        self.seen.get(tid as usize / 64).is_some_and(|word| word >> (tid % 64) & 1 == 1)
    }
}

/// Compares listings with walks, if the ticks of the run are walks.
#[derive(Default)]
pub(super) struct WalkCheck {
    /// `None` if ticks are not walks.
    census: Option<Census>,
    /// Whether walks are made even if reading the files of the selected threads is cheaper.
    must_walk: bool,
    unseen: Unseen,
}

impl WalkCheck {
    pub(super) fn new(census: Census, must_walk: bool) -> Self {
        Self { census: Some(census), must_walk, unseen: Unseen::default() }
    }

    /// Whether ticks are walks.
    pub(super) const fn are_made(&self) -> bool {
        self.census.is_some()
    }

    /// Gives walks up for good if reading the files of the threads of `processes` is cheaper; returns whether it did.
    pub(super) fn are_given_up_for(&mut self, processes: &[Arc<Process>]) -> bool {
        let threads: usize = processes.iter().map(|process| process.tasks.len()).sum();
        let is_given_up =
            |census: &mut Census| !self.must_walk && !is_worth_a_walk(threads as u64, census.host_tasks());
        self.census.take_if(is_given_up).is_some()
    }

    /// Walks, after `processes` were listed.
    pub(super) fn take(&mut self, processes: &[Arc<Process>], health: &mut Health) {
        let Some(census) = &mut self.census else { return };
        match census.take(processes) {
            Ok(tasks) => health.record_ok(Source::Kernel, tasks),
            // The walk met nobody: until the next listing all tasks are read through /proc.
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                health.record_dropped(Source::Kernel, errno, 1);
            }
        }
    }

    /// Finds the threads of `processes` that the last walk did not meet. Permits at most `files` of them to keep `stat` open;
    /// returns how many got the permit.
    pub(super) fn compare(&mut self, root: &ProcRoot, processes: &[Arc<Process>], files: usize) -> usize {
        let Some(census) = &self.census else { return 0 };
        self.unseen = Unseen::of(census, root, processes);
        self.unseen.keep_open(files)
    }

    /// What the last walk did not meet; `None` if ticks are not walks.
    pub(super) fn unseen(&self) -> Option<Unseen> {
        self.census.is_some().then(|| self.unseen.clone())
    }
}

/// How many tasks a walk looks at in the time of one read of `stat`: 180 ns against 4.2 µs on the machine of
/// docs/kernel-scan.md (`benches/kernel_walk.rs`, and `psn-compare` for the read).
const WALKED_FOR_ONE_READ: u64 = 20;

/// Whether a walk over all `tasks` of the host costs less than reading the files of the `selected` ones.
const fn is_worth_a_walk(selected: u64, tasks: u64) -> bool {
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
