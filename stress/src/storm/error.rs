//! Why a storm could not be started.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a storm could not be started.
#[derive(Debug)]
pub enum SpawnError {
    /// There is no program to run, and it could not be built.
    NoProgram(String),
    /// The program could not be started.
    Start(PathBuf, io::Error),
    /// The storm was not ready by the deadline; with its standard error.
    Late(String),
    /// The storm ended before it was ready; with its standard error.
    Failed(String),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram(why) => write!(f, "psn-storm cannot be found or built: {why}"),
            Self::Start(program, error) => write!(f, "{}: {error}", program.display()),
            Self::Late(said) => write!(f, "the storm was not ready by the deadline: {said}"),
            Self::Failed(said) => write!(f, "the storm failed: {said}"),
        }
    }
}

impl std::error::Error for SpawnError {}
