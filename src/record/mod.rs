//! Recordings: every observation of a run, kept to be asked later.
//!
//! ```text
//!  sampler ── rows of a completed tick ──► Recorder ── bounded queue ──► writer thread ──► Sink (one file a format)
//!                                                                                            │
//!  report ◄── aggregate ◄── replay ◄── ticks and rows ◄── Recording (one file a format) ◄────┘
//! ```
//!
//! A recording is a [`Header`] (what was recorded, where and how), one [`TickInfo`] for each tick that was completed,
//! with the tick's rows, and, if the run ended as it should, the [`Facts`] of its report. The formats differ in
//! who else can read them: [`sqlite`] for `sqlite3` and all that speaks it, [`parquet`] for engines over many
//! hosts, [`csv`] for everything. docs/recordings.md describes them for those who do.

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

/// Where a recording is written to.
pub trait Sink: Send {
    /// Adds a completed tick: its rows' values are in the order of the header's columns. It may keep the buffers, and
    /// leave others in their place.
    ///
    /// # Errors
    /// When it could not be written. The recording is then as it was after the last flush.
    fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError>;

    /// Makes what was added outlast psn, and the host.
    ///
    /// # Errors
    /// When it could not be written.
    fn flush(&mut self) -> Result<(), RecordError>;

    /// Ends the recording. With the facts of the run's report, a replay can give the very same one.
    ///
    /// # Errors
    /// When it could not be written.
    fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError>;
}

/// What is wanted of a recording.
#[derive(Debug, Clone)]
pub struct Query {
    /// The columns, in the order that the rows' values are to have. Each was recorded.
    pub columns: Vec<&'static Column>,
    /// Ticks from this time on, nanoseconds since 1970.
    pub from_ns: u64,
    /// Ticks before this time.
    pub to_ns: u64,
}

/// Some rows of a tick, all of them if they are few.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The tick.
    pub tick: &'a TickInfo,
    /// The rows, with values in the order of the query's columns.
    pub rows: &'a Rows,
    /// Whether these are the tick's last ones. Every tick has a last piece, if only an empty one.
    pub is_last: bool,
    /// How much of the recording has been read, from 0 to 1.
    pub progress: f64,
}

/// Rows of a [`Piece`] at most: it bounds the memory that a recording can ask for.
pub const PIECE_ROWS: usize = 1 << 14;

/// Bytes of a piece after which it ends, for the same reason.
const PIECE_BYTES: usize = 32 << 20;

/// A visitor of ticks.
pub type Visit<'a> = dyn FnMut(Piece<'_>) -> Result<(), RecordError> + 'a;

/// A recording of one run on one host, to be read.
pub trait Recording {
    /// Where it lies.
    fn path(&self) -> PathBuf;

    /// What was recorded.
    fn header(&self) -> &Header;

    /// What the run's report said; none of a run that was killed, or still goes on.
    fn facts(&self) -> Option<&Facts>;

    /// Sentences on what of the recording could not be read, or was not written.
    fn warnings(&self) -> Vec<String>;

    /// Sentences on what of the recording is lost, because another program wrote it anew. Whoever asks is answered from the
    /// rest, and told that this is not all.
    fn lost(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the original psn wrote it, which does not tell whether a run was cut off.
    fn is_of_original(&self) -> bool {
        false
    }

    /// The times of the first and the last tick, nanoseconds since 1970; none without a tick.
    ///
    /// # Errors
    /// When the file can not be read.
    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError>;

    /// The time of the last tick, which the clock may have shown before: it can be set back. None without a tick.
    ///
    /// # Errors
    /// When the file can not be read.
    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        Ok(self.span()?.map(|(_, last)| last))
    }

    /// Visits the ticks that `query` wants, in order.
    ///
    /// # Errors
    /// Those of `visit`, and of the file.
    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError>;
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One SQLite database.
    Sqlite,
    /// A directory of Parquet files.
    Parquet,
    /// One file of comma-separated values.
    Csv,
}

impl Format {
    /// The format that the name of `path` asks for.
    ///
    /// # Errors
    /// When it asks for none.
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
