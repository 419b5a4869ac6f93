//! What is kept with a thread between ticks: open files, slow facts, refusals, last counter values.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::proc::ReadError;
use crate::proc::source::{Source, SourceSet};
use crate::row::last::LastValues;
use crate::tasks::facts::RunCount;
use crate::tasks::links::{CallOfWait, KeptLink};

/// The detail files of a thread that are kept open.
#[derive(Debug, Default)]
pub struct DetailFiles([Option<OwnedFd>; Self::COUNT]);

impl DetailFiles {
    const COUNT: usize = 5;
    /// The files that may be kept: those that every tick reads, as far as an open one can be read again. Reading an open
    /// `stack` costs as much as opening it anew, but opening it takes a lock to allocate a descriptor.
    pub const KEPT: [Source; Self::COUNT] =
        [Source::Schedstat, Source::Syscall, Source::Wchan, Source::Io, Source::Stack];

    fn index(source: Source) -> Option<usize> {
        Self::KEPT.iter().position(|kept| *kept == source)
    }

    /// Whether files of this source may be kept.
    #[must_use]
    pub fn keeps(source: Source) -> bool {
        Self::index(source).is_some()
    }

    /// The open file of this source.
    #[must_use]
    pub fn open(&self, source: Source) -> Option<BorrowedFd<'_>> {
        Self::index(source).and_then(|index| self.0.get(index)).and_then(Option::as_ref).map(AsFd::as_fd)
    }

    /// Keeps a file of this source open.
    pub fn keep(&mut self, source: Source, fd: OwnedFd) {
        if let Some(slot) = Self::index(source).and_then(|index| self.0.get_mut(index)) {
            *slot = Some(fd);
        }
    }
}

/// What is kept between ticks with a thread that has passed the gate.
#[derive(Debug, Default)]
pub struct TaskMemory {
    /// The start time of the thread it belongs to: another start time means another thread.
    pub starttime_ticks: u64,
    /// Its open detail files.
    pub files: DetailFiles,
    /// Its counters' last values.
    pub last_values: LastValues,
    /// Its slow-changing facts.
    pub facts: TaskFacts,
    /// Files that may not be read or do not exist. They are not tried again while the thread keeps its name.
    pub refused: SourceSet,
    /// Of those, the ones that do not exist.
    pub unsupported: SourceSet,
    /// How often it had run when it was last read, to tell whether it has run since.
    pub switches: Option<RunCount>,
    /// The run count with which the thread was first seen in its present sleep, and when, in nanoseconds since 1970.
    pub sleep: Option<(RunCount, u64)>,
    /// Whether it had not run between the two counts of its last reading.
    pub is_steady: bool,
    /// The thread's name when `facts` and `refused` were read.
    pub comm: Vec<u8>,
    /// The whole name, if a walk's record has only its beginning, with the thread's switch count when it was read. The name
    /// holds until the thread is switched out again.
    pub whole_name: Option<(u64, Box<[u8]>)>,
    /// The link of the descriptor that it waits on.
    pub link: Option<Box<KeptLink>>,
    /// When `facts` and `refused` were read first, by [`monotonic_ns`](crate::time::clock::monotonic_ns).
    pub learnt_ns: u64,
}

impl TaskMemory {
    /// Facts and refusals older than this are read again.
    pub const MAX_AGE_NS: u64 = 10_000_000_000;

    /// The link that was read earlier in this wait.
    pub(crate) fn link_of(&self, wait: &CallOfWait) -> Option<&[u8]> {
        self.link.as_ref()?.of(wait)
    }

    /// Forgets what may no longer be true of the thread with this start time and name: everything if it is another thread;
    /// facts, refusals and open files if it changed its name (by an exec, maybe of a setuid program) or if they are old.
    pub(crate) fn revalidate(&mut self, starttime_ticks: u64, comm: &[u8], now_ns: u64) {
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

/// Facts of a thread that change too rarely to be read at every tick: the bytes of each file, or why there are none.
#[derive(Debug, Default)]
pub struct TaskFacts {
    /// `status`, for the ids.
    pub owner: Option<Result<Box<[u8]>, ReadError>>,
    /// `cgroup`.
    pub cgroup: Option<Result<Box<[u8]>, ReadError>>,
    /// `ns/pid`.
    pub pid_ns: Option<Result<Box<[u8]>, ReadError>>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tasks::LinkBudget;

    #[test]
    fn a_link_is_kept_with_its_thread_alone() {
        let runs = RunCount::Switches(3);
        let wait = CallOfWait { runs, number: 0, args: [5, 0x1000, 1, 0, 0, 0], sp: 1, pc: 2 };
        let mut memory = TaskMemory::default();
        memory.revalidate(5, b"a", 0);
        memory.link = Arc::new(LinkBudget::default()).hold(wait, b"pipe:[7]");
        memory.revalidate(5, b"b", 3 + TaskMemory::MAX_AGE_NS);
        assert_eq!(memory.link_of(&wait), Some(&b"pipe:[7]"[..]));
        memory.revalidate(6, b"b", 4);
        assert_eq!(memory.link_of(&wait), None, "a reused tid starts anew");
    }

    #[test]
    fn another_start_time_is_another_thread() {
        let mut memory = TaskMemory::default();
        memory.revalidate(5, b"a", 0);
        memory.refused.insert(Source::Syscall);
        memory.revalidate(5, b"a", 1);
        assert!(memory.refused.contains(Source::Syscall));
        memory.revalidate(5, b"b", 2);
        assert!(!memory.refused.contains(Source::Syscall), "a new name is asked again");
        memory.refused.insert(Source::Syscall);
        memory.revalidate(5, b"b", 3 + TaskMemory::MAX_AGE_NS);
        assert!(!memory.refused.contains(Source::Syscall), "refusals age");
        memory.refused.insert(Source::Syscall);
        memory.revalidate(6, b"b", 4);
        assert!(!memory.refused.contains(Source::Syscall), "a reused tid starts anew");
    }
}
