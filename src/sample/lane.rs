//! One lane of a pass: the buffers and counts that a worker needs to visit threads, kept from pass to pass.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::quarantine::{Quarantine, ReadMode};
use super::walker::PendingTask;
use super::workload::Workload;
use crate::count::Fold;
use crate::observe::{Context, Observer, Thread, TickTime, read_stat};
use crate::proc::parse::{stat, status};
use crate::proc::source::Source;
use crate::proc::state::StateCounts;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::{Process, Task};

/// What a lane is doing, for the watchdog. On a cache line of its own: the watchdog is its only reader, and looks only when
/// a pass is late.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// The kernel's id of the pool thread that runs the lane; 0 until it does.
    pub(super) os_tid: AtomicU32,
    /// The process being read.
    pub(super) tgid: AtomicU32,
    /// Threads visited in this pass.
    pub(super) visits: AtomicU64,
    /// Whether the process is read by `status` alone.
    pub(super) by_status: AtomicBool,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    root: Arc<ProcRoot>,
    pub(super) observer: Observer,
    stat: Buffer,
    /// The `stat` line made up from a `status` file.
    line: Vec<u8>,
    /// A thread's name for each process that was read in quarantine.
    pub(super) blocked_names: HashMap<u32, Vec<u8>>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) states: StateCounts,
}

impl Lane {
    pub(super) fn new(context: &Context, fold: Fold) -> Self {
        Self {
            root: Arc::clone(&context.root),
            observer: Observer::new(context, fold),
            stat: Buffer::default(),
            line: Vec::new(),
            blocked_names: HashMap::new(),
            heartbeat: Arc::default(),
            states: StateCounts::default(),
        }
    }

    /// Visits the threads of chunks of `work` until none is left. `lane` is the index of the range dealt to this lane.
    pub(super) fn run(&mut self, work: &Workload, lane: usize) {
        let os_tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.heartbeat.os_tid.store(os_tid, Ordering::Relaxed);
        while let Some(chunk) = work.take(lane) {
            for span in work.set.chunk(chunk) {
                let Some((process, tasks)) = work.set.tasks(*span) else { continue };
                let mode = work.quarantine.mode(process.tgid, work.at.now_ns);
                if mode == ReadMode::Skip {
                    continue;
                }
                let by_status = work.status_only || mode == ReadMode::StatusOnly;
                self.enter(process.tgid, by_status);
                for task in tasks {
                    self.note_visit();
                    if by_status {
                        self.visit_by_status(process, task, work.at);
                    } else {
                        self.visit(process, task, work.at);
                    }
                }
            }
            for task in work.pending(chunk) {
                self.visit_pending(task, work);
            }
        }
    }

    /// Notes which process is read next.
    fn enter(&self, tgid: u32, by_status: bool) {
        self.heartbeat.tgid.store(tgid, Ordering::Relaxed);
        self.heartbeat.by_status.store(by_status, Ordering::Relaxed);
    }

    /// Counts a thread as visited.
    #[inline]
    fn note_visit(&self) {
        let visits = &self.heartbeat.visits;
        // Not a read-modify-write: this lane is the only writer.
        visits.store(visits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Visits a task that a walk met. If its process is in quarantine, the walk's record is all that is used.
    fn visit_pending(&mut self, pending: &PendingTask, work: &Workload) {
        let tgid = pending.process.tgid;
        let by_record = work.status_only || work.quarantine.mode(tgid, work.at.now_ns) != ReadMode::Full;
        let thread = Thread { is_blocked: by_record, ..pending.thread() };
        if by_record {
            note_name(&mut self.blocked_names, tgid, thread.comm);
        }
        self.enter(tgid, by_record);
        self.note_visit();
        self.observer.observe_walked(&pending.process, Some(&pending.task), &thread, work.at);
    }

    /// Reads `stat` of one thread, and more only if its state passes the gate.
    #[inline]
    fn visit(&mut self, process: &Process, task: &Task, at: TickTime) {
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

    /// Reads `status` of a thread whose process is in quarantine: the one file that never blocks.
    #[cold]
    fn visit_by_status(&mut self, process: &Process, task: &Task, at: TickTime) {
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

/// Keeps the name of a process in quarantine, up to [`Quarantine::MAX_PROCESSES`] of them.
pub(super) fn note_name(names: &mut HashMap<u32, Vec<u8>>, tgid: u32, name: &[u8]) {
    if names.len() < Quarantine::MAX_PROCESSES && !names.contains_key(&tgid) {
        names.insert(tgid, name.to_vec());
    }
}

/// Writes the tid, name and state from a `status` file as the start of a `stat` line. Returns the state.
fn stat_line_of_status(tid: u32, text: &[u8], line: &mut Vec<u8>) -> Option<u8> {
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
