//! Recordings as datasets of Parquet files, which engines read as one table, of one host or of all.
//!
//! ```text
//! DIR/host=web1/                                               locked by the psn that writes for this host
//! DIR/host=web1/date=2026-11-23/hour=03/part-….parquet         complete, and never changed again
//! DIR/host=web1/date=2026-11-23/hour=03/.part-….parquet.tmp    being written
//! ```
//!
//! A part holds some seconds of one run: its rows as a table for everybody (`schema`), and its ticks, also those
//! without rows, as a second Parquet file in the body of the first, where only psn looks (`ticks`). What psn must
//! know to make a recording of parts, the run's header first of all, is in the metadata of each.
//!
//! | written by | | read by | |
//! |---|---|---|---|
//! | `sink` | ticks to parts | `read`, `decode` | parts to recordings, one a run; their rows |
//! | `buffer` | the rows of a part in memory | `rows` | rows of the columns that are asked for |
//! | `encode`, `hybrid` | one column to pages | `column`, `hybrid` | pages to the values of one column |
//! | `part`, `table` | one file | `footer`, `thrift` | what a file says of itself |
//! | `dataset`, `name` | directories and files | `find`, `look`, `runs` | which parts there are, what they say, what they are of |
//! | `merge` | many small parts to few large ones | `file` | bytes |
//! | `keep` | what has to go | | |
//!
//! `dir` holds directories open; `page` and `sum` have the checksums by which damage is told.
//!
//! Schemas and what files say of themselves are written by the `parquet` crate; the values by psn, three times as fast and
//! in half the room. They are also read by psn, which understands what it writes and no more: the crate's reader panics,
//! recurses and allocates as a hostile file tells it to, and clones every text of every row.

mod dataset;
mod dir;
mod find;
mod format;
mod info;
mod name;
mod read;
mod recording;
mod retention;
mod sink;
mod ticks;
mod write;

use std::path::Path;

pub(super) use recording::open;
pub(super) use sink::DatasetOptions;
use sink::ParquetSink;

use super::{Header, RecordError, Sink};

/// Begins a recording in the dataset at `path`, or, if the name ends in `.parquet`, in that one file.
///
/// # Errors
/// When another psn writes there, when this run is recorded there already and `force` does not have it replaced, and
/// when files can not be made.
pub(super) fn create(
    path: &Path,
    header: &Header,
    force: bool,
    options: DatasetOptions,
) -> Result<Box<dyn Sink>, RecordError> {
    Ok(Box::new(ParquetSink::create(path, header, force, options)?))
}
