//! The files of a database that is read. psn opens them itself.
//!
//! SQLite is given no path: another user who may write to the directory could make it open, create or chown something else
//! under that path. psn holds the directory open, opens the database and its log relative to it, follows no link, and hands
//! SQLite the descriptors ([`super::vfs`]). Nothing is mapped and nothing is created.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::record::RecordError;
use crate::record::directory::with_suffix;

/// The most bytes of a log that are copied, so that it does not change while it is read. A longer log is read in place; the
/// recording's checksums tell if it changed.
const COPIED_LOG: u64 = 64 << 20;

/// How often a log is copied again if it changes meanwhile.
const COPIES: usize = 3;

/// A write-ahead log: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
#[derive(Debug)]
enum WriteAheadLog {
    None,
    Copied(Vec<u8>),
    InPlace(File),
}

/// A database and its log, open.
#[derive(Debug)]
pub(super) struct DatabaseFiles {
    database: File,
    log: WriteAheadLog,
    /// Whether there is a rollback journal of a change that was not completed.
    is_cut_within_a_change: bool,
    /// Ends all reading when it is set.
    stop: Arc<AtomicBool>,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileRole {
    Database,
    Log,
}

impl DatabaseFiles {
    /// Opens the database at `path`, and its log if it has one. The log must belong to the owner of the database.
    pub(super) fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Self, RecordError> {
        let failed = |error| RecordError::io(path, error);
        // Links are resolved once, also that of the name itself. What they lead to stays open.
        let real = path.canonicalize().map_err(failed)?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(RecordError::not_recording(path, "it is a directory"));
        };
        let directory = File::from(
            rustix::fs::openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| failed(error.into()))?,
        );
        let database = regular(&directory, Path::new(name)).map_err(failed)?;
        let owner = database.metadata().map_err(failed)?.uid();
        let log_path = PathBuf::from(with_suffix(path, "-wal"));
        let log = match regular(&directory, Path::new(&with_suffix(name, "-wal"))) {
            Ok(log) => copy(log, owner).map_err(|error| RecordError::io(&log_path, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => WriteAheadLog::None,
            Err(error) => return Err(RecordError::io(&log_path, error)),
        };
        let is_cut_within_a_change =
            regular(&directory, Path::new(&with_suffix(name, "-journal"))).is_ok_and(|journal| is_hot(&journal));
        Ok(Self { database, log, is_cut_within_a_change, stop: Arc::clone(stop) })
    }

    /// Whether there is a rollback journal of a change that was not completed. Only a writer could undo it.
    pub(super) const fn is_cut_within_a_change(&self) -> bool {
        self.is_cut_within_a_change
    }

    /// Whether there is a write-ahead log.
    pub(super) const fn has_log(&self) -> bool {
        !matches!(self.log, WriteAheadLog::None)
    }

    /// Whether the user asked for the end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag that ends all reading.
    pub(super) const fn stop(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    /// The length of a file in bytes.
    pub(super) fn len(&self, which: FileRole) -> io::Result<u64> {
        match (which, &self.log) {
            (FileRole::Database, _) => Ok(self.database.metadata()?.len()),
            (FileRole::Log, WriteAheadLog::None) => Ok(0),
            (FileRole::Log, WriteAheadLog::Copied(bytes)) => Ok(bytes.len() as u64),
            (FileRole::Log, WriteAheadLog::InPlace(file)) => Ok(file.metadata()?.len()),
        }
    }

    /// Reads from `offset` on. Returns how many bytes there were.
    pub(super) fn read_at(&self, which: FileRole, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match (which, &self.log) {
            (FileRole::Database, _) => fill(&self.database, buffer, offset),
            (FileRole::Log, WriteAheadLog::None) => Ok(0),
            (FileRole::Log, WriteAheadLog::InPlace(file)) => fill(file, buffer, offset),
            (FileRole::Log, WriteAheadLog::Copied(bytes)) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                let len = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
                    to.copy_from_slice(from);
                }
                Ok(len)
            }
        }
    }
}

/// Opens the regular file `name` of a directory for reading. Pipes and devices are refused without waiting for them.
fn regular(directory: &File, name: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(io::Error::other("it is a link where a file should be")),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Whether a rollback journal has content: <https://sqlite.org/fileformat2.html#the_rollback_journal>.
fn is_hot(journal: &File) -> bool {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let mut start = [0; MAGIC.len()];
    fill(journal, &mut start, 0).is_ok() && start == MAGIC
}

/// Copies a log. Its header changes when the writer restarts it, so it is compared afterwards.
fn copy(log: File, owner: u32) -> io::Result<WriteAheadLog> {
    if log.metadata()?.uid() != owner {
        return Err(io::Error::other("it belongs to another user than the database"));
    }
    for _ in 0..COPIES {
        let len = log.metadata()?.len();
        if len > COPIED_LOG {
            break;
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = fill(&log, &mut bytes, 0)?;
        bytes.truncate(read);
        let mut header = [0; 32];
        let read = fill(&log, &mut header, 0)?;
        if header.get(..read) == bytes.get(..read) {
            return Ok(WriteAheadLog::Copied(bytes));
        }
    }
    Ok(WriteAheadLog::InPlace(log))
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(len as u64)) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
