//! The lanes of a sampler, and the runners that work on them.

use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use super::runners::{FinishedLane, LaneJob, Runners};
use super::watchdog::WatchedLane;
use super::workload::Workload;
use crate::count::Aggregator;
use crate::observe::Context;
use crate::proc::Attempts;
use crate::tasks::TaskSet;

/// The lanes that are not working, and what starts others.
pub(super) struct Lanes {
    context: Arc<Context>,
    aggregator: Arc<Aggregator>,
    runners: Runners,
    /// Boxed: a lane is large, and moves to a runner and back at every pass.
    idle: Vec<Box<Lane>>,
}

impl Lanes {
    pub(super) fn start(
        context: Arc<Context>,
        aggregator: Arc<Aggregator>,
        workers: usize,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        Ok(Self { context, aggregator, runners: Runners::start(workers)?, idle: Vec::new() })
    }

    /// An idle lane, or a new one.
    pub(super) fn take(&mut self) -> Box<Lane> {
        self.idle.pop().unwrap_or_else(|| Box::new(Lane::new(&self.context, self.aggregator.fold())))
    }

    /// Keeps a lane for the next pass. The lane put back last is the first to be taken.
    pub(super) fn put_back(&mut self, lane: Box<Lane>) {
        self.idle.push(lane);
    }

    /// Deals `work` to as many lanes as there are workers and chunks, and sends them to the runners.
    pub(super) fn send(&mut self, pass: u64, work: Workload) -> (Arc<Workload>, Vec<WatchedLane>) {
        let count = self.runners.workers().min(work.chunks());
        let work = Arc::new(work.deal(count));
        let watched = (0..count).map(|index| {
            let lane = self.take();
            let watched = WatchedLane::start(&lane, work.at.now_ns);
            self.runners.send(LaneJob { pass, lane, work: Arc::clone(&work), index });
            watched
        });
        let watched = watched.collect();
        (work, watched)
    }

    /// Waits up to `patience` for a lane to come back.
    pub(super) fn receive_within(&self, patience: Duration) -> Option<FinishedLane> {
        self.runners.receive_within(patience)
    }

    /// Keeps one free runner per worker while `stuck` of them are stuck.
    pub(super) fn replace_stuck(&mut self, stuck: usize) {
        self.runners.replace_stuck(stuck);
    }

    /// Whether a runner is left while `stuck` of them are stuck.
    pub(super) const fn has_runner(&self, stuck: usize) -> bool {
        stuck < self.runners.started()
    }

    /// Adds the counts of `lanes` to the aggregate: on the pool if they are many and `may_use_pool`.
    pub(super) fn commit(&self, lanes: &mut [Box<Lane>], tick: u32, may_use_pool: bool) {
        /// Groups from which the pool's help is worth its wake-ups. `benches/aggregate.rs`, `commit`.
        const PARALLEL_GROUPS: usize = 8192;
        let groups: usize = lanes.iter().map(|lane| lane.observer.counter.fold.touched()).sum();
        let pool = self.runners.spare_pool().filter(|_| may_use_pool && groups >= PARALLEL_GROUPS);
        let Some(pool) = pool else {
            lanes.iter_mut().for_each(|lane| self.aggregator.commit(&mut lane.observer.counter.fold, tick));
            return;
        };
        pool.scope(|scope| {
            for lane in lanes {
                scope.spawn(|_| self.aggregator.commit(&mut lane.observer.counter.fold, tick));
            }
        });
    }

    /// Drops a task set on the pool, where the caller does not wait while its files are closed.
    pub(super) fn drop_aside(&self, set: Arc<TaskSet>) {
        match self.runners.spare_pool() {
            Some(pool) => pool.spawn(move || drop(set)),
            None => drop(set),
        }
    }

    /// The reads that lanes attempted.
    pub(super) fn attempts(&self) -> &Attempts {
        self.context.root.attempts()
    }
}
