//! Ranges of files that anyone may have written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::process::geteuid;

use crate::record::parquet::format::damage::Damage;

/// A range of bytes in a file.
#[derive(Debug, Clone)]
pub(crate) struct FileRange {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl FileRange {
    /// Opens the file at `path`, which the user names. Links are followed.
    pub(crate) fn open(path: &Path) -> Result<Self, Damage> {
        // Checked before the file is opened: opening a device may have effects, and opening a pipe waits for its writer.
        Damage::unless_file(kind(&rustix::fs::stat(path).map_err(io::Error::from)?))?;
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        Self::of(OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?)
    }

    /// All of `file`, if it is a regular file.
    pub(crate) fn of(file: File) -> Result<Self, Damage> {
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        Damage::unless_file(kind(&stat))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Self { file: Arc::new(file), start: 0, len })
    }

    /// The length in bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file belongs to the user who runs psn.
    pub(crate) fn is_own(&self) -> io::Result<bool> {
        Ok(is_own(&rustix::fs::fstat(&*self.file)?))
    }

    /// The whole file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The range of `len` bytes from `offset` on, within this one.
    pub(crate) fn part(&self, offset: u64, len: u64) -> Result<Self, Damage> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(Self { file: Arc::clone(&self.file), start: self.start + offset, len }),
            _ => Err(Damage::Form("it refers to bytes beyond its end")),
        }
    }

    /// Reads `len` bytes from `offset` on into `buffer`, and replaces what is there.
    pub(crate) fn read(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), Damage> {
        let part = self.part(offset, len as u64)?;
        buffer.clear();
        buffer.resize(len, 0);
        self.file.read_exact_at(buffer, part.start)?;
        Ok(())
    }
}

/// The type of a file.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether this is a regular file that belongs to the user who runs psn.
pub(crate) fn is_own_file(stat: &Stat) -> bool {
    kind(stat) == FileType::RegularFile && is_own(stat)
}

/// Whether this belongs to the user who runs psn.
pub(crate) fn is_own(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}
