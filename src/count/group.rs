//! The counts of one group: of one tick in a worker's fold, and of the whole run.

use crate::count::accumulator::Accumulator;
use crate::count::batches::Batches;
use crate::count::intern::Key;
use crate::row::memory::Budget;

/// One group's counts in one worker's fold, of one tick.
#[derive(Debug)]
pub(super) struct LocalGroup {
    pub(super) key: Key,
    pub(super) count: u64,
    /// One for each measure of the plan.
    pub(super) accumulators: Box<[Accumulator]>,
}

/// One group's counts over the whole run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    samples: u64,
    /// The last tick in which it was counted, its samples in that tick, and the most in any tick.
    tick: u32,
    in_tick: u64,
    max_in_tick: u64,
    batches: Batches,
    /// One for each measure of the plan.
    pub(crate) accumulators: Box<[Accumulator]>,
}

impl Group {
    /// A group without samples.
    pub(super) fn new(accumulators: Box<[Accumulator]>) -> Self {
        Self { samples: 0, tick: 0, in_tick: 0, max_in_tick: 0, batches: Batches::default(), accumulators }
    }

    /// Adds the counts of one tick from one worker. Returns the bytes taken from `budget`.
    pub(super) fn add(&mut self, tick: u32, local: &LocalGroup, budget: &Budget) -> usize {
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

    /// Adds the counts of the same group under another key, which must be of other ticks. Returns the bytes taken from
    /// `budget`.
    pub(super) fn merge(&mut self, other: &Self, budget: &Budget) -> usize {
        self.samples += other.samples;
        self.max_in_tick = self.max_in_tick.max(other.max_in_tick);
        self.batches.merge(&other.batches);
        let pairs = self.accumulators.iter_mut().zip(&other.accumulators);
        pairs.map(|(mine, theirs)| mine.merge(theirs, budget)).sum()
    }

    /// Observations of the group.
    pub(crate) const fn samples(&self) -> u64 {
        self.samples
    }

    /// The largest number of its threads in any one tick.
    pub(crate) const fn max_threads(&self) -> u64 {
        self.max_in_tick
    }

    /// Half-width of the 95% confidence interval of its average over `ticks` completed ticks.
    pub(crate) fn ci95(&self, ticks: u32) -> Option<f64> {
        self.batches.ci95(ticks)
    }
}
