//! What becomes of the values of one measure in one group.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::ask::plan::Aggregate;
use crate::count::Cell;
use crate::count::different::Different;
use crate::count::latency::WaitAges;
use crate::count::memory::Budget;
use crate::count::quantiles::Quantiles;
use crate::row::memory::{allocation, table_entry};
use crate::row::observation::{Mark, Value};

/// What became of the values of one measure in one group.
#[derive(Debug, Clone, PartialEq)]
pub enum Accumulator {
    /// The largest so far.
    Max(Option<i128>),
    /// Sum and number of values.
    Sum {
        /// The sum.
        sum: i128,
        /// How many.
        count: u64,
    },
    /// A sum that 128 bits do not hold.
    Overflow,
    /// The earliest value, by tick and thread id.
    Example(Option<(u32, u32, Cell)>),
    /// How often each value occurred; those for which there was no room as `[other]`.
    Common(HashMap<Cell, u64, RandomState>),
    /// How many there are of each size.
    Quantiles(Box<Quantiles>),
    /// How many different ones.
    Distinct(Box<Different>),
    /// The ages of waits.
    Ages(Box<WaitAges>),
}

impl Accumulator {
    pub(crate) fn new(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Max => Self::Max(None),
            Aggregate::Avg | Aggregate::Sum | Aggregate::Delta => Self::Sum { sum: 0, count: 0 },
            Aggregate::Example => Self::Example(None),
            Aggregate::Common => Self::Common(HashMap::default()),
            Aggregate::Percentile(_) => Self::Quantiles(Box::default()),
            Aggregate::Distinct => Self::Distinct(Box::default()),
            Aggregate::Ages => Self::Ages(Box::default()),
        }
    }

    /// The memory that one takes beside its place among those of its group, when it is empty.
    pub(crate) const fn cost(aggregate: Aggregate) -> usize {
        match aggregate {
            Aggregate::Percentile(_) => allocation(size_of::<Quantiles>()),
            Aggregate::Distinct => allocation(size_of::<Different>()),
            Aggregate::Ages => allocation(size_of::<WaitAges>()),
            _ => 0,
        }
    }

    /// Whether it is made of any value, not of numbers alone.
    pub(crate) const fn is_of_cells(aggregate: Aggregate) -> bool {
        matches!(aggregate, Aggregate::Example | Aggregate::Common)
    }

    /// Adds a number; those of a counter are given as how much it grew, none where that is no number.
    /// A table takes its memory from `budget`; returns how much.
    #[inline]
    pub(crate) fn add_number(&mut self, number: Option<i128>, budget: &Budget) -> usize {
        match (&mut *self, number) {
            (Self::Quantiles(quantiles), Some(number)) => return quantiles.add(number, budget),
            (Self::Ages(ages), Some(age_ns)) => return ages.add(age_ns, budget),
            (Self::Max(max), number) => *max = (*max).max(number),
            (Self::Sum { sum, count }, Some(number)) => match sum.checked_add(number) {
                Some(more) => (*sum, *count) = (more, *count + 1),
                None => *self = Self::Overflow,
            },
            (Self::Sum { .. }, None) => *self = Self::Overflow,
            _ => {}
        }
        0
    }

    /// Adds the hash of a value. What it takes it takes from `budget`; returns how much.
    pub(crate) fn add_hash(&mut self, hash: u64, budget: &Budget) -> usize {
        match self {
            Self::Distinct(different) => different.add(hash, budget),
            _ => 0,
        }
    }

    /// Adds a value seen of thread `tid` in tick `tick`. A table takes its memory from `budget`; returns how much.
    #[inline]
    pub(crate) fn add_cell(&mut self, cell: Cell, tick: u32, tid: u32, budget: &Budget) -> usize {
        match self {
            Self::Example(example) => {
                if example.is_none_or(|known| (tick, tid) < (known.0, known.1)) {
                    *example = Some((tick, tid, cell));
                }
                0
            }
            Self::Common(counts) => count(counts, cell, 1, budget),
            _ => 0,
        }
    }

    /// Adds what another accumulator of the measure has. A table takes its memory from `budget`; returns how much.
    #[inline]
    pub(crate) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        match (&mut *self, other) {
            (Self::Max(mine), Self::Max(theirs)) => *mine = (*mine).max(*theirs),
            (Self::Sum { sum, count }, Self::Sum { sum: more, count: others }) => match sum.checked_add(*more) {
                Some(more) => (*sum, *count) = (more, *count + others),
                None => *self = Self::Overflow,
            },
            (Self::Sum { .. }, Self::Overflow) => *self = Self::Overflow,
            (Self::Example(mine), Self::Example(Some(theirs)))
                if mine.is_none_or(|mine| (theirs.0, theirs.1) < (mine.0, mine.1)) =>
            {
                *mine = Some(*theirs);
            }
            (Self::Quantiles(mine), Self::Quantiles(theirs)) => return mine.merge(theirs, budget),
            (Self::Ages(mine), Self::Ages(theirs)) => return mine.merge(theirs, budget),
            (Self::Distinct(mine), Self::Distinct(theirs)) => return mine.merge(theirs, budget),
            (Self::Common(mine), Self::Common(theirs)) => {
                return theirs.iter().map(|(cell, number)| count(mine, *cell, *number, budget)).sum();
            }
            _ => {}
        }
        0
    }

    /// Forgets the values; a table keeps its memory.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Max(max) => *max = None,
            Self::Sum { sum, count } => (*sum, *count) = (0, 0),
            Self::Overflow => *self = Self::Sum { sum: 0, count: 0 },
            Self::Example(example) => *example = None,
            Self::Common(counts) => counts.clear(),
            Self::Quantiles(quantiles) => quantiles.clear(),
            Self::Distinct(different) => different.clear(),
            Self::Ages(ages) => ages.clear(),
        }
    }

    /// Puts `name` in the place of the cells that it gives another for.
    pub(crate) fn rename(&mut self, name: &dyn Fn(Cell) -> Option<Cell>) {
        match self {
            Self::Example(Some((.., cell))) => *cell = name(*cell).unwrap_or(*cell),
            Self::Common(counts) => {
                let renamed: Vec<(Cell, Cell)> = counts.keys().filter_map(|cell| Some((*cell, name(*cell)?))).collect();
                for (old, new) in renamed {
                    let number = counts.remove(&old).unwrap_or(0);
                    *counts.entry(new).or_default() += number;
                }
            }
            _ => {}
        }
    }
}

/// Counts `cell` so many times more, as `[other]` if there is no room for it. Returns the memory that was taken.
fn count(counts: &mut HashMap<Cell, u64, RandomState>, cell: Cell, number: u64, budget: &Budget) -> usize {
    if let Some(known) = counts.get_mut(&cell) {
        *known += number;
        return 0;
    }
    // A table grows to twice its size.
    let taken = if counts.len() < counts.capacity() {
        0
    } else {
        counts.capacity().max(4) * table_entry(size_of::<(Cell, u64)>())
    };
    if budget.take(taken) {
        counts.insert(cell, number);
        return taken;
    }
    *counts.entry(Cell::Mark(Mark::Other)).or_default() += number;
    0
}

/// The number in `value`.
pub(crate) const fn number(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Number(number) => Some(number),
        Value::Text(_) | Value::Mark(_) => None,
    }
}
