//! Why a run gave no report.

use crate::kernel::Unavailable;
use crate::proc::ReadError;

/// Why a run gave no report.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The proc root can not be used.
    #[error("cannot open {path}: {error}; is it a mounted proc file system?")]
    Root {
        /// The path.
        path: String,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// The proc root can not be listed.
    #[error("cannot list the processes in {path}: {error}")]
    List {
        /// The path.
        path: String,
        /// Why.
        error: ReadError,
    },
    /// `-p` or `-t` matches nothing.
    #[error("{0}")]
    NothingSelected(String),
    /// Threads of psn's own can not be had.
    #[error("cannot start psn's own threads: {0}; lower --workers, or raise the limit on processes (ulimit -u)")]
    Threads(String),
    /// The first task list does not come.
    #[error("{path} could not be listed within {seconds} seconds: something there blocks whoever reads it")]
    ListingHangs {
        /// The path.
        path: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Stopped before there was anything to report.
    #[error("stopped before the first task list was complete")]
    StoppedEarly,
    /// Capabilities that psn was given can not be used.
    #[error("cannot use the capabilities that psn was given: {0}")]
    Rights(std::io::Error),
    /// The kernel is to walk, and can not be made to.
    #[error("--scan kernel: {0}")]
    NoWalk(#[from] Unavailable),
    /// The kernel's walk failed.
    #[error("--scan kernel: a walk failed: {0}")]
    Walk(std::io::Error),
}
