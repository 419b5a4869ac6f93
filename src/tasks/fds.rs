//! The budget of open files: which threads' files stay open between ticks.
//!
//! An open file saves an open, a path walk and a close at every read. It costs a descriptor and some kernel memory. If there
//! are not enough descriptors for all threads, busy threads come first, then the threads of large processes. Permits stay where
//! they are, so that the choice is stable; only if a busy thread needs one does a thread that has long been idle lose its own.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::tasks::set::Process;
use crate::tasks::task::{Permit, Task};

/// How many files may be kept open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdBudget {
    /// Files of threads.
    pub files: usize,
    /// `task` directories of processes.
    pub dirs: usize,
    /// Detail files of one thread, beside its `stat`.
    pub details_per_task: usize,
}

/// How many files the permits allow to be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdUse {
    /// Threads' files.
    pub files: usize,
    /// Directories.
    pub dirs: usize,
}

/// A thread that passed the gate within this many ticks is busy.
const BUSY_TICKS: u32 = 8;

/// A thread that has not passed the gate for more than this many ticks is idle. Between the two it keeps its permit.
const IDLE_TICKS: u32 = 256;

impl FdBudget {
    const fn cost(&self, permit: Permit) -> usize {
        match permit {
            Permit::None => 0,
            Permit::Stat => 1,
            Permit::Details => 1 + self.details_per_task,
        }
    }

    /// Files that the permits of `process` allow to be open.
    fn held_by(&self, process: &Process) -> usize {
        process.tasks.iter().map(|task| self.cost(task.permit())).sum()
    }

    /// Gives permits to the threads of `processes` as far as the budget reaches: busy threads get [`Permit::Details`], the others
    /// `idle`. A process of which a thread loses its permit is replaced by a copy.
    pub(crate) fn distribute(&self, processes: &mut [Arc<Process>], idle: Permit, tick: u32) -> FdUse {
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

    /// Gives `task` the permit if `left` files are enough for it; returns how many it took of them.
    fn raise(&self, task: &Task, permit: Permit, left: usize) -> usize {
        let more = self.cost(permit).saturating_sub(self.cost(task.permit()));
        if more == 0 || more > left {
            return 0;
        }
        task.raise_permit(permit);
        more
    }

    /// Takes permits from idle threads, those of small processes first, until `wanted` files are free; returns how many it freed.
    fn reclaim(&self, processes: &mut [Arc<Process>], wanted: usize, tick: u32) -> usize {
        let mut order: Vec<usize> = (0..processes.len()).collect();
        order.sort_by_key(|index| processes.get(*index).map_or(0, |process| process.tasks.len()));
        let mut taken = 0;
        for index in order {
            if taken >= wanted {
                break;
            }
            let Some(process) = processes.get_mut(index) else { continue };
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

/// The busy threads without a permit for detail files, the busiest first.
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
