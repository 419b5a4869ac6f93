//! The rows of a report: a group's statistics, and its key.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::row::bounds::Bounds;
use crate::row::memory::{FIXED_STATISTICS, REPORT_ROW};
use crate::row::value::{OwnedValue, ValueOf};

/// The values of a group, one for each dimension.
pub type GroupKey = Arc<[OwnedValue]>;

/// One group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// One for each of [`Columns::statistics`](super::Columns::statistics).
    pub statistics: Box<[Datum]>,
    /// One value for each of [`Columns::dimensions`](super::Columns::dimensions).
    pub group: GroupKey,
    /// Which bounds are among the ages of the group's waits.
    pub bounds: Bounds,
}

// What counting takes from its budget for each row.
const _: () = assert!(size_of::<Row>() == REPORT_ROW && size_of::<Datum>() == size_of::<OwnedValue>());

/// What a report shows in one column of one row: a decimal number that was computed, or a value. `T` is how a text is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum<T = Arc<[u8]>> {
    /// An average, or the half-width of a confidence interval.
    Decimal(f64),
    /// A value, or the mark in its place. A number is to be divided by the column's divisor.
    Value(ValueOf<T>),
}

impl Datum {
    /// The datum, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> Datum<&[u8]> {
        match self {
            Self::Decimal(number) => Datum::Decimal(*number),
            Self::Value(value) => Datum::Value(value.as_value()),
        }
    }

    /// The order of two data of one column: marks, decimals, numbers, texts.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Decimal(mine), Self::Decimal(theirs)) => mine.total_cmp(theirs),
            (Self::Value(mine), Self::Value(theirs)) => mine.cmp(theirs),
            (Self::Decimal(_), Self::Value(OwnedValue::Mark(_))) => Ordering::Greater,
            (Self::Value(OwnedValue::Mark(_)), Self::Decimal(_)) | (Self::Decimal(_), Self::Value(_)) => Ordering::Less,
            (Self::Value(_), Self::Decimal(_)) => Ordering::Greater,
        }
    }

    /// Whether it is a text.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::Value(OwnedValue::Text(_)))
    }
}

impl<T> From<f64> for Datum<T> {
    fn from(number: f64) -> Self {
        Self::Decimal(number)
    }
}

impl<T> From<u64> for Datum<T> {
    fn from(number: u64) -> Self {
        Self::Value(ValueOf::Number(number.into()))
    }
}

impl<T> From<ValueOf<T>> for Datum<T> {
    fn from(value: ValueOf<T>) -> Self {
        Self::Value(value)
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::Value(OwnedValue::Text(text.as_bytes().into()))
    }
}

/// The statistics that every row of a report has, first of all.
pub(super) const FIXED: [&str; FIXED_STATISTICS] = ["samples", "avg_threads"];

impl Row {
    /// The samples of the group; 0 in tables whose first statistic is another one.
    #[must_use]
    pub fn samples(&self) -> u64 {
        match self.statistics.first() {
            Some(Datum::Value(OwnedValue::Number(samples))) => u64::try_from(*samples).unwrap_or(0),
            _ => 0,
        }
    }

    /// The average threads of the group; 0 in tables whose second statistic is another one.
    #[must_use]
    pub fn average(&self) -> f64 {
        match self.statistics.get(1) {
            Some(Datum::Decimal(average)) => *average,
            _ => 0.0,
        }
    }
}
