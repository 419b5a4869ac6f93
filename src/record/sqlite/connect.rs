//! Opens databases for reading. Anyone may have written them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::files::{DatabaseFiles, FileRole};
use super::vfs;
use crate::record::RecordError;
use crate::record::directory::with_suffix;
use crate::text::escape::printable;
use crate::text::sentence::shown;

/// The most bytes in a text; psn's are shorter.
const MAX_LENGTH: i32 = 16 << 20;

/// The most memory that SQLite may take for all databases together. 2 MiB of it are the cache.
const HEAP_BYTES: u32 = 64 << 20;

/// How many instructions of its virtual machine SQLite runs between two calls of the progress handler: a few milliseconds.
const STEPS: i32 = 10_000;

/// How many calls of the progress handler the opening of a database may take: a million instructions. psn's databases take
/// some thousand.
const PATIENCE: u64 = 100;

/// The start of every database: <https://sqlite.org/fileformat2.html#the_database_header>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum ReadFailure {
    /// An error of SQLite's.
    Sqlite(rusqlite::Error),
    /// An error of the visitor.
    Record(RecordError),
    /// psn did not write that.
    Malformed(&'static str),
    /// A checksum is wrong.
    Damaged,
}

impl From<rusqlite::Error> for ReadFailure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<RecordError> for ReadFailure {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// A database that is open for reading.
#[derive(Debug)]
pub(super) struct Database {
    pub db: Connection,
    files: Arc<DatabaseFiles>,
    /// How many calls of the progress handler are left.
    patience: Arc<AtomicU64>,
}

impl Database {
    /// Opens the database at `path`, with its write-ahead log if it has one. Setting `stop` ends all reading.
    pub(super) fn open(path: &Path, stop: &Arc<std::sync::atomic::AtomicBool>) -> Result<Self, RecordError> {
        let files = Arc::new(DatabaseFiles::open(path, stop)?);
        check_start(&files, path)?;
        let failed = |error: rusqlite::Error| match &error {
            _ if files.is_stopped() => RecordError::Stopped,
            rusqlite::Error::SqliteFailure(code, _) if code.code == ErrorCode::OperationInterrupted => {
                RecordError::not_recording(path, "it has more tables, views or columns than psn writes")
            }
            _ => RecordError::not_recording(path, SqliteError(error)),
        };
        let offer = vfs::OfferedName::new(&files).map_err(failed)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<(Connection, Arc<AtomicU64>)> {
            let mut db = Connection::open_with_flags_and_vfs(offer.name(), flags, vfs::NAME)?;
            let patience = guard(&mut db, &files)?;
            // This reads the file and the log, so that SQLite opens both now.
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
            Ok((db, patience))
        };
        let (db, patience) = open().map_err(failed)?;
        Ok(Self { db, files: Arc::clone(&files), patience })
    }

    /// Lifts the limit on instructions, for reading whose work is bounded otherwise.
    pub(super) fn be_patient(&self) {
        self.patience.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the user asked for the end.
    pub(super) fn is_stopped(&self) -> bool {
        self.files.is_stopped()
    }

    /// A warning if a writer was stopped within a change.
    pub(super) fn cut_change(&self, path: &Path) -> Option<String> {
        let (path, journal) = (shown(path), shown(Path::new(&with_suffix(path, "-journal"))));
        self.files.is_cut_within_a_change().then(|| {
            format!(
                "{path}: it is damaged: its writer was stopped within a change, which psn does not undo; sqlite3 does, with {journal}"
            )
        })
    }

    /// Warnings about the files of the database at `path`.
    pub(super) fn oddities(&self, path: &Path) -> rusqlite::Result<Vec<String>> {
        let mut odd: Vec<String> = self.cut_change(path).into_iter().collect();
        let (named, path) = (path, shown(path));
        let number = |pragma: &str| self.db.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
        let wants = number("PRAGMA page_size")?.saturating_mul(number("PRAGMA page_count")?);
        let has = self.files.len(FileRole::Database).unwrap_or(0);
        if !self.files.has_log() && has != wants {
            odd.push(format!("{path}: it has {has} bytes where it should have {wants}: it was cut off or added to"));
        }
        let mut versions = [0; 2];
        let is_logged = self.files.read_at(FileRole::Database, &mut versions, 18).is_ok_and(|len| len == 2);
        if is_logged && versions == [2, 2] && !self.files.has_log() {
            let log = shown(Path::new(&with_suffix(named, "-wal")));
            odd.push(format!("{path}: its log {log} is missing: it has what was written last; copy both files"));
        }
        Ok(odd)
    }

    /// Whether each of `tables` is a table without computed columns. Views, triggers and expressions of a stranger are never
    /// run.
    pub(super) fn are_plain_tables(&self, tables: &[&str]) -> rusqlite::Result<bool> {
        let kind = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = ?1 AND type = 'table'";
        let hidden = "SELECT count(*) FROM pragma_table_xinfo(?1) WHERE hidden <> 0";
        for table in tables {
            let is_table = self.db.query_row(kind, [table], |row| row.get::<_, i64>(0))? == 1;
            if !is_table || self.db.query_row(hidden, [table], |row| row.get::<_, i64>(0))? != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The names of a table's columns; none if there is no such table.
    pub(super) fn table_columns(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        let mut select = self.db.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = select.query_map([table], |row| row.get(0))?;
        names.collect()
    }
}

/// Refuses files that are not databases, in clearer words than SQLite does.
fn check_start(files: &DatabaseFiles, path: &Path) -> Result<(), RecordError> {
    let mut start = [0; 16];
    let read = files.read_at(FileRole::Database, &mut start, 0).map_err(|error| RecordError::io(path, error))?;
    if read == 0 {
        let reason = if files.has_log() { "it is empty, though it has a log" } else { "it is empty" };
        return Err(RecordError::not_recording(path, reason));
    }
    if start != *MAGIC {
        return Err(RecordError::not_recording(path, "it is not an SQLite database"));
    }
    Ok(())
}

/// Bounds what SQLite does with a file that a stranger may have written.
fn guard(db: &mut Connection, files: &Arc<DatabaseFiles>) -> rusqlite::Result<Arc<AtomicU64>> {
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        db.set_db_config(option, on)?;
    }
    let patience = Arc::new(AtomicU64::new(PATIENCE));
    let (left, stop) = (Arc::clone(&patience), Arc::clone(files.stop()));
    db.progress_handler(
        STEPS,
        Some(move || {
            let is_over = left.load(Ordering::Relaxed) == 0;
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
                || is_over
                || stop.load(Ordering::Relaxed)
        }),
    )?;
    db.execute_batch(&format!(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA hard_heap_limit = {HEAP_BYTES}; PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON; PRAGMA mmap_size = 0;"
    ))?;
    Ok(patience)
}

/// An error of SQLite's whose text is safe to show: it may contain names that the file's writer chose.
#[derive(Debug)]
pub(super) struct SqliteError(pub rusqlite::Error);

impl std::fmt::Display for SqliteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&printable(self.0.to_string().as_bytes()))
    }
}

impl std::error::Error for SqliteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
