//! Reads the SQLite files of the original psn, Linux Process Snapper.
//!
//! There is a table for each file of /proc, each with `event_time`, `pid` and `task`. These three tell which rows of `stat`
//! and of the other tables belong together. The original stores threads in all states, and no ticks without threads.

use std::path::{Path, PathBuf};

use super::connect::{Database, ReadFailure, SqliteError};
use super::snapper_rows::{self, JoinedRows};
use crate::ask::column::Column;
use crate::record::header::FORMAT;
use crate::record::{
    Header, PIECE_BYTES, PIECE_ROWS, Piece, Query, RecordError, RecordedColumn, Recording, TickInfo, Visit,
};
use crate::report::Facts;
use crate::row::rows::Rows;
use crate::text::sentence::shown;

/// A database of the original psn.
#[derive(Debug)]
pub(super) struct SnapperRecording {
    path: PathBuf,
    database: Database,
    header: Header,
    /// The table of each column of the header.
    tables: Vec<String>,
}

/// The tables that are joined to `stat`.
const TABLES: [&str; 5] = ["syscall", "wchan", "io", "status", "cmdline"];

impl SnapperRecording {
    /// Whether `database` is one of the original psn's.
    #[must_use]
    pub(super) fn is_one(database: &Database) -> bool {
        // In psn's own recordings these names are views.
        database.are_plain_tables(&["stat"]).unwrap_or(false)
            && database.table_columns("stat").is_ok_and(|columns| columns.iter().any(|column| column == "event_time"))
    }

    /// Opens the recording in `database`.
    pub(super) fn new(database: Database, path: &Path) -> Result<Self, RecordError> {
        let failed = |error: rusqlite::Error| RecordError::not_recording(path, SqliteError(error));
        let mut columns = Vec::new();
        let mut tables = Vec::new();
        for table in std::iter::once("stat").chain(TABLES) {
            // Views and computed columns are not read.
            if !database.are_plain_tables(&[table]).map_err(failed)? {
                continue;
            }
            for name in database.table_columns(table).map_err(failed)? {
                let known = crate::ask::registry::COLUMNS.iter().find(|column| column.name == name);
                if let Some(column) =
                    known.filter(|column| !columns.iter().any(|RecordedColumn { name, .. }| name == column.name))
                {
                    columns.push(RecordedColumn::of(column));
                    tables.push(table.to_owned());
                }
            }
        }
        database.be_patient();
        let span = snapper_rows::span(&database.db).map_err(|trouble| match trouble {
            _ if database.is_stopped() => RecordError::Stopped,
            ReadFailure::Sqlite(error) => failed(error),
            ReadFailure::Record(error) => error,
            ReadFailure::Malformed(reason) => RecordError::not_recording(path, reason),
            ReadFailure::Damaged => RecordError::not_recording(path, "it is damaged"),
        })?;
        let ticks = (span.ticks, span.first, span.last);
        let first = ticks.1.as_deref().and_then(time_ns).unwrap_or(0);
        let last = ticks.2.as_deref().and_then(time_ns).unwrap_or(first);
        #[expect(clippy::cast_precision_loss, reason = "a rate, as well as it can be told")]
        let hz = if last > first { (ticks.0 - 1).max(1) as f64 / ((last - first) as f64 / 1e9) } else { 1.0 };
        let header = Header {
            format: FORMAT,
            version: "the original".to_owned(),
            run: path.to_string_lossy().into_owned(),
            host: "unknown".to_owned(),
            kernel: "unknown".to_owned(),
            boot_id: String::new(),
            started_ns: first,
            monotonic_ns: 0,
            boottime_ns: 0,
            hz,
            args: Vec::new(),
            states: "RSDTtXxKWZPI".to_owned(),
            filters: Vec::new(),
            columns,
        };
        Ok(Self { path: path.to_owned(), database, header, tables })
    }

    fn visit_ticks(&self, query: &Query, visit: &mut Visit<'_>) -> Result<(), ReadFailure> {
        let table_of = |column: &Column| self.header.place(column).and_then(|place| self.tables.get(place));
        let columns = query.columns.iter().map(|column| (table_of(column).map_or("stat", String::as_str), *column));
        let mut joined = JoinedRows::new(&self.database.db, &columns.collect::<Vec<_>>())?;
        let mut rows = Rows::new(query.columns.len());
        let mut tick = TickInfo::default();
        while let Some(is_next) = joined.next()? {
            if is_next {
                if is_wanted(&tick, query) {
                    visit(Piece { tick: &tick, rows: &rows, is_last: true, progress: 0.0 })?;
                }
                rows.clear();
                tick.time_ns = time_ns(joined.time()).unwrap_or(0);
                tick.due += 1;
                tick.threads = 0;
            }
            tick.threads += 1;
            if rows.len() >= PIECE_ROWS || rows.size() >= PIECE_BYTES {
                if is_wanted(&tick, query) {
                    visit(Piece { tick: &tick, rows: &rows, is_last: false, progress: 0.0 })?;
                }
                rows.clear();
            }
            joined.push(&mut rows);
        }
        if is_wanted(&tick, query) {
            visit(Piece { tick: &tick, rows: &rows, is_last: true, progress: 1.0 })?;
        }
        Ok(())
    }
}

fn is_wanted(tick: &TickInfo, query: &Query) -> bool {
    tick.due > 0 && (query.from_ns..query.to_ns).contains(&tick.time_ns)
}

/// Parses a time as Python writes it, in UTC: `2026-11-23T03:00:00.123456`.
fn time_ns(text: &str) -> Option<u64> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let timestamp = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(timestamp.as_nanosecond()).ok()
}

impl Recording for SnapperRecording {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn facts(&self) -> Option<&Facts> {
        None
    }

    fn warnings(&self) -> Vec<String> {
        let cut = self.database.cut_change(&self.path);
        let of_original = format!(
            "{}: written by the original psn, which does not keep ticks without threads or missed ticks",
            shown(&self.path)
        );
        std::iter::once(of_original).chain(cut).collect()
    }

    fn is_of_original(&self) -> bool {
        true
    }

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        self.database.be_patient();
        let span = snapper_rows::span(&self.database.db).map_err(|trouble| self.failed(trouble))?;
        Ok(span.first.as_deref().and_then(time_ns).zip(span.last.as_deref().and_then(time_ns)))
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        self.database.be_patient();
        self.visit_ticks(query, visit).map_err(|trouble| self.failed(trouble))
    }
}

impl SnapperRecording {
    fn failed(&self, trouble: ReadFailure) -> RecordError {
        match trouble {
            ReadFailure::Record(error) => error,
            _ if self.database.is_stopped() => RecordError::Stopped,
            ReadFailure::Sqlite(error) => RecordError::engine(&self.path, SqliteError(error)),
            ReadFailure::Malformed(reason) => RecordError::engine(&self.path, reason),
            ReadFailure::Damaged => RecordError::engine(&self.path, "it is damaged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn times_are_utc_with_microseconds_or_without() {
        assert_eq!(time_ns("1970-01-01T00:00:01.500000"), Some(1_500_000_000));
        assert_eq!(time_ns("1970-01-01T00:00:01"), Some(1_000_000_000));
        assert_eq!(time_ns("yesterday"), None);
    }

    #[test]
    fn a_database_of_the_original_is_read() {
        let path = std::env::temp_dir().join(format!("psn-original-{}.db", std::process::id()));
        let db = Connection::open(&path).unwrap();
        db.execute_batch(
            "CREATE TABLE 'stat' (event_time TEXT, pid INTEGER, task INTEGER, comm TEXT, state_id TEXT, utime_sec INTEGER);
             CREATE TABLE 'wchan' (event_time TEXT, pid INTEGER, task INTEGER, wchan TEXT);
             INSERT INTO stat VALUES ('2026-11-23T03:00:00', 7, 8, '(my*)', 'D', 1.51);
             INSERT INTO wchan VALUES ('2026-11-23T03:00:00', 7, 8, 'jbd2_log_wait_commit');
             INSERT INTO stat VALUES ('2026-11-23T03:00:00.500000', 7, 8, '(my*)', 'R', 2);",
        )
        .unwrap();
        drop(db);
        let database = Database::open(&path, &std::sync::Arc::default()).unwrap();
        assert!(SnapperRecording::is_one(&database));
        let mut recording = SnapperRecording::new(database, &path).unwrap();
        assert_eq!(recording.header().hz, 2.0);
        let columns = ["comm", "state_id", "utime_sec", "wchan"].map(|name| Column::find(name).unwrap()).to_vec();
        let mut seen = Vec::new();
        let query = Query { columns, from_ns: 0, to_ns: u64::MAX };
        recording
            .read(&query, &mut |piece| {
                let texts = (0..4).map(|column| crate::observe::text_of(piece.rows.value(0, column)));
                seen.push((piece.tick.due, texts.collect::<Vec<_>>().join(" ")));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(1, "my* D 151 jbd2_log_wait_commit".to_owned()), (2, "my* R 200 -".to_owned())]);
        assert_eq!(recording.warnings().len(), 1);
        // What SQLite leaves if its process is killed within a transaction.
        let journal = crate::record::directory::with_suffix(&path, "-journal");
        std::fs::write(&journal, [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 1]).unwrap();
        let database = Database::open(&path, &std::sync::Arc::default()).unwrap();
        let warnings = SnapperRecording::new(database, &path).unwrap().warnings();
        assert!(warnings.iter().any(|warning| warning.contains("stopped within a change")), "{warnings:?}");
        std::fs::remove_file(journal).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
