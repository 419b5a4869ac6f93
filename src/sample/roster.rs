//! Finds the process and task of a walk's record.
//!
//! A walk meets threads that were born since the last listing. They count at once. What is kept with such a thread moves to its
//! task in the next list.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::kernel::TaskRecord;
use crate::tasks::{Process, Task, TaskSet};

/// The task list, and the tasks that walks met and that are not listed yet.
#[derive(Debug, Default)]
pub(super) struct Roster {
    set: Arc<TaskSet>,
    new_processes: HashMap<u32, Arc<Process>, RandomState>,
    /// With the id of the process of each.
    new_tasks: HashMap<u32, (u32, Arc<Task>), RandomState>,
    next_process: usize,
    next_task: usize,
}

impl Roster {
    /// Replaces the task list.
    pub(super) fn set_tasks(&mut self, set: &Arc<TaskSet>) {
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

    /// The process, if it is listed.
    pub(super) fn process(&mut self, tgid: u32) -> Option<&Arc<Process>> {
        self.set.process(tgid, &mut self.next_process)
    }

    /// The process and task of a record, listed or not.
    pub(super) fn find(&mut self, record: &TaskRecord<'_>) -> (Arc<Process>, Arc<Task>) {
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
    fn a_record_finds_the_listed_task_or_the_one_met_before() {
        let mut roster = Roster::default();
        let list = set(&[10, 11]);
        roster.set_tasks(&list);
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
    fn what_is_kept_with_a_new_thread_survives_its_listing() {
        let mut roster = Roster::default();
        roster.set_tasks(&set(&[10]));
        for tid in [12, 13] {
            roster.find(&record(10, tid)).1.memory().lock().unwrap().starttime_ticks = 99;
        }
        let list = set(&[10, 12]);
        roster.set_tasks(&list);
        let task = &list.processes()[0].tasks[1];
        assert_eq!((task.tid, task.memory().lock().unwrap().starttime_ticks), (12, 99));
        assert!(Arc::ptr_eq(&roster.find(&record(10, 12)).1, task));
    }

    #[test]
    fn a_reused_thread_id_is_another_task() {
        let mut roster = Roster::default();
        let list = set(&[10, 11]);
        roster.set_tasks(&list);
        list.processes()[0].tasks[1].mark_gone();
        assert!(!Arc::ptr_eq(&roster.find(&record(10, 11)).1, &list.processes()[0].tasks[1]));
    }
}
