//! The budget of open files: which threads' files stay open between ticks.
//!
//! A kept file saves an open, a path walk and a close at every read, and costs a descriptor and some
//! kernel memory. When there are not enough for all, busy threads come first, then the threads of
//! large processes. What was given stays given, so that the choice is stable from tick to tick; only
//! when a busy thread needs one is a file taken from a thread that has long been idle.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::tasks::{Permit, Process, Task};

/// How many files may be kept open, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdBudget {
    /// Files of threads.
    pub files: usize,
    /// `task` directories of processes.
    pub dirs: usize,
    /// Detail files of one thread, beside its `stat`.
    pub details_per_task: usize,
}

/// How many files are allowed to be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdUse {
    /// Threads' files.
    pub files: usize,
    /// Directories.
    pub dirs: usize,
}

/// A thread that passed the gate this many ticks ago, or later, is busy.
const BUSY_TICKS: u32 = 8;

/// A thread that has not passed the gate for this many ticks is idle; between the two it keeps what
/// it has.
const IDLE_TICKS: u32 = 256;

impl FdBudget {
    const fn cost(&self, permit: Permit) -> usize {
        match permit {
            Permit::None => 0,
            Permit::Stat => 1,
            Permit::Details => 1 + self.details_per_task,
        }
    }

    /// Files that `process` is allowed to keep open.
    fn held_by(&self, process: &Process) -> usize {
        process.tasks.iter().map(|task| self.cost(task.permit())).sum()
    }

    /// Gives permits to the threads of `processes`: to busy ones for details, to the others `idle`, as far as
    /// they reach. Processes that lost a permit are replaced.
    pub fn distribute(&self, processes: &mut [Arc<Process>], idle: Permit, tick: u32) -> FdUse {
        let mut left = self.files.saturating_sub(processes.iter().map(|process| self.held_by(process)).sum());
        let busy = busy_tasks(processes, tick);
        let wanted: usize = busy.iter().map(|task| self.cost(Permit::Details) - self.cost(task.permit())).sum();
        if wanted > left {
            left += self.reclaim(processes, wanted - left, tick);
        }
        for task in &busy {
            left -= self.raise(task, Permit::Details, left);
        }
        for process in by_size(processes) {
            if left == 0 || idle == Permit::None {
                break;
            }
            for task in &process.tasks {
                left -= self.raise(task, idle, left);
                left -= self.raise(task, Permit::Stat, left);
            }
        }
        FdUse {
            files: processes.iter().map(|process| self.held_by(process)).sum(),
            dirs: processes.iter().filter(|process| process.dir.is_some()).count(),
        }
    }

    /// Gives `task` the permit if `left` suffices; returns what it took.
    fn raise(&self, task: &Task, permit: Permit, left: usize) -> usize {
        let more = self.cost(permit).saturating_sub(self.cost(task.permit()));
        if more == 0 || more > left {
            return 0;
        }
        task.raise_permit(permit);
        more
    }

    /// Takes files from idle threads, those of small processes first, until `wanted` are free;
    /// returns how many it took.
    fn reclaim(&self, processes: &mut [Arc<Process>], wanted: usize, tick: u32) -> usize {
        let mut order: Vec<usize> = (0..processes.len()).collect();
        order.sort_by_key(|place| processes.get(*place).map_or(0, |process| process.tasks.len()));
        let mut taken = 0;
        for place in order {
            if taken >= wanted {
                break;
            }
            let Some(process) = processes.get_mut(place) else { continue };
            let is_idle = |task: &Task| {
                task.permit() > Permit::None && task.idle_ticks(tick).is_none_or(|idle| idle > IDLE_TICKS)
            };
            if !process.tasks.iter().any(|task| is_idle(task)) {
                continue;
            }
            let tasks = process.tasks.iter().map(|task| {
                if taken < wanted && is_idle(task) {
                    taken += self.cost(task.permit());
                    Arc::new(task.without_files())
                } else {
                    Arc::clone(task)
                }
            });
            *process = Arc::new(process.with_tasks(tasks.collect()));
        }
        taken
    }
}

/// The busy threads that may keep fewer files open than they need, the busiest first.
fn busy_tasks(processes: &[Arc<Process>], tick: u32) -> Vec<Arc<Task>> {
    let mut busy: Vec<(u32, Arc<Task>)> = processes
        .iter()
        .flat_map(|process| process.tasks.iter())
        .filter(|task| task.permit() < Permit::Details)
        .filter_map(|task| Some((task.idle_ticks(tick).filter(|idle| *idle <= BUSY_TICKS)?, Arc::clone(task))))
        .collect();
    busy.sort_by_key(|(idle, _)| *idle);
    busy.into_iter().map(|(_, task)| task).collect()
}

fn by_size(processes: &[Arc<Process>]) -> Vec<&Arc<Process>> {
    let mut sorted: Vec<&Arc<Process>> = processes.iter().collect();
    sorted.sort_by_key(|process| Reverse(process.tasks.len()));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(tgid: u32, threads: u32) -> Arc<Process> {
        let tasks = (0..threads).map(|thread| Arc::new(Task::new(tgid + thread))).collect();
        Arc::new(Process { tgid, dir: None, tasks, facts: None })
    }

    fn permits(process: &Process) -> Vec<Permit> {
        process.tasks.iter().map(|task| task.permit()).collect()
    }

    const fn budget(files: usize) -> FdBudget {
        FdBudget { files, dirs: 0, details_per_task: 3 }
    }

    #[test]
    fn large_processes_come_first_and_the_budget_holds() {
        let mut processes = [process(100, 2), process(200, 5)];
        let used = budget(6).distribute(&mut processes, Permit::Stat, 0);
        assert_eq!(used.files, 6);
        assert_eq!(permits(&processes[1]), [Permit::Stat; 5]);
        assert_eq!(permits(&processes[0]), [Permit::Stat, Permit::None]);
        assert_eq!(budget(0).distribute(&mut [process(1, 3)], Permit::Details, 0).files, 0);
    }

    #[test]
    fn what_was_given_stays_given() {
        let mut processes = [process(100, 2), process(200, 5)];
        let first = budget(6).distribute(&mut processes, Permit::Stat, 0);
        let before: Vec<_> = processes.iter().map(|process| permits(process)).collect();
        let kept: Vec<_> = processes.iter().map(Arc::as_ptr).collect();
        assert_eq!(budget(6).distribute(&mut processes, Permit::Stat, 1), first);
        assert_eq!(processes.iter().map(|process| permits(process)).collect::<Vec<_>>(), before);
        assert_eq!(processes.iter().map(Arc::as_ptr).collect::<Vec<_>>(), kept);
    }

    #[test]
    fn where_idle_threads_are_not_read_only_busy_ones_have_files() {
        let mut processes = [process(100, 2), process(200, 5)];
        processes[1].tasks[3].mark_active(10);
        assert_eq!(budget(100).distribute(&mut processes, Permit::None, 10).files, 4);
        assert_eq!(permits(&processes[0]), [Permit::None; 2]);
        assert_eq!(permits(&processes[1])[3], Permit::Details);
    }

    #[test]
    fn a_busy_thread_takes_the_files_of_idle_ones() {
        let mut processes = [process(100, 2), process(200, 5)];
        budget(6).distribute(&mut processes, Permit::Stat, 0);
        processes[0].tasks[1].mark_active(1000);
        let used = budget(6).distribute(&mut processes, Permit::Stat, 1000);
        assert_eq!(permits(&processes[0])[1], Permit::Details);
        assert!(used.files <= 6, "{used:?}");
    }

    #[test]
    fn details_for_all_go_as_far_as_they_reach() {
        let mut processes = [process(100, 3)];
        assert_eq!(budget(9).distribute(&mut processes, Permit::Details, 0).files, 9);
        assert_eq!(permits(&processes[0]), [Permit::Details, Permit::Details, Permit::Stat]);
    }
}
