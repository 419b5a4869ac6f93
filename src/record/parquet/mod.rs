//! Recordings as datasets of Parquet files, which engines read as one table, of one host or of all.
//!
//! ```text
//! DIR/host=web1/                                               locked by the psn that writes for this host
//! DIR/host=web1/date=2026-11-23/hour=03/part-….parquet         complete, and never changed again
//! DIR/host=web1/date=2026-11-23/hour=03/.part-….parquet.tmp    being written
//! ```
//!
//! A part holds some seconds of one run: its rows, as a table for everyone (`format::schema`), and its ticks, including those
//! without rows, as a second Parquet file within the first, where only psn looks (`ticks`). The header of the run, and what else
//! psn needs, is noted in the metadata of each part (`info`).
//!
//! From the top, each module uses only those below it:
//!
//! | module | |
//! |---|---|
//! | `sink` | writes ticks to parts; `merge` makes few large parts of many small ones |
//! | `recording` | reads parts: `runs` groups them by run, `decode` reads the rows of a run |
//! | `retention` | which parts are removed because they are too old or too many |
//! | `dataset` | the directories and complete parts of one host, for its writer |
//! | `find` | the parts below a directory, for readers |
//! | `info` | what is noted in the metadata of a part |
//! | `ticks` | the ticks of a part |
//! | `dir`, `name` | directories that are held open; the names of files and directories |
//! | `read`, `write` | one Parquet file: its rows, its columns, its pages |
//! | `format` | what reading and writing share: metadata, page headers, encodings, checksums, damage |
//!
//! The `parquet` crate writes row groups and metadata. psn encodes the values itself (why: `write::encode`), writes and reads page
//! headers itself (why: `format::page`), and reads metadata and values itself (why: `format::footer`): what the crate's readers
//! allocate is up to the file, and they clone each text of each row.

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

/// Begins a recording in the dataset at `path`, or, if the name ends in `.parquet`, in that file. An earlier recording of the
/// same run is replaced if `force` is set. Fails if another psn writes there.
pub(super) fn create(
    path: &Path,
    header: &Header,
    force: bool,
    options: DatasetOptions,
) -> Result<Box<dyn Sink>, RecordError> {
    Ok(Box::new(ParquetSink::create(path, header, force, options)?))
}
