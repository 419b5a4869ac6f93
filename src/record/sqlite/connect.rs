//! Opens databases that anybody may have written, to read them.

use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::record::RecordError;

/// No text of a recording is longer; what is, is none of psn's.
const MAX_LENGTH: i32 = 16 << 20;

/// What interrupts a reading.
#[derive(Debug)]
pub enum Trouble {
    /// The file.
    Sqlite(rusqlite::Error),
    /// The visitor.
    Record(RecordError),
    /// No psn wrote that.
    Malformed(&'static str),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<RecordError> for Trouble {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Opens the database at `path` for reading only.
///
/// # Errors
/// When it can not be read, or is none.
pub fn connect(path: &Path, warnings: &mut Vec<String>) -> Result<Connection, RecordError> {
    // A clearer word than "unable to open database file".
    drop(std::fs::File::open(path).map_err(|error| RecordError::io(path, error))?);
    let failed = |error: rusqlite::Error| RecordError::not_recording(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let open = |name: &str| -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(name, flags)?;
        db.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON;")?;
        // Touches the file, and the log beside it.
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok(db)
    };
    let name = uri(path);
    match open(&name) {
        // In a directory that may not be written, the log of a killed writer can not be followed.
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.code == ErrorCode::CannotOpen || error.code == ErrorCode::ReadOnly =>
        {
            let db = open(&format!("{name}?immutable=1")).map_err(failed)?;
            warnings.push(format!(
                "{}: what was written last is in {}-wal, which can not be read where its directory may not be written",
                path.display(),
                path.display()
            ));
            Ok(db)
        }
        opened => opened.map_err(failed),
    }
}

/// `path` as a `file:` URI, with every byte that means something in one escaped.
fn uri(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let escaped = bytes.iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    });
    format!("file:{}", escaped.collect::<String>())
}

/// The names of a table's columns; none if there is no such table.
///
/// # Errors
/// When the database can not be read.
pub fn table_columns(db: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut select = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = select.query_map([table], |row| row.get(0))?;
    names.collect()
}
