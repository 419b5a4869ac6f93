//! The task set: every process and thread to visit, cut into chunks for the workers.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::proc::TaskDir;
use crate::tasks::facts::ProcessFacts;
use crate::tasks::task::Task;

/// A process with its threads, as last listed.
#[derive(Debug)]
pub struct Process {
    /// The process id.
    pub tgid: u32,
    /// Its `task` directory, if it is held open.
    pub dir: Option<Arc<OwnedFd>>,
    /// Its threads, sorted by tid.
    pub tasks: Box<[Arc<Task>]>,
    /// Its slow facts, if a column needs them.
    pub facts: Option<Arc<ProcessFacts>>,
}

impl Process {
    /// A process that a walk met before discovery listed it: only its id is known.
    #[must_use]
    pub fn unlisted(tgid: u32) -> Self {
        Self { tgid, dir: None, tasks: Box::default(), facts: None }
    }

    /// The directory of its threads.
    #[inline]
    #[must_use]
    pub(crate) fn task_dir(&self) -> TaskDir<'_> {
        TaskDir { tgid: self.tgid, dir: self.dir.as_ref().map(AsFd::as_fd) }
    }

    /// Its thread `tid`, if it was listed. `next` is its likely index, and is set to the index after it.
    #[must_use]
    pub fn task(&self, tid: u32, next: &mut usize) -> Option<&Arc<Task>> {
        find(&self.tasks, tid, next, |task| task.tid)
    }

    /// The same process with these threads only.
    #[must_use]
    pub(crate) fn with_tasks(&self, tasks: Box<[Arc<Task>]>) -> Self {
        Self { tgid: self.tgid, dir: self.dir.clone(), tasks, facts: self.facts.clone() }
    }
}

/// The item with this id in a list sorted by id. Items that are asked for in order are found at `next` without a search.
fn find<'a, T>(sorted: &'a [Arc<T>], id: u32, next: &mut usize, id_of: impl Fn(&T) -> u32) -> Option<&'a Arc<T>> {
    let is_next = sorted.get(*next).is_some_and(|item| id_of(item) == id);
    let index = if is_next { *next } else { sorted.binary_search_by_key(&id, |item| id_of(item)).ok()? };
    *next = index + 1;
    sorted.get(index)
}

/// The part of a chunk that lies in one process: a range of its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The index of the process in the set.
    pub process: usize,
    /// The index of the first thread in the process.
    pub start: usize,
    /// The index after the last thread.
    pub end: usize,
}

/// Every task to visit, as of one listing.
#[derive(Debug, Default)]
pub struct TaskSet {
    processes: Vec<Arc<Process>>,
    spans: Vec<Span>,
    /// For each chunk, the index in `spans` after its last one.
    chunks: Vec<usize>,
    threads: usize,
}

impl TaskSet {
    /// The most threads that a worker takes at a time: enough that taking them costs little, few enough that all workers finish
    /// at about the same time. Chosen by `benches/sample.rs`, group `chunk`.
    pub const CHUNK: usize = 256;

    /// The fewest threads in a chunk (the last one excepted): for fewer it does not pay to wake another worker.
    pub const MIN_CHUNK: usize = 32;

    /// How many chunks a set is cut into, as far as the bounds of their size allow.
    const CHUNKS: usize = 64;

    /// A set of these processes, which must be sorted by id.
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

    /// The process `tgid`, if it was listed. `next` is its likely index, and is set to the index after it.
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
}
