//! What was read of one thread's files.

use std::sync::Arc;

use crate::kernel::{EpollSet, OpenFile};
use crate::proc::lookup::PerSource;
use crate::proc::parse::stack::Entry;
use crate::proc::source::{Source, SourceSet};
use crate::proc::syscall::Abi;
use crate::proc::{Buffer, ReadError};
use crate::row::observation::{Mark, Observation};
use crate::tasks::CallOfWait;
use crate::tasks::facts::RunCount;
use crate::tasks::lookups::{Found, Mount};

/// The sources that say what a thread waits for. They make sense only together with the state at the time they were read.
pub(super) const WAIT_SOURCES: SourceSet =
    SourceSet::of(&[Source::Syscall, Source::Wchan, Source::Wait, Source::Stack, Source::Fd, Source::Fdinfo]);

impl From<ReadError> for Mark {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::Gone,
            ReadError::Denied => Self::Denied,
            ReadError::Unsupported => Self::Unsupported,
            ReadError::TimedOut => Self::Blocked,
            ReadError::Dropped(_) => Self::Dropped,
            ReadError::Malformed => Self::Malformed,
        }
    }
}

/// What the first argument of a system call refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// A file descriptor of the thread.
    Fd(u32),
    /// `AT_FDCWD`.
    WorkingDirectory,
    /// The process that the call waits for.
    Pid(i64),
    /// Neither a descriptor nor a process, or there is no system call.
    None,
}

/// A system call that a thread is blocked in.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemCall {
    pub(super) abi: Abi,
    pub(super) number: i64,
    pub(super) args: [u64; 6],
    /// The program's stack pointer.
    pub(super) sp: u64,
    pub(super) pc: u64,
}

impl SystemCall {
    /// The wait in this call of a thread that has run so often.
    pub(super) const fn with_runs(&self, runs: RunCount) -> CallOfWait {
        CallOfWait { runs, number: self.number, args: self.args, sp: self.sp, pc: self.pc }
    }
}

/// What is kept of the wait of a thread whose row is completed later.
#[derive(Debug, Clone)]
pub(super) struct KeptWait {
    pub(super) call: SystemCall,
    /// The file that a walk found in the descriptor argument.
    pub(super) file: Option<OpenFile>,
    /// What a walk has found that the epoll instance watches.
    pub(super) epoll: Option<EpollSet>,
}

/// The memory mappings of a process.
#[derive(Debug)]
pub(super) struct SmapsText {
    /// The text of `smaps`.
    pub(super) text: Arc<[u8]>,
    /// Whether the text was cut because it was too long.
    pub(super) is_cut: bool,
}

/// The contents of one thread's files; for a file that was not or could not be read, the mark that stands for it.
#[derive(Debug)]
pub(super) struct FileContents {
    buffers: PerSource<Buffer>,
    marks: PerSource<Option<Mark>>,
    /// The first argument of the thread's system call, once `fd` was read or is known not to be needed.
    pub(super) descriptor: Descriptor,
    /// Whether its link was read now, and not earlier in the same wait.
    pub(super) is_link_read: bool,
    /// What a side reader has found out about the descriptor; `None` if it was not asked.
    pub(super) found: Option<Found>,
    /// The wait, if its row is completed later than it was begun.
    pub(super) kept: Option<KeptWait>,
    /// The entry point by which the thread came into the kernel, if its kernel stack shows it.
    pub(super) entry: Option<Entry>,
    /// Since when psn has seen the thread in this sleep, and the present time, in nanoseconds since 1970.
    pub(super) sleep: Option<(u64, u64)>,
    /// The mappings of the thread's process.
    pub(super) mappings: Result<SmapsText, Mark>,
    /// The mount of the file of the descriptor.
    pub(super) mount: Result<Arc<Mount>, Mark>,
}

impl Default for FileContents {
    fn default() -> Self {
        Self {
            buffers: PerSource::default(),
            marks: PerSource::from_fn(|| Some(Mark::Unread)),
            descriptor: Descriptor::None,
            is_link_read: false,
            found: None,
            kept: None,
            entry: None,
            sleep: None,
            mappings: Err(Mark::Unread),
            mount: Err(Mark::Unread),
        }
    }
}

impl FileContents {
    /// Forgets the contents, before another thread is read.
    pub(super) fn reset(&mut self) {
        self.marks = PerSource::from_fn(|| Some(Mark::Unread));
        self.descriptor = Descriptor::None;
        self.is_link_read = false;
        self.found = None;
        self.kept = None;
        self.entry = None;
        self.sleep = None;
        self.mappings = Err(Mark::Unread);
        self.mount = Err(Mark::Unread);
    }

    /// Why it is not known what the thread waits for in poll(2) or select(2), if that was asked.
    pub(super) fn mark_of_polled(&self) -> Option<Mark> {
        match self.found.as_ref()? {
            // What it was given is not in memory, or was not read in time.
            Found::Nowhere | Found::Unread => Some(Mark::Unread),
            Found::Stale => Some(Mark::Stale),
            Found::Failed(error) => Some((*error).into()),
            Found::Socket(_) | Found::Set(_) | Found::Only(_) => None,
        }
    }

    /// The buffer to read `source` into.
    pub(super) fn buffer(&mut self, source: Source) -> &mut Buffer {
        &mut self.buffers[source]
    }

    /// Notes whether the buffer of `source` holds its content, or which mark stands for it.
    pub(super) fn set(&mut self, source: Source, result: Result<(), Mark>) {
        self.marks[source] = result.err();
    }

    /// Stores `bytes` as the content of `source`.
    pub(super) fn store(&mut self, source: Source, bytes: &[u8]) {
        self.buffers[source].store(bytes);
        self.marks[source] = None;
    }

    /// The content of `source`.
    ///
    /// # Errors
    /// The mark that stands for it.
    pub(super) fn bytes(&self, source: Source) -> Result<&[u8], Mark> {
        match self.marks[source] {
            None => Ok(self.buffers[source].bytes()),
            Some(mark) => Err(mark),
        }
    }

    /// Appends the value that `push` makes of the content of `source` to `row`, or the mark that stands for the content.
    pub(super) fn push_value(&self, source: Source, row: &mut Observation, push: impl FnOnce(&[u8], &mut Observation)) {
        match self.bytes(source) {
            Ok(bytes) => push(bytes, row),
            Err(mark) => row.push_mark(mark),
        }
    }

    /// Marks everything as not read, because the process blocks its readers.
    pub(super) fn mark_blocked(&mut self) {
        for source in Source::ALL {
            self.set(source, Err(Mark::Blocked));
        }
        self.mappings = Err(Mark::Blocked);
        self.mount = Err(Mark::Blocked);
    }

    /// Marks the wait sources as read at different times, except those that were refused: that is so at any time.
    pub(super) fn mark_torn(&mut self) {
        for source in WAIT_SOURCES.iter() {
            if self.bytes(source) != Err(Mark::Denied) {
                self.set(source, Err(Mark::Torn));
            }
        }
    }

    /// Whether the file of any wait source was read, so that it has to be checked whether the thread ran meanwhile.
    pub(super) fn has_wait(&self) -> bool {
        WAIT_SOURCES.iter().any(|source| match source {
            Source::Fd => self.is_link_read,
            source => source.is_file() && self.bytes(source) != Err(Mark::Unread),
        })
    }
}
