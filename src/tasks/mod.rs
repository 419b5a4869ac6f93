//! Which tasks there are: processes, their threads, and what is kept with each between ticks.
//!
//! A [`TaskSet`] is immutable and swapped whole. What a worker keeps with a thread (open files, slow
//! facts, last counter values) hangs on the thread itself, and lives until the last set that lists
//! the thread is dropped; so closing a file never races with reading it.

pub mod census;
pub mod discover;
pub mod facts;
pub mod fds;
pub mod users;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::proc::source::{Source, SourceSet};
use crate::proc::{ReadError, TaskDir};
use crate::row::last::LastValues;
use crate::tasks::facts::{ProcessFacts, Runs};

/// How many of a thread's files may stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Permit {
    /// None: each read opens and closes.
    None = 0,
    /// `stat`.
    Stat = 1,
    /// `stat` and the detail files that each tick reads.
    Details = 2,
}

/// One thread.
#[derive(Debug)]
pub struct Task {
    /// The thread's id.
    pub tid: u32,
    /// Ticks are counted from 1 here; 0 for a thread that never passed the gate.
    last_active: AtomicU32,
    permit: AtomicU8,
    gone: AtomicBool,
    stat_fd: OnceLock<OwnedFd>,
    memory: OnceLock<Arc<Mutex<Memory>>>,
}

impl Task {
    /// A thread just discovered.
    #[must_use]
    pub fn new(tid: u32) -> Self {
        Self {
            tid,
            last_active: AtomicU32::new(0),
            permit: AtomicU8::new(Permit::None as u8),
            gone: AtomicBool::new(false),
            stat_fd: OnceLock::new(),
            memory: OnceLock::new(),
        }
    }

    /// The same thread without open files: what remains of one whose permit went to a busier one.
    #[must_use]
    pub fn without_files(&self) -> Self {
        let task = Self::new(self.tid);
        task.last_active.store(self.last_active.load(Ordering::Relaxed), Ordering::Relaxed);
        task.gone.store(self.is_gone(), Ordering::Relaxed);
        if let Some(memory) = self.memory.get() {
            // A worker that holds the lock may be stuck in the kernel: then its files stay open.
            if let Ok(mut memory) = memory.try_lock() {
                memory.files = DetailFiles::default();
            }
            let _ = task.memory.set(Arc::clone(memory));
        }
        task
    }

    /// How many of its files may stay open.
    #[inline]
    #[must_use]
    pub fn permit(&self) -> Permit {
        match self.permit.load(Ordering::Relaxed) {
            0 => Permit::None,
            1 => Permit::Stat,
            _ => Permit::Details,
        }
    }

    /// Lets more of its files stay open.
    pub fn raise_permit(&self, permit: Permit) {
        self.permit.fetch_max(permit as u8, Ordering::Relaxed);
    }

    /// Its `stat`, if it is open.
    #[inline]
    #[must_use]
    pub fn stat_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stat_fd.get().map(AsFd::as_fd)
    }

    /// Keeps its `stat` open.
    pub fn keep_stat(&self, fd: OwnedFd) -> BorrowedFd<'_> {
        self.stat_fd.get_or_init(|| fd).as_fd()
    }

    /// Whether a read found the thread gone.
    #[inline]
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes that the thread is gone: it is not visited again.
    pub fn mark_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Notes that the thread passed the gate at `tick`.
    pub fn mark_active(&self, tick: u32) {
        self.last_active.store(tick.saturating_add(1), Ordering::Relaxed);
    }

    /// Ticks since it last passed the gate, at `tick`; none if it never did.
    #[must_use]
    pub fn idle_ticks(&self, tick: u32) -> Option<u32> {
        match self.last_active.load(Ordering::Relaxed) {
            0 => None,
            last => Some(tick.saturating_add(1).saturating_sub(last)),
        }
    }

    /// What is kept with a thread that has passed the gate.
    pub fn memory(&self) -> &Mutex<Memory> {
        self.memory.get_or_init(Arc::default)
    }

    /// The same, if there is anything, to be held on to.
    #[must_use]
    pub fn kept_memory(&self) -> Option<Arc<Mutex<Memory>>> {
        self.memory.get().cloned()
    }

    /// Takes over what was kept with the same thread before it was listed, unless something was kept since.
    pub fn inherit(&self, before: &Self) {
        if let Some(memory) = before.memory.get() {
            let _ = self.memory.set(Arc::clone(memory));
        }
    }
}

/// The detail files that may be kept open with a thread.
#[derive(Debug, Default)]
pub struct DetailFiles([Option<OwnedFd>; Self::COUNT]);

impl DetailFiles {
    const COUNT: usize = 5;
    /// The files that each tick reads again, of those that can be read again: `stack` and `status`
    /// cost as much read again as opened anew, but opening allocates a descriptor under a lock.
    pub const KEPT: [Source; Self::COUNT] =
        [Source::Schedstat, Source::Syscall, Source::Wchan, Source::Io, Source::Stack];

    fn place(source: Source) -> Option<usize> {
        Self::KEPT.iter().position(|kept| *kept == source)
    }

    /// Whether files of this kind may be kept.
    #[must_use]
    pub fn keeps(source: Source) -> bool {
        Self::place(source).is_some()
    }

    /// The open file of this kind.
    #[must_use]
    pub fn open(&self, source: Source) -> Option<BorrowedFd<'_>> {
        Self::place(source).and_then(|place| self.0.get(place)).and_then(Option::as_ref).map(AsFd::as_fd)
    }

    /// Keeps a file of this kind open.
    pub fn keep(&mut self, source: Source, fd: OwnedFd) {
        if let Some(slot) = Self::place(source).and_then(|place| self.0.get_mut(place)) {
            *slot = Some(fd);
        }
    }
}

/// What is kept, between ticks, with a thread that has passed the gate.
#[derive(Debug, Default)]
pub struct Memory {
    /// The identity it belongs to: another start time means another thread.
    pub starttime_ticks: u64,
    /// Its files.
    pub files: DetailFiles,
    /// Its counters' last values.
    pub last_values: LastValues,
    /// Its slow-changing facts.
    pub facts: TaskFacts,
    /// The files that were refused or do not exist, not to be asked for again while the thread keeps
    /// its name.
    pub refused: SourceSet,
    /// Of those, the ones that do not exist.
    pub unsupported: SourceSet,
    /// What counted its switches when it was last looked at, to tell whether it moved on since.
    pub switches: Option<Runs>,
    /// What counted its switches when it was first seen in the sleep that it was last seen in, and when that was.
    pub sleep: Option<(Runs, u64)>,
    /// Whether it had not moved when it was last looked at.
    pub is_steady: bool,
    /// The name under which facts and refusals were learnt.
    pub comm: Vec<u8>,
    /// The whole of a name that a walk's record has but the beginning of, with how often the thread had been switched out when
    /// it was read: while it has not been again, it has the name still.
    pub whole_name: Option<(u64, Box<[u8]>)>,
    /// When they were learnt, by the clock of [`crate::time::clock::monotonic_ns`].
    pub learnt_ns: u64,
}

impl Memory {
    /// Facts and refusals older than this are asked for again.
    pub const MAX_AGE_NS: u64 = 10_000_000_000;

    /// Forgets what does not hold of the thread with this start time and name at this instant: all
    /// of it for another thread; facts and refusals after a change of name (an exec, or a setuid
    /// program's start) or with age.
    pub fn revalidate(&mut self, starttime_ticks: u64, comm: &[u8], now_ns: u64) {
        if self.starttime_ticks != starttime_ticks {
            *self = Self { starttime_ticks, learnt_ns: now_ns, ..Self::default() };
            self.comm.extend_from_slice(comm);
        } else if self.comm != comm || now_ns.saturating_sub(self.learnt_ns) > Self::MAX_AGE_NS {
            self.facts = TaskFacts::default();
            self.refused = SourceSet::default();
            self.unsupported = SourceSet::default();
            self.files = DetailFiles::default();
            self.comm.clear();
            self.comm.extend_from_slice(comm);
            self.learnt_ns = now_ns;
        }
    }
}

/// A thread's facts that change too rarely to be read at every tick: the file's bytes, or why not.
#[derive(Debug, Default)]
pub struct TaskFacts {
    /// `status`, for the ids.
    pub owner: Option<Result<Box<[u8]>, ReadError>>,
    /// `cgroup`.
    pub cgroup: Option<Result<Box<[u8]>, ReadError>>,
    /// `ns/pid`.
    pub pid_ns: Option<Result<Box<[u8]>, ReadError>>,
}

/// One process and its threads, as last listed.
#[derive(Debug)]
pub struct Process {
    /// The process id.
    pub tgid: u32,
    /// Its `task` directory, if it is held open.
    pub dir: Option<Arc<OwnedFd>>,
    /// Its threads, by tid.
    pub tasks: Box<[Arc<Task>]>,
    /// Its slow-changing facts, if a column needs them.
    pub facts: Option<Arc<ProcessFacts>>,
}

impl Process {
    /// A process that has been met but not been listed: nothing is known of it but its id.
    #[must_use]
    pub fn unlisted(tgid: u32) -> Self {
        Self { tgid, dir: None, tasks: Box::default(), facts: None }
    }

    /// Where its threads' files are reached from.
    #[inline]
    #[must_use]
    pub fn task_dir(&self) -> TaskDir<'_> {
        TaskDir { tgid: self.tgid, dir: self.dir.as_ref().map(AsFd::as_fd) }
    }

    /// Its thread `tid`, if it was listed. `next` is where it likely is; it is set to the place after.
    #[must_use]
    pub fn task(&self, tid: u32, next: &mut usize) -> Option<&Arc<Task>> {
        find(&self.tasks, tid, next, |task| task.tid)
    }

    /// The same process with no threads but these.
    #[must_use]
    pub fn with_tasks(&self, tasks: Box<[Arc<Task>]>) -> Self {
        Self { tgid: self.tgid, dir: self.dir.clone(), tasks, facts: self.facts.clone() }
    }
}

/// What has this id in a list sorted by id. Whoever asks for one after another finds each where `next` says.
fn find<'a, T>(sorted: &'a [Arc<T>], id: u32, next: &mut usize, id_of: impl Fn(&T) -> u32) -> Option<&'a Arc<T>> {
    let is_next = sorted.get(*next).is_some_and(|item| id_of(item) == id);
    let place = if is_next { *next } else { sorted.binary_search_by_key(&id, |item| id_of(item)).ok()? };
    *next = place + 1;
    sorted.get(place)
}

/// A run of one process's threads: the unit in which work is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The process's place in the set.
    pub process: usize,
    /// The first thread's place in the process.
    pub start: usize,
    /// One past the last thread's place.
    pub end: usize,
}

/// Every task to visit, as of one instant.
#[derive(Debug, Default)]
pub struct TaskSet {
    processes: Vec<Arc<Process>>,
    spans: Vec<Span>,
    /// Places in `spans` where each chunk ends.
    chunks: Vec<usize>,
    threads: usize,
}

impl TaskSet {
    /// Threads a worker takes at a time, at most: large enough that taking costs nothing, small enough
    /// that workers end together. `benches/sample.rs`, group `chunk`.
    pub const CHUNK: usize = 256;

    /// And at least: less than this is not worth waking another worker for.
    pub const MIN_CHUNK: usize = 32;

    /// Chunks that a set is cut into, where their size allows.
    const CHUNKS: usize = 64;

    /// A set of these processes, which are sorted by id.
    #[must_use]
    pub fn new(processes: Vec<Arc<Process>>) -> Self {
        let mut set = Self { processes, ..Self::default() };
        let threads: usize = set.processes.iter().map(|process| process.tasks.len()).sum();
        let chunk = (threads / Self::CHUNKS).clamp(Self::MIN_CHUNK, Self::CHUNK);
        let mut in_chunk = 0;
        for (process, tasks) in set.processes.iter().map(|process| process.tasks.len()).enumerate() {
            let mut start = 0;
            while start < tasks {
                let end = tasks.min(start + (chunk - in_chunk));
                set.spans.push(Span { process, start, end });
                in_chunk += end - start;
                start = end;
                if in_chunk == chunk {
                    set.chunks.push(set.spans.len());
                    in_chunk = 0;
                }
            }
            set.threads += tasks;
        }
        if in_chunk > 0 {
            set.chunks.push(set.spans.len());
        }
        set
    }

    /// The processes.
    #[must_use]
    pub fn processes(&self) -> &[Arc<Process>] {
        &self.processes
    }

    /// The process `tgid`, if it was listed. `next` is where it likely is; it is set to the place after.
    #[must_use]
    pub fn process(&self, tgid: u32, next: &mut usize) -> Option<&Arc<Process>> {
        find(&self.processes, tgid, next, |process| process.tgid)
    }

    /// The number of threads.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The number of chunks.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The spans of one chunk.
    #[must_use]
    pub fn chunk(&self, index: usize) -> &[Span] {
        let start = index.checked_sub(1).and_then(|before| self.chunks.get(before)).copied().unwrap_or(0);
        let end = self.chunks.get(index).copied().unwrap_or(start);
        self.spans.get(start..end).unwrap_or_default()
    }

    /// The process and threads of a span.
    #[must_use]
    pub fn tasks(&self, span: Span) -> Option<(&Process, &[Arc<Task>])> {
        let process = self.processes.get(span.process)?;
        Some((process, process.tasks.get(span.start..span.end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(threads: &[usize]) -> TaskSet {
        let mut tid = 0;
        let processes = threads.iter().map(|count| {
            let first = tid + 1;
            tid += u32::try_from(*count).unwrap();
            let tasks = (first..=tid).map(|tid| Arc::new(Task::new(tid)));
            Arc::new(Process { tgid: first, dir: None, tasks: tasks.collect(), facts: None })
        });
        TaskSet::new(processes.collect())
    }

    #[test]
    fn chunks_cover_every_thread_once_and_are_of_even_size() {
        for threads in [&[][..], &[0, 1, 0], &[1; 1000], &[100_000], &[255, 1, 1, 700, 3]] {
            let set = set(threads);
            let mut tids = Vec::new();
            for chunk in 0..set.chunks() {
                let before = tids.len();
                for span in set.chunk(chunk) {
                    let (_, tasks) = set.tasks(*span).unwrap();
                    tids.extend(tasks.iter().map(|task| task.tid));
                }
                let size = tids.len() - before;
                assert!((TaskSet::MIN_CHUNK..=TaskSet::CHUNK).contains(&size) || chunk + 1 == set.chunks(), "{size}");
            }
            let expected: Vec<u32> = (1..=set.threads() as u32).collect();
            assert_eq!(tids, expected);
        }
    }

    #[test]
    fn processes_and_threads_are_found_in_any_order() {
        let set = set(&[3, 1, 100, 2]);
        let ids: Vec<(u32, u32)> = set
            .processes()
            .iter()
            .flat_map(|process| process.tasks.iter().map(|task| (process.tgid, task.tid)))
            .collect();
        let (mut next_process, mut next_task) = (0, 0);
        for order in [ids.clone(), ids.iter().rev().copied().collect()] {
            for (tgid, tid) in order {
                let process = set.process(tgid, &mut next_process).unwrap();
                assert_eq!((process.tgid, process.task(tid, &mut next_task).unwrap().tid), (tgid, tid));
            }
        }
        next_process = usize::MAX;
        assert!(set.process(2, &mut next_process).is_none() && set.process(0, &mut next_process).is_none());
    }

    #[test]
    fn another_start_time_is_another_thread() {
        let mut memory = Memory::default();
        memory.revalidate(5, b"a", 0);
        memory.refused.insert(Source::Syscall);
        memory.revalidate(5, b"a", 1);
        assert!(memory.refused.contains(Source::Syscall));
        memory.revalidate(5, b"b", 2);
        assert!(!memory.refused.contains(Source::Syscall), "a new name is asked again");
        memory.refused.insert(Source::Syscall);
        memory.revalidate(5, b"b", 3 + Memory::MAX_AGE_NS);
        assert!(!memory.refused.contains(Source::Syscall), "refusals age");
        memory.refused.insert(Source::Syscall);
        memory.revalidate(6, b"b", 4);
        assert!(!memory.refused.contains(Source::Syscall), "a reused tid starts anew");
    }

    #[test]
    fn a_task_is_small() {
        assert!(size_of::<Task>() <= 40, "{}", size_of::<Task>());
    }
}
