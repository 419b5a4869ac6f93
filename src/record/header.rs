//! The header of a recording, which is the same in all formats.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ask::column::{Column, Kind};
use crate::ask::registry::COLUMNS;
use crate::record::RecordError;

/// The version of the layout of recordings. Recordings of another version are not read.
pub const FORMAT: u32 = 1;

/// Columns that every recording has: which thread it was, and its state.
pub const IDENTITY: [&str; 4] = ["pid", "task", "starttime", "state_id"];

/// Columns that are always recorded besides those asked for: both scans know them without a further read.
pub const BASE: [&str; 7] = ["comm", "comm2", "pcomm", "state", "processor", "wait_since_ns", "wait_exact"];

/// What was recorded, where and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the layout, [`FORMAT`].
    pub format: u32,
    /// The version of psn.
    pub version: String,
    /// The id of the run, unique among all hosts.
    pub run: String,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's `boot_id`. The start times of threads count from that boot.
    pub boot_id: String,
    /// The start of the run, nanoseconds since 1970.
    pub started_ns: u64,
    /// `CLOCK_MONOTONIC` at the start, nanoseconds.
    pub monotonic_ns: u64,
    /// `CLOCK_BOOTTIME` at the start, nanoseconds. The start times of threads are on this clock.
    pub boottime_ns: u64,
    /// The sampling rate that was asked for.
    pub hz: f64,
    /// The command line.
    pub args: Vec<String>,
    /// The letters of the states that were recorded.
    pub states: String,
    /// The conditions of `--where`: only rows that met them were recorded.
    pub filters: Vec<String>,
    /// The columns of the rows, in order.
    pub columns: Vec<RecordedColumn>,
}

/// A recorded column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedColumn {
    /// Its name.
    pub name: String,
    /// Its kind: `text`, `id`, `counter` or `gauge`.
    pub kind: String,
    /// The divisor by which a stored number becomes a value.
    pub divisor: u32,
}

impl RecordedColumn {
    /// The recorded form of a column of the registry.
    #[must_use]
    pub fn of(column: &Column) -> Self {
        Self { name: column.name.to_owned(), kind: column.kind.name().to_owned(), divisor: column.divisor }
    }

    /// The column of the registry; none if this psn does not know it.
    #[must_use]
    pub fn column(&self) -> Option<&'static Column> {
        COLUMNS.iter().find(|column| column.name == self.name && column.divisor == self.divisor)
    }

    /// Whether its values are numbers.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.kind != Kind::Text.name()
    }
}

impl Header {
    /// Checks that this psn can read the recording at `path`.
    ///
    /// # Errors
    /// If it cannot: why not.
    pub fn check(&self, path: &Path) -> Result<(), RecordError> {
        if self.format != FORMAT {
            let reason = format!("its form is number {}, and this psn knows {FORMAT}", self.format);
            return Err(RecordError::not_recording(path, reason));
        }
        match IDENTITY.into_iter().find(|name| !self.columns.iter().any(|column| column.name == *name)) {
            Some(missing) => Err(RecordError::not_recording(path, format!("it has no column {missing}"))),
            None if !(self.hz > 0.0 && self.hz.is_finite()) => Err(RecordError::not_recording(path, "it has no rate")),
            None => Ok(()),
        }
    }

    /// The names of the columns.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// The index of `column` among the columns of the rows.
    #[must_use]
    pub fn place(&self, column: &Column) -> Option<usize> {
        self.columns.iter().position(|recorded| recorded.column().is_some_and(|known| known.name == column.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_every_recording_exist() {
        for name in IDENTITY.into_iter().chain(BASE) {
            assert!(Column::find(name).is_some_and(|column| column.name == name), "{name}");
        }
    }
}
