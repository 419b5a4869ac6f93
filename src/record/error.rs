//! Why a recording could not be written or read.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::text::sentence::shown;

/// What is behind an error: the error of an engine or of the system, or a sentence.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An I/O error.
    #[error("{}: {source}", shown(.path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The format's engine failed, or cannot do what is asked.
    #[error("{}: {source}", shown(.path))]
    Engine {
        /// The recording.
        path: PathBuf,
        /// The engine's error, or a sentence.
        source: Cause,
    },
    /// There is something at the path already.
    #[error("{} exists: choose another name, or replace it with --force", shown(.path))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The dataset has parts of this run already.
    #[error("{}: its run {run} exists: choose another name, or replace it with --force", shown(.path))]
    RunExists {
        /// The dataset.
        path: PathBuf,
        /// The run.
        run: String,
    },
    /// Another user could replace the files that psn makes there, or redirect them.
    #[error(
        "{}: {reason}; with more rights than its user's, psn records only where no other user may write: choose another \
         directory (mkdir -m 700), or remove the others' write permission (chmod go-w, chown)", shown(.path)
    )]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// Who may write there.
        reason: String,
    },
    /// Another psn writes there.
    #[error("{} is being written by another psn", shown(.path))]
    Locked {
        /// The file or directory.
        path: PathBuf,
    },
    /// It is not a recording, or a damaged one.
    #[error("{} is not a recording: {source}", shown(.path))]
    NotRecording {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// The name does not tell the format.
    #[error(
        "{}: name a recording .db or .sqlite for SQLite, .csv for CSV, or end it with / for a Parquet dataset", shown(.path)
    )]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// No recording is of the hosts that are asked for.
    #[error("{paths}: there is no recording of --host {}; there are recordings of {}", .wanted.join(", "), .present.join(", "))]
    NoHost {
        /// What was opened.
        paths: String,
        /// The hosts that are asked for.
        wanted: Vec<String>,
        /// The hosts that were recorded.
        present: Vec<String>,
    },
    /// A column that is asked for was not recorded.
    #[error("column '{column}' was not recorded in {}; it has {}", shown(.path), .recorded.join(", "))]
    NotRecorded {
        /// The recording.
        path: PathBuf,
        /// The column's name.
        column: &'static str,
        /// The columns that were recorded.
        recorded: Vec<String>,
    },
    /// Processes are asked for by name, and their names were not recorded.
    #[error(
        "-p: the names of processes (column pcomm) were not recorded in {}, which an older psn wrote; give pids, or select \
         threads by name with --where 'comm2 ~ NAME'", shown(.path)
    )]
    NoProcessNames {
        /// The recording.
        path: PathBuf,
    },
    /// `--per` is too short for the time that was recorded.
    #[error("--per {per}: that is more than {max} slices; take longer ones, or less time with --from and --to")]
    TooManySlices {
        /// The length of a slice, as it is shown.
        per: String,
        /// How many slices there may be.
        max: usize,
    },
    /// The writer thread did not finish in time.
    #[error("the recording: the disk did not take all of it in time")]
    TooSlow,
    /// The writer thread panicked.
    #[error("the recording: the writer thread panicked")]
    WriterPanicked,
    /// The user asked for the end.
    #[error("stopped")]
    Stopped,
}

impl RecordError {
    /// An I/O error on `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// An error of the engine that reads or writes `path`.
    pub(crate) fn engine(path: &Path, source: impl Into<Cause>) -> Self {
        Self::Engine { path: path.to_owned(), source: source.into() }
    }

    /// `path` is not a recording.
    pub(crate) fn not_recording(path: &Path, source: impl Into<Cause>) -> Self {
        Self::NotRecording { path: path.to_owned(), source: source.into() }
    }
}
