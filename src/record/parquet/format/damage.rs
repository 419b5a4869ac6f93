//! Why a file is not read, or not to its end.

use std::io;

use rustix::fs::FileType;

/// Why a file, or the rest of it, can not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It says more of itself than is read.
    #[error("its metadata are longer than those of any recording")]
    Long,
    /// Nobody wants the rest.
    #[error("stopped")]
    Stopped,
    /// Another program wrote it, of this name.
    #[error(
        "{0} wrote it, and not psn: when its ticks were, which of them had no rows, and what run it is of is lost; SQL engines \
         can still read its rows"
    )]
    Foreign(String),
    /// It is not as psn writes it.
    #[error("{0}")]
    Form(&'static str),
}

impl Damage {
    /// That something is no file.
    pub(crate) const fn unless_file(kind: FileType) -> Result<(), Self> {
        match kind {
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(Self::Form("it is a link, and psn follows none within a dataset")),
            FileType::Directory => Err(Self::Form("it is a directory")),
            FileType::Fifo => Err(Self::Form("it is a named pipe, and no file")),
            _ => Err(Self::Form("it is a device or a socket, and no file")),
        }
    }

    /// Whether there is no such file.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}
