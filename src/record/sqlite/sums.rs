//! Checksums of what is stored, so that damage is reported and not counted.
//!
//! A sum takes one item after another. Each step is a bijection of the sum, so a change of a single item always changes the
//! result.

use rusqlite::types::ValueRef;

/// A checksum to which items are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// 2⁶⁴ divided by the golden ratio. It is odd, so that multiplying by it loses nothing.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The sum of no items.
    pub(super) const fn new() -> Self {
        Self(0x7073_6e31)
    }

    /// Adds a number.
    #[inline]
    pub(super) const fn number(&mut self, number: i64) {
        self.0 = (self.0.rotate_left(29) ^ number.cast_unsigned()).wrapping_mul(Self::FACTOR);
    }

    /// Adds bytes, by their CRC-32 and their length.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(i64::from(crc32fast::hash(bytes)));
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    }

    /// Adds a stored value and its type.
    pub(super) fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Null => self.number(0),
            ValueRef::Integer(number) => {
                self.number(1);
                self.number(number);
            }
            ValueRef::Text(bytes) => {
                self.number(2);
                self.bytes(bytes);
            }
            ValueRef::Real(number) => {
                self.number(3);
                self.number(number.to_bits().cast_signed());
            }
            ValueRef::Blob(bytes) => {
                self.number(4);
                self.bytes(bytes);
            }
        }
    }

    /// The sum in the form in which SQLite stores it.
    pub(super) const fn stored(self) -> i64 {
        (self.0 ^ self.0 >> 32).cast_signed()
    }
}

/// The checksum of a text and its id.
pub(super) fn of_text(id: i64, text: &[u8]) -> i64 {
    let mut sum = Sum::new();
    sum.number(id);
    sum.bytes(text);
    sum.stored()
}

/// The checksum of a row of `meta`.
pub(super) fn of_meta(name: &str, value: &str) -> i64 {
    let mut sum = Sum::new();
    sum.bytes(name.as_bytes());
    sum.bytes(value.as_bytes());
    sum.stored()
}

/// The checksum of a tick: its numbers in the order of the table's columns, then its states.
pub(super) fn of_tick(numbers: &[i64], states: &[u8]) -> i64 {
    let mut sum = Sum::new();
    numbers.iter().for_each(|number| sum.number(*number));
    sum.bytes(states);
    sum.stored()
}

/// The checksum of a row of `groups`.
pub(super) fn of_group(first_row: i64, end_row: i64, sums: &[u8]) -> i64 {
    let mut sum = Sum::new();
    sum.number(first_row);
    sum.number(end_row);
    sum.bytes(sums);
    sum.stored()
}

/// The checksums of a group's spans: one of their ticks, and one of each column, so that a reader checks only what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupSums {
    pub(super) ticks: Sum,
    pub(super) columns: Vec<Sum>,
}

impl GroupSums {
    /// The checksums of no spans.
    pub(super) fn new(columns: usize) -> Self {
        Self { ticks: Sum::new(), columns: vec![Sum::new(); columns] }
    }

    /// Adds the ticks of the span with the rowid `row`.
    pub(super) const fn span(&mut self, row: i64, first: i64, last: i64) {
        self.ticks.number(row);
        self.ticks.number(first);
        self.ticks.number(last);
    }

    /// Adds a span's value in the column with the index `place`.
    pub(super) fn value(&mut self, place: usize, value: ValueRef<'_>) {
        if let Some(sum) = self.columns.get_mut(place) {
            sum.value(value);
        }
    }

    /// The checksums in stored form, eight bytes each: the ticks', then the columns'.
    pub(super) fn stored(&self) -> Vec<u8> {
        let sums = std::iter::once(self.ticks).chain(self.columns.iter().copied());
        sums.flat_map(|sum| sum.stored().to_le_bytes()).collect()
    }
}

/// The checksum with the index `place` of those stored as `bytes`: 0 is the ticks', then the columns'.
pub(super) fn stored_at(bytes: &[u8], place: usize) -> Option<i64> {
    let bytes = bytes.get(place.checked_mul(8)?..)?.first_chunk()?;
    Some(i64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_bit_or_of_the_order_changes_a_sum() {
        let of = |numbers: &[i64]| of_tick(numbers, b"R:2 S:100");
        let numbers = [0, 1, -1, i64::MAX, 1_795_402_800_000_000_000];
        let sum = of(&numbers);
        for place in 0..numbers.len() {
            for bit in 0..64 {
                let mut changed = numbers;
                changed[place] ^= 1 << bit;
                assert_ne!(of(&changed), sum, "bit {bit} of number {place}");
            }
        }
        assert_ne!(of(&[1, 0, -1, i64::MAX, numbers[4]]), sum);
        assert_ne!(of_tick(&numbers, b"R:2 S:101"), sum);
        assert_ne!(of_text(1, b"a"), of_text(2, b"a"));
        assert_ne!(of_text(1, b"a"), of_text(1, b"a\0"));
    }

    #[test]
    fn what_kind_a_value_is_counts() {
        let of = |value| {
            let mut sum = Sum::new();
            sum.value(value);
            sum.stored()
        };
        assert_ne!(of(ValueRef::Null), of(ValueRef::Integer(0)));
        assert_ne!(of(ValueRef::Text(b"1")), of(ValueRef::Blob(b"1")));
        assert_ne!(of(ValueRef::Integer(1)), of(ValueRef::Real(1.0)));
    }

    #[test]
    fn sums_of_a_group_are_found_where_they_are_stored() {
        let mut sums = GroupSums::new(2);
        sums.span(1, 2, 3);
        sums.value(1, ValueRef::Integer(5));
        let stored = sums.stored();
        assert_eq!(stored_at(&stored, 0), Some(sums.ticks.stored()));
        assert_eq!(stored_at(&stored, 2), Some(sums.columns[1].stored()));
        assert_eq!(stored_at(&stored, 3), None);
    }
}
