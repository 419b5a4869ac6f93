//! The noun that flows through psn: one thread, seen at one instant.
//!
//! An [`Observation`] carries the thread's identity, its state letter and one value for each column
//! that the plan asks for. It is a reusable buffer: texts live in one byte vector that is cleared,
//! not freed, between threads, so that observing allocates nothing once the buffers have grown.

pub use crate::row::value::{Mark, Value};

/// A value whose text, or whose large number, lies beside it: so far behind where its row begins.
///
/// 16 bytes, and nothing in them tells where the row is: recorded runs copy and compare millions of them a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Number(i64),
    /// A number that 64 bits do not hold.
    Large(u32),
    Text {
        start: u32,
        end: u32,
    },
    Mark(Mark),
}

/// Where something begins in [`Values`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    slot: usize,
    byte: usize,
    large: usize,
}

/// Values one after another, in buffers that are emptied rather than freed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    large: Vec<i128>,
    /// Where the row that is being written begins.
    row: Place,
}

impl Values {
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.bytes.clear();
        self.large.clear();
        self.row = Place::default();
    }

    /// Drops the values from the `len`th on; what lies beside them stays until [`clear`](Self::clear).
    pub(crate) fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// The memory in use, bytes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.slots) + self.bytes.len() + size_of_val(&*self.large)
    }

    /// The memory held, in use or not, bytes.
    pub(crate) const fn capacity(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.bytes.capacity()
    }

    /// Where what is appended next will be.
    pub(crate) const fn end(&self) -> Place {
        Place { slot: self.slots.len(), byte: self.bytes.len(), large: self.large.len() }
    }

    /// Begins a row: where it does.
    pub(crate) const fn begin_row(&mut self) -> Place {
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

    /// Appends the text that `write` appends to the buffer; a mark in its place beyond 4 GiB of texts in a row.
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

    /// Appends all of `other`'s, which are a row, as a row.
    pub(crate) fn append_row(&mut self, other: &Self) {
        self.slots.extend_from_slice(&other.slots);
        self.bytes.extend_from_slice(&other.bytes);
        self.large.extend_from_slice(&other.large);
    }

    /// The value at `index` in the row that begins at `row`; beyond the end there is none.
    pub(crate) fn get(&self, row: Place, index: usize) -> Value<'_> {
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

    /// Whether what is from `start` to `end` lies in `other` from `other_start` to `other_end` just so.
    pub(crate) fn is_same(&self, [start, end]: [Place; 2], other: &Self, [other_start, other_end]: [Place; 2]) -> bool {
        self.slots.get(start.slot..end.slot) == other.slots.get(other_start.slot..other_end.slot)
            && self.bytes.get(start.byte..end.byte) == other.bytes.get(other_start.byte..other_end.byte)
            && self.large.get(start.large..end.large) == other.large.get(other_start.large..other_end.large)
    }
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
    pub(crate) values: Values,
}

impl Observation {
    /// Empties the values and keeps the buffers.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Drops the values from the `len`th on; the texts' bytes stay until [`clear`](Self::clear).
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    /// The number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a number.
    pub fn push_number(&mut self, number: i128) {
        self.values.push_number(number);
    }

    /// Appends a mark.
    pub fn push_mark(&mut self, mark: Mark) {
        self.values.push_mark(mark);
    }

    /// Appends a text.
    pub fn push_text(&mut self, text: &[u8]) {
        self.values.push(Value::Text(text));
    }

    /// Appends the text that `write` appends to the buffer.
    pub fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.values.push_text_with(write);
    }

    /// Appends any value.
    pub fn push(&mut self, value: Value<'_>) {
        self.values.push(value);
    }

    /// Whether the plan's column `index` has this mark.
    #[must_use]
    pub fn has_mark(&self, index: usize, mark: Mark) -> bool {
        self.values.slots.get(index) == Some(&Slot::Mark(mark))
    }

    /// The value of the plan's column `index`; a column beyond the row's end has none.
    #[must_use]
    pub fn value(&self, index: usize) -> Value<'_> {
        self.values.get(Place::default(), index)
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
}
