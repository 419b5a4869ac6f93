//! One lane of a pass: what a worker needs to visit threads, kept from pass to pass.

use super::quarantine::{Care, Quarantine};
use super::states::StateCounts;
use super::work::Work;
use crate::observe::{Observer, Thread, TickTime, read_stat};
use crate::proc::parse::{stat, status};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::sample::walker::Row;
use crate::tasks::{Process, Task};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What a lane is at, for the coordinator to see. On a cache line of its own: only the coordinator
/// ever looks, and only when a pass is late.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The pool thread's id as the kernel knows it; 0 before the lane runs.
    pub(super) os_tid: AtomicU32,
    /// The process being read.
    pub(super) tgid: AtomicU32,
    /// Threads visited in this pass.
    pub(super) visits: AtomicU64,
    /// Whether the process is read by `status` alone.
    pub(super) is_careful: AtomicBool,
}

/// One lane: what a worker needs to visit threads, kept from pass to pass.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) root: Arc<ProcRoot>,
    pub(super) observer: Observer,
    pub(super) stat: Buffer,
    pub(super) line: Vec<u8>,
    /// The name of a thread of each process visited in quarantine.
    pub(super) blocked_names: HashMap<u32, Vec<u8>>,
    pub(super) progress: Arc<Progress>,
    pub(super) states: StateCounts,
}

impl Lane {
    pub(super) fn run(&mut self, work: &Work, lane: usize) {
        self.progress.os_tid.store(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(), Ordering::Relaxed);
        while let Some(chunk) = work.take(lane) {
            for span in work.set.chunk(chunk) {
                let Some((process, tasks)) = work.set.tasks(*span) else { continue };
                let care = work.quarantine.care(process.tgid, work.at.now_ns);
                if care == Care::Avoid {
                    continue;
                }
                let blocked = work.is_cautious || care == Care::Status;
                self.enter(process.tgid, blocked);
                for task in tasks {
                    self.note_visit();
                    if blocked {
                        self.visit_blocked(process, task, work.at);
                    } else {
                        self.visit(process, task, work.at);
                    }
                }
            }
            for row in work.rows(chunk) {
                self.visit_walked(row, work);
            }
        }
    }

    /// Notes which process is read next.
    pub(super) fn enter(&self, tgid: u32, is_careful: bool) {
        self.progress.tgid.store(tgid, Ordering::Relaxed);
        self.progress.is_careful.store(is_careful, Ordering::Relaxed);
    }

    /// Notes that another thread is visited.
    #[inline]
    pub(super) fn note_visit(&self) {
        let visits = &self.progress.visits;
        // Not a read-modify-write: this lane is the only writer.
        visits.store(visits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Visits a thread that a walk met. Of a process that blocks its readers, the record has to do.
    pub(super) fn visit_walked(&mut self, row: &Row, work: &Work) {
        let tgid = row.process.tgid;
        let blocked = work.is_cautious || work.quarantine.care(tgid, work.at.now_ns) != Care::None;
        let thread = Thread { is_blocked: blocked, ..row.thread() };
        if blocked {
            note_name(&mut self.blocked_names, tgid, thread.comm);
        }
        self.enter(tgid, blocked);
        self.note_visit();
        self.observer.observe_walked(&row.process, Some(&row.task), &thread, work.at);
    }

    /// Visits one thread: one read, and no more unless its state passes the gate.
    #[inline]
    pub(super) fn visit(&mut self, process: &Process, task: &Task, at: TickTime) {
        if task.is_gone() {
            return;
        }
        let result = read_stat(&self.root, process, task, &mut self.stat);
        let result = result.and_then(|line| Ok((stat::state(stat::whole(line)?)?, line)));
        match result {
            Ok((state, line)) => {
                self.observer.reader.health.record_ok(Source::Stat, 1);
                self.states.count(state);
                if self.observer.gate().passes(state)
                    && let Err(error) = self.observer.observe(process, task, line, false, at)
                {
                    self.observer.reader.health.correct(Source::Stat, error);
                }
            }
            Err(error) => {
                self.observer.reader.health.record_error(Source::Stat, error);
                if error == ReadError::Gone {
                    task.mark_gone();
                }
            }
        }
    }

    /// Visits a thread of a process that blocks its readers, by the one file that never does.
    #[cold]
    pub(super) fn visit_blocked(&mut self, process: &Process, task: &Task, at: TickTime) {
        if task.is_gone() {
            return;
        }
        self.observer.reader.current_file.enter(Source::Status);
        let result = self.root.read_task(process.task_dir(), task.tid, Source::Status, &mut self.stat);
        self.observer.reader.current_file.enter(Source::Stat);
        self.observer.reader.health.record(Source::Status, &result);
        match result.map(|text| stat_line_of_status(task.tid, text, &mut self.line)) {
            Ok(Some(state)) => {
                self.states.count(state);
                if !self.blocked_names.contains_key(&process.tgid)
                    && let Ok(stat) = stat::Stat::parse(&self.line, 0)
                {
                    note_name(&mut self.blocked_names, process.tgid, stat.comm);
                }
                if self.observer.gate().passes(state)
                    && let Err(error) = self.observer.observe(process, task, &self.line, true, at)
                {
                    self.observer.reader.health.correct(Source::Status, error);
                }
            }
            Ok(None) => self.observer.reader.health.correct(Source::Status, ReadError::Malformed),
            Err(ReadError::Gone) => task.mark_gone(),
            Err(_) => {}
        }
    }
}

/// Notes the name of a process that blocks its readers, of so many processes at most.
pub(super) fn note_name(names: &mut HashMap<u32, Vec<u8>>, tgid: u32, name: &[u8]) {
    if names.len() < Quarantine::MAX_PROCESSES && !names.contains_key(&tgid) {
        names.insert(tgid, name.to_vec());
    }
}

/// Writes what `status` tells in the form of `stat`: tid, name and state. Returns the state.
pub(super) fn stat_line_of_status(tid: u32, text: &[u8], line: &mut Vec<u8>) -> Option<u8> {
    let state = status::state(text)?;
    line.clear();
    line.extend_from_slice(itoa::Buffer::new().format(tid).as_bytes());
    line.extend_from_slice(b" (");
    status::unescape_name(status::name(text)?, line);
    line.extend_from_slice(b") ");
    line.push(state);
    line.push(b'\n');
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_stands_in_for_stat() {
        let mut line = Vec::new();
        let text = b"Name:\ta)\\nb\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t7\n";
        assert_eq!(stat_line_of_status(7, text, &mut line), Some(b'D'));
        assert_eq!(line, b"7 (a)\nb) D\n");
        assert_eq!(stat_line_of_status(7, b"", &mut line), None);
    }
}
