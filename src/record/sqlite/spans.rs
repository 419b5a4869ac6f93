//! Makes the rows of ticks from the stored spans.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement};

use super::connect::ReadFailure;
use super::sums::{self, GroupSums, Sum};
use super::write::group_spans;
use crate::ask::column::Column;
use crate::record::{Header, Query, text};
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;

/// The most bytes of texts in number columns that a group may have; psn's have next to none.
const MAX_ODD_BYTES: usize = 32 << 20;

/// A stored value.
#[derive(Debug, Clone, Copy)]
pub(super) enum SpanValue {
    /// A number.
    Number(i64),
    /// The id of a text.
    String(i64),
    /// A mark.
    Mark(Mark),
    /// A value in a number column that is neither a number of 64 bits nor a mark: its index in the rows that come with it.
    Odd(usize),
}

/// Reads the rows of one tick after another.
pub(super) struct Spans<'a> {
    db: &'a Connection,
    select: Statement<'a>,
    is_number: Vec<bool>,
    /// The index of each column in the recording, which is that of its checksum; none if there are no checksums.
    places: Option<Vec<usize>>,
    /// The most spans of a group that is held in memory.
    most: usize,
    group: SpanGroup,
}

/// The spans of some consecutive ticks.
struct SpanGroup {
    /// The rowids of the spans: from `from` to before `to`.
    from: i64,
    to: i64,
    /// The first tick, the last tick, and the index of the first value of each span. Sorted by the first tick.
    spans: Vec<(i64, i64, usize)>,
    cells: Vec<SpanValue>,
    odd: Rows,
    /// How many spans have begun, and those of them that have not ended: last tick and index of the first value.
    begun: usize,
    current: Vec<(i64, usize)>,
    /// Whether the group is of a single tick and too large to be held in memory; then, whether it has been read.
    is_large: bool,
    is_read: bool,
    /// The stored checksums, if there are any.
    sums: Option<Vec<u8>>,
}

/// Takes the values of a row, and the rows that [`SpanValue::Odd`] refers to.
pub(super) type TakeRow<'a> = dyn FnMut(&[SpanValue], &Rows) -> Result<(), ReadFailure> + 'a;

impl<'a> Spans<'a> {
    /// Reads the columns of `query` from a recording with this header, with checksums or without.
    pub(super) fn new(db: &'a Connection, query: &Query, header: &Header, has_sums: bool) -> rusqlite::Result<Self> {
        let names: Vec<String> = query.columns.iter().map(|column| format!(", \"{}\"", column.name)).collect();
        let select = format!(
            "SELECT rowid, first_tick, last_tick{} FROM spans WHERE rowid >= ?1 AND rowid < ?2 ORDER BY rowid",
            names.concat()
        );
        let place = |column: &&'static Column| header.place(column).unwrap_or(usize::MAX - 1);
        Ok(Self {
            db,
            select: db.prepare(&select)?,
            is_number: query.columns.iter().map(|column| column.kind.is_number()).collect(),
            places: has_sums.then(|| query.columns.iter().map(place).collect()),
            most: group_spans(header.columns.len()),
            group: SpanGroup::new(0, 0),
        })
    }

    /// Calls `take` for each row of `tick`, whose group begins at the span `first_row`. Ticks are read in order.
    pub(super) fn of_tick(&mut self, tick: i64, first_row: i64, take: &mut TakeRow<'_>) -> Result<(), ReadFailure> {
        if self.group.from != first_row {
            self.group = self.load(tick, first_row)?;
        }
        if self.group.is_large {
            return self.stream(tick, take);
        }
        let SpanGroup { spans, cells, odd, begun, current, .. } = &mut self.group;
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

    fn load(&mut self, tick: i64, from: i64) -> Result<SpanGroup, ReadFailure> {
        if from < self.group.to {
            // So each span is read once, however many groups claim it.
            return Err(ReadFailure::Malformed("its groups of ticks overlap"));
        }
        let (to, sums) = if self.places.is_some() {
            let (to, sums) = self.bounds(from)?;
            (to, Some(sums))
        } else {
            (self.next_group(tick, from)?, None)
        };
        let mut group = SpanGroup::new(from, to.max(from));
        group.sums = sums;
        if usize::try_from(to.saturating_sub(from)).is_ok_and(|count| count > self.most) {
            group.is_large = true;
            return Ok(group);
        }
        let mut check = GroupCheck::new(&group, self.places.as_deref());
        let mut rows = self.select.query([from, to])?;
        while let Some(row) = rows.next()? {
            let (first, last) = check.row(row)?;
            if last >= tick {
                group.spans.push((first, last, group.cells.len()));
                read_cells(row, &self.is_number, &mut group.cells, &mut group.odd)?;
            }
        }
        check.end()?;
        group.spans.sort_by_key(|(first, ..)| *first);
        Ok(group)
    }

    /// The end of the group that begins at `from`, and its stored checksums.
    fn bounds(&self, from: i64) -> Result<(i64, Vec<u8>), ReadFailure> {
        let mut select = self.db.prepare_cached("SELECT end_row, sums, sum FROM groups WHERE first_row = ?1")?;
        let mut rows = select.query([from])?;
        let Some(row) = rows.next()? else { return Err(ReadFailure::Damaged) };
        let ValueRef::Blob(sums) = row.get_ref(1)? else { return Err(ReadFailure::Damaged) };
        let (Ok(to), Ok(sum)) = (row.get::<_, i64>(0), row.get::<_, i64>(2)) else { return Err(ReadFailure::Damaged) };
        if to < from || sums::of_group(from, to, sums) != sum {
            return Err(ReadFailure::Damaged);
        }
        Ok((to, sums.to_vec()))
    }

    /// The end of the group of `tick` in a recording without checksums: the beginning of the next.
    fn next_group(&self, tick: i64, from: i64) -> Result<i64, ReadFailure> {
        let mut next = self.db.prepare_cached(
            "SELECT first_row FROM ticks WHERE tick > ?1 AND first_row <> ?2 AND row_count > 0 ORDER BY tick LIMIT 1",
        )?;
        let next: Option<i64> = next.query_row([tick, from], |row| row.get(0)).optional()?;
        Ok(match next {
            Some(next) => next,
            None => self.db.query_row("SELECT coalesce(max(rowid), 0) + 1 FROM spans", [], |row| row.get(0))?,
        })
    }

    fn stream(&mut self, tick: i64, take: &mut TakeRow<'_>) -> Result<(), ReadFailure> {
        if std::mem::replace(&mut self.group.is_read, true) {
            return Err(ReadFailure::Malformed("a group of its ticks is larger than any that psn writes"));
        }
        let mut check = GroupCheck::new(&self.group, self.places.as_deref());
        let (mut cells, mut odd) = (Vec::new(), Rows::new(1));
        let mut rows = self.select.query([self.group.from, self.group.to])?;
        while let Some(row) = rows.next()? {
            let (first, last) = check.row(row)?;
            if (first..=last).contains(&tick) {
                cells.clear();
                odd.clear();
                read_cells(row, &self.is_number, &mut cells, &mut odd)?;
                take(&cells, &odd)?;
            }
        }
        // The rows have been handed on already, so the tick cannot be skipped.
        check.end().map_err(|_| ReadFailure::Malformed("it is damaged: the checksum of a tick is wrong"))
    }
}

/// Checks the spans of a group while they are read.
struct GroupCheck<'a> {
    /// The rowid expected next; without checksums, the last rowid.
    at: i64,
    to: i64,
    sums: Option<(GroupSums, &'a [usize], Vec<u8>)>,
}

impl<'a> GroupCheck<'a> {
    fn new(group: &SpanGroup, places: Option<&'a [usize]>) -> Self {
        let stored = group.sums.clone();
        let sums = places.zip(stored).map(|(places, stored)| (GroupSums::new(places.len()), places, stored));
        let at = if sums.is_some() { group.from } else { i64::MIN };
        Self { at, to: group.to, sums }
    }

    /// Checks a span. Returns its first and its last tick.
    fn row(&mut self, row: &Row<'_>) -> Result<(i64, i64), ReadFailure> {
        let (id, first, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match &mut self.sums {
            None if id > self.at => self.at = id,
            // Otherwise a crafted file could go on for ever.
            None => return Err(ReadFailure::Malformed("its rows are out of order")),
            Some(_) if id != self.at => return Err(ReadFailure::Damaged),
            Some((sums, places, _)) => {
                self.at = self.at.saturating_add(1);
                sums.span(id, first, last);
                for place in 0..places.len() {
                    sums.value(place, row.get_ref(place + 3)?);
                }
            }
        }
        Ok((first, last))
    }

    /// Compares the checksums after the last span.
    fn end(self) -> Result<(), ReadFailure> {
        let Some((sums, places, stored)) = &self.sums else { return Ok(()) };
        let is_same = |sum: Sum, place: usize| sums::stored_at(stored, place) == Some(sum.stored());
        let columns = sums.columns.iter().zip(places.iter()).all(|(sum, place)| is_same(*sum, place + 1));
        if self.at == self.to && columns && is_same(sums.ticks, 0) { Ok(()) } else { Err(ReadFailure::Damaged) }
    }
}

impl SpanGroup {
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
            sums: None,
        }
    }
}

fn read_cells(
    row: &Row<'_>,
    is_number: &[bool],
    cells: &mut Vec<SpanValue>,
    odd: &mut Rows,
) -> Result<(), ReadFailure> {
    for (place, is_number) in is_number.iter().enumerate() {
        cells.push(match row.get_ref(place + 3)? {
            ValueRef::Integer(number) if *is_number => SpanValue::Number(number),
            ValueRef::Integer(id) => SpanValue::String(id),
            ValueRef::Null => SpanValue::Mark(Mark::None),
            ValueRef::Real(_) | ValueRef::Blob(_) => SpanValue::Mark(Mark::Malformed),
            ValueRef::Text(bytes) => {
                let mut buffer = Vec::new();
                let value = match number_beyond_64_bits(bytes) {
                    Some(number) => Value::Number(number),
                    None => text::load(bytes, &mut buffer),
                };
                if let Value::Mark(mark) = value {
                    SpanValue::Mark(mark)
                } else {
                    odd.push(value);
                    SpanValue::Odd(odd.len() - 1)
                }
            }
        });
    }
    if odd.size() > MAX_ODD_BYTES { Err(ReadFailure::Malformed("its numbers are texts")) } else { Ok(()) }
}

/// The number that `digits` are, if it does not fit into 64 bits.
fn number_beyond_64_bits(digits: &[u8]) -> Option<i128> {
    let number: i128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(number).is_err().then_some(number)
}
