//! A value, or the mark that stands in its place.
//!
//! There is one enum, [`ValueOf`], with three ways to hold a text, because each stage needs another one:
//! - [`Value`] borrows the bytes from the buffer of the observation: making one allocates nothing.
//! - While groups are counted, a text is the number that the interner gave it: keys compare and hash as integers, and a key
//!   takes 32 bytes a dimension however long the texts are.
//! - [`OwnedValue`] shares the bytes with the interner: a report outlives the counting.

use std::fmt;
use std::sync::Arc;

/// What stands in place of a value that is missing: why it is missing.
///
/// Marks are printed in brackets, the same in every column and every output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// The thread is on a CPU or waits for one, and is in no blocking system call.
    Running,
    /// The thread is a kernel thread (`PF_KTHREAD`), which makes no system calls.
    KernelThread,
    /// The thread is blocked in the kernel outside a system call, for example in a page fault.
    KernelDirect,
    /// The thread is a worker of io_uring or vhost (`PF_IO_WORKER`, `PF_USER_WORKER`): it belongs to a program, runs only
    /// kernel code, and makes no system calls.
    UserWorker,
    /// The kernel refused the read (`EACCES`, `EPERM`).
    Denied,
    /// The thread ended before the read.
    Gone,
    /// This kernel, or this scan, does not provide the file or the field.
    Unsupported,
    /// The read blocked, or would have: the process is in quarantine.
    Blocked,
    /// The thread was scheduled between the reads, so the value may belong to another moment.
    Torn,
    /// The read failed for lack of a resource (`EMFILE`, `ENOMEM`, …).
    Dropped,
    /// The content of the file has no known format.
    Malformed,
    /// The value has not been read yet: the side reader has not answered for this process.
    Unread,
    /// The known value belongs to another moment, and the current one could not be read in time.
    Stale,
    /// The descriptor argument is `AT_FDCWD`: the path is relative to the working directory.
    WorkingDirectory,
    /// The value belongs to a group that the memory limit leaves no room for.
    Other,
    /// The recording does not have the column.
    Unrecorded,
    /// The sum exceeds 128 bits.
    Overflow,
    /// The column does not apply to this thread.
    None,
}

impl Mark {
    /// Every mark, for help texts, tests and decoders.
    pub const ALL: [Self; 18] = [
        Self::Running,
        Self::KernelThread,
        Self::KernelDirect,
        Self::UserWorker,
        Self::Denied,
        Self::Gone,
        Self::Unsupported,
        Self::Blocked,
        Self::Torn,
        Self::Dropped,
        Self::Malformed,
        Self::Unread,
        Self::Stale,
        Self::WorkingDirectory,
        Self::Other,
        Self::Unrecorded,
        Self::Overflow,
        Self::None,
    ];

    /// The mark as it is printed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Running => "[running]",
            Self::KernelThread => "[kernel_thread]",
            Self::KernelDirect => "[kernel_direct]",
            Self::UserWorker => "[user_worker]",
            Self::Denied => "[denied]",
            Self::Gone => "[gone]",
            Self::Unsupported => "[unsupported]",
            Self::Blocked => "[blocked]",
            Self::Torn => "[torn]",
            Self::Dropped => "[dropped]",
            Self::Malformed => "[malformed]",
            Self::Unread => "[unread]",
            Self::Stale => "[stale]",
            Self::WorkingDirectory => "[cwd]",
            Self::Other => "[other]",
            Self::Unrecorded => "[unrecorded]",
            Self::Overflow => "[overflow]",
            Self::None => "-",
        }
    }

    /// The mark that is printed as `text`.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.text().as_bytes() == text)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A value, or the mark in its place; `T` is how a text is held.
///
/// Marks sort before numbers, and numbers before texts. Numbers sort by value, texts by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueOf<T> {
    /// No value, and why.
    Mark(Mark),
    /// A number, in the column's unit times its divisor.
    Number(i128),
    /// Bytes as the kernel gave them: not UTF-8, not escaped.
    Text(T),
}

/// The value of one column in one observation. Its text is borrowed from the observation.
pub type Value<'a> = ValueOf<&'a [u8]>;

/// A value that owns its text, as reports have them.
pub type OwnedValue = ValueOf<Arc<[u8]>>;

impl<T> ValueOf<T> {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<i128> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Mark(_) => None,
        }
    }

    /// The same value with another way to hold a text; none if `hold` has no room for it.
    pub(crate) fn try_map<U>(self, hold: impl FnOnce(T) -> Option<U>) -> Option<ValueOf<U>> {
        match self {
            Self::Mark(mark) => Some(ValueOf::Mark(mark)),
            Self::Number(number) => Some(ValueOf::Number(number)),
            Self::Text(text) => hold(text).map(ValueOf::Text),
        }
    }

    /// The same value with another way to hold a text.
    pub(crate) fn map<U>(self, hold: impl FnOnce(T) -> U) -> ValueOf<U> {
        match self {
            Self::Mark(mark) => ValueOf::Mark(mark),
            Self::Number(number) => ValueOf::Number(number),
            Self::Text(text) => ValueOf::Text(hold(text)),
        }
    }
}

impl OwnedValue {
    /// The value, borrowed.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Mark(mark) => Value::Mark(*mark),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found_by_its_text() {
        for mark in Mark::ALL {
            assert_eq!(Mark::from_text(mark.text().as_bytes()), Some(mark));
        }
        assert_eq!(Mark::from_text(b"running"), None);
    }
}
