//! The bytes of files that anybody may have written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

/// Why a file, or the rest of it, can not be read.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not as psn writes it.
    #[error("{0}")]
    Form(&'static str),
}

impl Damage {
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
    /// All of the file at `path`.
    pub fn open(path: &Path) -> Result<Self, Damage> {
        // A named pipe would have its reader wait for a writer.
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Damage::Form("it is no file"));
        }
        Ok(Self { file: Arc::new(file), start: 0, len: metadata.len() })
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.len
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
