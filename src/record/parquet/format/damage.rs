//! Why a file is not read, or not to its end.

use std::io;

use rustix::fs::FileType;

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Its metadata are too long.
    #[error("its metadata are longer than those of any recording")]
    Long,
    /// The user asked for the end.
    #[error("stopped")]
    Stopped,
    /// Another program, of this name, wrote it.
    #[error(
        "{0} wrote it, and not psn: the times of its ticks, the ticks without rows, and its run are lost; SQL engines can still \
         read its rows"
    )]
    Foreign(String),
    /// It is not as psn writes it.
    #[error("{0}")]
    Form(&'static str),
}

impl Damage {
    /// Fails if this is not the type of a regular file.
    pub(crate) const fn unless_file(kind: FileType) -> Result<(), Self> {
        match kind {
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(Self::Form("it is a link, and psn follows no links within a dataset")),
            FileType::Directory => Err(Self::Form("it is a directory")),
            FileType::Fifo => Err(Self::Form("it is a named pipe, not a regular file")),
            _ => Err(Self::Form("it is a device or a socket, not a regular file")),
        }
    }

    /// Whether the file does not exist.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}
