//! Reads the SQLite files that the original psn writes.
//!
//! There is a table for each file of /proc, each with `event_time`, `pid` and `task`: a thread's row in `stat` and its rows
//! in the others belong together by these three. What the original did not sample, it does not have: threads of all
//! states are there, and ticks without any thread are not.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::connect::{Trouble, connect, table_columns};
use crate::column::Column;
use crate::observation::{Mark, Value};
use crate::record::header::FORMAT;
use crate::record::{Header, PIECE_ROWS, Piece, Query, RecordError, RecordedColumn, Recording, TickInfo, Visit};
use crate::report::Facts;
use crate::rows::Rows;

/// A database of the original.
#[derive(Debug)]
pub struct OriginalRecording {
    path: PathBuf,
    db: Connection,
    header: Header,
    /// The table of each of the header's columns.
    tables: Vec<String>,
}

/// Tables of the original that a row can be joined from.
const TABLES: [&str; 5] = ["syscall", "wchan", "io", "status", "cmdline"];

impl OriginalRecording {
    /// Whether the file at `path` is such a database.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        let Ok(db) = connect(path, &mut Vec::new()) else { return false };
        // psn's own have views of these names.
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'stat'";
        let has_table = db.query_row(tables, [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count == 1);
        has_table && table_columns(&db, "stat").is_ok_and(|columns| columns.iter().any(|column| column == "event_time"))
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |error: rusqlite::Error| RecordError::not_recording(path, error);
        let db = connect(path, &mut Vec::new())?;
        let mut columns = Vec::new();
        let mut tables = Vec::new();
        for table in std::iter::once("stat").chain(TABLES) {
            for name in table_columns(&db, table).map_err(failed)? {
                let known = crate::column::COLUMNS.iter().find(|column| column.name == name);
                if let Some(column) =
                    known.filter(|column| !columns.iter().any(|RecordedColumn { name, .. }| name == column.name))
                {
                    columns.push(RecordedColumn::of(column));
                    tables.push(table.to_owned());
                }
            }
        }
        let ticks: (i64, Option<String>, Option<String>) = db
            .query_row("SELECT count(DISTINCT event_time), min(event_time), max(event_time) FROM stat", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .map_err(failed)?;
        let first = ticks.1.as_deref().and_then(time_ns).unwrap_or(0);
        let last = ticks.2.as_deref().and_then(time_ns).unwrap_or(first);
        #[expect(clippy::cast_precision_loss, reason = "a rate, as well as it can be told")]
        let hz = if last > first { (ticks.0 - 1).max(1) as f64 / ((last - first) as f64 / 1e9) } else { 1.0 };
        let header = Header {
            format: FORMAT,
            version: "the original".to_owned(),
            run: path.display().to_string(),
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
        Ok(Self { path: path.to_owned(), db, header, tables })
    }

    fn visit_ticks(&self, query: &Query, visit: &mut Visit<'_>) -> Result<(), Trouble> {
        let table_of = |column: &Column| self.header.place(column).and_then(|place| self.tables.get(place));
        let tables: Vec<&String> = query.columns.iter().filter_map(|column| table_of(column)).collect();
        let mut select = "SELECT s.event_time".to_owned();
        for column in &query.columns {
            let table = table_of(column).map_or("stat", String::as_str);
            let table = if table == "stat" { "s" } else { table };
            select.push_str(&format!(", {table}.\"{}\"", column.name));
        }
        select.push_str(" FROM stat s");
        for table in TABLES.into_iter().filter(|table| tables.iter().any(|used| used == table)) {
            let task = if table == "status" { "pid" } else { "task" };
            select.push_str(&format!(
                " LEFT JOIN \"{table}\" ON {table}.event_time = s.event_time AND {table}.pid = s.pid AND {table}.task = s.{task}"
            ));
        }
        select.push_str(" ORDER BY s.event_time, s.rowid");
        let mut select = self.db.prepare(&select)?;
        let mut found = select.query([])?;
        let mut rows = Rows::new(query.columns.len());
        let mut tick = TickInfo::default();
        let mut open = String::new();
        while let Some(row) = found.next()? {
            let time = row.get_ref(0)?.as_str().unwrap_or_default();
            if time != open {
                if is_wanted(&tick, query) {
                    visit(Piece { tick: &tick, rows: &rows, is_last: true, progress: 0.0 })?;
                }
                rows.clear();
                time.clone_into(&mut open);
                tick.time_ns = time_ns(time).unwrap_or(0);
                tick.due += 1;
                tick.threads = 0;
            }
            tick.threads += 1;
            if rows.len() >= PIECE_ROWS {
                if is_wanted(&tick, query) {
                    visit(Piece { tick: &tick, rows: &rows, is_last: false, progress: 0.0 })?;
                }
                rows.clear();
            }
            for (place, column) in query.columns.iter().enumerate() {
                rows.push(value(column, row.get_ref(place + 1)?));
            }
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

/// What the original stored, as psn would have seen it.
fn value<'a>(column: &Column, stored: ValueRef<'a>) -> Value<'a> {
    match stored {
        ValueRef::Integer(number) if column.kind.is_number() => {
            Value::Number(i128::from(number) * i128::from(column.divisor))
        }
        #[expect(clippy::cast_possible_truncation, reason = "seconds, of which the original kept two decimals")]
        ValueRef::Real(number) if column.kind.is_number() => {
            Value::Number((number * f64::from(column.divisor)).round() as i128)
        }
        // Names keep the parentheses of the file there.
        ValueRef::Text([b'(', name @ .., b')']) if column.is_comm() => Value::Text(name),
        ValueRef::Text(b"") => Value::Mark(Mark::None),
        ValueRef::Text(text) => Mark::from_text(text).map_or(Value::Text(text), Value::Mark),
        ValueRef::Null => Value::Mark(Mark::None),
        _ => Value::Mark(Mark::Malformed),
    }
}

/// `2026-11-23T03:00:00.123456`, UTC, as Python writes it.
fn time_ns(text: &str) -> Option<u64> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let timestamp = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(timestamp.as_nanosecond()).ok()
}

impl Recording for OriginalRecording {
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
        vec![format!(
            "{}: written by the original, which keeps no ticks without threads, nor those missed",
            self.path.display()
        )]
    }

    fn is_of_original(&self) -> bool {
        true
    }

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        let span = self.db.query_row("SELECT min(event_time), max(event_time) FROM stat", [], |row| {
            Ok(row.get::<_, Option<String>>(0)?.zip(row.get::<_, Option<String>>(1)?))
        });
        let span = span.map_err(|error| RecordError::engine(&self.path, error))?;
        Ok(span.and_then(|(first, last)| time_ns(&first).zip(time_ns(&last))))
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        self.visit_ticks(query, visit).map_err(|trouble| match trouble {
            Trouble::Record(error) => error,
            Trouble::Sqlite(error) => RecordError::engine(&self.path, error),
            Trouble::Malformed(reason) => RecordError::engine(&self.path, reason),
        })
    }
}

#[cfg(test)]
mod tests {
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
        assert!(OriginalRecording::is_one(&path));
        let mut recording = OriginalRecording::open(&path).unwrap();
        assert_eq!(recording.header().hz, 2.0);
        let columns = ["comm", "state_id", "utime_sec", "wchan"].map(|name| Column::find(name).unwrap()).to_vec();
        let mut seen = Vec::new();
        let query = Query { columns, from_ns: 0, to_ns: u64::MAX };
        recording
            .read(&query, &mut |piece| {
                let texts = (0..4).map(|column| crate::extract::text_of(piece.rows.value(0, column)));
                seen.push((piece.tick.due, texts.collect::<Vec<_>>().join(" ")));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(1, "my* D 151 jbd2_log_wait_commit".to_owned()), (2, "my* R 200 -".to_owned())]);
        std::fs::remove_file(path).unwrap();
    }
}
