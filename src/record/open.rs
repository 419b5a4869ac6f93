//! From a path to the recordings there, and to the sink for a new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::csv::{CsvRecording, CsvSink};
use super::parquet::{self, DatasetOptions};
use super::sqlite::{self, SqliteSink};
use super::{Format, Header, RecordError, Recording, Sink};

/// How a recording is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// Where to; the name says in which format.
    pub path: PathBuf,
    /// Whether what is there is replaced.
    pub force: bool,
    /// The time between two flushes; of a dataset, the longest time that one part is for.
    pub flush: Option<Duration>,
    /// Parts of a dataset older than this are removed.
    pub keep: Option<Duration>,
    /// The size in bytes to which a dataset is held, by removing its oldest parts.
    pub max_size: Option<u64>,
}

impl SinkOptions {
    /// The time between two flushes.
    #[must_use]
    pub fn flush_every(&self) -> Duration {
        // A dataset's sink knows itself when a part is complete, and is only reminded to look.
        let longest = Duration::from_secs(1);
        self.flush.map_or(longest, |flush| if self.is_dataset() { flush.min(longest) } else { flush })
    }

    fn is_dataset(&self) -> bool {
        Format::of(&self.path).is_ok_and(|format| format == Format::Parquet)
    }
}

/// Begins a recording of rows as `header` says.
///
/// # Errors
/// When it can not be begun there.
pub fn sink(options: &SinkOptions, header: &Header) -> Result<Box<dyn Sink>, RecordError> {
    let path = &options.path;
    Ok(match Format::of(path)? {
        Format::Sqlite => Box::new(SqliteSink::create(path, header, options.force)?),
        Format::Csv => Box::new(CsvSink::create(path, header, options.force)?),
        Format::Parquet => {
            let mut dataset =
                DatasetOptions { keep: options.keep, max_size: options.max_size, ..DatasetOptions::default() };
            if let Some(flush) = options.flush {
                dataset.part = flush;
            }
            parquet::create(path, header, options.force, dataset)?
        }
    })
}

/// The recordings that `patterns` name: files, directories, and patterns with `*`, `?` and `[…]`. In order of their start.
/// To set `stop` ends this, and every reading of them.
///
/// # Errors
/// When nothing is there, or one of them is no recording.
pub fn recordings(
    patterns: &[String],
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
            return Err(RecordError::NotRecording {
                path: patterns.join(", "),
                reason: format!("of --host {} there is nothing; there is {}", hosts.join(", "), present.join(", ")),
            });
        }
    }
    found.sort_by_key(|recording| (recording.header().host.clone(), recording.header().started_ns));
    Ok(found)
}

fn expand(pattern: &str) -> Result<Vec<PathBuf>, RecordError> {
    // A file of that very name comes first: names may have brackets.
    if Path::new(pattern).symlink_metadata().is_ok() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let failed = |reason: String| RecordError::Engine { path: pattern.to_owned(), reason };
    let paths = glob::glob(pattern).map_err(|error| failed(error.to_string()))?;
    let paths: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if paths.is_empty() { Err(failed("nothing matches".to_owned())) } else { Ok(paths) }
}

fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    let metadata = path.metadata().map_err(|error| RecordError::io(path, error))?;
    if metadata.is_dir() {
        return parquet::open(path, stop);
    }
    Ok(match Format::of(path) {
        Ok(Format::Parquet) => return parquet::open(path, stop),
        Ok(Format::Csv) => vec![Box::new(CsvRecording::open(path)?)],
        // The original's databases have any name.
        Ok(Format::Sqlite) | Err(_) => vec![sqlite::open(path, stop)?],
    })
}
