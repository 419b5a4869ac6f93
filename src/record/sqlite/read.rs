//! Reads SQLite recordings, including those of a killed psn and those that are still being written.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::connect::{Database, ReadFailure, SqliteError};
use super::schema::{self, APPLICATION_ID, TICK_NUMBERS, WITH_SUMS};
use super::spans::{SpanValue, Spans};
use super::sums;
use super::texts::TextCache;
use crate::record::tick::StateTotals;
use crate::record::{Header, PIECE_BYTES, PIECE_ROWS, Piece, Query, RecordError, Recording, TickInfo, Visit};
use crate::report::Facts;
use crate::row::observation::Value;
use crate::row::rows::Rows;
use crate::text::sentence::shown;

/// The most bytes of the header or the facts; psn's have a few thousand.
const MAX_META_BYTES: usize = 1 << 20;

/// A recording that is read.
#[derive(Debug)]
pub(super) struct SqliteRecording {
    path: PathBuf,
    database: Database,
    header: Header,
    facts: Option<Facts>,
    /// How many ticks were written, if the run ended.
    ticks: Option<i64>,
    has_sums: bool,
    warnings: Vec<String>,
    strings: TextCache,
}

/// What `meta` has as `end` once the run has ended.
#[derive(serde::Deserialize)]
struct EndOfRun {
    ticks: i64,
}

impl SqliteRecording {
    /// Opens the recording in `database`. `path` is its path.
    pub(super) fn new(database: Database, path: &Path) -> Result<Self, RecordError> {
        let none = |reason: &str| RecordError::not_recording(path, reason);
        let failed = |error: rusqlite::Error| RecordError::not_recording(path, SqliteError(error));
        let number = |pragma: &str| database.db.query_row(pragma, [], |row| row.get::<_, i32>(0)).map_err(failed);
        let mut warnings = database.oddities(path).map_err(failed)?;
        if number("PRAGMA application_id")? != APPLICATION_ID {
            let more = warnings.pop().map(|warning| format!("; {warning}")).unwrap_or_default();
            return Err(none(&format!("it is some other SQLite database{more}")));
        }
        if !database.are_plain_tables(&["meta", "ticks", "strings", "spans"]).map_err(failed)? {
            return Err(none("tables are missing, or are not plain tables"));
        }
        let has_sums = number("PRAGMA user_version")? == WITH_SUMS;
        let has_column = |table: &str| {
            let columns = database.table_columns(table).map_err(failed)?;
            Ok::<bool, RecordError>(columns.iter().any(|column| column == "sum"))
        };
        for table in ["ticks", "strings"] {
            if has_column(table)? != has_sums {
                return Err(none("it is damaged: some of its checksums are missing"));
            }
        }
        if has_sums && !database.are_plain_tables(&["groups"]).map_err(failed)? {
            return Err(none("it is damaged: the checksums of its rows are missing"));
        }
        let header = meta(&database.db, "header", has_sums, path)?.ok_or_else(|| none("it has no header"))?;
        let header: Header = serde_json::from_str(&header).map_err(|error| RecordError::not_recording(path, error))?;
        header.check(path)?;
        let facts = meta(&database.db, "facts", has_sums, path)?.and_then(|facts| serde_json::from_str(&facts).ok());
        let end = meta(&database.db, "end", has_sums, path)?;
        let ticks = end.and_then(|end| serde_json::from_str(&end).ok()).map(|EndOfRun { ticks }| ticks);
        if has_sums && facts.is_some() && ticks.is_none() {
            warnings.push(format!("{}: it is damaged: how many ticks it had is lost", shown(path)));
        }
        let strings = TextCache::new(has_sums);
        Ok(Self { path: path.to_owned(), database, header, facts, ticks, has_sums, warnings, strings })
    }

    fn visit_ticks(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<Losses, ReadFailure> {
        let Self { database, strings, header, has_sums, ticks: written, .. } = self;
        let db = &database.db;
        let has_sums = *has_sums;
        // The work is bounded: each row is read once, in order.
        database.be_patient();
        let last: i64 = db.query_row("SELECT coalesce(max(tick), 0) FROM ticks", [], |row| row.get(0))?;
        let mut ticks = db.prepare(&schema::select_ticks(has_sums))?;
        let mut ticks = ticks.query([])?;
        let mut spans = Spans::new(db, query, header, has_sums)?;
        let mut losses = Losses::default();
        let mut reading = TickInProgress { db, strings, rows: Rows::new(query.columns.len()), visit };
        let mut next = None;
        let mut damaged = None;
        while let Some(row) = ticks.next()? {
            let StoredTick { tick, info, first_row, count, is_whole } = StoredTick::of(row, has_sums)?;
            if next.is_some_and(|next| tick < next) {
                return Err(ReadFailure::Malformed("its ticks are out of order"));
            }
            losses.ticks += missing(next.unwrap_or(0), tick);
            next = Some(tick.saturating_add(1));
            if !is_whole || (count > 0 && damaged == Some(first_row)) {
                losses.ticks += 1;
                continue;
            }
            if !(query.from_ns..query.to_ns).contains(&info.time_ns) {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            let progress = tick as f64 / (last as f64).max(1.0);
            reading.rows.clear();
            if count > 0 {
                let row = &mut |cells: &[SpanValue], odd: &Rows| reading.row(cells, odd, &info, progress);
                match spans.of_tick(tick, first_row, row) {
                    Err(ReadFailure::Damaged) => {
                        damaged = Some(first_row);
                        losses.ticks += 1;
                        continue;
                    }
                    read => read?,
                }
            }
            reading.hand_on(&info, true, progress)?;
        }
        losses.ticks += written.map_or(0, |written| missing(next.unwrap_or(0), written));
        losses.texts = reading.strings.take_damaged();
        Ok(losses)
    }

    fn warn(&mut self, text: &str) {
        let warning = format!("{}: {text}", shown(&self.path));
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// The rows of a tick, on their way to the visitor.
struct TickInProgress<'a, 'v> {
    db: &'a Connection,
    strings: &'a mut TextCache,
    rows: Rows,
    visit: &'a mut Visit<'v>,
}

impl TickInProgress<'_, '_> {
    /// Adds a row. If there are enough rows for a piece, hands those on first.
    fn row(&mut self, cells: &[SpanValue], odd: &Rows, tick: &TickInfo, progress: f64) -> Result<(), ReadFailure> {
        if self.rows.len() >= PIECE_ROWS || self.rows.size() >= PIECE_BYTES {
            self.hand_on(tick, false, progress)?;
            self.rows.clear();
        }
        for cell in cells {
            self.rows.push(match cell {
                SpanValue::Number(number) => Value::Number((*number).into()),
                SpanValue::String(id) => self.strings.get(self.db, *id)?,
                SpanValue::Mark(mark) => Value::Mark(*mark),
                SpanValue::Odd(place) => odd.value(*place, 0),
            });
        }
        Ok(())
    }

    fn hand_on(&mut self, tick: &TickInfo, is_last: bool, progress: f64) -> Result<(), RecordError> {
        (self.visit)(Piece { tick, rows: &self.rows, is_last, progress })
    }
}

/// How many ticks and texts are damaged.
#[derive(Debug, Default)]
struct Losses {
    ticks: u64,
    texts: u64,
}

/// How many numbers there are from `from` up to, not including, `to`.
fn missing(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// A row of `ticks`.
struct StoredTick {
    tick: i64,
    info: TickInfo,
    first_row: i64,
    count: i64,
    /// Whether its checksum is right.
    is_whole: bool,
}

impl StoredTick {
    fn of(row: &Row<'_>, has_sums: bool) -> rusqlite::Result<Self> {
        let mut numbers = [0; TICK_NUMBERS];
        let mut is_whole = true;
        for (place, number) in numbers.iter_mut().enumerate() {
            match row.get_ref(place)? {
                ValueRef::Integer(stored) => *number = stored,
                _ => is_whole = false,
            }
        }
        let states = match row.get_ref(TICK_NUMBERS)? {
            ValueRef::Text(states) => states,
            _ => {
                is_whole = false;
                &[]
            }
        };
        if has_sums {
            is_whole &= row.get_ref(TICK_NUMBERS + 1)? == ValueRef::Integer(sums::of_tick(&numbers, states));
        }
        let [tick, info @ .., first_row, count] = numbers;
        let info = TickInfo::of(
            info.map(|number| u64::try_from(number).unwrap_or(0)),
            StateTotals::parse(&String::from_utf8_lossy(states)),
        );
        Ok(Self { tick, info, first_row, count, is_whole })
    }
}

/// The value of `name` in `meta`, checked against its checksum if there is one.
fn meta(db: &Connection, name: &str, has_sums: bool, path: &Path) -> Result<Option<String>, RecordError> {
    let text = meta_text(db, name, path)?;
    if has_sums {
        let sum = meta_text(db, &format!("{name}.sum"), path)?;
        if sum != text.as_deref().map(|text| sums::of_meta(name, text).to_string()) {
            let reason = format!("it is damaged: the checksum of its {name} is wrong");
            return Err(RecordError::not_recording(path, reason));
        }
    }
    Ok(text)
}

fn meta_text(db: &Connection, name: &str, path: &Path) -> Result<Option<String>, RecordError> {
    let failed = |error: rusqlite::Error| RecordError::not_recording(path, SqliteError(error));
    let mut select = db.prepare("SELECT value FROM meta WHERE name = ?1").map_err(failed)?;
    let mut rows = select.query([name]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let text = row.get_ref(0).map_err(failed)?.as_str();
    let text =
        text.map_err(|_| RecordError::not_recording(path, format!("it is damaged: its {name} is not a text")))?;
    if text.len() > MAX_META_BYTES {
        return Err(RecordError::not_recording(path, format!("its {name} is longer than any that psn writes")));
    }
    Ok(Some(text.to_owned()))
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
        self.database.be_patient();
        let mut select = self
            .database
            .db
            .prepare("SELECT tick, time_ns FROM ticks ORDER BY tick")
            .map_err(|error| RecordError::engine(&self.path, SqliteError(error)))?;
        let mut span: Option<(i64, i64)> = None;
        let mut before = i64::MIN;
        let mut each = || -> Result<(), ReadFailure> {
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let (tick, time): (i64, i64) = (row.get(0)?, row.get(1)?);
                if tick <= before {
                    return Err(ReadFailure::Malformed("its ticks are out of order"));
                }
                before = tick;
                span = Some(span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
            }
            Ok(())
        };
        let result = each();
        match result {
            _ if self.database.is_stopped() => Err(RecordError::Stopped),
            Err(ReadFailure::Malformed(reason)) => Err(RecordError::engine(&self.path, reason)),
            // Ticks that are not damaged are read all the same; `read` warns of the rest.
            _ => Ok(span.map(|(first, last)| (first.max(0).unsigned_abs(), last.max(0).unsigned_abs()))),
        }
    }

    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        use rusqlite::OptionalExtension as _;
        let select = "SELECT time_ns FROM ticks ORDER BY tick DESC LIMIT 1";
        let last = self.database.db.query_row(select, [], |row| row.get::<_, i64>(0)).optional();
        let last = last.map_err(|error| RecordError::engine(&self.path, SqliteError(error)))?;
        Ok(last.map(|last| last.max(0).unsigned_abs()))
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        let result = self.visit_ticks(query, visit);
        if self.database.is_stopped() {
            return Err(RecordError::Stopped);
        }
        match result {
            Ok(losses) => {
                if losses.ticks > 0 {
                    self.warn(&format!("it is damaged: {} of its ticks are lost, and are not counted", losses.ticks));
                }
                if losses.texts > 0 {
                    self.warn(&format!(
                        "it is damaged: {} of its texts are lost, and shown as [malformed]",
                        losses.texts
                    ));
                }
                Ok(())
            }
            Err(ReadFailure::Record(error)) => Err(error),
            Err(ReadFailure::Malformed(reason)) => Err(RecordError::engine(&self.path, reason)),
            // What is not damaged was read.
            Err(ReadFailure::Damaged) => {
                self.warn("it is damaged, and not all of it can be read");
                Ok(())
            }
            Err(ReadFailure::Sqlite(error)) => {
                self.warn(&format!("not all of it can be read: {}", SqliteError(error)));
                Ok(())
            }
        }
    }
}
