//! Why a storm could not be built or did not hold.

use std::fmt;
use std::io;

use crate::plan::mix::MixError;

/// Why a storm could not be built or did not hold.
#[derive(Debug)]
pub(crate) enum StormError {
    /// The arguments contradict each other.
    Usage(MixError),
    /// A system call failed without which there is no storm.
    Io(&'static str, io::Error),
    /// A limit was hit; the text says which, how far the storm got, and how to raise it.
    Limit(String),
    /// The storm did not reach its planned state, or one of its processes died.
    Broken(String),
    /// It was ended before it was complete.
    Ended(&'static str),
}

impl StormError {
    /// The exit status of the program.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for StormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => write!(f, "--mix: {error}"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Limit(text) | Self::Broken(text) => f.write_str(text),
            Self::Ended(by) => write!(f, "ended by {by} before it was complete"),
        }
    }
}

impl std::error::Error for StormError {}
