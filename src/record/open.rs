//! Opens the recordings at a path, and creates the sink for a new one.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::csv::{CsvRecording, CsvSink};
use super::directory::with_suffix;
use super::input_file::{Content, InputFile};
use super::parquet::{self, DatasetOptions};
use super::sqlite::{self, SqliteSink};
use super::{Header, RecordError, Recording, RecordingFormat, Sink};
use crate::text::sentence::shown;

/// How a recording is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// The path of the recording. Its name tells the format.
    pub path: PathBuf,
    /// Whether an existing recording is replaced.
    pub force: bool,
    /// The time between two flushes. In a dataset, the longest time that one part covers.
    pub flush: Option<Duration>,
    /// Parts of a dataset that are older than this are removed.
    pub keep: Option<Duration>,
    /// The size in bytes that a dataset may have. The oldest parts are removed to keep it.
    pub max_size: Option<u64>,
}

impl SinkOptions {
    /// The time between two flushes.
    #[must_use]
    pub fn flush_every(&self) -> Duration {
        // The sink of a dataset itself checks on each flush whether a part is due.
        let longest = Duration::from_secs(1);
        self.flush.map_or(longest, |flush| if self.is_dataset() { flush.min(longest) } else { flush })
    }

    fn is_dataset(&self) -> bool {
        RecordingFormat::of(&self.path).is_ok_and(|format| format == RecordingFormat::Parquet)
    }
}

/// Creates the recording that `options` describe.
///
/// # Errors
/// If it cannot be created there.
pub fn sink(options: &SinkOptions, header: &Header) -> Result<Box<dyn Sink>, RecordError> {
    let path = &options.path;
    Ok(match RecordingFormat::of(path)? {
        RecordingFormat::Sqlite => Box::new(SqliteSink::create(path, header, options.force)?),
        RecordingFormat::Csv => Box::new(CsvSink::create(path, header, options.force)?),
        RecordingFormat::Parquet => {
            let mut dataset =
                DatasetOptions { keep: options.keep, max_size: options.max_size, ..DatasetOptions::default() };
            if let Some(flush) = options.flush {
                dataset.part = flush;
            }
            parquet::create(path, header, options.force, dataset)?
        }
    })
}

/// Opens the recordings that `patterns` name, ordered by host and start: files, directories, patterns with `*`, `?` and
/// `[…]`, and `-` for CSV from standard input. Setting `stop` ends this and all reading of the recordings.
///
/// # Errors
/// If nothing is there, or something there is not a recording.
pub fn recordings(
    patterns: &[PathBuf],
    hosts: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    let mut found = Vec::new();
    for pattern in patterns {
        for path in expand(pattern)? {
            found.extend(open(&path, stop)?);
        }
    }
    if !hosts.is_empty() {
        let present: Vec<String> = found.iter().map(|recording| recording.header().host.clone()).collect();
        found.retain(|recording| hosts.contains(&recording.header().host));
        if found.is_empty() {
            let mut present = present;
            present.sort();
            present.dedup();
            let patterns: Vec<String> = patterns.iter().map(|pattern| shown(pattern)).collect();
            return Err(RecordError::NoHost { paths: patterns.join(", "), wanted: hosts.to_vec(), present });
        }
    }
    found.sort_by_key(|recording| (recording.header().host.clone(), recording.header().started_ns));
    Ok(found)
}

fn expand(pattern: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let is_pattern = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
    // A file of exactly this name comes first: names may contain brackets.
    if pattern.symlink_metadata().is_ok() || !pattern.as_os_str().as_bytes().iter().any(is_pattern) {
        return Ok(vec![pattern.to_owned()]);
    }
    let text = pattern
        .to_str()
        .ok_or_else(|| RecordError::engine(pattern, "a pattern must be UTF-8, and nothing has this name"))?;
    let paths = glob::glob(text).map_err(|error| RecordError::engine(pattern, error))?;
    let paths: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if paths.is_empty() { Err(RecordError::engine(pattern, "nothing matches")) } else { Ok(paths) }
}

fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    if path.as_os_str() != "-" && path.metadata().map_err(|error| RecordError::io(path, error))?.is_dir() {
        return parquet::open(path, stop);
    }
    let source = InputFile::open(path, stop)?;
    let content = source.content().map_err(|error| RecordError::io(path, error))?;
    if source.is_copy && matches!(content, Content::Sqlite | Content::Parquet) {
        return Err(RecordError::not_recording(path, "only CSV can be read from a pipe; name the file itself"));
    }
    // If the first bytes are damaged, the name tells the format.
    let named = RecordingFormat::of(path);
    Ok(match (content, named) {
        (Content::Csv | Content::Gzip, _) | (Content::Unknown, Ok(RecordingFormat::Csv)) => {
            vec![Box::new(CsvRecording::open(source, stop)?)]
        }
        (Content::Parquet, _) | (Content::Unknown | Content::Empty, Ok(RecordingFormat::Parquet)) => {
            return parquet::open(path, stop);
        }
        // A database that is being created may be in its write-ahead log alone.
        (Content::Empty, _) if !has_log(path) => return Err(RecordError::not_recording(path, "it is empty")),
        (Content::Sqlite | Content::Empty, _) | (Content::Unknown, Ok(RecordingFormat::Sqlite)) => {
            vec![sqlite::open(path, stop)?]
        }
        (Content::Unknown, Err(_)) => return Err(RecordError::not_recording(path, NO_FORMAT)),
    })
}

/// Why a file whose first bytes and name match no format is refused.
const NO_FORMAT: &str = "its first bytes are not those of a recording: recordings are SQLite (.db, .sqlite), CSV (.csv, also compressed by gzip), Parquet \
                         (.parquet), and directories of Parquet files";

/// Whether the database at `path` has a write-ahead log.
fn has_log(path: &Path) -> bool {
    Path::new(&with_suffix(path, "-wal")).symlink_metadata().is_ok_and(|log| log.len() > 0)
}
