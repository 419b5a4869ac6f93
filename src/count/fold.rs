//! One worker's table of groups, which it counts into without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::ask::plan::Aggregate;
use crate::count::accumulator::Accumulator;
use crate::count::group::LocalGroup;
use crate::count::hyperloglog::HyperLogLog;
use crate::count::intern::{InternedValue, Interner, Key, LocalInterner};
use crate::count::latency::{RecentTicks, SeenBetween, TickLog, TickStart};
use crate::count::memory::Memory;
use crate::count::plan::CountPlan;
use crate::row::last::LastValues;
use crate::row::memory::Budget;
use crate::row::observation::Observation;
use crate::row::rows::{Rows, SpareRows};
use crate::row::value::{Mark, Value};

/// One worker's counts of one tick, and its rows if they are recorded.
#[derive(Debug)]
pub struct Fold {
    plan: Arc<CountPlan>,
    /// This tick's rows; empty if they are lost.
    rows: Rows,
    /// Bytes taken from `rows_budget`.
    rows_taken: usize,
    /// Whether the budget had no memory for this tick's rows, so that none of them is kept.
    rows_are_lost: bool,
    rows_budget: Arc<Budget>,
    spare: SpareRows,
    interner: LocalInterner,
    /// For each key, the index of its group.
    indexes: HashMap<Key, usize, RandomState>,
    groups: Vec<LocalGroup>,
    /// The indexes of the groups that were counted in this tick.
    touched: Vec<usize>,
    /// The key of the current row: a buffer.
    key: Vec<InternedValue>,
    /// The index of the group `[other]`.
    other: Option<usize>,
    /// Estimates the number of groups that were counted as `[other]` in this tick.
    pub(super) without_room: Option<HyperLogLog>,
    ticks: TickLog,
    /// The tick that is counted with those before it, and its beginning; taken from `ticks` when they are first needed.
    recent: Option<(RecentTicks, TickStart)>,
    /// When its threads were seen, as far as that is known.
    pub(super) seen: SeenBetween,
    budget: Arc<Budget>,
    /// Bytes taken from `budget`.
    taken: usize,
}

impl Fold {
    /// Groups after which the table is emptied between ticks.
    const TABLE_GROUPS: usize = 1 << 17;

    /// Bytes by which the memory for rows grows.
    const ROWS_STEP: usize = 1 << 18;

    /// An empty fold that counts by `plan`. Texts go to `interner`; buffers for rows come from `spare`.
    pub(super) fn new(
        plan: Arc<CountPlan>,
        interner: Arc<Interner>,
        spare: SpareRows,
        ticks: TickLog,
        memory: &Memory,
    ) -> Self {
        Self {
            rows: spare.take(plan.columns),
            rows_taken: 0,
            rows_are_lost: false,
            rows_budget: Arc::clone(&memory.rows),
            spare,
            plan,
            interner: LocalInterner::new(interner, Arc::clone(&memory.held)),
            indexes: HashMap::default(),
            groups: Vec::new(),
            touched: Vec::new(),
            key: Vec::new(),
            other: None,
            without_room: None,
            ticks,
            recent: None,
            seen: SeenBetween::default(),
            budget: Arc::clone(&memory.held),
            taken: 0,
        }
    }

    /// Counts one observation of tick number `tick`.
    pub fn add(&mut self, row: &Observation, tick: u32, last: &mut LastValues) {
        if self.plan.collected.has_rows() {
            self.keep_row(row);
        }
        if !self.plan.collected.has_counts() {
            return;
        }
        let group = self.group_of(row);
        for index in 0..self.plan.measures.len() {
            // By index: a reference would borrow the whole fold, and cloning the `Arc` writes to memory that all workers share.
            let Some(measure) = self.plan.measures.get(index).copied() else { break };
            let value = row.value(measure.slot);
            match measure.aggregate {
                Aggregate::Distinct => {
                    self.note_different(group, index, value);
                    continue;
                }
                Aggregate::Ages => {
                    let since = self.plan.since.map(|slot| row.value(slot));
                    self.note_age(group, index, (value, since), tick);
                    continue;
                }
                _ => {}
            }
            let interned = Accumulator::is_of_values(measure.aggregate)
                .then(|| self.interned(value).unwrap_or(InternedValue::Mark(Mark::Other)));
            let Some(accumulator) = self.groups.get_mut(group).and_then(|group| group.accumulators.get_mut(index))
            else {
                break;
            };
            match (interned, value.number()) {
                (Some(value), _) => self.taken += accumulator.add_value(value, tick, row.tid, &self.budget),
                (None, Some(number)) if measure.aggregate == Aggregate::Delta => {
                    self.taken += accumulator.add_number(last.increase(index, number), &self.budget);
                }
                (None, Some(number)) => self.taken += accumulator.add_number(Some(number), &self.budget),
                (None, None) => {}
            }
        }
        let index = group;
        if let Some(group) = self.groups.get_mut(index) {
            if group.count == 0 {
                self.touched.push(index);
            }
            group.count += 1;
        }
    }

    /// Counts `value` as one of the different values of measure `index` in `group`. Marks are not values.
    fn note_different(&mut self, group: usize, index: usize, value: Value<'_>) {
        if matches!(value, Value::Mark(_)) {
            return;
        }
        let hash = self.plan.hash(std::iter::once(value));
        let group = self.groups.get_mut(group);
        if let Some(accumulator) = group.and_then(|group| group.accumulators.get_mut(index)) {
            self.taken += accumulator.add_hash(hash, &self.budget);
        }
    }

    /// Adds the age of a wait, and since when it lasts, to measure `index` of `group`. Marks are not ages.
    fn note_age(&mut self, group: usize, index: usize, (age, since): (Value<'_>, Option<Value<'_>>), tick: u32) {
        let number = |value: Value<'_>| value.number().and_then(|number| u64::try_from(number).ok());
        let since_ns = since.and_then(number);
        if self.recent.is_none() {
            self.recent = self.ticks.current();
        }
        let Some((recent, start)) = &self.recent else { return };
        let group = self.groups.get_mut(group).and_then(|group| group.accumulators.get_mut(index));
        let Some(ages) = group.and_then(Accumulator::ages_mut) else { return };
        let Some(age_ns) = number(age) else {
            if since_ns.is_some_and(|since_ns| since_ns > start.has_begun_ns()) {
                ages.note_begun();
            }
            return;
        };
        if let Some(since_ns) = since_ns {
            let seen_ns = since_ns.saturating_add(age_ns);
            self.seen.note(seen_ns.saturating_sub(start.due_ns()));
            ages.note_seen(seen_ns.saturating_sub(start.has_begun_ns()));
        }
        self.taken += ages.add(age_ns, recent.within(age_ns), tick, &self.budget);
    }

    fn keep_row(&mut self, row: &Observation) {
        if self.rows_are_lost {
            return;
        }
        self.rows.push_row(row);
        while self.rows.size() > self.rows_taken && !self.rows_are_lost {
            if self.rows_budget.take(Self::ROWS_STEP) {
                self.rows_taken += Self::ROWS_STEP;
            } else {
                self.rows_are_lost = true;
                self.release_rows();
            }
        }
    }

    /// Drops the rows and returns their memory to the budget.
    fn release_rows(&mut self) {
        self.rows.clear();
        self.rows_budget.give(std::mem::take(&mut self.rows_taken));
    }

    /// `value` with its text interned. `None` if there is no memory for the text.
    #[inline]
    fn interned(&mut self, value: Value<'_>) -> Option<InternedValue> {
        value.try_map(|text| self.interner.intern(text))
    }

    /// The index of the group that the row belongs to.
    #[inline]
    fn group_of(&mut self, row: &Observation) -> usize {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for index in 0..self.plan.dimensions.len() {
            let slot = self.plan.dimensions.get(index).copied().unwrap_or_default();
            let Some(value) = self.interned(row.value(slot)) else { break };
            key.push(value);
        }
        let group = if key.len() == self.plan.dimensions.len() { self.group(&key) } else { None };
        self.key = key;
        group.unwrap_or_else(|| self.other_group(row))
    }

    /// The index of the group with this key. `None` if the group is new and there is no memory for it.
    fn group(&mut self, key: &[InternedValue]) -> Option<usize> {
        if let Some(index) = self.indexes.get(key) {
            return Some(*index);
        }
        if !self.budget.take(self.plan.local_bytes) {
            return None;
        }
        self.taken += self.plan.local_bytes;
        let key: Key = key.into();
        let index = self.push_group(Arc::clone(&key));
        self.indexes.insert(key, index);
        Some(index)
    }

    /// The index of the group `[other]`. Notes the group that the row would have belonged to.
    #[cold]
    fn other_group(&mut self, row: &Observation) -> usize {
        let values = self.plan.dimensions.iter().map(|slot| row.value(*slot));
        let hash = self.plan.hash(values);
        self.without_room.get_or_insert_default().add(hash);
        if let Some(index) = self.other {
            return index;
        }
        let index = self.push_group(self.plan.other());
        *self.other.insert(index)
    }

    fn push_group(&mut self, key: Key) -> usize {
        self.groups.push(LocalGroup { key, count: 0, accumulators: self.plan.accumulators() });
        self.groups.len() - 1
    }

    /// The number of groups that were counted in this tick.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.touched.len()
    }

    /// The groups that were counted in this tick.
    pub(super) fn touched_groups(&self) -> impl Iterator<Item = &LocalGroup> {
        self.touched.iter().filter_map(|index| self.groups.get(*index))
    }

    /// This tick's rows. `None` if there are none, or they are not recorded, or they were lost.
    pub fn take_rows(&mut self) -> Option<Rows> {
        let rows =
            (!self.rows.is_empty()).then(|| std::mem::replace(&mut self.rows, self.spare.take(self.plan.columns)));
        self.release_rows();
        rows
    }

    /// Whether this tick's rows were dropped for want of memory.
    #[must_use]
    pub const fn has_lost_rows(&self) -> bool {
        self.rows_are_lost
    }

    /// Drops this tick's counts and rows; keeps the table of groups unless it is large or memory is short.
    pub fn discard(&mut self) {
        self.release_rows();
        self.rows_are_lost = false;
        for index in self.touched.drain(..) {
            if let Some(group) = self.groups.get_mut(index) {
                group.count = 0;
                group.accumulators.iter_mut().for_each(Accumulator::clear);
            }
        }
        self.without_room = None;
        self.recent = None;
        self.seen = SeenBetween::default();
        if self.groups.len() > Self::TABLE_GROUPS || (self.taken > 0 && self.budget.is_tight()) {
            self.forget();
        }
    }

    /// Drops the table of groups and returns its memory to the budget.
    fn forget(&mut self) {
        self.groups = Vec::new();
        self.indexes = HashMap::default();
        self.touched = Vec::new();
        self.other = None;
        self.budget.give(std::mem::take(&mut self.taken));
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.release_rows();
        self.forget();
    }
}
