//! The rows of ticks, from the spans that are stored.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement};

use super::connect::Trouble;
use super::write::group_spans;
use crate::observation::{Mark, Value};
use crate::record::{Query, text};
use crate::rows::Rows;

/// Bytes of texts in columns of numbers that a group may have; psn's have next to none.
const MAX_ODD_BYTES: usize = 32 << 20;

/// A value as it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// A number.
    Number(i64),
    /// The id of a text.
    String(i64),
    /// A mark.
    Mark(Mark),
    /// What is in a column of numbers, and is none: the place in the rows that come with it.
    Odd(usize),
}

/// Gets the rows of one tick after another.
pub struct Spans<'a> {
    db: &'a Connection,
    select: Statement<'a>,
    is_number: Vec<bool>,
    /// Spans that a group is held with.
    most: usize,
    group: Group,
}

/// The spans of some consecutive ticks.
struct Group {
    /// The rowids of its spans.
    from: i64,
    to: i64,
    /// Those that the ticks still to be read may need, by their first ticks, and the place of each one's cells.
    spans: Vec<(i64, i64, usize)>,
    cells: Vec<Cell>,
    odd: Rows,
    /// How many of them have begun, and which of those have not ended.
    begun: usize,
    current: Vec<(i64, usize)>,
    /// Of a single tick, and too large to be held; whether it has been read.
    is_large: bool,
    is_read: bool,
}

/// Is given the cells of a row, and what is odd among them.
pub type Take<'a> = dyn FnMut(&[Cell], &Rows) -> Result<(), Trouble> + 'a;

impl<'a> Spans<'a> {
    /// For rows as `query` wants them, in a recording of `columns` columns.
    pub fn new(db: &'a Connection, query: &Query, columns: usize) -> rusqlite::Result<Self> {
        let names: Vec<String> = query.columns.iter().map(|column| format!(", \"{}\"", column.name)).collect();
        let select =
            format!("SELECT first_tick, last_tick{} FROM spans WHERE rowid >= ?1 AND rowid < ?2", names.concat());
        Ok(Self {
            db,
            select: db.prepare(&select)?,
            is_number: query.columns.iter().map(|column| column.kind.is_number()).collect(),
            most: group_spans(columns),
            group: Group::new(0, 0),
        })
    }

    /// Hands on the rows of `tick`, whose group's spans begin at `first_row`. Ticks are asked for in order.
    ///
    /// # Errors
    /// Those of the database and of `take`, and when no psn wrote that.
    pub fn of_tick(&mut self, tick: i64, first_row: i64, take: &mut Take<'_>) -> Result<(), Trouble> {
        if self.group.from != first_row {
            self.group = self.load(tick, first_row)?;
        }
        if self.group.is_large {
            return self.stream(tick, take);
        }
        let Group { spans, cells, odd, begun, current, .. } = &mut self.group;
        current.retain(|(last, _)| *last >= tick);
        while let Some((_, last, place)) = spans.get(*begun).filter(|(first, ..)| *first <= tick) {
            if *last >= tick {
                current.push((*last, *place));
            }
            *begun += 1;
        }
        let columns = self.is_number.len();
        for (_, place) in current {
            take(cells.get(*place..*place + columns).unwrap_or_default(), odd)?;
        }
        Ok(())
    }

    fn load(&mut self, tick: i64, from: i64) -> Result<Group, Trouble> {
        if from < self.group.to {
            // So no span is read for two groups, however many there are.
            return Err(Trouble::Malformed("its groups of ticks overlap"));
        }
        let mut next = self.db.prepare_cached(
            "SELECT first_row FROM ticks WHERE tick > ?1 AND first_row <> ?2 AND row_count > 0 ORDER BY tick LIMIT 1",
        )?;
        let next: Option<i64> = next.query_row([tick, from], |row| row.get(0)).optional()?;
        let to = match next {
            Some(next) => next,
            None => self.db.query_row("SELECT coalesce(max(rowid), 0) + 1 FROM spans", [], |row| row.get(0))?,
        };
        let mut group = Group::new(from, to.max(from));
        if usize::try_from(to.saturating_sub(from)).is_ok_and(|count| count > self.most) {
            group.is_large = true;
            return Ok(group);
        }
        let mut rows = self.select.query([from, to])?;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            if last >= tick {
                group.spans.push((first, last, group.cells.len()));
                read_cells(row, &self.is_number, &mut group.cells, &mut group.odd)?;
            }
        }
        group.spans.sort_by_key(|(first, ..)| *first);
        Ok(group)
    }

    fn stream(&mut self, tick: i64, take: &mut Take<'_>) -> Result<(), Trouble> {
        if std::mem::replace(&mut self.group.is_read, true) {
            return Err(Trouble::Malformed("a group of its ticks is larger than any of psn's"));
        }
        let (mut cells, mut odd) = (Vec::new(), Rows::new(1));
        let mut rows = self.select.query([self.group.from, self.group.to])?;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            if (first..=last).contains(&tick) {
                cells.clear();
                odd.clear();
                read_cells(row, &self.is_number, &mut cells, &mut odd)?;
                take(&cells, &odd)?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            spans: Vec::new(),
            cells: Vec::new(),
            odd: Rows::new(1),
            begun: 0,
            current: Vec::new(),
            is_large: false,
            is_read: false,
        }
    }
}

fn read_cells(row: &Row<'_>, is_number: &[bool], cells: &mut Vec<Cell>, odd: &mut Rows) -> Result<(), Trouble> {
    for (place, is_number) in is_number.iter().enumerate() {
        cells.push(match row.get_ref(place + 2)? {
            ValueRef::Integer(number) if *is_number => Cell::Number(number),
            ValueRef::Integer(id) => Cell::String(id),
            ValueRef::Null => Cell::Mark(Mark::None),
            ValueRef::Real(_) | ValueRef::Blob(_) => Cell::Mark(Mark::Malformed),
            ValueRef::Text(bytes) => {
                let mut buffer = Vec::new();
                let value = match number_beyond_64_bits(bytes) {
                    Some(number) => Value::Number(number),
                    None => text::load(bytes, &mut buffer),
                };
                if let Value::Mark(mark) = value {
                    Cell::Mark(mark)
                } else {
                    odd.push(value);
                    Cell::Odd(odd.len() - 1)
                }
            }
        });
    }
    if odd.size() > MAX_ODD_BYTES { Err(Trouble::Malformed("its numbers are texts")) } else { Ok(()) }
}

/// The number that `digits` are, which SQLite's integers could not hold.
fn number_beyond_64_bits(digits: &[u8]) -> Option<i128> {
    let number: i128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(number).is_err().then_some(number)
}
