//! The noun that flows through psn: one thread, seen at one instant.
//!
//! An [`Observation`] carries the thread's identity, its state letter and one value for each column
//! that the plan asks for. It is a reusable buffer: texts live in one byte vector that is cleared,
//! not freed, between threads, so that observing allocates nothing once the buffers have grown.

use std::fmt;

/// A value that is not in the kernel's answer: why it is missing, or what stands in its place.
///
/// Marks are printed in brackets and are the same in every column and every output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// On a CPU or waiting for one: the thread is in no blocking system call.
    Running,
    /// A kernel thread (`PF_KTHREAD`), which makes no system calls.
    KernelThread,
    /// Blocked in the kernel outside any system call, for example in a page fault.
    KernelDirect,
    /// The kernel refused the read (`EACCES`, `EPERM`).
    Denied,
    /// The thread ended before the read.
    Gone,
    /// This kernel, or the way in which it is asked, does not have the file or the field.
    Unsupported,
    /// Reading would block, or did: the process blocks its readers.
    Blocked,
    /// The thread was switched in between the reads: the value belongs to another instant.
    Torn,
    /// The read failed for want of a resource (`EMFILE`, `ENOMEM`, …).
    Dropped,
    /// The kernel's answer was not in the format of any known kernel.
    Malformed,
    /// Not read yet: the side reader has not answered for this process.
    Unread,
    /// The directory argument is `AT_FDCWD`: relative to the working directory.
    WorkingDirectory,
    /// One of many: the table of groups was full.
    Other,
    /// The column is not applicable to this thread.
    None,
}

impl Mark {
    /// Every mark, for help texts, tests and decoders.
    pub const ALL: [Self; 14] = [
        Self::Running,
        Self::KernelThread,
        Self::KernelDirect,
        Self::Denied,
        Self::Gone,
        Self::Unsupported,
        Self::Blocked,
        Self::Torn,
        Self::Dropped,
        Self::Malformed,
        Self::Unread,
        Self::WorkingDirectory,
        Self::Other,
        Self::None,
    ];

    /// The mark as it is printed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Running => "[running]",
            Self::KernelThread => "[kernel_thread]",
            Self::KernelDirect => "[kernel_direct]",
            Self::Denied => "[denied]",
            Self::Gone => "[gone]",
            Self::Unsupported => "[unsupported]",
            Self::Blocked => "[blocked]",
            Self::Torn => "[torn]",
            Self::Dropped => "[dropped]",
            Self::Malformed => "[malformed]",
            Self::Unread => "[unread]",
            Self::WorkingDirectory => "[cwd]",
            Self::Other => "[other]",
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

/// One column's value in one observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, in the column's unit times its divisor.
    Number(i128),
    /// Bytes as the kernel gave them: not UTF-8, not escaped.
    Text(&'a [u8]),
    /// No value, and why.
    Mark(Mark),
}

/// A value whose text lies in the observation's byte buffer.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Number(i128),
    Text { start: usize, end: usize },
    Mark(Mark),
}

/// One thread at one instant; see the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The thread's id, as the proc root shows it.
    pub tid: u32,
    /// The id of the thread's process.
    pub tgid: u32,
    /// Start time in clock ticks after boot: with `tid`, the identity of the thread.
    pub starttime_ticks: u64,
    /// The state letter of `stat`, proc(5) field 3.
    pub state: u8,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

impl Observation {
    /// Empties the values and keeps the buffers.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.bytes.clear();
    }

    /// Drops the values from the `len`th on; the texts' bytes stay until [`clear`](Self::clear).
    pub fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Appends a number.
    pub fn push_number(&mut self, number: i128) {
        self.slots.push(Slot::Number(number));
    }

    /// Appends a mark.
    pub fn push_mark(&mut self, mark: Mark) {
        self.slots.push(Slot::Mark(mark));
    }

    /// Appends a text.
    pub fn push_text(&mut self, text: &[u8]) {
        self.push_text_with(|out| out.extend_from_slice(text));
    }

    /// Appends the text that `write` appends to the buffer.
    pub fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.slots.push(Slot::Text { start, end: self.bytes.len() });
    }

    /// Appends any value.
    pub fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Number(number) => self.push_number(number),
            Value::Text(text) => self.push_text(text),
            Value::Mark(mark) => self.push_mark(mark),
        }
    }

    /// The value of the plan's column `index`; a column beyond the row's end has none.
    #[must_use]
    pub fn value(&self, index: usize) -> Value<'_> {
        match self.slots.get(index) {
            Some(Slot::Number(number)) => Value::Number(*number),
            Some(Slot::Text { start, end }) => Value::Text(self.bytes.get(*start..*end).unwrap_or_default()),
            Some(Slot::Mark(mark)) => Value::Mark(*mark),
            None => Value::Mark(Mark::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order_and_the_buffers_are_reused() {
        let mut row = Observation::default();
        for round in 0..3 {
            row.clear();
            row.push_number(round);
            row.push_text(b"mysqld");
            row.push_mark(Mark::Denied);
            row.push_text(b"");
            assert_eq!(row.value(0), Value::Number(round));
            assert_eq!(row.value(1), Value::Text(b"mysqld"));
            assert_eq!(row.value(2), Value::Mark(Mark::Denied));
            assert_eq!(row.value(3), Value::Text(b""));
            assert_eq!(row.value(4), Value::Mark(Mark::None));
        }
    }

    #[test]
    fn every_mark_is_found_by_its_text() {
        for mark in Mark::ALL {
            assert_eq!(Mark::from_text(mark.text().as_bytes()), Some(mark));
        }
        assert_eq!(Mark::from_text(b"running"), None);
    }
}
