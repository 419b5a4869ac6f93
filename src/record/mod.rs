//! Recordings: every observation of a run, written to files, for questions later.
//!
//! ```text
//!  sampler ── rows of a completed tick ──► Recorder ── bounded queue ──► writer thread ──► Sink (one file a format)
//!                                                                                            │
//!  report ◄── aggregate ◄── replay ◄── ticks and rows ◄── Recording (one file a format) ◄────┘
//! ```
//!
//! A recording is a [`Header`] (what was recorded, where and how), a [`TickInfo`] for each completed tick, the rows of each
//! tick, and the [`Facts`] of the report, unless the run was killed. The formats differ in who else can read them: SQLite for
//! `sqlite3` and all that speaks it, Parquet for engines over many hosts, CSV for everything. docs/recordings.md describes
//! them for users.

mod create;
mod csv;
mod directory;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
pub mod header;
mod input_file;
pub mod open;
mod parquet;
mod recorder;
mod repeats;
mod sqlite;
mod text;
pub mod tick;
pub(crate) mod unrecorded;

use std::path::{Path, PathBuf};

use crate::ask::column::Column;
use crate::report::Facts;
use crate::row::rows::Rows;

pub use error::{Cause, RecordError};
pub use header::{Header, RecordedColumn};
pub use recorder::{Recorder, Written};
pub use tick::TickInfo;

/// Writes a recording in one format.
pub trait Sink: Send {
    /// Adds a completed tick. The rows' values are in the order of the header's columns. The sink may keep the buffers and
    /// leave others in their place.
    ///
    /// # Errors
    /// If it could not be written. The recording is then as it was after the last flush.
    fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError>;

    /// Writes out what was added, so that it survives the end of psn and a crash of the host.
    ///
    /// # Errors
    /// If it could not be written.
    fn flush(&mut self) -> Result<(), RecordError>;

    /// Ends the recording. With the facts of the run's report, a replay gives the same report.
    ///
    /// # Errors
    /// If it could not be written.
    fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError>;
}

/// Which columns and ticks are to be read.
#[derive(Debug, Clone)]
pub struct Query {
    /// The columns, in the order in which the rows have their values. Each of them was recorded.
    pub columns: Vec<&'static Column>,
    /// The earliest time of a tick, nanoseconds since 1970.
    pub from_ns: u64,
    /// The time before which ticks are read, nanoseconds since 1970.
    pub to_ns: u64,
}

/// Some rows of a tick: all of them, unless there are many.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The tick.
    pub tick: &'a TickInfo,
    /// The rows, with values in the order of the query's columns.
    pub rows: &'a Rows,
    /// Whether these are the last rows of the tick. Every tick has a last piece, which may be empty.
    pub is_last: bool,
    /// The share of the recording that has been read, from 0 to 1.
    pub progress: f64,
}

/// The most rows of a [`Piece`]: it bounds the memory that a recording can make psn take.
pub const PIECE_ROWS: usize = 1 << 14;

/// The size in bytes after which a piece ends, for the same reason.
const PIECE_BYTES: usize = 32 << 20;

/// Is called with each piece in turn.
pub type Visit<'a> = dyn FnMut(Piece<'_>) -> Result<(), RecordError> + 'a;

/// A recording of one run on one host, open for reading.
pub trait Recording {
    /// The path of the recording, for messages.
    fn path(&self) -> PathBuf;

    /// The header.
    fn header(&self) -> &Header;

    /// The facts of the run's report; none if the run was killed or still goes on.
    fn facts(&self) -> Option<&Facts>;

    /// Sentences about what could not be read, or was not written.
    fn warnings(&self) -> Vec<String>;

    /// Sentences about what was lost because another program rewrote files of the recording. Answers are made from the rest,
    /// and are known to be incomplete.
    fn lost(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the original psn wrote it. Such a recording does not tell whether its run was cut off.
    fn is_of_original(&self) -> bool {
        false
    }

    /// The least and the greatest time of a tick, nanoseconds since 1970; none if there are no ticks.
    ///
    /// # Errors
    /// If the recording cannot be read.
    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError>;

    /// The time of the last tick; none if there are no ticks. It may be before the greatest one, as clocks can be set back.
    ///
    /// # Errors
    /// If the recording cannot be read.
    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        Ok(self.span()?.map(|(_, last)| last))
    }

    /// Calls `visit` for the ticks of `query`, in order.
    ///
    /// # Errors
    /// Those of `visit`, and if the recording cannot be read.
    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError>;
}

/// A format of recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingFormat {
    /// One SQLite database.
    Sqlite,
    /// A directory of Parquet files, or one such file.
    Parquet,
    /// One file of comma-separated values.
    Csv,
}

impl RecordingFormat {
    /// The format that the extension of `path` names; a directory is a Parquet dataset.
    ///
    /// # Errors
    /// If the extension names none.
    pub fn of(path: &Path) -> Result<Self, RecordError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension {
            "db" | "sqlite" | "sqlite3" => Ok(Self::Sqlite),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => Ok(Self::Parquet),
            _ => Err(RecordError::UnknownFormat { path: path.to_owned() }),
        }
    }
}
