//! An observation: one thread at one tick.
//!
//! An [`Observation`] has the thread's identity, its state letter and one value for each column of the plan. It is a reusable
//! buffer: its vectors are cleared, not freed, between threads, so that no memory is allocated once they have grown.

pub use crate::row::value::{Mark, Value};

/// A value in 16 bytes. Texts and large numbers are stored in other vectors; the slot has their index relative to the
/// beginning of the row, so that equal rows have equal slots: recording copies and compares millions of slots per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Number(i64),
    /// A number that does not fit 64 bits, by its index.
    Large(u32),
    Text {
        start: u32,
        end: u32,
    },
    Mark(Mark),
}

/// A position in a [`ValueBuffer`]: an index into each of its vectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Offset {
    slot: usize,
    byte: usize,
    large: usize,
}

/// Values of consecutive rows, in vectors that are cleared rather than freed.
#[derive(Debug, Clone, Default)]
pub(crate) struct ValueBuffer {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    large: Vec<i128>,
    /// Where the row that is being appended begins.
    row: Offset,
}

impl ValueBuffer {
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.bytes.clear();
        self.large.clear();
        self.row = Offset::default();
    }

    /// Keeps only the first `len` values. Their texts and large numbers stay in memory until [`clear`](Self::clear).
    pub(crate) fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The bytes of memory in use.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.slots) + self.bytes.len() + size_of_val(&*self.large)
    }

    /// The bytes of memory allocated.
    pub(crate) const fn capacity(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.bytes.capacity()
    }

    /// The position after the last value.
    pub(crate) const fn end(&self) -> Offset {
        Offset { slot: self.slots.len(), byte: self.bytes.len(), large: self.large.len() }
    }

    /// Begins a row, and returns its position.
    pub(crate) const fn begin_row(&mut self) -> Offset {
        self.row = self.end();
        self.row
    }

    pub(crate) fn push_number(&mut self, number: i128) {
        let slot = if let Ok(number) = i64::try_from(number) {
            Slot::Number(number)
        } else {
            self.large.push(number);
            u32::try_from(self.large.len() - 1 - self.row.large).map_or(Slot::Mark(Mark::Dropped), Slot::Large)
        };
        self.slots.push(slot);
    }

    pub(crate) fn push_mark(&mut self, mark: Mark) {
        self.slots.push(Slot::Mark(mark));
    }

    /// Appends the bytes that `write` appends to the buffer as a text; a mark instead if the texts of a row exceed 4 GiB.
    pub(crate) fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        let in_row = |len: usize| u32::try_from(len - self.row.byte);
        let slot = match (in_row(before), in_row(self.bytes.len())) {
            (Ok(start), Ok(end)) => Slot::Text { start, end },
            _ => {
                self.bytes.truncate(before);
                Slot::Mark(Mark::Dropped)
            }
        };
        self.slots.push(slot);
    }

    pub(crate) fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Number(number) => self.push_number(number),
            Value::Text(text) => self.push_text_with(|out| out.extend_from_slice(text)),
            Value::Mark(mark) => self.push_mark(mark),
        }
    }

    /// Appends the values of `other`, which holds one row. Call [`begin_row`](Self::begin_row) before.
    pub(crate) fn append_row(&mut self, other: &Self) {
        self.slots.extend_from_slice(&other.slots);
        self.bytes.extend_from_slice(&other.bytes);
        self.large.extend_from_slice(&other.large);
    }

    /// The value with `index` in the row that begins at `row`; [`Mark::None`] beyond the end.
    pub(crate) fn get(&self, row: Offset, index: usize) -> Value<'_> {
        match self.slots.get(row.slot + index) {
            Some(Slot::Number(number)) => Value::Number((*number).into()),
            Some(Slot::Large(place)) => {
                let number = self.large.get(row.large + *place as usize);
                number.map_or(Value::Mark(Mark::None), |number| Value::Number(*number))
            }
            Some(Slot::Text { start, end }) => {
                let (start, end) = (row.byte + *start as usize, row.byte + *end as usize);
                Value::Text(self.bytes.get(start..end).unwrap_or_default())
            }
            Some(Slot::Mark(mark)) => Value::Mark(*mark),
            None => Value::Mark(Mark::None),
        }
    }

    /// Whether the values from `start` to `end` equal those of `other` from `other_start` to `other_end`.
    pub(crate) fn is_same(
        &self,
        [start, end]: [Offset; 2],
        other: &Self,
        [other_start, other_end]: [Offset; 2],
    ) -> bool {
        self.slots.get(start.slot..end.slot) == other.slots.get(other_start.slot..other_end.slot)
            && self.bytes.get(start.byte..end.byte) == other.bytes.get(other_start.byte..other_end.byte)
            && self.large.get(start.large..end.large) == other.large.get(other_start.large..other_end.large)
    }
}

/// One thread at one tick; see the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The thread's id in the PID namespace of the proc root.
    pub tid: u32,
    /// The id of the thread's process (thread group).
    pub tgid: u32,
    /// The start time, in clock ticks after boot; with `tid` it identifies the thread.
    pub starttime_ticks: u64,
    /// The state letter, as in field 3 of `stat`.
    pub state: u8,
    pub(crate) values: ValueBuffer,
}

impl Observation {
    /// Removes the values and keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Keeps only the first `len` values.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    /// The number of values.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.values.len()
    }

    /// Appends a number.
    pub fn push_number(&mut self, number: i128) {
        self.values.push_number(number);
    }

    /// Appends a mark.
    pub(crate) fn push_mark(&mut self, mark: Mark) {
        self.values.push_mark(mark);
    }

    /// Appends a text.
    pub fn push_text(&mut self, text: &[u8]) {
        self.values.push(Value::Text(text));
    }

    /// Appends the bytes that `write` appends to the buffer as a text.
    pub(crate) fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.values.push_text_with(write);
    }

    /// Appends a value.
    pub fn push(&mut self, value: Value<'_>) {
        self.values.push(value);
    }

    /// Whether the value of the plan's column `index` is `mark`.
    #[must_use]
    pub(crate) fn has_mark(&self, index: usize, mark: Mark) -> bool {
        self.values.slots.get(index) == Some(&Slot::Mark(mark))
    }

    /// The value of the plan's column `index`; [`Mark::None`] beyond the end.
    #[must_use]
    pub(crate) fn value(&self, index: usize) -> Value<'_> {
        self.values.get(Offset::default(), index)
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
