//! The counts of all workers and ticks: groups in a lock-sharded map.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;

use crate::ask::plan::Plan;
use crate::count::fold::Fold;
use crate::count::group::{Group, LocalGroup};
use crate::count::hyperloglog::HyperLogLog;
use crate::count::intern::{InternedValue, Interner, Key};
use crate::count::latency::{Pace, TickLog, TickStart, UnseenAges};
use crate::count::memory::Memory;
use crate::count::other::Other;
use crate::count::plan::CountPlan;
use crate::row::rows::SpareRows;
use crate::row::value::OwnedValue;

/// A new text for a text, or `None` to keep it.
pub type Naming<'a> = dyn Fn(&[u8]) -> Option<Arc<[u8]>> + 'a;

/// The counts of a session, by group, in a lock-sharded map.
#[derive(Debug)]
pub struct Aggregator {
    plan: Arc<CountPlan>,
    interner: Arc<Interner>,
    groups: DashMap<Key, Group, RandomState>,
    /// The key of the group `[other]`.
    other: Key,
    /// Estimates the number of groups that were counted as `[other]`.
    without_room: Mutex<Option<HyperLogLog>>,
    memory: Memory,
    /// Bytes taken for groups.
    taken: AtomicUsize,
    spare: SpareRows,
    ticks: TickLog,
}

impl Aggregator {
    /// An empty aggregator for `plan`, with a memory budget of its own.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self::within(plan, &Memory::default())
    }

    /// An empty aggregator for `plan` that takes its memory from `memory`.
    #[must_use]
    pub fn within(plan: &Plan, memory: &Memory) -> Self {
        let plan = Arc::new(CountPlan::new(plan));
        Self {
            other: plan.other(),
            plan,
            interner: Arc::new(Interner::new(Arc::clone(&memory.kept))),
            groups: DashMap::default(),
            without_room: Mutex::default(),
            memory: memory.clone(),
            taken: AtomicUsize::new(0),
            spare: SpareRows::default(),
            ticks: TickLog::default(),
        }
    }

    /// Makes its folds take their buffers for rows from `spare`.
    #[must_use]
    pub fn with_spare_rows(mut self, spare: SpareRows) -> Self {
        self.spare = spare;
        self
    }

    /// A fold for one worker.
    #[must_use]
    pub fn fold(&self) -> Fold {
        Fold::new(
            Arc::clone(&self.plan),
            Arc::clone(&self.interner),
            self.spare.clone(),
            self.ticks.clone(),
            &self.memory,
        )
    }

    /// A tick begins: call this before its rows are counted, if latencies are to be estimated. If the tick is not completed, the
    /// next one takes its place.
    pub fn begin_tick(&self, start: TickStart) {
        if self.plan.has_ages {
            self.ticks.begin(start);
        }
    }

    /// The tick that has begun is completed, and its rows are committed; its pass took `pass_ns`.
    pub fn end_tick(&self, pass_ns: u64) {
        if self.plan.has_ages {
            self.ticks.end(pass_ns);
        }
    }

    /// How many ticks were completed, how regular they were, and how late; `None` if no latencies are estimated.
    pub(crate) fn ticks(&self) -> Option<(Pace, UnseenAges)> {
        self.ticks.completed()
    }

    /// Adds a fold's counts as those of completed tick number `tick` (from 0), and empties the fold. Any number of workers
    /// may commit at once.
    pub fn commit(&self, fold: &mut Fold, tick: u32) {
        let mut without_room = fold.without_room.take();
        for local in fold.touched_groups() {
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
        if self.plan.has_ages {
            self.ticks.note_seen(fold.seen);
        }
        fold.discard();
    }

    /// Adds the counts of a group that is not in the map. Returns false if there was no memory for it, so that it was counted
    /// as `[other]`.
    fn insert(&self, local: &LocalGroup, tick: u32) -> bool {
        let bytes = self.plan.group_bytes + self.plan.row_bytes;
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
            Entry::Vacant(entry) => {
                if fits {
                    self.note_taken(self.plan.group_bytes);
                }
                entry.insert(Group::new(self.plan.accumulators()))
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

    /// The hash of a group's values, the same as [`CountPlan::hash`] of a row in it.
    fn hash(&self, key: &[InternedValue]) -> u64 {
        let owned: Vec<OwnedValue> = key.iter().map(|value| self.interner.owned(*value)).collect();
        self.plan.hash(owned.iter().map(OwnedValue::as_value))
    }

    /// Replaces the texts for which `name` returns another one, in the columns whose slots are true in `slots`. Groups whose
    /// keys become equal are merged; they must have been counted in different ticks.
    pub fn rename(&self, slots: &[bool], name: &Naming<'_>) {
        let is_meant = |slot: usize| slots.get(slot).copied().unwrap_or(false);
        let renamed = |value: InternedValue| match value {
            InternedValue::Text(symbol) => {
                name(&self.interner.text(symbol)).and_then(|text| self.interner.intern(&text)).map(InternedValue::Text)
            }
            InternedValue::Number(_) | InternedValue::Mark(_) => None,
        };
        if self.plan.measures.iter().any(|measure| is_meant(measure.slot)) {
            for mut group in self.groups.iter_mut() {
                let measures = self.plan.measures.iter().zip(&mut group.accumulators);
                measures.filter(|(measure, _)| is_meant(measure.slot)).for_each(|(_, values)| values.rename(&renamed));
            }
        }
        if !self.plan.dimensions.iter().any(|slot| is_meant(*slot)) {
            return;
        }
        let new_key = |key: &Key| -> Key {
            let values = self.plan.dimensions.iter().zip(key.iter());
            values.map(|(slot, value)| is_meant(*slot).then(|| renamed(*value)).flatten().unwrap_or(*value)).collect()
        };
        let changes = self.groups.iter().map(|entry| (Arc::clone(entry.key()), new_key(entry.key())));
        let changes: Vec<(Key, Key)> = changes.filter(|(old, new)| old != new).collect();
        for (old, new) in changes {
            let Some((_, group)) = self.groups.remove(&old) else { continue };
            match self.groups.entry(new) {
                Entry::Occupied(mut known) => self.note_taken(known.get_mut().merge(&group, &self.memory.kept)),
                Entry::Vacant(entry) => drop(entry.insert(group)),
            }
        }
    }

    /// Calls `visit` with the key and the counts of each group, in no order.
    pub(crate) fn each_group(&self, mut visit: impl FnMut(&[InternedValue], &Group)) {
        self.groups.iter().for_each(|entry| visit(entry.key(), entry.value()));
    }

    /// The number of groups, with the group `[other]` if there is one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What was counted as `[other]` for want of memory.
    #[must_use]
    pub fn other(&self) -> Option<Other> {
        let distinct = self.without_room.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = distinct.as_ref()?.estimate();
        let samples = self.groups.get(&self.other).map_or(0, |group| group.samples());
        Some(Other { groups, samples, max_memory: self.memory.limit() })
    }

    /// The texts of the keys.
    pub(crate) fn interner(&self) -> &Interner {
        &self.interner
    }
}

impl Drop for Aggregator {
    fn drop(&mut self) {
        // The memory of the report's rows and of their texts is not returned: they outlive the counts.
        self.memory.kept.give(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ask::plan::{Collected, PlanRequest, StateGate};
    use crate::count::accumulator::Accumulator;
    use crate::row::last::LastValues;
    use crate::row::observation::Observation;
    use crate::row::value::{Mark, Value};

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

    fn groups(aggregator: &Aggregator) -> Vec<(Vec<InternedValue>, Group)> {
        let mut groups = Vec::new();
        aggregator.each_group(|key, group| groups.push((key.to_vec(), group.clone())));
        groups
    }

    /// comm by its text, then samples and the largest tick.
    fn by_comm(aggregator: &Aggregator) -> BTreeMap<Vec<u8>, (u64, u64)> {
        let text = |cell: &InternedValue| match cell {
            InternedValue::Text(symbol) => aggregator.interner().text(*symbol).to_vec(),
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
        let is_other = |(key, _): &&(Vec<InternedValue>, Group)| key[0] == InternedValue::Mark(Mark::Other);
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
        let seven = aggregator.interner().intern(b"seven").map(InternedValue::Text).unwrap();
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
