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
        value_of(self.slots.get(index), &self.bytes)
    }
}

/// The values of many observations, one after another: what a recording is made of.
///
/// Like an [`Observation`], a buffer that is emptied rather than freed.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    columns: usize,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

impl Rows {
    /// No rows yet, of `columns` values each.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// No rows yet, with room for as many as there are.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self {
            columns: self.columns,
            slots: Vec::with_capacity(self.slots.len()),
            bytes: Vec::with_capacity(self.bytes.len()),
        }
    }

    /// Forgets the rows and keeps the buffers.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.bytes.clear();
    }

    /// The number of whole rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory in use, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.bytes.len()
    }

    /// Appends the values of `row`; those it lacks have none.
    pub fn push_row(&mut self, row: &Observation) {
        for column in 0..self.columns {
            self.push(row.value(column));
        }
    }

    /// Appends one value: a row is as many as there are columns.
    pub fn push(&mut self, value: Value<'_>) {
        self.slots.push(match value {
            Value::Number(number) => Slot::Number(number),
            Value::Mark(mark) => Slot::Mark(mark),
            Value::Text(text) => {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(text);
                Slot::Text { start, end: self.bytes.len() }
            }
        });
    }

    /// The value of row `row` in column `column`.
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> Value<'_> {
        value_of(self.slots.get(row * self.columns + column), &self.bytes)
    }

    /// Makes `observation`'s values those of row `row`.
    pub fn load(&self, row: usize, observation: &mut Observation) {
        observation.clear();
        for column in 0..self.columns {
            observation.push(self.value(row, column));
        }
    }
}

fn value_of<'a>(slot: Option<&Slot>, bytes: &'a [u8]) -> Value<'a> {
    match slot {
        Some(Slot::Number(number)) => Value::Number(*number),
        Some(Slot::Text { start, end }) => Value::Text(bytes.get(*start..*end).unwrap_or_default()),
        Some(Slot::Mark(mark)) => Value::Mark(*mark),
        None => Value::Mark(Mark::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_the_values_of_observations() {
        let mut row = Observation::default();
        let mut rows = Rows::new(2);
        for (number, text) in [(1, "a"), (2, "\u{1}"), (3, "")] {
            row.clear();
            row.push_number(number);
            row.push_text(text.as_bytes());
            rows.push_row(&row);
        }
        row.clear();
        row.push_mark(Mark::Torn);
        rows.push_row(&row);
        assert_eq!(rows.len(), 4);
        assert_eq!((rows.value(1, 0), rows.value(1, 1)), (Value::Number(2), Value::Text(b"\x01")));
        assert_eq!((rows.value(3, 0), rows.value(3, 1)), (Value::Mark(Mark::Torn), Value::Mark(Mark::None)));
        rows.load(0, &mut row);
        assert_eq!((row.value(0), row.value(1)), (Value::Number(1), Value::Text(b"a")));
        rows.clear();
        assert!(rows.is_empty() && rows.size() == 0);
    }

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
