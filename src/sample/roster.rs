//! Who is who: from the ids of a walk to the processes and threads of the task list.
//!
//! A walk meets threads that were born since the last listing. They count at once; what is kept with them until they are
//! listed is handed over then.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::kernel::TaskRecord;
use crate::tasks::{Process, Task, TaskSet};

/// The task list, and whoever was met and is not on it yet.
#[derive(Debug, Default)]
pub struct Roster {
    set: Arc<TaskSet>,
    new_processes: HashMap<u32, Arc<Process>, RandomState>,
    /// Each with its process's id.
    new_tasks: HashMap<u32, (u32, Arc<Task>), RandomState>,
    next_process: usize,
    next_task: usize,
}

impl Roster {
    /// Takes a newer list.
    pub fn turn_to(&mut self, set: &Arc<TaskSet>) {
        self.set = Arc::clone(set);
        self.new_processes.clear();
        let (mut next_process, mut next_task) = (0, 0);
        for (tid, (tgid, known)) in self.new_tasks.drain() {
            let process = set.process(tgid, &mut next_process);
            if let Some(task) = process.and_then(|process| process.task(tid, &mut next_task)) {
                task.inherit(&known);
            }
        }
    }

    /// The listed process.
    pub fn process(&mut self, tgid: u32) -> Option<&Arc<Process>> {
        self.set.process(tgid, &mut self.next_process)
    }

    /// The thread of a record with its process, listed or not.
    pub fn find(&mut self, record: &TaskRecord<'_>) -> (Arc<Process>, Arc<Task>) {
        let Self { set, new_processes, new_tasks, next_process, next_task } = self;
        let process = match set.process(record.tgid, next_process) {
            Some(process) => process,
            None => {
                let new = || Arc::new(Process::unlisted(record.tgid));
                &*new_processes.entry(record.tgid).or_insert_with(new)
            }
        };
        let task = match process.task(record.tid, next_task) {
            Some(task) if !task.is_gone() => task,
            _ => {
                let new = || (record.tgid, Arc::new(Task::new(record.tid)));
                &new_tasks.entry(record.tid).or_insert_with(new).1
            }
        };
        (Arc::clone(process), Arc::clone(task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tgid: u32, tid: u32) -> TaskRecord<'static> {
        TaskRecord { tgid, tid, ..TaskRecord::in_state(b'R') }
    }

    fn set(tids: &[u32]) -> Arc<TaskSet> {
        let tasks = tids.iter().map(|tid| Arc::new(Task::new(*tid))).collect();
        let process = Process::unlisted(10).with_tasks(tasks);
        Arc::new(TaskSet::new(vec![Arc::new(process)]))
    }

    #[test]
    fn a_thread_is_the_listed_one_or_keeps_being_the_one_that_was_met() {
        let mut roster = Roster::default();
        let list = set(&[10, 11]);
        roster.turn_to(&list);
        let (process, task) = roster.find(&record(10, 11));
        assert!(Arc::ptr_eq(&process, &list.processes()[0]) && Arc::ptr_eq(&task, &list.processes()[0].tasks[1]));
        for (tgid, tid) in [(10, 12), (20, 20), (20, 21)] {
            let (process, task) = roster.find(&record(tgid, tid));
            let again = roster.find(&record(tgid, tid));
            assert_eq!((process.tgid, task.tid), (tgid, tid));
            assert!(Arc::ptr_eq(&process, &again.0) && Arc::ptr_eq(&task, &again.1));
        }
        assert!(roster.process(10).is_some() && roster.process(20).is_none());
    }

    #[test]
    fn what_is_kept_with_a_thread_outlasts_its_listing() {
        let mut roster = Roster::default();
        roster.turn_to(&set(&[10]));
        for tid in [12, 13] {
            roster.find(&record(10, tid)).1.memory().lock().unwrap().starttime_ticks = 99;
        }
        let list = set(&[10, 12]);
        roster.turn_to(&list);
        let task = &list.processes()[0].tasks[1];
        assert_eq!((task.tid, task.memory().lock().unwrap().starttime_ticks), (12, 99));
        assert!(Arc::ptr_eq(&roster.find(&record(10, 12)).1, task));
    }

    #[test]
    fn an_id_that_is_given_to_another_is_another_thread() {
        let mut roster = Roster::default();
        let list = set(&[10, 11]);
        roster.turn_to(&list);
        list.processes()[0].tasks[1].mark_gone();
        assert!(!Arc::ptr_eq(&roster.find(&record(10, 11)).1, &list.processes()[0].tasks[1]));
    }
}
