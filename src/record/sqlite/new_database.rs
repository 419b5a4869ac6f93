//! Creates a database, with every file that SQLite is going to open.
//!
//! SQLite opens files by name. So psn first creates a file under each name, exclusively, in a directory in which no other
//! user can replace it. What SQLite then opens is what psn created.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::connect::SqliteError;
use crate::record::RecordError;
use crate::record::create::{self, Destination};

/// The suffixes of the files beside a database that SQLite may open.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// An empty database with its lock.
pub(super) struct NewDatabase {
    /// Where it is, for messages and for the files beside it.
    place: Destination,
    /// A path without links, on which no other user can replace a directory.
    path: PathBuf,
    lock: File,
}

impl NewDatabase {
    /// Creates the file. If `force` is set, an existing one is replaced, and so are the files beside it.
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, RecordError> {
        let place = Destination::of(path)?;
        let real = create::safe_path(path)?;
        if !force {
            // What a killed writer or another user left there is not reused.
            BESIDE.iter().try_for_each(|suffix| create::remove_left(&place.beside(suffix)?, false))?;
        }
        let lock = create::file_at(&place, force)?;
        BESIDE.iter().try_for_each(|suffix| create::remove_left(&place.beside(suffix)?, force))?;
        Ok(Self { place, path: real, lock })
    }

    /// Opens the database, calls `write` for the first tables, and turns the write-ahead log on. Returns the connection, and
    /// the lock, which must outlive it.
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
        // The first tables are in the file itself, so that it is recognized as a recording without its log. There is nothing
        // to lose yet, so they are written without a journal.
        db.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY;")
            .map_err(failed)?;
        write(&db).map_err(failed)?;
        for suffix in ["-wal", "-shm"] {
            let place = self.place.beside(suffix)?;
            create::exclusively_at(&place).map_err(|error| RecordError::io(&place.path, error.into()))?;
        }
        // Readers see what was flushed while psn goes on writing. Each commit is synced, so that it survives a crash of the
        // host.
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(failed)?;
        Ok((db, self.lock))
    }
}
