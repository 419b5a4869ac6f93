//! Counts by group: folded per worker, put together once per tick in a lock-sharded map.
//!
//! A worker counts into its own [`Fold`], with no lock and, once its tables have grown, no
//! allocation. When the tick is complete the folds are committed to the [`Aggregator`], one lock per
//! touched group; a tick that did not complete is discarded whole, so averages divide by ticks that
//! saw every thread. Sums are integers: the result does not depend on who counted what, or when.
//!
//! Groups, their texts and the folds' tables take their memory from a [`Memory`]. A group for which there is none left is
//! counted in one group `[other]` with all its like, and before any of its texts is kept: names that are new at every tick
//! cost a look-up each. How many groups are in there is estimated.

pub(crate) mod accumulator;
pub(crate) mod batches;
pub mod distinct;
pub mod intern;
pub mod memory;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;

use crate::ask::plan::{Aggregate, Collected, Measure, Plan};
pub use crate::count::accumulator::Accumulator;
use crate::count::accumulator::number;
use crate::count::batches::Batches;
use crate::count::distinct::Distinct;
use crate::count::intern::{Interner, LocalInterner, Symbol};
use crate::count::memory::{Budget, Memory};
use crate::report::{Other, Row};
use crate::row::last::LastValues;
use crate::row::memory::{allocation, table_entry};
use crate::row::observation::{Mark, Observation, Value};
use crate::row::rows::{Rows, SpareRows};

/// A value as part of a group's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cell {
    /// A number.
    Number(i128),
    /// A text of the session's interner.
    Text(Symbol),
    /// A mark.
    Mark(Mark),
}

type Key = Arc<[Cell]>;

/// Another text for a text, if there is one.
pub type Naming<'a> = dyn Fn(&[u8]) -> Option<Arc<[u8]>> + 'a;

/// The parts of a plan that counting needs.
#[derive(Debug, Clone)]
pub struct Layout {
    dimensions: Vec<usize>,
    measures: Vec<Measure>,
    columns: usize,
    keep: Collected,
    /// What groups without room are told apart by.
    hasher: foldhash::quality::RandomState,
    /// The memory that a group takes until the report is made, but for tables of values.
    group_bytes: usize,
    /// And its row in the report.
    row_bytes: usize,
    /// The memory that a group takes in a fold.
    local_bytes: usize,
}

impl Layout {
    /// The layout of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let key = allocation(plan.dimensions.len() * size_of::<Cell>() + 2 * size_of::<usize>());
        let accumulators = allocation(plan.measures.len() * size_of::<Accumulator>());
        let batches = allocation(Batches::KEPT * size_of::<u64>());
        Self {
            dimensions: plan.dimensions.clone(),
            measures: plan.measures.clone(),
            columns: plan.columns.len(),
            keep: plan.collected,
            hasher: foldhash::quality::RandomState::default(),
            group_bytes: table_entry(size_of::<(Key, Group)>()) + key + accumulators + batches,
            row_bytes: Row::cost(plan),
            local_bytes: table_entry(size_of::<(Key, usize)>())
                + 2 * (size_of::<LocalGroup>() + size_of::<usize>())
                + key
                + accumulators,
        }
    }

    /// The key of the group in which those without room are.
    fn other(&self) -> Key {
        self.dimensions.iter().map(|_| Cell::Mark(Mark::Other)).collect()
    }

    /// A hash of the group of these values; equal ones have the same, whoever counts them.
    fn hash<'a>(&self, values: impl Iterator<Item = Value<'a>>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for value in values {
            match value {
                Value::Number(number) => (0_u8, number).hash(&mut hasher),
                Value::Text(text) => (1_u8, text).hash(&mut hasher),
                Value::Mark(mark) => (2_u8, mark).hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn accumulators(&self) -> Box<[Accumulator]> {
        self.measures.iter().map(|measure| Accumulator::new(measure.aggregate)).collect()
    }
}

#[derive(Debug)]
struct LocalGroup {
    key: Key,
    count: u64,
    accumulators: Box<[Accumulator]>,
}

/// One worker's counts of one tick; if they are to be recorded, its rows as well.
#[derive(Debug)]
pub struct Fold {
    layout: Arc<Layout>,
    rows: Rows,
    /// Bytes taken for them; none are kept of a tick for which there was no room.
    rows_taken: usize,
    rows_are_lost: bool,
    rows_budget: Arc<Budget>,
    spare: SpareRows,
    interner: LocalInterner,
    places: HashMap<Key, usize, RandomState>,
    groups: Vec<LocalGroup>,
    touched: Vec<usize>,
    key: Vec<Cell>,
    /// The place of the group of those without room.
    other: Option<usize>,
    /// Those that are in it in this tick.
    without_room: Option<Distinct>,
    budget: Arc<Budget>,
    /// Bytes taken for groups.
    taken: usize,
}

impl Fold {
    /// Groups after which a worker's table starts over between ticks.
    const TABLE_GROUPS: usize = 1 << 17;

    /// Memory for rows is taken in steps of so many bytes.
    const ROWS_STEP: usize = 1 << 18;

    /// An empty fold for plans of this layout, with texts in `interner`, buffers for rows from `spare` and memory of `memory`.
    #[must_use]
    pub fn new(layout: Arc<Layout>, interner: Arc<Interner>, spare: SpareRows, memory: &Memory) -> Self {
        Self {
            rows: spare.take(layout.columns),
            rows_taken: 0,
            rows_are_lost: false,
            rows_budget: Arc::clone(&memory.rows),
            spare,
            layout,
            interner: LocalInterner::new(interner, Arc::clone(&memory.held)),
            places: HashMap::default(),
            groups: Vec::new(),
            touched: Vec::new(),
            key: Vec::new(),
            other: None,
            without_room: None,
            budget: Arc::clone(&memory.held),
            taken: 0,
        }
    }

    /// Counts one observation of tick number `tick`.
    pub fn add(&mut self, row: &Observation, tick: u32, last: &mut LastValues) {
        if self.layout.keep.has_rows() {
            self.keep_row(row);
        }
        if !self.layout.keep.has_counts() {
            return;
        }
        let place = self.place_of(row);
        for index in 0..self.layout.measures.len() {
            // By index: a reference would hold the whole fold, and another count of the shared layout is
            // a write that all workers contend for.
            let Some(measure) = self.layout.measures.get(index).copied() else { break };
            let value = row.value(measure.slot);
            let cell = Accumulator::is_of_cells(measure.aggregate)
                .then(|| self.cell(value).unwrap_or(Cell::Mark(Mark::Other)));
            let Some(accumulator) = self.groups.get_mut(place).and_then(|group| group.accumulators.get_mut(index))
            else {
                break;
            };
            match (cell, number(value)) {
                (Some(cell), _) => self.taken += accumulator.add_cell(cell, tick, row.tid, &self.budget),
                (None, Some(number)) if measure.aggregate == Aggregate::Delta => {
                    accumulator.add_number(last.increase(index, number));
                }
                (None, Some(number)) => accumulator.add_number(Some(number)),
                (None, None) => {}
            }
        }
        if let Some(group) = self.groups.get_mut(place) {
            if group.count == 0 {
                self.touched.push(place);
            }
            group.count += 1;
        }
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

    /// Forgets the rows, and gives their memory back.
    fn release_rows(&mut self) {
        self.rows.clear();
        self.rows_budget.give(std::mem::take(&mut self.rows_taken));
    }

    /// The value as a cell; none if there is no room for its text.
    #[inline]
    fn cell(&mut self, value: Value<'_>) -> Option<Cell> {
        match value {
            Value::Number(number) => Some(Cell::Number(number)),
            Value::Text(text) => self.interner.intern(text).map(Cell::Text),
            Value::Mark(mark) => Some(Cell::Mark(mark)),
        }
    }

    /// Where the row is counted.
    #[inline]
    fn place_of(&mut self, row: &Observation) -> usize {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for index in 0..self.layout.dimensions.len() {
            let slot = self.layout.dimensions.get(index).copied().unwrap_or_default();
            let Some(cell) = self.cell(row.value(slot)) else { break };
            key.push(cell);
        }
        let place = if key.len() == self.layout.dimensions.len() { self.place(&key) } else { None };
        self.key = key;
        place.unwrap_or_else(|| self.place_without_room(row))
    }

    /// The place of the group with this key; none if it is new and there is no room for it.
    fn place(&mut self, key: &[Cell]) -> Option<usize> {
        if let Some(place) = self.places.get(key) {
            return Some(*place);
        }
        if !self.budget.take(self.layout.local_bytes) {
            return None;
        }
        self.taken += self.layout.local_bytes;
        let key: Key = key.into();
        let place = self.push_group(Arc::clone(&key));
        self.places.insert(key, place);
        Some(place)
    }

    /// The place of those for which there is no room, of which the row is one.
    #[cold]
    fn place_without_room(&mut self, row: &Observation) -> usize {
        let values = self.layout.dimensions.iter().map(|slot| row.value(*slot));
        let hash = self.layout.hash(values);
        self.without_room.get_or_insert_default().add(hash);
        if let Some(place) = self.other {
            return place;
        }
        let place = self.push_group(self.layout.other());
        *self.other.insert(place)
    }

    fn push_group(&mut self, key: Key) -> usize {
        self.groups.push(LocalGroup { key, count: 0, accumulators: self.layout.accumulators() });
        self.groups.len() - 1
    }

    /// The number of groups counted in this tick.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.touched.len()
    }

    /// This tick's rows, if they are kept and there are any.
    pub fn take_rows(&mut self) -> Option<Rows> {
        let rows =
            (!self.rows.is_empty()).then(|| std::mem::replace(&mut self.rows, self.spare.take(self.layout.columns)));
        self.release_rows();
        rows
    }

    /// Whether rows of this tick are not kept, as there was no room for them.
    #[must_use]
    pub const fn has_lost_rows(&self) -> bool {
        self.rows_are_lost
    }

    /// Forgets this tick's counts and rows.
    pub fn discard(&mut self) {
        self.release_rows();
        self.rows_are_lost = false;
        for place in self.touched.drain(..) {
            if let Some(group) = self.groups.get_mut(place) {
                group.count = 0;
                group.accumulators.iter_mut().for_each(Accumulator::clear);
            }
        }
        self.without_room = None;
        if self.groups.len() > Self::TABLE_GROUPS || (self.taken > 0 && self.budget.is_tight()) {
            self.forget();
        }
    }

    /// Empties the table between ticks, and gives its memory back.
    fn forget(&mut self) {
        self.groups = Vec::new();
        self.places = HashMap::default();
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

/// One group's counts over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    samples: u64,
    tick: u32,
    in_tick: u64,
    max_in_tick: u64,
    batches: Batches,
    /// One for each measure of the plan.
    pub accumulators: Box<[Accumulator]>,
}

impl Group {
    fn new(layout: &Layout) -> Self {
        Self {
            samples: 0,
            tick: 0,
            in_tick: 0,
            max_in_tick: 0,
            batches: Batches::default(),
            accumulators: layout.accumulators(),
        }
    }

    /// Adds what was counted in a tick. Returns the memory that was taken for it.
    fn add(&mut self, tick: u32, local: &LocalGroup, budget: &Budget) -> usize {
        if self.tick != tick {
            self.tick = tick;
            self.in_tick = 0;
        }
        self.samples += local.count;
        self.in_tick += local.count;
        self.max_in_tick = self.max_in_tick.max(self.in_tick);
        self.batches.add(tick, local.count);
        let pairs = self.accumulators.iter_mut().zip(&local.accumulators);
        pairs.map(|(mine, theirs)| mine.merge(theirs, budget)).sum()
    }

    /// Adds the counts of a group that was the same under another key, in other ticks. Returns the memory that was taken for it.
    fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.samples += other.samples;
        self.max_in_tick = self.max_in_tick.max(other.max_in_tick);
        self.batches.merge(&other.batches);
        let pairs = self.accumulators.iter_mut().zip(&other.accumulators);
        pairs.map(|(mine, theirs)| mine.merge(theirs, budget)).sum()
    }

    /// Observations of the group.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// The largest number of its threads in any one tick.
    #[must_use]
    pub const fn max_threads(&self) -> u64 {
        self.max_in_tick
    }

    /// Half-width of the 95% confidence interval of its average over `ticks` completed ticks.
    #[must_use]
    pub fn ci95(&self, ticks: u32) -> Option<f64> {
        self.batches.ci95(ticks)
    }
}

/// The session's counts: groups in a lock-sharded map.
#[derive(Debug)]
pub struct Aggregator {
    layout: Arc<Layout>,
    interner: Arc<Interner>,
    groups: DashMap<Key, Group, RandomState>,
    /// The key of those for which there was no room, and how many there were.
    other: Key,
    without_room: Mutex<Option<Distinct>>,
    memory: Memory,
    /// Bytes taken for groups.
    taken: AtomicUsize,
    spare: SpareRows,
}

impl Aggregator {
    /// An empty aggregator for `plan`, with memory of its own.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::within(plan, &Memory::default())
    }

    /// An empty aggregator for `plan`, that takes its memory from `memory`.
    #[must_use]
    pub fn within(plan: &Plan, memory: &Memory) -> Self {
        let layout = Arc::new(Layout::new(plan));
        Self {
            other: layout.other(),
            layout,
            interner: Arc::new(Interner::new(Arc::clone(&memory.kept))),
            groups: DashMap::default(),
            without_room: Mutex::default(),
            memory: memory.clone(),
            taken: AtomicUsize::new(0),
            spare: SpareRows::default(),
        }
    }

    /// The same, whose folds take their buffers for rows from `spare`.
    #[must_use]
    pub fn with_spare_rows(mut self, spare: SpareRows) -> Self {
        self.spare = spare;
        self
    }

    /// A fold for one worker.
    #[must_use]
    pub fn fold(&self) -> Fold {
        Fold::new(Arc::clone(&self.layout), Arc::clone(&self.interner), self.spare.clone(), &self.memory)
    }

    /// Adds a fold's counts as those of completed tick number `tick` (from 0), and empties it. Any
    /// number of workers may commit at once.
    pub fn commit(&self, fold: &mut Fold, tick: u32) {
        let mut without_room = fold.without_room.take();
        for place in &fold.touched {
            let Some(local) = fold.groups.get(*place) else { continue };
            if let Some(mut group) = self.groups.get_mut(&local.key) {
                self.note_taken(group.add(tick, local, &self.memory.kept));
            } else if !self.insert(local, tick) {
                without_room.get_or_insert_default().add(self.hash(&local.key));
            }
        }
        if let Some(distinct) = without_room {
            let mut known = self.without_room.lock().unwrap_or_else(PoisonError::into_inner);
            known.get_or_insert_default().merge(&distinct);
        }
        fold.discard();
    }

    /// Adds a group that was not there a moment ago; as one of the others if there is no room for it, and then says so.
    fn insert(&self, local: &LocalGroup, tick: u32) -> bool {
        let bytes = self.layout.group_bytes + self.layout.row_bytes;
        let is_other = local.key == self.other;
        let fits = !is_other && self.memory.kept.take(bytes);
        let key = Arc::clone(if fits { &local.key } else { &self.other });
        let mut group = match self.groups.entry(key) {
            Entry::Occupied(group) => {
                if fits {
                    self.memory.kept.give(bytes);
                }
                group.into_ref()
            }
            Entry::Vacant(place) => {
                if fits {
                    self.note_taken(self.layout.group_bytes);
                }
                place.insert(Group::new(&self.layout))
            }
        };
        self.note_taken(group.add(tick, local, &self.memory.kept));
        fits || is_other
    }

    fn note_taken(&self, bytes: usize) {
        if bytes > 0 {
            self.taken.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// The same hash as that of a row in the group.
    fn hash(&self, key: &[Cell]) -> u64 {
        let text = |cell: &Cell| match cell {
            Cell::Text(symbol) => self.interner.text(*symbol),
            Cell::Number(_) | Cell::Mark(_) => Arc::default(),
        };
        let texts: Vec<Arc<[u8]>> = key.iter().map(text).collect();
        self.layout.hash(key.iter().zip(&texts).map(|(cell, text)| match cell {
            Cell::Text(_) => Value::Text(text),
            Cell::Number(number) => Value::Number(*number),
            Cell::Mark(mark) => Value::Mark(*mark),
        }))
    }

    /// Puts other texts in the place of those for which `name` has one, in the columns that `is_meant` says. Groups that are one
    /// then are put together; in any one tick, a group had samples under one of its names alone.
    pub fn rename(&self, is_meant: &[bool], name: &Naming<'_>) {
        let is_meant = |slot: usize| is_meant.get(slot).copied().unwrap_or(false);
        let new_cell = |cell: Cell| match cell {
            Cell::Text(symbol) => {
                name(&self.interner.text(symbol)).and_then(|text| self.interner.intern(&text)).map(Cell::Text)
            }
            Cell::Number(_) | Cell::Mark(_) => None,
        };
        if self.layout.measures.iter().any(|measure| is_meant(measure.slot)) {
            for mut group in self.groups.iter_mut() {
                let measures = self.layout.measures.iter().zip(&mut group.accumulators);
                measures.filter(|(measure, _)| is_meant(measure.slot)).for_each(|(_, values)| values.rename(&new_cell));
            }
        }
        if !self.layout.dimensions.iter().any(|slot| is_meant(*slot)) {
            return;
        }
        let new_key = |key: &Key| -> Key {
            let cells = self.layout.dimensions.iter().zip(key.iter());
            cells.map(|(slot, cell)| is_meant(*slot).then(|| new_cell(*cell)).flatten().unwrap_or(*cell)).collect()
        };
        let changes = self.groups.iter().map(|entry| (Arc::clone(entry.key()), new_key(entry.key())));
        let changes: Vec<(Key, Key)> = changes.filter(|(old, new)| old != new).collect();
        for (old, new) in changes {
            let Some((_, group)) = self.groups.remove(&old) else { continue };
            match self.groups.entry(new) {
                Entry::Occupied(mut known) => self.note_taken(known.get_mut().merge(&group, &self.memory.kept)),
                Entry::Vacant(place) => drop(place.insert(group)),
            }
        }
    }

    /// Gives each group, with its key, to `visit`, in no order.
    pub fn each_group(&self, mut visit: impl FnMut(&[Cell], &Group)) {
        self.groups.iter().for_each(|entry| visit(entry.key(), entry.value()));
    }

    /// The number of groups, that of those without room among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What was counted as `[other]`, for want of memory.
    #[must_use]
    pub fn other(&self) -> Option<Other> {
        let distinct = self.without_room.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = distinct.as_ref()?.estimate();
        let samples = self.groups.get(&self.other).map_or(0, |group| group.samples());
        Some(Other { groups, samples, max_memory: self.memory.limit() })
    }

    /// The texts of the keys.
    #[must_use]
    pub fn interner(&self) -> &Interner {
        &self.interner
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        // Rows of a report live on, and so do their texts.
        self.memory.kept.give(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ask::plan::{PlanRequest, StateGate};

    fn plan(group_by: &[&str], select: &[&str]) -> Plan {
        let request = PlanRequest {
            group_by: group_by.iter().map(ToString::to_string).collect(),
            select: select.iter().map(ToString::to_string).collect(),
            ..PlanRequest::default()
        };
        Plan::new(&request, StateGate::all()).unwrap()
    }

    fn row(tid: u32, values: &[Value<'_>]) -> Observation {
        let mut row = Observation::default();
        (row.tid, row.tgid) = (tid, tid);
        values.iter().for_each(|value| row.push(*value));
        row
    }

    fn groups(aggregator: &Aggregator) -> Vec<(Vec<Cell>, Group)> {
        let mut groups = Vec::new();
        aggregator.each_group(|key, group| groups.push((key.to_vec(), group.clone())));
        groups
    }

    /// comm by its text, then samples and the largest tick.
    fn by_comm(aggregator: &Aggregator) -> BTreeMap<Vec<u8>, (u64, u64)> {
        let text = |cell: &Cell| match cell {
            Cell::Text(symbol) => aggregator.interner().text(*symbol).to_vec(),
            other => format!("{other:?}").into_bytes(),
        };
        groups(aggregator).iter().map(|(key, group)| (text(&key[0]), (group.samples(), group.max_threads()))).collect()
    }

    #[test]
    fn the_largest_tick_sums_over_workers() {
        let aggregator = Aggregator::new(&plan(&["comm"], &[]));
        let mut folds = [aggregator.fold(), aggregator.fold()];
        for tick in 0..4 {
            for (worker, fold) in folds.iter_mut().enumerate() {
                for _ in 0..=(worker as u32 + tick % 2) {
                    fold.add(&row(1, &[Value::Text(b"a")]), tick, &mut LastValues::default());
                }
            }
            folds.iter_mut().for_each(|fold| aggregator.commit(fold, tick));
        }
        assert_eq!(by_comm(&aggregator), BTreeMap::from([(b"a".to_vec(), (16, 5))]));
    }

    #[test]
    fn a_discarded_tick_leaves_nothing() {
        let aggregator = Aggregator::new(&plan(&["comm"], &["utime:sum"]));
        let mut fold = aggregator.fold();
        let seen = row(1, &[Value::Text(b"a"), Value::Number(5)]);
        fold.add(&seen, 0, &mut LastValues::default());
        fold.discard();
        fold.add(&seen, 1, &mut LastValues::default());
        aggregator.commit(&mut fold, 0);
        let [(_, group)] = &groups(&aggregator)[..] else { panic!("one group") };
        assert_eq!(group.samples(), 1);
        assert_eq!(group.accumulators[0], Accumulator::Sum { sum: 5, count: 1 });
    }

    #[test]
    fn a_delta_counts_each_increase_once_whatever_the_grouping() {
        let aggregator = Aggregator::new(&plan(&["comm"], &["utime"]));
        let mut fold = aggregator.fold();
        let mut last = LastValues::default();
        for (tick, (comm, utime)) in [("a", 100), ("b", 130), ("a", 131), ("a", 131)].into_iter().enumerate() {
            fold.add(&row(1, &[Value::Text(comm.as_bytes()), Value::Number(utime)]), tick as u32, &mut last);
        }
        aggregator.commit(&mut fold, 0);
        let total: i128 = groups(&aggregator)
            .iter()
            .map(|(_, group)| match group.accumulators[0] {
                Accumulator::Sum { sum, .. } => sum,
                _ => panic!("a sum"),
            })
            .sum();
        assert_eq!(total, 31);
    }

    #[test]
    fn groups_without_room_are_counted_as_other_and_none_is_lost() {
        let memory = Memory::new(100_000);
        let aggregator = Aggregator::within(&plan(&["task"], &[]), &memory);
        let mut fold = aggregator.fold();
        for tid in 0..1000 {
            fold.add(&row(tid, &[Value::Number(tid.into())]), 0, &mut LastValues::default());
            aggregator.commit(&mut fold, 0);
        }
        let groups = groups(&aggregator);
        let is_other = |(key, _): &&(Vec<Cell>, Group)| key[0] == Cell::Mark(Mark::Other);
        let others: u64 = groups.iter().filter(is_other).map(|(_, group)| group.samples()).sum();
        assert!(groups.len() > 50 && groups.len() < 500, "{}", groups.len());
        assert_eq!(others, 1000 - (groups.len() as u64 - 1));
        let other = aggregator.other().unwrap();
        assert_eq!((other.samples, other.max_memory), (others, 100_000));
        assert!(other.groups.abs_diff(others) < others / 20, "{other:?}");
        // What is known is counted where it belongs, however little room there is.
        fold.add(&row(0, &[Value::Number(0)]), 1, &mut LastValues::default());
        aggregator.commit(&mut fold, 1);
        assert_eq!(aggregator.other().unwrap().samples, others);
    }

    #[test]
    fn names_that_are_always_new_take_no_more_than_the_memory() {
        let memory = Memory::new(1 << 20);
        let aggregator = Aggregator::within(&plan(&["cmdline"], &["cmdline2:common", "cmdline2:example"]), &memory);
        let mut folds = [aggregator.fold(), aggregator.fold()];
        let long = [b'x'; 4000];
        for number in 0..20_000_u32 {
            let name = [&number.to_le_bytes()[..], &long].concat();
            let fold = &mut folds[number as usize % 2];
            fold.add(&row(1, &[Value::Text(&name), Value::Text(&name)]), number / 100, &mut LastValues::default());
            if number % 100 == 99 {
                folds.iter_mut().for_each(|fold| aggregator.commit(fold, number / 100));
            }
        }
        assert!(aggregator.interner().len() * long.len() < 1 << 20, "{}", aggregator.interner().len());
        assert!(memory.kept.taken() + memory.held.taken() <= 1 << 20);
        let groups = groups(&aggregator);
        assert_eq!(groups.iter().map(|(_, group)| group.samples()).sum::<u64>(), 20_000);
        drop(folds);
        assert_eq!(memory.held.taken(), 0, "what workers held is given back");
    }

    #[test]
    fn rows_of_a_tick_for_which_there_is_no_room_are_not_kept_and_said_not_to_be() {
        let request = PlanRequest {
            group_by: vec!["comm".to_owned()],
            record: vec!["comm".to_owned()],
            ..PlanRequest::default()
        };
        let plan = Plan::new(&PlanRequest { collected: Collected::Both, ..request }, StateGate::all()).unwrap();
        let memory = Memory::new(4 << 20);
        let aggregator = Aggregator::within(&plan, &memory);
        let mut fold = aggregator.fold();
        let long = row(1, &[Value::Text(&[b'x'; 4000])]);
        for (tick, rows, is_lost) in [(0, 10, false), (1, 2000, true), (2, 10, false)] {
            (0..rows).for_each(|_| fold.add(&long, tick, &mut LastValues::default()));
            assert_eq!(fold.has_lost_rows(), is_lost);
            assert_eq!(fold.take_rows().map_or(0, |kept| kept.len()), if is_lost { 0 } else { rows });
            aggregator.commit(&mut fold, tick);
            assert!(!fold.has_lost_rows() && memory.rows.taken() == 0);
        }
        assert_eq!(groups(&aggregator)[0].1.samples(), 2020);
    }

    #[test]
    fn groups_that_get_the_same_name_are_put_together() {
        let plan = plan(&["user"], &["max_threads", "utime:sum", "user:common"]);
        let aggregator = Aggregator::new(&plan);
        let mut fold = aggregator.fold();
        for (tick, users) in [(0, ["7", "7", "8"]), (1, ["7", "9", "9"]), (2, ["seven", "seven", "seven"])] {
            for user in users {
                fold.add(&row(1, &[Value::Number(5), Value::Text(user.as_bytes())]), tick, &mut LastValues::default());
            }
            aggregator.commit(&mut fold, tick);
        }
        aggregator.rename(&[false, true], &|text| (text == b"7").then(|| (*b"seven").into()));
        let seven = aggregator.interner().intern(b"seven").map(Cell::Text).unwrap();
        let groups = groups(&aggregator);
        let (_, group) = groups.iter().find(|(key, _)| key[0] == seven).unwrap();
        assert_eq!((groups.len(), group.samples(), group.max_threads()), (3, 6, 3));
        assert_eq!(group.accumulators[0], Accumulator::Sum { sum: 30, count: 6 });
        assert_eq!(group.accumulators[1], Accumulator::Common(std::iter::once((seven, 6)).collect()));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_no_number() {
        let aggregator = Aggregator::new(&plan(&["comm"], &["utime:sum", "utime:delta"]));
        let mut fold = aggregator.fold();
        let mut last = LastValues::default();
        for (tick, utime) in [i128::MIN, i128::MAX, i128::MIN].into_iter().enumerate() {
            fold.add(&row(1, &[Value::Text(b"a"), Value::Number(utime)]), tick as u32, &mut last);
        }
        for (tick, utime) in [i128::MAX, i128::MAX].into_iter().enumerate() {
            fold.add(&row(1, &[Value::Text(b"b"), Value::Number(utime)]), tick as u32, &mut LastValues::default());
            aggregator.commit(&mut fold, tick as u32);
        }
        for (_, group) in groups(&aggregator) {
            assert!(group.accumulators.contains(&Accumulator::Overflow), "{group:?}");
        }
    }

    proptest! {
        #[test]
        fn sharing_the_work_changes_nothing_and_no_sample_is_lost(
            rows in prop::collection::vec((0u32..20, 0u8..6, 0i128..100), 0..300),
            workers in 1usize..5,
        ) {
            let plan = plan(&["comm"], &["utime:sum", "utime:max", "utime:common"]);
            let run = |workers: usize| {
                let aggregator = Aggregator::new(&plan);
                let mut folds: Vec<Fold> = (0..workers).map(|_| aggregator.fold()).collect();
                for (index, (tid, comm, number)) in rows.iter().enumerate() {
                    let values = [Value::Text(std::slice::from_ref(comm)), Value::Number(*number)];
                    folds[index % workers].add(&row(*tid, &values), 0, &mut LastValues::default());
                }
                folds.iter_mut().for_each(|fold| aggregator.commit(fold, 0));
                aggregator
            };
            let (one, many) = (run(1), run(workers));
            prop_assert_eq!(by_comm(&one), by_comm(&many));
            prop_assert_eq!(groups(&many).iter().map(|(_, g)| g.samples()).sum::<u64>(), rows.len() as u64);
        }

        #[test]
        fn sums_survive_every_grouping_in_any_memory(
            rows in prop::collection::vec((0u32..50, 0u8..40, 0u8..40, 0i128..100), 0..400),
            grouping in prop::sample::subsequence(vec!["comm", "wchan", "processor"], 1..=3),
            bytes in prop_oneof![Just(0u64), 0u64..20_000, Just(Memory::DEFAULT)],
            workers in 1usize..4,
        ) {
            let plan = plan(&grouping, &["utime:sum", "utime:max", "wchan:common", "utime:delta"]);
            let aggregator = Aggregator::within(&plan, &Memory::new(bytes));
            let mut folds: Vec<Fold> = (0..workers).map(|_| aggregator.fold()).collect();
            let mut last: BTreeMap<u32, LastValues> = BTreeMap::new();
            let (mut seen, mut increase) = (BTreeMap::<u32, i128>::new(), 0);
            for (index, (tid, comm, wchan, number)) in rows.iter().enumerate() {
                let mut observation = row(*tid, &[]);
                for column in &plan.columns {
                    observation.push(match column.name {
                        "comm" => Value::Text(std::slice::from_ref(comm)),
                        "wchan" => Value::Text(std::slice::from_ref(wchan)),
                        "processor" => Value::Number((*tid).into()),
                        _ => Value::Number(*number),
                    });
                }
                let tick = (index / 100) as u32;
                folds[index % workers].add(&observation, tick, last.entry(*tid).or_default());
                increase += seen.insert(*tid, *number).map_or(0, |before| (number - before).max(0));
                if index % 100 == 99 {
                    folds.iter_mut().for_each(|fold| aggregator.commit(fold, tick));
                }
            }
            folds.iter_mut().for_each(|fold| aggregator.commit(fold, rows.len() as u32 / 100));
            let (mut samples, mut sum, mut count, mut max, mut common, mut grown) = (0, 0, 0, None, 0, 0);
            for (_, group) in groups(&aggregator) {
                samples += group.samples();
                let [Accumulator::Sum { sum: mine, count: values }, Accumulator::Max(largest), Accumulator::Common(counts), Accumulator::Sum { sum: increase, .. }] =
                    &group.accumulators[..] else { panic!("{group:?}") };
                (sum, count, grown) = (sum + mine, count + values, grown + increase);
                max = max.max(*largest);
                common += counts.values().sum::<u64>();
            }
            let all = rows.len() as u64;
            prop_assert_eq!((samples, count, common), (all, all, all));
            prop_assert_eq!(sum, rows.iter().map(|row| row.3).sum::<i128>());
            prop_assert_eq!(max, rows.iter().map(|row| row.3).max());
            prop_assert_eq!(grown, increase);
        }
    }
}
