//! A new database, of which psn makes every file itself.
//!
//! SQLite opens its files by name. So each name is made beforehand, exclusively, in a directory in which nobody else can give
//! it to something else: what SQLite then opens is what psn made.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::connect::SqliteError;
use crate::record::RecordError;
use crate::record::create::{self, Destination};

/// The files beside a database that SQLite may open.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// An empty database, locked for this psn.
pub(super) struct NewDatabase {
    /// Its directory, held.
    place: Destination,
    /// With no link in it, and no directory that another user could exchange.
    path: PathBuf,
    lock: File,
}

impl NewDatabase {
    /// Makes the file. What is there, and beside it, is replaced if `force` says so.
    ///
    /// # Errors
    /// When there is something under one of the names, when another psn writes it, when the directory is one in which other
    /// users can exchange files, and when it cannot be made.
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, RecordError> {
        let place = Destination::of(path)?;
        let real = create::safe_path(path)?;
        if !force {
            // What a killed writer left is not taken over, nor is what somebody else planted.
            BESIDE.iter().try_for_each(|suffix| create::remove_left(&place.beside(suffix)?, false))?;
        }
        let lock = create::file_at(&place, force)?;
        BESIDE.iter().try_for_each(|suffix| create::remove_left(&place.beside(suffix)?, force))?;
        Ok(Self { place, path: real, lock })
    }

    /// Opens it, has `write` write what comes first, and turns the log on. Returns the connection, and the lock to be held
    /// longer than that.
    ///
    /// # Errors
    /// Those of SQLite and of `write`, and when one of the files cannot be made.
    pub(super) fn fill(
        self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(Connection, File), RecordError> {
        let failed = |error: rusqlite::Error| RecordError::engine(&self.place.path, SqliteError(error));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let db = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        // The first tables are in the file itself, so that it is known for a recording without its log. They are written
        // without a journal: until then nothing can be lost.
        db.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY;")
            .map_err(failed)?;
        write(&db).map_err(failed)?;
        for suffix in ["-wal", "-shm"] {
            let place = self.place.beside(suffix)?;
            create::exclusively_at(&place).map_err(|error| RecordError::io(&place.path, error.into()))?;
        }
        // Readers see what was flushed while psn goes on writing. Synced at each commit, so that it outlasts the host.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
        Ok((db, self.lock))
    }
}
