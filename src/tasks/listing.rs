//! Listing the threads of one process.
//!
//! A process whose `task` directory has as many links as it had threads is not listed again, unless one of them was seen to
//! have ended.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::proc::source::Source;
use crate::proc::{ReadError, TaskDir, TaskDirStatus};
use crate::tasks::chosen::Candidate;
use crate::tasks::facts::{ProcessFacts, SideReaders};
use crate::tasks::reads::Reads;
use crate::tasks::set::Process;
use crate::tasks::task::Task;

/// Bytes of a directory entry whose name is a number: a header and the name, rounded up to 32 (fs/readdir.c).
const ENTRY_BYTES: usize = 32;

/// Lists the threads of processes, and counts what it could not list.
pub(super) struct Listing {
    /// The only threads to list, if the selection names some.
    threads: Option<HashSet<u32>>,
    /// Threads that the kernel may have left out of a listing, over the whole run.
    pub(super) skipped: u64,
    /// Processes whose threads the current listing could not show.
    pub(super) unlisted: u64,
    /// Whether one of them failed for lack of a resource, so that it is worth another listing soon.
    pub(super) is_incomplete: bool,
    /// `task` directories that may be opened and kept open.
    dirs_left: usize,
}

/// The threads of a process as the kernel listed them.
struct Listed {
    /// Ascending.
    tids: Vec<u32>,
    /// The `task` directory, if it was opened for this.
    opened: Option<OwnedFd>,
    /// The inode of the `task` directory.
    inode: u64,
}

impl Listing {
    pub(super) const fn new(threads: Option<HashSet<u32>>) -> Self {
        Self { threads, skipped: 0, unlisted: 0, is_incomplete: false, dirs_left: 0 }
    }

    /// Begins a listing that may keep `dirs_left` more `task` directories open.
    pub(super) const fn begin(&mut self, dirs_left: usize) {
        (self.unlisted, self.is_incomplete, self.dirs_left) = (0, false, dirs_left);
    }

    /// The process with its current threads: the same object if nothing changed, `None` if it ended.
    pub(super) fn list_process(
        &mut self,
        reads: &mut Reads,
        tgid: u32,
        candidate: &mut Candidate,
        readers: Option<&Arc<SideReaders>>,
    ) -> Option<Arc<Process>> {
        let before = candidate.process.take();
        if before.as_ref().is_some_and(|process| self.is_unchanged(reads, process, candidate.inode)) {
            return before;
        }
        let mut dir = before.as_ref().and_then(|process| process.dir.clone());
        let mut listed = self.list_threads(reads, tgid, dir.as_deref().map(AsFd::as_fd));
        if listed.is_err() && dir.is_some() {
            // The open directory belongs to a process that ended. Another process may have its pid.
            dir = None;
            listed = self.list_threads(reads, tgid, None);
        }
        let listed = match listed {
            Ok(listed) => listed,
            Err(ReadError::Gone) => return None,
            Err(error) => {
                reads.health.record_error(Source::Task, error);
                self.unlisted += 1;
                self.is_incomplete |= matches!(error, ReadError::Dropped(_));
                // Most of its threads are likely still there. Should a tid belong to another thread now, its start time tells.
                return before;
            }
        };
        if listed.tids.is_empty() {
            return None;
        }
        if dir.is_none() && listed.tids.len() > 1 && self.dirs_left > 0 {
            self.dirs_left -= 1;
            dir = listed.opened.map(Arc::new);
        }
        let same_process = before.filter(|process| match (&process.dir, &dir) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => candidate.inode == Some(listed.inode),
        });
        candidate.inode = Some(listed.inode);
        if same_process.is_none() {
            candidate.facts_asked_ns = 0;
        }
        let facts = match &same_process {
            Some(process) => process.facts.clone(),
            None => readers.map(|readers| Arc::new(ProcessFacts::of(readers))),
        };
        let old = same_process.as_ref().map_or(&[][..], |process| &process.tasks);
        let task_dir = TaskDir { tgid, dir: dir.as_deref().map(AsFd::as_fd) };
        let tasks = merge(old, &listed.tids, |task| reads.root.has_task(task_dir, task.tid));
        Some(Arc::new(Process { tgid, dir, tasks, facts }))
    }

    /// Whether it is the same process with the same threads: the same number of them, none seen to have ended.
    fn is_unchanged(&self, reads: &Reads, process: &Process, inode: Option<u64>) -> bool {
        let is_same = |status: TaskDirStatus| {
            status.threads == process.tasks.len() as u64 && (process.dir.is_some() || inode == Some(status.inode))
        };
        self.threads.is_none()
            && reads.root.task_dir_status(process.task_dir()).is_ok_and(is_same)
            && !process.tasks.iter().any(|task| task.is_gone())
    }

    /// Lists the threads of a process with one system call if possible, and once more if threads are missing.
    fn list_threads(
        &mut self,
        reads: &mut Reads,
        tgid: u32,
        held: Option<BorrowedFd<'_>>,
    ) -> Result<Listed, ReadError> {
        let opened = match held {
            Some(_) => None,
            None => Some(reads.root.open_task_dir(tgid)?),
        };
        let Some(dir) = held.or_else(|| opened.as_ref().map(AsFd::as_fd)) else {
            return Err(ReadError::Gone);
        };
        let task_dir = TaskDir { tgid, dir: Some(dir) };
        let mut tids = Vec::new();
        let mut inode = 0;
        for attempt in 0..2 {
            tids.clear();
            let before = reads.root.task_dir_status(task_dir)?;
            inode = before.inode;
            let bytes = usize::try_from(before.threads).unwrap_or(0).saturating_mul(ENTRY_BYTES * 5 / 4) + 4096;
            reads.list_threads(dir, bytes, &mut tids)?;
            let after = reads.root.task_dir_status(task_dir)?;
            let expected = before.threads.min(after.threads);
            let missing = expected.saturating_sub(tids.len() as u64);
            if missing == 0 {
                break;
            }
            if attempt == 1 {
                self.skipped += missing;
            }
        }
        tids.sort_unstable();
        if let Some(threads) = &self.threads {
            tids.retain(|tid| threads.contains(tid));
        }
        Ok(Listed { tids, opened, inode })
    }
}

/// Merges a listing with the threads of the one before: for each of `tids` the old task if it is known and alive, else a new
/// one, and the `old` tasks that the listing lacks though they are alive. Both are sorted by tid.
///
/// The kernel may leave out a thread however long the buffer is: if the thread at which a listing stands exits, it goes on at a
/// position counted from the start, which has moved by one (fs/proc/base.c, `next_tid`, `first_tid`). The number of threads
/// does not show this, because the listing contains the thread that exited.
fn merge(old: &[Arc<Task>], tids: &[u32], lives: impl Fn(&Task) -> bool) -> Box<[Arc<Task>]> {
    let lives = |task: &Task| !task.is_gone() && lives(task);
    let mut tasks = Vec::with_capacity(tids.len());
    let mut old = old.iter().peekable();
    for tid in tids {
        while let Some(task) = old.next_if(|task| task.tid < *tid) {
            if lives(task) {
                tasks.push(Arc::clone(task));
            }
        }
        tasks.push(match old.next_if(|task| task.tid == *tid) {
            Some(task) if !task.is_gone() => Arc::clone(task),
            _ => Arc::new(Task::new(*tid)),
        });
    }
    tasks.extend(old.filter(|task| lives(task)).cloned());
    tasks.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_a_list_lacks_stays_while_it_lives() {
        let old: Vec<Arc<Task>> = (1..=6).map(|tid| Arc::new(Task::new(tid))).collect();
        old[1].mark_gone();
        old[4].mark_gone();
        // 1 and 6 were left out, 2 and 5 were seen gone, 3 has ended since; 5 was given anew, and 7 is new.
        let merged = merge(&old, &[4, 5, 7], |task| task.tid != 3);
        let tids: Vec<u32> = merged.iter().map(|task| task.tid).collect();
        assert_eq!(tids, [1, 4, 5, 6, 7]);
        let is_same = |task: &Arc<Task>| old.iter().any(|old| Arc::ptr_eq(old, task));
        assert_eq!(merged.iter().map(is_same).collect::<Vec<_>>(), [true, true, false, true, false]);
    }
}
