//! What a recording says of itself, whatever its format.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::ask::column::{COLUMNS, Column, Kind};
use crate::record::RecordError;

/// The version of the form of recordings; a reader refuses those of a later one.
pub const FORMAT: u32 = 1;

/// Columns that every recording has: who it was, and in which state.
pub const IDENTITY: [&str; 4] = ["pid", "task", "starttime", "state_id"];

/// Columns that are recorded beside those that a run asks for: what either scan tells of a thread without a further read.
pub const BASE: [&str; 5] = ["comm", "comm2", "pcomm", "state", "processor"];

/// What was recorded, where and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// psn's version.
    pub version: String,
    /// The run: unique among all hosts.
    pub run: String,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's `boot_id`: start times of threads count from that boot.
    pub boot_id: String,
    /// Start, nanoseconds since 1970.
    pub started_ns: u64,
    /// `CLOCK_MONOTONIC` at the start, nanoseconds.
    pub monotonic_ns: u64,
    /// `CLOCK_BOOTTIME` at the start, nanoseconds: threads' start times are on this clock.
    pub boottime_ns: u64,
    /// The rate asked for.
    pub hz: f64,
    /// The command line.
    pub args: Vec<String>,
    /// The letters of the states that were recorded.
    pub states: String,
    /// The conditions of `--where`: only rows for which they held are there.
    pub filters: Vec<String>,
    /// The columns of the rows, in order.
    pub columns: Vec<RecordedColumn>,
}

/// One column of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedColumn {
    /// Its name.
    pub name: String,
    /// `text`, `id`, `counter` or `gauge`.
    pub kind: String,
    /// What a stored number is to be divided by.
    pub divisor: u32,
}

impl RecordedColumn {
    /// That of the registry's `column`.
    #[must_use]
    pub fn of(column: &Column) -> Self {
        Self { name: column.name.to_owned(), kind: column.kind.name().to_owned(), divisor: column.divisor }
    }

    /// The registry's column; none if this psn does not know it.
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
    /// Whether this psn can read what was found at `path`.
    ///
    /// # Errors
    /// Why not.
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

    /// The place of `column` in the rows.
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
