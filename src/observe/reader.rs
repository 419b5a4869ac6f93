//! Reads the files of one thread, and accounts for each attempted read.

use std::os::fd::AsFd as _;
use std::sync::{Arc, MutexGuard, TryLockError, TryLockResult};

use super::contents::FileContents;
use super::current_file::CurrentFile;
use super::entry_cache::EntryCache;
use super::thread::Thread;
use super::tick::TickTime;
use crate::proc::health::Health;
use crate::proc::parse::{schedstat, status};
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;
use crate::tasks::facts::files::{slices, switches};
use crate::tasks::lookups::LookupReaders;
use crate::tasks::{CallOfWait, DetailFiles, LinkBudget, Permit, Process, Task, TaskFacts, TaskMemory};

/// Reads threads' files, one thread at a time.
#[derive(Debug)]
pub(crate) struct ThreadReader {
    pub(super) root: Arc<ProcRoot>,
    /// Who reads what rows ask of their waits, if a column shows that.
    pub(super) lookups: Option<Arc<LookupReaders>>,
    /// The account of attempted reads.
    pub(crate) health: Health,
    /// The file being read.
    pub(crate) current_file: Arc<CurrentFile>,
    /// What was read of the current thread.
    pub(super) contents: FileContents,
    /// Whether the current thread ran while its wait was read.
    pub(super) switch_check: SwitchCheck,
    /// The name of the process seen last.
    pub(super) process_name: ProcessName,
    pub(super) entries: EntryCache,
    /// The memory of links that are kept.
    pub(super) links: Arc<LinkBudget>,
    /// The wait whose link was read, until it is known that the thread did not run meanwhile.
    pub(super) new_link: Option<CallOfWait>,
    /// A stack that is read only for its entry point.
    pub(super) stack: Buffer,
    /// Files of the current thread whose reads were accounted for as ok before their content was parsed.
    pub(super) counted_ok: SourceSet,
}

/// The files of the thread that is read, and what is kept with it between ticks.
pub(super) struct ReadTarget<'a> {
    pub(super) process: &'a Process,
    pub(super) task: &'a Task,
    pub(super) memory: &'a mut TaskMemory,
}

/// Whether the thread's switch counters changed while its wait was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SwitchCheck {
    /// They were not read.
    NotMade,
    /// They did not change: the thread did not run.
    Unchanged,
    /// They changed, or could not be read.
    Changed,
}

/// The name of a process in one tick, for those of its threads that are observed next.
#[derive(Debug, Default)]
pub(super) struct ProcessName {
    tgid: u32,
    tick: u32,
    name: Vec<u8>,
}

impl ProcessName {
    /// Keeps the name of a thread if it is the first of its process, and forgets a name of an earlier tick.
    pub(super) fn note(&mut self, thread: &Thread<'_>, at: TickTime) {
        if self.tick != at.tick {
            self.tick = at.tick;
            self.name.clear();
        }
        if thread.tgid == thread.tid {
            self.keep(thread.tgid, thread.comm);
        }
    }

    fn keep(&mut self, tgid: u32, name: &[u8]) {
        self.tgid = tgid;
        self.name.clear();
        self.name.extend_from_slice(name);
    }
}

impl ThreadReader {
    pub(super) fn new(root: &Arc<ProcRoot>, lookups: Option<&Arc<LookupReaders>>, links: &Arc<LinkBudget>) -> Self {
        Self {
            root: Arc::clone(root),
            lookups: lookups.cloned(),
            links: Arc::clone(links),
            new_link: None,
            health: Health::default(),
            current_file: Arc::default(),
            contents: FileContents::default(),
            switch_check: SwitchCheck::NotMade,
            process_name: ProcessName::default(),
            entries: EntryCache::default(),
            stack: Buffer::default(),
            counted_ok: SourceSet::default(),
        }
    }

    /// Who reads what rows ask of their waits, if a column shows that.
    pub(crate) const fn lookups(&self) -> Option<&Arc<LookupReaders>> {
        self.lookups.as_ref()
    }

    /// Forgets what was read, before another thread is.
    pub(super) fn reset(&mut self) {
        self.contents.reset();
        self.new_link = None;
        self.counted_ok = SourceSet::default();
        self.switch_check = SwitchCheck::NotMade;
    }

    /// Accounts for the last read of `source` as malformed, now that its content was parsed.
    #[cold]
    pub(super) fn note_malformed(&mut self, source: Source) {
        if self.counted_ok.remove(source) {
            self.health.correct(source, ReadError::Malformed);
        }
    }

    /// Reads the file of `source`.
    pub(super) fn read(&mut self, target: &mut ReadTarget<'_>, source: Source) {
        match source {
            Source::Task | Source::Kernel | Source::Stat | Source::Fd | Source::Fdinfo => {}
            // These follow from other sources.
            Source::Wait | Source::Socket | Source::Idle => {}
            Source::Comm => self.read_process_name(target),
            // Facts of the process, which side readers read.
            Source::Cmdline | Source::Exe | Source::Smaps => {}
            // What rows ask of their waits.
            Source::Mounts | Source::Path => {}
            Source::Owner | Source::Cgroup | Source::PidNs => self.read_fact(target, source),
            _ => self.read_task_file(target, source),
        }
    }

    /// Reads the name of the process of a thread that is not its first, once for all threads of it that are read in a row.
    fn read_process_name(&mut self, target: &ReadTarget<'_>) {
        let tgid = target.process.tgid;
        if target.task.tid == tgid {
            return;
        }
        if self.process_name.tgid != tgid || self.process_name.name.is_empty() {
            self.current_file.enter(Source::Comm);
            let buffer = self.contents.buffer(Source::Comm);
            let result = self.root.read_process(tgid, Source::Comm, Source::Comm.name(), buffer);
            self.health.record(Source::Comm, &result);
            match result {
                Ok(name) => self.process_name.keep(tgid, name),
                Err(error) => return self.contents.set(Source::Comm, Err(error.into())),
            }
        }
        self.contents.store(Source::Comm, &self.process_name.name);
    }

    /// Reads a file of the thread, and keeps it open if the thread's permit allows. A file that was refused before is not tried
    /// again.
    pub(super) fn read_task_file(&mut self, target: &mut ReadTarget<'_>, source: Source) {
        let memory = &mut *target.memory;
        if memory.refused.contains(source) {
            let mark = if memory.unsupported.contains(source) { Mark::Unsupported } else { Mark::Denied };
            self.contents.set(source, Err(mark));
            return;
        }
        let root = &*self.root;
        let (dir, tid) = (target.process.task_dir(), target.task.tid);
        let buffer = self.contents.buffer(source);
        self.current_file.enter(source);
        let result = if let Some(fd) = memory.files.open(source) {
            root.read_open(fd, source, buffer).map(|_| ())
        } else if target.task.permit() == Permit::Details && DetailFiles::keeps(source) {
            root.open_task_file(dir, tid, source).and_then(|fd| {
                let result = root.read_open(fd.as_fd(), source, buffer).map(|_| ());
                memory.files.keep(source, fd);
                result
            })
        } else {
            root.read_task(dir, tid, source, buffer).map(|_| ())
        };
        let result = result.and_then(|()| whole(source, self.contents.buffer(source).bytes()).map(drop));
        self.health.record(source, &result);
        if let Err(error @ (ReadError::Denied | ReadError::Unsupported)) = result {
            memory.refused.insert(source);
            if error == ReadError::Unsupported {
                memory.unsupported.insert(source);
            }
        }
        // If this content turns out malformed, an earlier read of the file for this row must not be corrected.
        self.counted_ok.remove(source);
        if result.is_ok() {
            self.counted_ok.insert(source);
        }
        self.contents.set(source, result.map_err(Mark::from));
    }

    /// Reads a file that rarely changes, if its content is not kept with the thread.
    fn read_fact(&mut self, target: &mut ReadTarget<'_>, source: Source) {
        let TaskFacts { owner, cgroup, pid_ns } = &mut target.memory.facts;
        let slot = match source {
            Source::Owner => owner,
            Source::Cgroup => cgroup,
            _ => pid_ns,
        };
        if slot.is_none() {
            self.current_file.enter(source);
            let (dir, tid) = (target.process.task_dir(), target.task.tid);
            let result: Result<Box<[u8]>, ReadError> = if source == Source::PidNs {
                self.root.read_task_link(dir, tid, source, None).map(Into::into)
            } else {
                let text = self.root.read_task(dir, tid, source, self.contents.buffer(source));
                let text = text.and_then(|text| whole(source, text));
                text.map(|text| if source == Source::Owner { owner_lines(text) } else { text.into() })
            };
            self.health.record(source, &result);
            if result.is_ok() {
                self.counted_ok.insert(source);
            }
            *slot = Some(result);
        }
        match slot {
            Some(Ok(bytes)) => self.contents.store(source, bytes),
            Some(Err(error)) => self.contents.set(source, Err((*error).into())),
            None => self.contents.set(source, Err(Mark::Unread)),
        }
    }

    /// Reads the thread's switch counters; `None` if this kernel has none.
    pub(super) fn read_switches(&mut self, target: &mut ReadTarget<'_>) -> Option<RunCount> {
        self.read_task_file(target, Source::Schedstat);
        let counted = self.contents.bytes(Source::Schedstat).ok().map(schedstat::parse);
        if let Some(Err(_)) = counted {
            self.note_malformed(Source::Schedstat);
        }
        match counted.and_then(Result::ok).and_then(slices) {
            Some(runs) => Some(runs),
            None => self.read_context_switches(target),
        }
    }

    /// Reads how often the thread left a CPU, voluntarily or not.
    pub(super) fn read_context_switches(&mut self, target: &mut ReadTarget<'_>) -> Option<RunCount> {
        self.read_task_file(target, Source::Status);
        self.contents.bytes(Source::Status).ok().and_then(switches).map(RunCount::Switches)
    }
}

/// The task's memory, or `None` if another worker holds the lock. Never waits: that worker may be stuck reading this task.
pub(super) fn held<'a>(lock: &'a mut TryLockResult<MutexGuard<'_, TaskMemory>>) -> Option<&'a mut TaskMemory> {
    match lock {
        Ok(memory) => Some(&mut **memory),
        Err(TryLockError::Poisoned(poisoned)) => Some(&mut **poisoned.get_mut()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Reads the thread's `stat`, with a single system call if its descriptor is kept open.
///
/// # Errors
/// The class of the failure.
#[inline]
pub(crate) fn read_stat<'b>(
    root: &ProcRoot,
    process: &Process,
    task: &Task,
    buffer: &'b mut Buffer,
) -> Result<&'b [u8], ReadError> {
    if let Some(fd) = task.stat_fd() {
        return root.read_open(fd, Source::Stat, buffer);
    }
    if task.permit() == Permit::None {
        return root.read_task(process.task_dir(), task.tid, Source::Stat, buffer);
    }
    let fd = root.open_task_file(process.task_dir(), task.tid, Source::Stat)?;
    root.read_open(task.keep_stat(fd), Source::Stat, buffer)
}

/// The content of `source`, or an error if its end is missing: the last number of a cut text would be a wrong one.
pub(super) fn whole(source: Source, text: &[u8]) -> Result<&[u8], ReadError> {
    match source {
        // `wchan` has no newline at its end, and `stack` may be empty.
        Source::Wchan => Ok(text),
        Source::Stack if text.is_empty() => Ok(text),
        _ => Ok(crate::proc::parse::whole(text)?),
    }
}

/// The lines `Uid` and `Gid` of `status`, the only ones worth keeping.
fn owner_lines(text: &[u8]) -> Box<[u8]> {
    let mut lines = Vec::with_capacity(48);
    for key in [&b"Uid"[..], b"Gid"] {
        if let Some(value) = status::value(text, key) {
            lines.extend_from_slice(key);
            lines.extend_from_slice(b":\t");
            lines.extend_from_slice(value);
            lines.push(b'\n');
        }
    }
    lines.into()
}
