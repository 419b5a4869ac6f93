//! The values of many observations, for recordings.

use std::sync::{Arc, Mutex, PoisonError};

use crate::row::observation::{Mark, Observation, Offset, Value, ValueBuffer};

/// The values of consecutive observations, in a buffer that is cleared rather than freed.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    columns: usize,
    values: ValueBuffer,
    /// Where each row begins, including an incomplete last one.
    starts: Vec<Offset>,
}

impl Rows {
    /// An empty buffer for rows of `columns` values.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Removes the rows and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.starts.clear();
    }

    /// The number of complete rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there is no complete row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of memory in use.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.values.size() + size_of_val(&*self.starts)
    }

    /// The bytes of memory allocated.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.values.capacity() + self.starts.capacity() * size_of::<Offset>()
    }

    /// Appends the values of `row`; missing ones become [`Mark::None`].
    pub(crate) fn push_row(&mut self, row: &Observation) {
        if row.len() == self.columns {
            self.starts.push(self.values.begin_row());
            self.values.append_row(&row.values);
        } else {
            (0..self.columns).for_each(|column| self.push(row.value(column)));
        }
    }

    /// Appends a value; a row is complete when it has as many values as there are columns.
    pub fn push(&mut self, value: Value<'_>) {
        if self.values.len() == self.starts.len() * self.columns {
            self.starts.push(self.values.begin_row());
        }
        self.values.push(value);
    }

    /// The value of row `row` in column `column`.
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> Value<'_> {
        self.starts.get(row).map_or(Value::Mark(Mark::None), |start| self.values.get(*start, column))
    }

    /// Whether row `row` has the values of row `other_row` of `other`. May return false for equal rows of which one was
    /// appended by [`push_row`](Self::push_row) after its observation was truncated.
    #[must_use]
    pub(crate) fn is_same(&self, row: usize, other: &Self, other_row: usize) -> bool {
        self.range(row)
            .zip(other.range(other_row))
            .is_some_and(|(mine, theirs)| self.values.is_same(mine, &other.values, theirs))
    }

    /// Where row `row` begins and ends.
    fn range(&self, row: usize) -> Option<[Offset; 2]> {
        let end = || self.starts.get(row + 1).copied().unwrap_or_else(|| self.values.end());
        self.starts.get(row).map(|start| [*start, end()])
    }

    /// Replaces the values of `observation` by those of row `row`.
    pub(crate) fn load(&self, row: usize, observation: &mut Observation) {
        observation.clear();
        for column in 0..self.columns {
            observation.push(self.value(row, column));
        }
    }
}

/// Empty buffers for reuse: the recorder's writer returns them, the lanes take them. Without reuse a tenth of the cost of
/// recording is the kernel zeroing newly allocated pages.
#[derive(Debug, Clone, Default)]
pub struct SpareRows(Arc<Mutex<Vec<Rows>>>);

impl SpareRows {
    /// The largest number of bytes to keep; buffers beyond it are freed.
    const MAX_BYTES: usize = 32 << 20;

    /// Returns `rows` for reuse.
    pub(crate) fn give(&self, rows: impl IntoIterator<Item = Rows>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mut rows in rows {
            rows.clear();
            let bytes: usize = kept.iter().chain([&rows]).map(|rows| rows.values.capacity()).sum();
            if bytes <= Self::MAX_BYTES {
                kept.push(rows);
            }
        }
    }

    /// An empty buffer for rows of `columns` values, reused if there is one.
    #[must_use]
    pub(crate) fn take(&self, columns: usize) -> Rows {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Rows { columns, ..spare.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn rows_are_the_same_if_their_values_are(values in prop::collection::vec(0u8..4, 40)) {
            let value = |value: u8| match value {
                0 => Value::Number(i128::MAX),
                1 => Value::Text(b"a"),
                2 => Value::Text(b"bc"),
                _ => Value::Mark(Mark::Gone),
            };
            let mut observation = Observation::default();
            let mut rows = Rows::new(4);
            for row in values.chunks(4) {
                observation.clear();
                row.iter().for_each(|of| observation.push(value(*of)));
                rows.push_row(&observation);
            }
            for (row, mine) in values.chunks(4).enumerate() {
                (0..4).for_each(|column| assert_eq!(rows.value(row, column), value(mine[column])));
                for (other, theirs) in values.chunks(4).enumerate() {
                    prop_assert_eq!(rows.is_same(row, &rows, other), mine == theirs);
                }
            }
        }
    }

    #[test]
    fn a_buffer_comes_back_empty_and_with_its_memory() {
        let spare = SpareRows::default();
        let mut rows = spare.take(1);
        (0..1000).for_each(|number| rows.push(Value::Number(number)));
        let held = rows.values.capacity();
        spare.give([rows]);
        let rows = spare.take(2);
        assert!(rows.is_empty() && rows.columns == 2 && rows.values.capacity() == held);

        let mut large = Rows::new(1);
        large.push(Value::Text(&vec![0; SpareRows::MAX_BYTES]));
        spare.give([large, rows]);
        assert_eq!(
            (spare.take(1).values.capacity(), spare.take(1).values.capacity()),
            (held, 0),
            "what exceeds the limit is freed"
        );
    }
}
