//! Finds the rows of a tick that are unchanged since the tick before.
//!
//! Most threads do the same for many ticks. A writer can reuse what it made of an unchanged row instead of looking up its
//! values again.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Header;
use super::header::IDENTITY;
use crate::row::observation::Value;
use crate::row::rows::Rows;

/// Keeps the rows of the previous tick. An index counts through all of its buffers.
#[derive(Debug)]
pub(super) struct Repeats {
    /// The columns that identify a thread.
    identity: Vec<usize>,
    last: PreviousTick,
    /// The index of each thread in the previous tick. Made when the first thread is met that is not where it is expected.
    places: HashMap<Vec<i128>, usize, RandomState>,
    found: Vec<Option<usize>>,
    is_taken: Vec<bool>,
}

/// The rows of the previous tick.
#[derive(Debug, Default)]
struct PreviousTick {
    rows: Vec<Rows>,
    /// The index of the first row of each buffer, and the number of all rows.
    starts: Vec<usize>,
}

impl PreviousTick {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The buffer and the row in it that have the index `place`.
    fn at(&self, place: usize) -> Option<(&Rows, usize)> {
        let index = self.starts.partition_point(|start| *start <= place).checked_sub(1)?;
        Some((self.rows.get(index)?, place - self.starts.get(index)?))
    }
}

impl Repeats {
    /// Begins without a previous tick; `header` tells the columns.
    pub(super) fn new(header: &Header) -> Self {
        let of = |name: &&str| header.columns.iter().position(|column| column.name == **name);
        // A thread's state is not part of its identity.
        let identity = IDENTITY.iter().filter(|name| **name != "state_id").filter_map(of).collect();
        Self {
            identity,
            last: PreviousTick::default(),
            places: HashMap::default(),
            found: Vec::new(),
            is_taken: Vec::new(),
        }
    }

    /// For each of `rows`, the index of a row of the previous tick with the same values, if there is one. No index is given
    /// twice.
    pub(super) fn find(&mut self, rows: &[Rows]) -> &[Option<usize>] {
        self.places.clear();
        self.found.clear();
        self.is_taken.fill(false);
        // The order of threads hardly changes.
        let mut next = 0;
        for rows in rows {
            for row in 0..rows.len() {
                let found = if self.is_free_and_same(next, rows, row) {
                    next += 1;
                    Some(next - 1)
                } else {
                    let place = self.place(rows, row, next);
                    next = place.map_or(next, |place| place + 1);
                    place.filter(|place| self.is_free_and_same(*place, rows, row))
                };
                if let Some(is_taken) = found.and_then(|place| self.is_taken.get_mut(place)) {
                    *is_taken = true;
                }
                self.found.push(found);
            }
        }
        &self.found
    }

    fn is_free_and_same(&self, place: usize, rows: &Rows, row: usize) -> bool {
        self.is_taken.get(place) == Some(&false)
            && self.last.at(place).is_some_and(|(last, at)| rows.is_same(row, last, at))
    }

    /// The index of this row's thread in the previous tick, which is most likely `guess`.
    fn place(&mut self, rows: &Rows, row: usize, guess: usize) -> Option<usize> {
        let is_of_same = |(last, at): (&Rows, usize)| {
            self.identity.iter().all(|column| rows.value(row, *column) == last.value(at, *column))
        };
        if self.last.at(guess).is_some_and(is_of_same) {
            return Some(guess);
        }
        if self.places.is_empty() {
            for (rows, start) in self.last.rows.iter().zip(&self.last.starts) {
                let place = |row| Some((key(&self.identity, rows, row)?, start + row));
                self.places.extend((0..rows.len()).filter_map(place));
            }
        }
        self.places.get(&key(&self.identity, rows, row)?).copied()
    }

    /// The rows of the previous tick that [`Repeats::find`] has not found since, with their indices.
    pub(super) fn ended(&self) -> impl Iterator<Item = (usize, &Rows, usize)> {
        let rows = self.last.rows.iter().flat_map(|rows| (0..rows.len()).map(move |row| (rows, row)));
        let places = rows.zip(&self.is_taken).enumerate();
        places.filter(|(_, (_, is_taken))| !**is_taken).map(|(place, ((rows, row), _))| (place, rows, row))
    }

    /// Takes `rows` as the previous tick, and leaves the buffers of the one before in their place.
    pub(super) fn remember(&mut self, rows: &mut Vec<Rows>) {
        std::mem::swap(&mut self.last.rows, rows);
        let mut end = 0;
        let ends = self.last.rows.iter().map(|rows| {
            end += rows.len();
            end
        });
        self.last.starts.clear();
        self.last.starts.extend(std::iter::once(0).chain(ends));
        self.is_taken.clear();
        self.is_taken.resize(self.last.len(), false);
    }

    /// Forgets the previous tick.
    pub(super) fn forget(&mut self) {
        self.last.rows.iter_mut().for_each(Rows::clear);
        self.last.starts.clear();
        self.is_taken.clear();
    }
}

fn key(identity: &[usize], rows: &Rows, row: usize) -> Option<Vec<i128>> {
    let number = |column: &usize| match rows.value(row, *column) {
        Value::Number(number) => Some(number),
        _ => None,
    };
    identity.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture::{COLUMNS, header};

    /// Rows of threads, each with a name.
    fn rows(threads: &[(i128, &str)]) -> Rows {
        let mut rows = Rows::new(COLUMNS.len());
        for (task, name) in threads {
            for column in COLUMNS {
                rows.push(match column {
                    "task" => Value::Number(*task),
                    "comm" => Value::Text(name.as_bytes()),
                    _ => Value::Number(0),
                });
            }
        }
        rows
    }

    #[test]
    fn a_row_is_found_wherever_it_was_if_nothing_of_it_has_changed() {
        let mut repeats = Repeats::new(&header("run"));
        let first = [rows(&[(1, "a"), (2, "b")]), rows(&[]), rows(&[(3, "c"), (4, "d")])];
        assert_eq!(repeats.find(&first), [None; 4]);
        repeats.remember(&mut first.to_vec());
        assert_eq!(repeats.find(&first), [Some(0), Some(1), Some(2), Some(3)]);
        let second = [rows(&[(4, "d"), (5, "a"), (1, "a")]), rows(&[(3, "changed"), (2, "b")])];
        assert_eq!(repeats.find(&second), [Some(3), None, Some(0), None, Some(1)]);
        repeats.remember(&mut second.to_vec());
        assert_eq!(repeats.find(&first), [Some(2), Some(4), None, Some(0)]);
        repeats.forget();
        assert_eq!(repeats.find(&first), [None; 4]);
    }

    #[test]
    fn of_equal_rows_each_is_found_once() {
        let mut repeats = Repeats::new(&header("run"));
        repeats.remember(&mut vec![rows(&[(1, "a"), (1, "a")])]);
        assert_eq!(repeats.find(&[rows(&[(1, "a"), (1, "a"), (1, "a")])]), [Some(0), Some(1), None]);
    }
}
