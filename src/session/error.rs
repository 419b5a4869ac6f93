//! The errors that end a run without a report.

use crate::kernel::Unavailable;
use crate::proc::ReadError;

/// An error that ends a run without a report.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The proc root cannot be opened.
    #[error("cannot open {path}: {error}; is it a mounted proc file system?")]
    Root {
        /// Its path.
        path: String,
        /// The kernel's error.
        error: std::io::Error,
    },
    /// The proc root cannot be listed.
    #[error("cannot list the processes in {path}: {error}")]
    List {
        /// Its path.
        path: String,
        /// The class of the failure.
        error: ReadError,
    },
    /// `-p` or `-t` matches no thread.
    #[error("{0}")]
    NothingSelected(String),
    /// The kernel refuses to start a thread of psn's own.
    #[error("cannot start psn's own threads: {0}; lower --workers, or raise the limit on processes (ulimit -u)")]
    Threads(String),
    /// The first task list takes too long.
    #[error("{path} could not be listed within {seconds} seconds: something in it blocks its readers")]
    ListingHangs {
        /// The path of the proc root.
        path: String,
        /// How long psn waited.
        seconds: u64,
    },
    /// The run was stopped before the first task list was complete.
    #[error("stopped before the first task list was complete")]
    StoppedEarly,
    /// The capabilities that psn was given cannot be raised.
    #[error("cannot use the capabilities that psn was given: {0}")]
    Rights(std::io::Error),
    /// `--scan kernel` was asked for, and the kernel cannot be made to walk.
    #[error("--scan kernel: {0}")]
    NoWalk(#[from] Unavailable),
    /// `--scan kernel` was asked for, and a walk failed.
    #[error("--scan kernel: a walk failed: {0}")]
    Walk(std::io::Error),
}
