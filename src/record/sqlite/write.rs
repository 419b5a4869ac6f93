//! Writes SQLite recordings. Each flush ends a transaction.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::connect::SqliteError;
use super::sums::{self, GroupSums};
use super::{new_database, schema};
use crate::record::repeats::Repeats;
use crate::record::{Header, RecordError, Sink, TickInfo, text};
use crate::report::Facts;
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;

/// The most spans of a group, for rows of `columns` columns: a reader holds a group in 64 MiB. A group of a single tick may
/// have more.
pub(super) fn group_spans(columns: usize) -> usize {
    (1 << 22) / columns.max(1)
}

/// The most ticks of a group.
const GROUP_TICKS: i64 = 1 << 12;

/// A recording that is written.
///
/// Ticks are written in groups. A row that stays the same through several ticks of a group is stored once, with the first
/// and the last of them, when it changes or the group ends. Each flush ends the group.
#[derive(Debug)]
pub(crate) struct SqliteSink {
    path: PathBuf,
    // Dropped before the lock: closing any descriptor of a file releases all of the process's POSIX locks on it.
    db: Connection,
    /// The statements that insert a span and a tick.
    insert_span: String,
    insert_tick: String,
    is_number: Vec<bool>,
    strings: TextIds,
    next_tick: i64,
    next_row: i64,
    /// The first tick and the first rowid of the group.
    group: (i64, i64),
    repeats: Repeats,
    /// The checksums of the group's spans that were written.
    sums: GroupSums,
    /// For each row of the previous tick, the tick since which it has been the same.
    since: Vec<i64>,
    in_transaction: bool,
    _lock: File,
}

/// The ids of texts. All are in the database in their stored form, those of recent use also in memory.
#[derive(Debug, Default)]
struct TextIds {
    ids: HashMap<Box<[u8]>, i64, RandomState>,
    /// The bytes of the texts in memory.
    bytes: usize,
    has_started_over: bool,
    marks: [Option<i64>; Mark::ALL.len()],
    next: i64,
}

impl TextIds {
    /// The most texts, and the most bytes of texts, in memory. Beyond that the memory is emptied.
    const CACHED: usize = 1 << 16;
    const CACHED_BYTES: usize = 16 << 20;

    /// The id of `value`, which is in a column of texts.
    fn id(&mut self, db: &Connection, value: Value<'_>) -> rusqlite::Result<i64> {
        match value {
            Value::Text(text) => self.id_of_text(db, text),
            Value::Number(number) => self.id_of_text(db, number.to_string().as_bytes()),
            Value::Mark(mark) => {
                if let Some(Some(id)) = self.marks.get(mark as usize) {
                    return Ok(*id);
                }
                let id = self.id_of_stored(db, mark.text())?;
                if let Some(known) = self.marks.get_mut(mark as usize) {
                    *known = Some(id);
                }
                Ok(id)
            }
        }
    }

    fn id_of_text(&mut self, db: &Connection, text: &[u8]) -> rusqlite::Result<i64> {
        if let Some(id) = self.ids.get(text) {
            return Ok(*id);
        }
        let id = self.id_of_stored(db, &text::store(text))?;
        if self.ids.len() >= Self::CACHED || self.bytes + text.len() > Self::CACHED_BYTES {
            self.ids.clear();
            self.bytes = 0;
            self.has_started_over = true;
        }
        self.bytes += text.len();
        self.ids.insert(text.into(), id);
        Ok(id)
    }

    fn id_of_stored(&mut self, db: &Connection, stored: &str) -> rusqlite::Result<i64> {
        // A text that is no longer in memory may still be in the database.
        if self.has_started_over {
            let mut select = db.prepare_cached("SELECT id FROM strings WHERE text = ?1")?;
            if let Some(id) = rusqlite::OptionalExtension::optional(select.query_row([stored], |row| row.get(0)))? {
                return Ok(id);
            }
        }
        self.next += 1;
        let sum = sums::of_text(self.next, stored.as_bytes());
        db.prepare_cached("INSERT INTO strings VALUES (?1, ?2, ?3)")?.execute(params![self.next, stored, sum])?;
        Ok(self.next)
    }
}

impl SqliteSink {
    /// Creates a database for rows with the columns of `header`. An existing one is replaced if `force` is set.
    pub(crate) fn create(path: &Path, header: &Header, force: bool) -> Result<Self, RecordError> {
        let new_database = new_database::NewDatabase::create(path, force)?;
        let write = |db: &Connection| -> rusqlite::Result<()> {
            db.execute_batch(&format!("BEGIN;{}COMMIT;", schema::create(header)))?;
            insert_meta(db, "header", &serde_json::to_string(header).unwrap_or_default())
        };
        let (db, lock) = new_database.fill(write)?;
        let places = vec!["?"; header.columns.len() + 2].join(", ");
        Ok(Self {
            path: path.to_owned(),
            db,
            insert_tick: schema::insert_tick(),
            insert_span: format!("INSERT INTO spans VALUES ({places})"),
            is_number: header.columns.iter().map(crate::record::RecordedColumn::is_number).collect(),
            strings: TextIds::default(),
            next_tick: 0,
            next_row: 1,
            group: (0, 1),
            repeats: Repeats::new(header),
            sums: GroupSums::new(header.columns.len()),
            since: Vec::new(),
            in_transaction: false,
            _lock: lock,
        })
    }

    fn write_tick(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> rusqlite::Result<()> {
        if !self.in_transaction {
            self.db.execute_batch("BEGIN IMMEDIATE")?;
            self.in_transaction = true;
        }
        let count = rows.iter().map(Rows::len).sum::<usize>();
        let written = usize::try_from(self.next_row - self.group.1).unwrap_or(usize::MAX);
        if written.saturating_add(self.since.len()).saturating_add(count) > group_spans(self.is_number.len())
            || self.next_tick - self.group.0 >= GROUP_TICKS
        {
            self.end_group()?;
        }
        let found = self.repeats.find(rows).iter();
        let since = found.map(|place| place.and_then(|place| self.since.get(place)).copied().unwrap_or(self.next_tick));
        let since = since.collect();
        self.write_ended()?;
        self.since = since;
        self.repeats.remember(rows);
        self.insert_tick(tick, count)?;
        self.next_tick += 1;
        Ok(())
    }

    fn insert_tick(&self, tick: &TickInfo, rows: usize) -> rusqlite::Result<()> {
        let states = tick.states.to_string();
        let numbers = schema::tick_numbers(self.next_tick, tick, self.group.1, rows);
        let sum = sums::of_tick(&numbers, states.as_bytes());
        let mut insert = self.db.prepare_cached(&self.insert_tick)?;
        for (place, number) in numbers.iter().enumerate() {
            insert.raw_bind_parameter(place + 1, number)?;
        }
        insert.raw_bind_parameter(schema::TICK_NUMBERS + 1, &states)?;
        insert.raw_bind_parameter(schema::TICK_NUMBERS + 2, sum)?;
        insert.raw_execute()?;
        Ok(())
    }

    /// Writes the rows of the previous tick that ended with it.
    fn write_ended(&mut self) -> rusqlite::Result<()> {
        let mut insert = self.db.prepare_cached(&self.insert_span)?;
        for (place, rows, row) in self.repeats.ended() {
            let (first, last) = (self.since.get(place).copied().unwrap_or(self.next_tick), self.next_tick - 1);
            self.sums.span(self.next_row, first, last);
            insert.raw_bind_parameter(1, first)?;
            insert.raw_bind_parameter(2, last)?;
            for (column, is_number) in self.is_number.iter().enumerate() {
                let value = rows.value(row, column);
                let stored = match value {
                    _ if !is_number => BoundValue::Number(self.strings.id(&self.db, value)?),
                    Value::Number(number) => match i64::try_from(number) {
                        Ok(number) => BoundValue::Number(number),
                        Err(_) => BoundValue::Text(number.to_string().into()),
                    },
                    Value::Mark(mark) => BoundValue::Text(mark.text().into()),
                    Value::Text(bytes) => BoundValue::Text(text::store(bytes)),
                };
                match stored {
                    BoundValue::Number(number) => {
                        self.sums.value(column, ValueRef::Integer(number));
                        insert.raw_bind_parameter(column + 3, number)?;
                    }
                    BoundValue::Text(text) => {
                        self.sums.value(column, ValueRef::Text(text.as_bytes()));
                        insert.raw_bind_parameter(column + 3, text.as_ref())?;
                    }
                }
            }
            insert.raw_execute()?;
            self.next_row += 1;
        }
        Ok(())
    }

    /// Writes what is left of the group, and begins another.
    fn end_group(&mut self) -> rusqlite::Result<()> {
        self.write_ended()?;
        self.since.clear();
        self.repeats.forget();
        if self.next_row > self.group.1 {
            let stored = self.sums.stored();
            let (first, end) = (self.group.1, self.next_row);
            let mut insert = self.db.prepare_cached("INSERT INTO groups VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![first, end, stored, sums::of_group(first, end, &stored)])?;
        }
        self.sums = GroupSums::new(self.is_number.len());
        self.group = (self.next_tick, self.next_row);
        Ok(())
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        if self.in_transaction {
            self.end_group()?;
            self.db.execute_batch("COMMIT")?;
            self.in_transaction = false;
        }
        Ok(())
    }

    fn finish_with(&mut self, facts: Option<&Facts>) -> rusqlite::Result<()> {
        self.commit()?;
        if let Some(facts) = facts {
            insert_meta(&self.db, "facts", &serde_json::to_string(facts).unwrap_or_default())?;
        }
        insert_meta(&self.db, "end", &format!("{{\"ticks\":{}}}", self.next_tick))?;
        // Merges the log into the database, so that one file can be copied. This fails while somebody reads it, and then the
        // log stays. The journal of this last change is kept in memory, so that no file is created for it.
        let _ = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = MEMORY;");
        Ok(())
    }
}

/// A value as it is bound to a statement.
enum BoundValue<'a> {
    Number(i64),
    Text(std::borrow::Cow<'a, str>),
}

fn insert_meta(db: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO meta VALUES (?1, ?2)")?;
    insert.execute(params![name, value])?;
    insert.execute(params![format!("{name}.sum"), sums::of_meta(name, value).to_string()])?;
    Ok(())
}

impl Sink for SqliteSink {
    fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError> {
        self.write_tick(tick, rows).map_err(|error| RecordError::engine(&self.path, SqliteError(error)))
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.commit().map_err(|error| RecordError::engine(&self.path, SqliteError(error)))
    }

    fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError> {
        self.finish_with(facts).map_err(|error| RecordError::engine(&self.path, SqliteError(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_remembered_within_their_bytes_and_have_one_id_each_all_the_same() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE strings (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, sum INTEGER)")
            .unwrap();
        let mut strings = TextIds::default();
        let long = |number: u32| format!("{number}{}", "x".repeat(40_000)).into_bytes();
        let ids: Vec<i64> = (0..500).map(|number| strings.id(&db, Value::Text(&long(number))).unwrap()).collect();
        assert_eq!(ids, (1..=500).collect::<Vec<i64>>());
        assert!(strings.bytes <= TextIds::CACHED_BYTES && strings.ids.len() < 500, "{}", strings.bytes);
        assert_eq!(strings.id(&db, Value::Text(&long(7))).unwrap(), 8);
    }
}
