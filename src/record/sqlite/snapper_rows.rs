//! The rows of the original psn's tables: each row of `stat`, joined to the other tables' rows of the same thread and tick.
//!
//! All tables are in the order of time. So each is read once, and no more than one tick is in memory.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement};

use super::connect::ReadFailure;
use crate::ask::column::Column;
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;

/// The most bytes of the other tables' rows in one tick.
const MAX_TICK_BYTES: usize = 64 << 20;

/// How many ticks a database has, and their times.
#[derive(Debug, Default)]
pub(super) struct TimeSpan {
    pub(super) ticks: i64,
    /// The least and the greatest time, as stored.
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

/// Reads `stat` from the first row to the last, and counts its ticks.
pub(super) fn span(db: &Connection) -> Result<TimeSpan, ReadFailure> {
    let mut cursor = TableCursor::new(db, "stat", Vec::new())?;
    let mut span = TimeSpan::default();
    let mut open: Option<String> = None;
    while cursor.advance()? {
        let time = cursor.time();
        if open.as_deref() == Some(time) {
            continue;
        }
        span.ticks += 1;
        if span.first.as_deref().is_none_or(|first| time < first) {
            span.first = Some(time.to_owned());
        }
        if span.last.as_deref().is_none_or(|last| time > last) {
            span.last = Some(time.to_owned());
        }
        open = Some(time.to_owned());
    }
    Ok(span)
}

/// Reads a table in blocks of rows.
struct TableCursor<'a> {
    select: Statement<'a>,
    columns: Vec<&'static Column>,
    /// The rowid of the last row read.
    last: Option<i64>,
    rows: Vec<RowKey>,
    values: Rows,
    /// One more than the index of the current row.
    next: usize,
}

/// What identifies a row.
struct RowKey {
    time: Box<str>,
    pid: i64,
    task: i64,
}

impl<'a> TableCursor<'a> {
    /// The most rows of a block.
    const ROWS: usize = 1024;

    /// The size in bytes after which a block ends.
    const BYTES: usize = 4 << 20;

    /// How many columns precede the requested ones: rowid, time, pid and task.
    const FIRST: usize = 4;

    fn new(db: &'a Connection, table: &str, columns: Vec<&'static Column>) -> Result<Self, ReadFailure> {
        let names: String = columns.iter().map(|column| format!(", \"{}\"", column.name)).collect();
        let select = db.prepare(&format!(
            "SELECT rowid, event_time, pid, task{names} FROM \"{table}\" WHERE ?1 IS NULL OR rowid > ?1 ORDER BY rowid"
        ))?;
        let values = Rows::new(columns.len());
        Ok(Self { select, columns, last: None, rows: Vec::new(), values, next: 0 })
    }

    /// Moves to the next row. Returns whether there is one.
    fn advance(&mut self) -> Result<bool, ReadFailure> {
        if self.next >= self.rows.len() {
            self.fill()?;
        }
        self.next += 1;
        Ok(self.next <= self.rows.len())
    }

    fn fill(&mut self) -> Result<(), ReadFailure> {
        self.rows.clear();
        self.values.clear();
        self.next = 0;
        let mut found = self.select.query([self.last])?;
        while let Some(row) = found.next()? {
            let id = row.get(0)?;
            if self.last.is_some_and(|before| id <= before) {
                // Otherwise a crafted file could go on for ever.
                return Err(ReadFailure::Malformed("its rows are out of order"));
            }
            self.last = Some(id);
            let number = |place: usize| row.get_ref(place).map(|value| value.as_i64().unwrap_or(-1));
            let time = row.get_ref(1)?.as_str().unwrap_or_default().into();
            self.rows.push(RowKey { time, pid: number(2)?, task: number(3)? });
            for (place, column) in self.columns.iter().enumerate() {
                self.values.push(value(column, row.get_ref(place + Self::FIRST)?));
            }
            if self.rows.len() >= Self::ROWS || self.values.size() >= Self::BYTES {
                break;
            }
        }
        Ok(())
    }

    fn row(&self) -> Option<&RowKey> {
        self.next.checked_sub(1).and_then(|at| self.rows.get(at))
    }

    fn time(&self) -> &str {
        self.row().map_or("", |row| &row.time)
    }

    fn value(&self, place: usize) -> Value<'_> {
        match self.next.checked_sub(1) {
            Some(at) if place < self.columns.len() => self.values.value(at, place),
            _ => Value::Mark(Mark::None),
        }
    }
}

/// Where the values of a requested column are.
#[derive(Debug, Clone, Copy)]
struct ColumnPlace {
    /// The index of the table: 0 is `stat`.
    table: usize,
    /// The index of the column among those read from the table.
    place: usize,
}

/// The rows of `stat`, joined to those of the other tables.
pub(super) struct JoinedRows<'a> {
    places: Vec<ColumnPlace>,
    stat: TableCursor<'a>,
    others: Vec<SideTable<'a>>,
    time: String,
}

impl<'a> JoinedRows<'a> {
    /// Joins the rows for `columns`, each given with its table.
    pub(super) fn new(db: &'a Connection, columns: &[(&str, &'static Column)]) -> Result<Self, ReadFailure> {
        let mut tables = vec![("stat", Vec::new())];
        let mut places = Vec::new();
        for (name, column) in columns {
            let table = tables.iter().position(|(table, _)| table == name).unwrap_or_else(|| {
                tables.push((*name, Vec::new()));
                tables.len() - 1
            });
            if let Some((_, columns)) = tables.get_mut(table) {
                places.push(ColumnPlace { table, place: columns.len() });
                columns.push(*column);
            }
        }
        let mut tables = tables.into_iter();
        let (_, stat) = tables.next().unwrap_or_default();
        let stat = TableCursor::new(db, "stat", stat)?;
        let others = tables.map(|(table, columns)| SideTable::new(db, table, columns));
        Ok(Self { places, stat, others: others.collect::<Result<_, _>>()?, time: String::new() })
    }

    /// Moves to the next row of `stat`. Returns whether it is the first of a tick, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<bool>, ReadFailure> {
        if !self.stat.advance()? {
            return Ok(None);
        }
        if !self.time.is_empty() && self.stat.time() == self.time {
            return Ok(Some(false));
        }
        self.stat.time().clone_into(&mut self.time);
        let mut bytes = 0;
        for other in &mut self.others {
            other.load(&self.time)?;
            bytes += other.rows.size();
        }
        if bytes > MAX_TICK_BYTES {
            return Err(ReadFailure::Malformed("one of its ticks is larger than any that the original writes"));
        }
        Ok(Some(true))
    }

    /// The time of the current tick, as stored.
    pub(super) fn time(&self) -> &str {
        &self.time
    }

    /// Appends the values of the current row to `rows`.
    pub(super) fn push(&self, rows: &mut Rows) {
        let Some(ids) = self.stat.row() else { return };
        for place in &self.places {
            let other = place.table.checked_sub(1).and_then(|table| self.others.get(table));
            rows.push(other.map_or_else(|| self.stat.value(place.place), |other| other.value(ids, place.place)));
        }
    }
}

/// A table other than `stat`, with its rows of the current tick.
struct SideTable<'a> {
    cursor: TableCursor<'a>,
    /// Whether its rows are of processes, by their first thread.
    is_of_processes: bool,
    rows: Rows,
    found: HashMap<(i64, i64), usize, RandomState>,
    /// Whether the cursor is at a row of a later tick.
    is_ahead: bool,
}

impl<'a> SideTable<'a> {
    fn new(db: &'a Connection, table: &str, columns: Vec<&'static Column>) -> Result<Self, ReadFailure> {
        Ok(Self {
            is_of_processes: table == "status",
            rows: Rows::new(columns.len()),
            cursor: TableCursor::new(db, table, columns)?,
            found: HashMap::default(),
            is_ahead: false,
        })
    }

    /// Reads the rows of the tick at `time`. Rows of earlier times belong to no thread of `stat` and are skipped.
    fn load(&mut self, time: &str) -> Result<(), ReadFailure> {
        self.rows.clear();
        self.found.clear();
        while self.is_ahead || self.cursor.advance()? {
            self.is_ahead = self.cursor.time() > time;
            if self.is_ahead {
                break;
            }
            let Some(ids) = self.cursor.row().filter(|ids| *ids.time == *time) else { continue };
            let next = self.found.len();
            self.found.entry((ids.pid, ids.task)).or_insert(next);
            if self.found.len() > self.rows.len() {
                (0..self.cursor.columns.len()).for_each(|place| self.rows.push(self.cursor.value(place)));
            }
            if self.rows.size() > MAX_TICK_BYTES {
                return Err(ReadFailure::Malformed("one of its ticks is larger than any that the original writes"));
            }
        }
        Ok(())
    }

    /// The value for a thread of `stat`.
    fn value(&self, ids: &RowKey, place: usize) -> Value<'_> {
        let task = if self.is_of_processes { ids.pid } else { ids.task };
        let found = self.found.get(&(ids.pid, task));
        found.map_or(Value::Mark(Mark::None), |row| self.rows.value(*row, place))
    }
}

/// The value that psn would have recorded for what the original stored.
fn value<'a>(column: &Column, stored: ValueRef<'a>) -> Value<'a> {
    match stored {
        ValueRef::Integer(number) if column.kind.is_number() => {
            Value::Number(i128::from(number) * i128::from(column.divisor))
        }
        #[expect(clippy::cast_possible_truncation, reason = "seconds, of which the original kept two decimals")]
        ValueRef::Real(number) if column.kind.is_number() => {
            Value::Number((number * f64::from(column.divisor)).round() as i128)
        }
        // The original keeps the parentheses around names.
        ValueRef::Text([b'(', name @ .., b')']) if column.is_comm() => Value::Text(name),
        ValueRef::Text(b"") => Value::Mark(Mark::None),
        ValueRef::Text(text) => Mark::from_text(text).map_or(Value::Text(text), Value::Mark),
        ValueRef::Null => Value::Mark(Mark::None),
        _ => Value::Mark(Mark::Malformed),
    }
}
