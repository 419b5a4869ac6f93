//! The bytes of files that anybody may have written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};

use super::dir;

/// Why a file, or the rest of it, can not be read.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
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
    pub const fn unless_file(kind: FileType) -> Result<(), Self> {
        match kind {
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(Self::Form("it is a link, and psn follows none within a dataset")),
            FileType::Directory => Err(Self::Form("it is a directory")),
            FileType::Fifo => Err(Self::Form("it is a named pipe, and no file")),
            _ => Err(Self::Form("it is a device or a socket, and no file")),
        }
    }

    /// Whether there is no such file.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// A stretch of a file.
#[derive(Debug, Clone)]
pub struct Slice {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Slice {
    /// All of the file at `path`, which the user names: it may be a link.
    pub fn open(path: &Path) -> Result<Self, Damage> {
        // To open a device may do something; a named pipe would have its reader wait for a writer.
        Damage::unless_file(dir::kind(&rustix::fs::stat(path).map_err(io::Error::from)?))?;
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        Self::of(OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?)
    }

    /// All of `file`, if it is one.
    pub fn of(file: File) -> Result<Self, Damage> {
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        Damage::unless_file(dir::kind(&stat))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Self { file: Arc::new(file), start: 0, len })
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is of a file of the user who runs psn.
    pub fn is_own(&self) -> io::Result<bool> {
        Ok(dir::is_own(&rustix::fs::fstat(&*self.file)?))
    }

    /// The file that it is a stretch of.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A stretch of it.
    pub fn part(&self, offset: u64, len: u64) -> Result<Self, Damage> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(Self { file: Arc::clone(&self.file), start: self.start + offset, len }),
            _ => Err(Damage::Form("it refers to what is beyond its end")),
        }
    }

    /// Reads `len` bytes from `offset` on into `buffer`, which then has these alone.
    pub fn read(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let part = self.part(offset, len as u64)?;
        buffer.clear();
        buffer.resize(len, 0);
        self.file.read_exact_at(buffer, part.start)?;
        Ok(())
    }
}
