//! The thread that is observed: what is known of it before any of its detail files is read.

use crate::kernel::TaskRecord;
use crate::proc::parse::stat::{PF_IO_WORKER, PF_KTHREAD, Stat, field};
use crate::proc::source::{Source, SourceSet};
use crate::row::observation::Mark;

/// A thread at one tick, as its `stat` file or the record of a kernel walk describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thread<'a> {
    /// The process id.
    pub(crate) tgid: u32,
    /// The thread id.
    pub(crate) tid: u32,
    /// When it started, in clock ticks after boot; 0 if that is not known.
    pub(crate) starttime_ticks: u64,
    /// Its name.
    pub(crate) comm: &'a [u8],
    /// The letter of its state.
    pub(crate) state: u8,
    /// Its parsed `stat`, for the numbers in it; `None` if it was not read.
    pub(crate) stat: Option<&'a Stat<'a>>,
    /// The record of the kernel walk that found it; `None` if it was found through /proc.
    pub(crate) record: Option<&'a TaskRecord<'a>>,
    /// By its record, the function it sleeps in; `0` if there is none.
    pub(crate) wchan: &'a [u8],
    /// By its record, its kernel stack as the column shows it.
    pub(crate) kstack: &'a [u8],
    /// The sources that need not be read, because the record has what they say.
    pub(crate) provided: SourceSet,
    /// Whether its process blocks its readers, so that none of its files may be read but `status`.
    pub(crate) is_blocked: bool,
}

impl<'a> Thread<'a> {
    /// A thread found through /proc.
    pub(super) fn from_stat(tgid: u32, stat: &'a Stat<'a>, starttime_ticks: u64, is_blocked: bool) -> Self {
        let (tid, comm, state) = (stat.tid, stat.comm, stat.state);
        let thread = Thread { comm, stat: Some(stat), ..Thread::unknown(tgid, tid, starttime_ticks, state) };
        Thread { is_blocked, ..thread }
    }

    /// A thread found by a kernel walk. `wchan` and `kstack` are the names of the addresses in its record, and `provided` the
    /// sources that the record stands for.
    pub(crate) fn from_record(
        record: &'a TaskRecord<'a>,
        wchan: &'a [u8],
        kstack: &'a [u8],
        provided: SourceSet,
    ) -> Self {
        Self {
            tgid: record.tgid,
            tid: record.tid,
            starttime_ticks: record.starttime_ticks,
            comm: record.comm(),
            state: record.state.letter(),
            stat: None,
            record: Some(record),
            wchan,
            kstack,
            provided,
            is_blocked: false,
        }
    }

    /// A thread of which only this is known.
    pub(super) fn unknown(tgid: u32, tid: u32, starttime_ticks: u64, state: u8) -> Self {
        Self {
            tgid,
            tid,
            starttime_ticks,
            comm: b"",
            state,
            stat: None,
            record: None,
            wchan: b"",
            kstack: b"",
            provided: SourceSet::default(),
            is_blocked: false,
        }
    }

    /// The thread as a later reading of its `stat` shows it.
    pub(super) fn with_stat(&self, stat: &'a Stat<'a>) -> Self {
        Thread { comm: stat.comm, state: stat.state, stat: Some(stat), ..*self }
    }

    /// The record, if it says what `source` would.
    pub(super) fn record_for(&self, source: Source) -> Option<&'a TaskRecord<'a>> {
        self.record.filter(|_| self.provided.contains(source))
    }

    /// A number of `stat`, by the numbers in [`field`]: from the record, or else from the file.
    pub(super) fn number(&self, number: usize) -> Option<i128> {
        self.record.and_then(|record| record_number(record, number)).or_else(|| self.file_number(number))
    }

    /// A number of `stat` as the file has it.
    pub(super) fn file_number(&self, number: usize) -> Option<i128> {
        self.stat.and_then(|stat| stat.number(number))
    }

    fn has_stat_flag(&self, flag: u64) -> bool {
        self.stat.and_then(Stat::flags).is_some_and(|flags| flags & flag != 0)
    }

    /// Whether it is a kernel thread: by its flags, as any program can take the name of one.
    pub(super) fn is_kernel_thread(&self) -> bool {
        match self.record {
            Some(record) => record.is_kernel_thread(),
            None => self.has_stat_flag(PF_KTHREAD),
        }
    }

    /// Whether it is a worker that io_uring made for a program, by its flags.
    pub(super) fn is_io_worker(&self) -> bool {
        match self.record {
            Some(record) => record.is_io_worker(),
            None => !self.is_kernel_thread() && self.has_stat_flag(PF_IO_WORKER),
        }
    }

    /// Whether it is in a state in which threads wait for something.
    pub(super) const fn is_waiting(&self) -> bool {
        !self.is_running() && !self.has_ended()
    }

    /// Whether it is on a CPU or waits for one. Then `syscall`, `wchan` and `stack` have nothing to say: the kernel's
    /// `task_current_syscall` and `get_wchan` return at once for `TASK_RUNNING`.
    pub(super) const fn is_running(&self) -> bool {
        self.state == b'R'
    }

    /// Whether it has ended.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// The mark for all wait columns of a thread that a walk found in no wait, or that ran while the walk looked at it.
    ///
    /// A thread in a waiting state can still be on a CPU: it is about to sleep, and not in a wait yet.
    pub(super) fn mark_without_wait(&self) -> Option<Mark> {
        match self.record? {
            record if record.is_on_cpu => Some(Mark::None),
            record if record.has_moved => Some(Mark::Torn),
            _ => None,
        }
    }
}

/// Whether records of a kernel walk have this number of `stat`.
pub(super) const fn record_has_number(number: usize) -> bool {
    matches!(number, field::FLAGS | field::STARTTIME | field::PROCESSOR)
}

fn record_number(record: &TaskRecord<'_>, number: usize) -> Option<i128> {
    match number {
        field::FLAGS => Some(record.flags.into()),
        field::STARTTIME => Some(record.starttime_ticks.into()),
        field::PROCESSOR => Some(record.cpu.into()),
        _ => None,
    }
}
