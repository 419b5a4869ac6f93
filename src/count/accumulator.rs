//! The running aggregate of one measure in one group.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::ask::plan::Aggregate;
use crate::count::distinct::Distinct;
use crate::count::intern::InternedValue;
use crate::count::latency::WaitAges;
use crate::count::quantiles::Quantiles;
use crate::row::bounds::Bounds;
use crate::row::memory::Budget;
use crate::row::memory::{allocation, table_entry};
use crate::row::value::Mark;

/// The running aggregate of one measure in one group: what a statistic is computed from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Accumulator {
    /// The largest number.
    Max(Option<i128>),
    /// Sum and count of the numbers.
    Sum {
        /// Their sum.
        sum: i128,
        /// How many there were.
        count: u64,
    },
    /// The sum does not fit 128 bits.
    Overflow,
    /// The earliest value, with its tick and thread id.
    Example(Option<(u32, u32, InternedValue)>),
    /// How often each value occurred. Values for which there was no memory count as `[other]`.
    Common(HashMap<InternedValue, u64, RandomState>),
    /// How often numbers of each size occurred.
    Quantiles(Box<Quantiles>),
    /// The different values.
    Distinct(Box<Distinct>),
    /// The ages of waits.
    Ages(Box<WaitAges>),
    /// Which bounds are among the ages of waits.
    Bounds(Bounds),
}

impl Accumulator {
    pub(super) fn new(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Max => Self::Max(None),
            Aggregate::Avg | Aggregate::Sum | Aggregate::Delta => Self::Sum { sum: 0, count: 0 },
            Aggregate::Example => Self::Example(None),
            Aggregate::Common => Self::Common(HashMap::default()),
            Aggregate::Percentile(_) => Self::Quantiles(Box::default()),
            Aggregate::Distinct => Self::Distinct(Box::default()),
            Aggregate::Ages => Self::Ages(Box::default()),
            Aggregate::Bounds => Self::Bounds(Bounds::default()),
        }
    }

    /// Bytes that an empty one takes besides its own size.
    pub(super) const fn cost(aggregate: Aggregate) -> usize {
        match aggregate {
            Aggregate::Percentile(_) => allocation(size_of::<Quantiles>()),
            Aggregate::Distinct => allocation(size_of::<Distinct>()),
            Aggregate::Ages => allocation(size_of::<WaitAges>()),
            _ => 0,
        }
    }

    /// Whether it takes any value rather than numbers alone.
    pub(super) const fn is_of_values(aggregate: Aggregate) -> bool {
        matches!(aggregate, Aggregate::Example | Aggregate::Common)
    }

    /// Adds a number. `None` stands for the increase of a counter that 128 bits do not hold. Returns the bytes taken from
    /// `budget`.
    #[inline]
    pub(super) fn add_number(&mut self, number: Option<i128>, budget: &Budget) -> usize {
        match (&mut *self, number) {
            (Self::Quantiles(quantiles), Some(number)) => return quantiles.add(number, budget),
            (Self::Bounds(bounds), Some(exactness)) => bounds.note(exactness),
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

    /// The ages of waits, if it is made of them.
    pub(super) fn ages_mut(&mut self) -> Option<&mut WaitAges> {
        match self {
            Self::Ages(ages) => Some(ages),
            _ => None,
        }
    }

    /// Adds the hash of a value. Returns the bytes taken from `budget`.
    pub(super) fn add_hash(&mut self, hash: u64, budget: &Budget) -> usize {
        match self {
            Self::Distinct(different) => different.add(hash, budget),
            _ => 0,
        }
    }

    /// Adds a value of thread `tid` in tick `tick`. Returns the bytes taken from `budget`.
    #[inline]
    pub(super) fn add_value(&mut self, value: InternedValue, tick: u32, tid: u32, budget: &Budget) -> usize {
        match self {
            Self::Example(example) => {
                if example.is_none_or(|known| (tick, tid) < (known.0, known.1)) {
                    *example = Some((tick, tid, value));
                }
                0
            }
            Self::Common(counts) => count(counts, value, 1, budget),
            _ => 0,
        }
    }

    /// Adds another accumulator of the same measure. Returns the bytes taken from `budget`.
    #[inline]
    pub(super) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
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
            (Self::Bounds(mine), Self::Bounds(theirs)) => *mine = mine.and(*theirs),
            (Self::Distinct(mine), Self::Distinct(theirs)) => return mine.merge(theirs, budget),
            (Self::Common(mine), Self::Common(theirs)) => {
                return theirs.iter().map(|(value, number)| count(mine, *value, *number, budget)).sum();
            }
            _ => {}
        }
        0
    }

    /// Resets it; the table of values keeps its memory.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Max(max) => *max = None,
            Self::Sum { sum, count } => (*sum, *count) = (0, 0),
            Self::Overflow => *self = Self::Sum { sum: 0, count: 0 },
            Self::Example(example) => *example = None,
            Self::Common(counts) => counts.clear(),
            Self::Quantiles(quantiles) => quantiles.clear(),
            Self::Distinct(different) => different.clear(),
            Self::Ages(ages) => ages.clear(),
            Self::Bounds(bounds) => *bounds = Bounds::default(),
        }
    }

    /// Replaces the values for which `name` returns another one.
    pub(super) fn rename(&mut self, name: &dyn Fn(InternedValue) -> Option<InternedValue>) {
        match self {
            Self::Example(Some((.., value))) => *value = name(*value).unwrap_or(*value),
            Self::Common(counts) => {
                let renamed: Vec<(InternedValue, InternedValue)> =
                    counts.keys().filter_map(|value| Some((*value, name(*value)?))).collect();
                for (old, new) in renamed {
                    let number = counts.remove(&old).unwrap_or(0);
                    *counts.entry(new).or_default() += number;
                }
            }
            _ => {}
        }
    }
}

/// Adds `number` to the count of `value`, or of `[other]` if there is no memory for it. Returns the bytes taken.
fn count(
    counts: &mut HashMap<InternedValue, u64, RandomState>,
    value: InternedValue,
    number: u64,
    budget: &Budget,
) -> usize {
    if let Some(known) = counts.get_mut(&value) {
        *known += number;
        return 0;
    }
    // A full table doubles.
    let taken = if counts.len() < counts.capacity() {
        0
    } else {
        counts.capacity().max(4) * table_entry(size_of::<(InternedValue, u64)>())
    };
    if budget.take(taken) {
        counts.insert(value, number);
        return taken;
    }
    *counts.entry(InternedValue::Mark(Mark::Other)).or_default() += number;
    0
}
