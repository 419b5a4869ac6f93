//! Reads SQLite recordings, also those that a killed psn left, and those that are still being written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::connect::{Trouble, connect};
use super::schema::APPLICATION_ID;
use super::spans::{Cell, Spans};
use crate::observation::{Mark, Value};
use crate::record::header::States;
use crate::record::{Header, PIECE_BYTES, PIECE_ROWS, Piece, Query, RecordError, Recording, TickInfo, Visit, text};
use crate::report::Facts;
use crate::rows::Rows;

/// A database that is read.
#[derive(Debug)]
pub struct SqliteRecording {
    path: PathBuf,
    db: Connection,
    header: Header,
    facts: Option<Facts>,
    warnings: Vec<String>,
    strings: Strings,
}

/// Texts by id, as they were before they were stored.
#[derive(Debug, Default)]
struct Strings {
    texts: HashMap<i64, Stored, RandomState>,
    bytes: usize,
}

#[derive(Debug)]
enum Stored {
    Text(Box<[u8]>),
    Mark(Mark),
}

impl Stored {
    const fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Mark(mark) => Value::Mark(*mark),
        }
    }
}

impl Strings {
    /// Bytes after which the memory starts over.
    const CACHED_BYTES: usize = 32 << 20;

    fn get(&mut self, db: &Connection, id: i64) -> rusqlite::Result<Value<'_>> {
        if !self.texts.contains_key(&id) {
            if self.bytes > Self::CACHED_BYTES {
                self.texts.clear();
                self.bytes = 0;
            }
            let mut select = db.prepare_cached("SELECT text FROM strings WHERE id = ?1")?;
            let mut rows = select.query([id])?;
            let mut buffer = Vec::new();
            let stored = match rows.next()?.map(|row| row.get_ref(0)).transpose()? {
                Some(ValueRef::Text(bytes)) => match text::load(bytes, &mut buffer) {
                    Value::Text(bytes) => Stored::Text(bytes.into()),
                    Value::Mark(mark) => Stored::Mark(mark),
                    Value::Number(_) => Stored::Mark(Mark::Malformed),
                },
                _ => Stored::Mark(Mark::Malformed),
            };
            self.bytes += size_of::<(i64, Stored)>() + if let Stored::Text(text) = &stored { text.len() } else { 0 };
            self.texts.insert(id, stored);
        }
        Ok(self.texts.get(&id).map_or(Value::Mark(Mark::Malformed), Stored::value))
    }
}

impl SqliteRecording {
    /// Opens the recording at `path`.
    ///
    /// # Errors
    /// When it can not be read, or is none.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let mut warnings = Vec::new();
        let db = connect(path, &mut warnings)?;
        let failed = |error: rusqlite::Error| RecordError::not_recording(path, error);
        let id: i32 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
        if id != APPLICATION_ID {
            return Err(RecordError::not_recording(path, "it is some other SQLite database"));
        }
        // A view of these names could be anything, without end.
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'ticks', 'strings', \
                      'spans') AND sql LIKE 'CREATE TABLE%' AND sql NOT LIKE '%GENERATED%' AND sql NOT LIKE '% AS (%'";
        let count: i32 = db.query_row(tables, [], |row| row.get(0)).map_err(failed)?;
        if count != 4 {
            return Err(RecordError::not_recording(path, "tables are missing"));
        }
        let meta = |name: &str| {
            let select = "SELECT value FROM meta WHERE name = ?1";
            db.query_row(select, [name], |row| row.get::<_, String>(0)).optional().map_err(failed)
        };
        let header = meta("header")?.ok_or_else(|| RecordError::not_recording(path, "it has no header"))?;
        let header: Header = serde_json::from_str(&header).map_err(|error| RecordError::not_recording(path, error))?;
        header.check(path)?;
        let facts = meta("facts")?.and_then(|facts| serde_json::from_str(&facts).ok());
        Ok(Self { path: path.to_owned(), db, header, facts, warnings, strings: Strings::default() })
    }

    fn visit_ticks(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), Trouble> {
        let Self { db, strings, header, .. } = self;
        let last: i64 = db.query_row("SELECT coalesce(max(tick), 0) FROM ticks", [], |row| row.get(0))?;
        let mut ticks = db.prepare(
            "SELECT tick, time_ns, late_ns, pass_ns, due, throttled, abandoned, lost, processes, threads, states, \
             first_row, row_count FROM ticks WHERE time_ns >= ?1 AND time_ns < ?2 ORDER BY tick",
        )?;
        let bound = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let mut ticks = ticks.query([bound(query.from_ns), bound(query.to_ns)])?;
        let mut spans = Spans::new(db, query, header.columns.len())?;
        let mut rows = Rows::new(query.columns.len());
        while let Some(row) = ticks.next()? {
            let number = |place: usize| row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or(0));
            let info = TickInfo {
                time_ns: number(1)?,
                late_ns: number(2)?,
                pass_ns: number(3)?,
                due: number(4)?,
                throttled: number(5)?,
                abandoned: number(6)?,
                lost: number(7)?,
                processes: number(8)?,
                threads: number(9)?,
                states: States::parse(&row.get::<_, String>(10)?),
            };
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            let progress = number(0)? as f64 / (last as f64).max(1.0);
            rows.clear();
            let (tick, first_row, count): (i64, i64, i64) = (row.get(0)?, row.get(11)?, row.get(12)?);
            if count > 0 {
                spans.of_tick(tick, first_row, &mut |cells, odd| {
                    if rows.len() >= PIECE_ROWS || rows.size() >= PIECE_BYTES {
                        visit(Piece { tick: &info, rows: &rows, is_last: false, progress })?;
                        rows.clear();
                    }
                    for cell in cells {
                        rows.push(match cell {
                            Cell::Number(number) => Value::Number((*number).into()),
                            Cell::String(id) => strings.get(db, *id)?,
                            Cell::Mark(mark) => Value::Mark(*mark),
                            Cell::Odd(place) => odd.value(*place, 0),
                        });
                    }
                    Ok(())
                })?;
            }
            visit(Piece { tick: &info, rows: &rows, is_last: true, progress })?;
        }
        Ok(())
    }
}

impl Recording for SqliteRecording {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        let span = self.db.query_row("SELECT min(time_ns), max(time_ns) FROM ticks", [], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
        });
        let span = span.map_err(|error| RecordError::engine(&self.path, error))?;
        Ok(span.map(|(first, last)| (first.max(0).unsigned_abs(), last.max(0).unsigned_abs())))
    }

    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        let mut last = self
            .db
            .prepare("SELECT time_ns FROM ticks ORDER BY tick DESC LIMIT 1")
            .map_err(|error| RecordError::engine(&self.path, error))?;
        let mut rows =
            last.query_map([], |row| row.get::<_, i64>(0)).map_err(|error| RecordError::engine(&self.path, error))?;
        let last = rows.next().transpose().map_err(|error| RecordError::engine(&self.path, error))?;
        Ok(last.map(|last| last.max(0).unsigned_abs()))
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        match self.visit_ticks(query, visit) {
            Ok(()) => Ok(()),
            Err(Trouble::Record(error)) => Err(error),
            Err(Trouble::Malformed(reason)) => Err(RecordError::engine(&self.path, reason)),
            // What is whole was read; the rest is lost, and said to be.
            Err(Trouble::Sqlite(error)) => {
                self.warnings.push(format!("{}: not all of it can be read: {error}", self.path.display()));
                Ok(())
            }
        }
    }
}
