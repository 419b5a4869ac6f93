//! Counts by group: folded per worker, put together once per tick in a lock-sharded map.
//!
//! A worker counts into its own [`Fold`], with no lock and, once its tables have grown, no
//! allocation. When the tick is complete the folds are committed to the [`Aggregator`], one lock per
//! touched group; a tick that did not complete is discarded whole, so averages divide by ticks that
//! saw every thread. Sums are integers: the result does not depend on who counted what, or when.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::intern::{Interner, LocalInterner, Symbol};
use crate::observation::{Mark, Observation, Value};
use crate::plan::{Aggregate, Keep, Measure, Plan};
use crate::rows::{Rows, SpareRows};

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

/// The last values of a thread's counters, one for each delta measure of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastValues(Vec<Option<i128>>);

impl LastValues {
    /// Stores `value` for the measure and returns how much it grew since the last one.
    fn increase(&mut self, measure: usize, value: i128) -> i128 {
        if self.0.len() <= measure {
            self.0.resize(measure + 1, None);
        }
        match self.0.get_mut(measure) {
            Some(last) => last.replace(value).map_or(0, |last| (value - last).max(0)),
            None => 0,
        }
    }
}

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
    /// The earliest value, by tick and thread id.
    Example(Option<(u32, u32, Cell)>),
    /// How often each value occurred.
    Common(HashMap<Cell, u64, RandomState>),
}

impl Accumulator {
    fn new(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Max => Self::Max(None),
            Aggregate::Avg | Aggregate::Sum | Aggregate::Delta => Self::Sum { sum: 0, count: 0 },
            Aggregate::Example => Self::Example(None),
            Aggregate::Common => Self::Common(HashMap::default()),
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Max(mine), Self::Max(theirs)) => *mine = (*mine).max(*theirs),
            (Self::Sum { sum, count }, Self::Sum { sum: more, count: others }) => {
                *sum += more;
                *count += others;
            }
            (Self::Example(mine), Self::Example(Some(theirs)))
                if mine.is_none_or(|mine| (theirs.0, theirs.1) < (mine.0, mine.1)) =>
            {
                *mine = Some(*theirs);
            }
            (Self::Common(mine), Self::Common(theirs)) => {
                for (cell, count) in theirs {
                    *mine.entry(*cell).or_default() += count;
                }
            }
            _ => {}
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Max(max) => *max = None,
            Self::Sum { sum, count } => (*sum, *count) = (0, 0),
            Self::Example(example) => *example = None,
            Self::Common(counts) => counts.clear(),
        }
    }
}

/// The parts of a plan that counting needs.
#[derive(Debug, Clone)]
pub struct Layout {
    dimensions: Vec<usize>,
    measures: Vec<Measure>,
    columns: usize,
    keep: Keep,
}

impl Layout {
    /// The layout of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            dimensions: plan.dimensions.clone(),
            measures: plan.measures.clone(),
            columns: plan.columns.len(),
            keep: plan.keep,
        }
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
    spare: SpareRows,
    interner: LocalInterner,
    places: HashMap<Key, usize, RandomState>,
    groups: Vec<LocalGroup>,
    touched: Vec<usize>,
    key: Vec<Cell>,
}

impl Fold {
    /// Groups after which a worker's table starts over between ticks: bounds its memory.
    const TABLE_GROUPS: usize = 1 << 17;

    /// An empty fold for plans of this layout, with texts in `interner` and buffers for rows from `spare`.
    #[must_use]
    pub fn new(layout: Arc<Layout>, interner: Arc<Interner>, spare: SpareRows) -> Self {
        Self {
            rows: spare.take(layout.columns),
            spare,
            layout,
            interner: LocalInterner::new(interner),
            places: HashMap::default(),
            groups: Vec::new(),
            touched: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Counts one observation of tick number `tick`.
    pub fn add(&mut self, row: &Observation, tick: u32, last: &mut LastValues) {
        if self.layout.keep.rows() {
            self.rows.push_row(row);
        }
        if !self.layout.keep.counts() {
            return;
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for index in 0..self.layout.dimensions.len() {
            let slot = self.layout.dimensions.get(index).copied().unwrap_or_default();
            key.push(self.cell(row.value(slot)));
        }
        let place = self.place(&key);
        self.key = key;

        for index in 0..self.layout.measures.len() {
            // By index: a reference would hold the whole fold, and another count of the shared layout is
            // a write that all workers contend for.
            let Some(measure) = self.layout.measures.get(index).copied() else { break };
            let value = row.value(measure.slot);
            let cell = match measure.aggregate {
                Aggregate::Example | Aggregate::Common => self.cell(value),
                _ => Cell::Mark(Mark::None),
            };
            if let Some(accumulator) = self.groups.get_mut(place).and_then(|group| group.accumulators.get_mut(index)) {
                match (accumulator, value) {
                    (Accumulator::Max(max), Value::Number(number)) => *max = (*max).max(Some(number)),
                    (Accumulator::Sum { sum, count }, Value::Number(number)) => {
                        let term = match measure.aggregate {
                            Aggregate::Delta => last.increase(index, number),
                            _ => number,
                        };
                        *sum += term;
                        *count += 1;
                    }
                    (Accumulator::Example(example), _)
                        if example.is_none_or(|known| (tick, row.tid) < (known.0, known.1)) =>
                    {
                        *example = Some((tick, row.tid, cell));
                    }
                    (Accumulator::Common(counts), _) => *counts.entry(cell).or_default() += 1,
                    _ => {}
                }
            }
        }
        if let Some(group) = self.groups.get_mut(place) {
            if group.count == 0 {
                self.touched.push(place);
            }
            group.count += 1;
        }
    }

    fn cell(&mut self, value: Value<'_>) -> Cell {
        match value {
            Value::Number(number) => Cell::Number(number),
            Value::Text(text) => Cell::Text(self.interner.intern(text)),
            Value::Mark(mark) => Cell::Mark(mark),
        }
    }

    fn place(&mut self, key: &[Cell]) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let key: Key = key.into();
        let place = self.groups.len();
        self.groups.push(LocalGroup { key: Arc::clone(&key), count: 0, accumulators: self.layout.accumulators() });
        self.places.insert(key, place);
        place
    }

    /// The number of groups counted in this tick.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.touched.len()
    }

    /// This tick's rows, if they are kept and there are any.
    pub fn take_rows(&mut self) -> Option<Rows> {
        (!self.rows.is_empty()).then(|| std::mem::replace(&mut self.rows, self.spare.take(self.layout.columns)))
    }

    /// Forgets this tick's counts and rows.
    pub fn discard(&mut self) {
        self.rows.clear();
        for place in self.touched.drain(..) {
            if let Some(group) = self.groups.get_mut(place) {
                group.count = 0;
                group.accumulators.iter_mut().for_each(Accumulator::clear);
            }
        }
        if self.groups.len() > Self::TABLE_GROUPS {
            self.groups.clear();
            self.places.clear();
        }
    }
}

/// Counts per batch of consecutive ticks, for the confidence interval.
///
/// Ticks of one thread's state are correlated, so the variance is taken over batch means. Batches
/// double in length when there are too many: fixed memory for a run of any length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Batches {
    sums: Vec<u64>,
    /// A batch is 2 to this power ticks.
    log2_len: u32,
}

impl Batches {
    /// Batches kept while counting; the report merges them further, to `REPORTED` at most.
    const KEPT: usize = 40;
    const REPORTED: u32 = 20;

    fn add(&mut self, tick: u32, count: u64) {
        while (tick >> self.log2_len) as usize >= Self::KEPT {
            self.double();
        }
        let place = (tick >> self.log2_len) as usize;
        if self.sums.len() <= place {
            self.sums.resize(place + 1, 0);
        }
        if let Some(sum) = self.sums.get_mut(place) {
            *sum += count;
        }
    }

    fn double(&mut self) {
        self.sums = self.sums.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.log2_len += 1;
    }

    /// Half-width of the 95% confidence interval of the mean per tick over `ticks` ticks; none when
    /// there are too few to tell.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn ci95(&self, ticks: u32) -> Option<f64> {
        let mut batches = self.clone();
        while (ticks >> batches.log2_len) > Self::REPORTED {
            batches.double();
        }
        let full = (ticks >> batches.log2_len) as usize;
        let len = f64::from(1u32 << batches.log2_len);
        let mean_of = |place: usize| batches.sums.get(place).copied().unwrap_or(0) as f64 / len;
        if full < 2 {
            return None;
        }
        let count = full as f64;
        let mean = (0..full).map(mean_of).sum::<f64>() / count;
        let variance = (0..full).map(|place| (mean_of(place) - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let t = STUDENT_T_975.get(full - 2).copied().unwrap_or(1.96);
        Some(t * (variance / count).sqrt())
    }
}

/// Student's t, 97.5% quantile, for 1 to 19 degrees of freedom.
const STUDENT_T_975: [f64; 19] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093,
];

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

    fn add(&mut self, tick: u32, count: u64, accumulators: &[Accumulator]) {
        if self.tick != tick {
            self.tick = tick;
            self.in_tick = 0;
        }
        self.samples += count;
        self.in_tick += count;
        self.max_in_tick = self.max_in_tick.max(self.in_tick);
        self.batches.add(tick, count);
        for (mine, theirs) in self.accumulators.iter_mut().zip(accumulators) {
            mine.merge(theirs);
        }
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
    max_groups: usize,
    spare: SpareRows,
}

impl Aggregator {
    /// Groups after which new ones are counted together as `[other]`: a storm of names must not
    /// take the host's memory.
    pub const MAX_GROUPS: usize = 1 << 20;

    /// An empty aggregator for `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::with_max_groups(plan, Self::MAX_GROUPS)
    }

    fn with_max_groups(plan: &Plan, max_groups: usize) -> Self {
        Self {
            layout: Arc::new(Layout::new(plan)),
            interner: Arc::default(),
            groups: DashMap::default(),
            max_groups,
            spare: SpareRows::default(),
        }
    }

    /// The same, whose folds take their buffers for rows from `spare`.
    #[must_use]
    pub fn with_spare_rows(self, spare: SpareRows) -> Self {
        Self { spare, ..self }
    }

    /// A fold for one worker.
    #[must_use]
    pub fn fold(&self) -> Fold {
        Fold::new(Arc::clone(&self.layout), Arc::clone(&self.interner), self.spare.clone())
    }

    /// Adds a fold's counts as those of completed tick number `tick` (from 0), and empties it. Any
    /// number of workers may commit at once.
    pub fn commit(&self, fold: &mut Fold, tick: u32) {
        for place in &fold.touched {
            let Some(local) = fold.groups.get(*place) else { continue };
            if let Some(mut group) = self.groups.get_mut(&local.key) {
                group.add(tick, local.count, &local.accumulators);
                continue;
            }
            let key = if self.groups.len() < self.max_groups {
                Arc::clone(&local.key)
            } else {
                local.key.iter().map(|_| Cell::Mark(Mark::Other)).collect()
            };
            let mut group = self.groups.entry(key).or_insert_with(|| Group::new(&self.layout));
            group.add(tick, local.count, &local.accumulators);
        }
        fold.discard();
    }

    /// Every group with its key, in no order.
    #[must_use]
    pub fn groups(&self) -> Vec<(Arc<[Cell]>, Group)> {
        self.groups.iter().map(|entry| (Arc::clone(entry.key()), entry.value().clone())).collect()
    }

    /// The texts of the keys.
    #[must_use]
    pub fn interner(&self) -> &Interner {
        &self.interner
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{PlanRequest, StateGate};

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

    /// comm by its text, then samples and the largest tick.
    fn by_comm(aggregator: &Aggregator) -> BTreeMap<Vec<u8>, (u64, u64)> {
        let text = |cell: &Cell| match cell {
            Cell::Text(symbol) => aggregator.interner().text(*symbol).to_vec(),
            other => format!("{other:?}").into_bytes(),
        };
        aggregator.groups().iter().map(|(key, group)| (text(&key[0]), (group.samples(), group.max_threads()))).collect()
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
        let [(_, group)] = &aggregator.groups()[..] else { panic!("one group") };
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
        let total: i128 = aggregator
            .groups()
            .iter()
            .map(|(_, group)| match group.accumulators[0] {
                Accumulator::Sum { sum, .. } => sum,
                _ => panic!("a sum"),
            })
            .sum();
        assert_eq!(total, 31);
    }

    #[test]
    fn too_many_groups_are_counted_as_other_and_none_is_lost() {
        let aggregator = Aggregator::with_max_groups(&plan(&["task"], &[]), 10);
        let mut fold = aggregator.fold();
        for tid in 0..100 {
            fold.add(&row(tid, &[Value::Number(tid.into())]), 0, &mut LastValues::default());
        }
        aggregator.commit(&mut fold, 0);
        let groups = aggregator.groups();
        assert_eq!(groups.len(), 11);
        assert_eq!(groups.iter().map(|(_, group)| group.samples()).sum::<u64>(), 100);
        assert!(groups.iter().any(|(key, group)| key[0] == Cell::Mark(Mark::Other) && group.samples() == 90));
    }

    #[test]
    fn a_constant_group_has_no_uncertainty_and_a_rare_one_much() {
        let mut constant = Batches::default();
        let mut rare = Batches::default();
        for tick in 0..100 {
            constant.add(tick, 2);
        }
        rare.add(7, 1);
        assert_eq!(constant.ci95(100), Some(0.0));
        let width = rare.ci95(100).unwrap();
        assert!(width > 0.01 && width < 0.1, "{width}");
        assert_eq!(constant.ci95(1), None);
    }

    proptest! {
        #[test]
        fn batches_keep_the_sum_in_fixed_memory(counts in prop::collection::vec(0u64..1000, 1..3000)) {
            let mut batches = Batches::default();
            for (tick, count) in counts.iter().enumerate() {
                batches.add(tick as u32, *count);
            }
            prop_assert_eq!(batches.sums.iter().sum::<u64>(), counts.iter().sum::<u64>());
            prop_assert!(batches.sums.len() <= Batches::KEPT);
        }

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
            prop_assert_eq!(many.groups().iter().map(|(_, g)| g.samples()).sum::<u64>(), rows.len() as u64);
        }
    }
}
