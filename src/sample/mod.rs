//! One pass: every thread is visited once, by workers on the rayon pool or by the kernel's own walk.
//!
//! A pass is a few lanes, each with its own buffers and counts. The chunks of the task set are dealt to the lanes in equal
//! ranges, so that a lane stays with the same processes from tick to tick; a lane that has finished its range helps the others.
//! A lane is run by a runner, a thread of the pool (`runners.rs`).
//!
//! Where the kernel walks, the coordinator makes it walk, in a lane of its own: a walk cannot block. What has to be read in
//! /proc of the tasks it met, and the tasks that it does not show, are work for the other lanes.
//!
//! # Stuck lanes
//! A read can block in the kernel for ever. The coordinator waits for lanes with a deadline, and the watchdog finds those
//! that are blocked in the files of one thread. Such a lane is given up, the process goes into quarantine (its threads are
//! then read by `status`, which does not block), and a spare thread of the pool takes over. The tick that lost the lane is
//! discarded.

mod lane;
mod lanes;
mod quarantine;
mod queue;
mod roster;
mod runners;
mod stack_names;
pub mod walker;
mod watchdog;
mod workload;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::count::Aggregator;
use crate::observe::{Context, Coverage, TickTime, titles};
use crate::proc::ReadError;
use crate::proc::health::Health;
use crate::row::rows::Rows;
use crate::tasks::TaskSet;
use crate::time::clock::monotonic_ns;
use lane::{Lane, note_name};
use lanes::Lanes;
use quarantine::Quarantine;
use runners::FinishedLane;
use walker::{PendingTask, Walked, Walker};
use watchdog::{StuckLane, Watchdog, WatchedLane};
use workload::Workload;

pub use crate::proc::state::StateCounts;
pub use quarantine::BlockingProcess;
pub use runners::SPARE_THREADS;

/// Once the run is to stop, lanes are waited for this long, even if they only wait for a CPU.
const STOP_PATIENCE_NS: u64 = 500_000_000;

/// How long to wait for a lane between two checks by the watchdog.
const WATCH_PERIOD: Duration = Duration::from_millis(5);

/// The result of a pass.
#[derive(Debug, Clone, Default)]
pub struct PassOutcome {
    /// Whether every thread was visited. If not, nothing of the pass is counted.
    pub is_complete: bool,
    /// Threads in each state.
    pub states: StateCounts,
    /// Of those in state R, the ones that are throttled by their cgroup, as far as the records of a walk tell.
    pub throttled: u64,
    /// Of those in state R, the threads of psn that a walk met and that are left out of the samples.
    pub own_running: u64,
    /// How long the pass took.
    pub duration_ns: u64,
    /// The observations, if the plan keeps them.
    pub rows: Vec<Rows>,
    /// Whether some of them were dropped because they take too much memory.
    pub has_lost_rows: bool,
}

/// Makes passes.
pub struct Sampler {
    lanes: Lanes,
    watchdog: Watchdog,
    quarantine: Arc<Quarantine>,
    /// Passes begun.
    passes: u64,
    accounts: Accounts,
}

/// What the lanes of all passes add up to.
#[derive(Default)]
struct Accounts {
    health: Health,
    coverage: Coverage,
    /// A thread's name for each process that was read in quarantine.
    blocked_names: HashMap<u32, Vec<u8>>,
}

impl Accounts {
    fn take(&mut self, lane: &mut Lane) {
        self.health.take(&mut lane.observer.reader.health);
        self.coverage.take(&mut lane.observer.counter.coverage);
        for (tgid, name) in lane.blocked_names.drain() {
            note_name(&mut self.blocked_names, tgid, &name);
        }
    }
}

impl Sampler {
    /// A sampler with `workers` lanes at a time.
    ///
    /// # Errors
    /// When the threads of the pool cannot be started.
    pub fn new(
        context: Arc<Context>,
        aggregator: Arc<Aggregator>,
        workers: usize,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        Ok(Self {
            lanes: Lanes::start(context, aggregator, workers)?,
            watchdog: Watchdog::default(),
            quarantine: Arc::default(),
            passes: 0,
            accounts: Accounts::default(),
        })
    }

    /// Visits every thread of `set` once. Gives up when `stopped` says so, or when a lane is still stuck at `next_due_ns`,
    /// when the next tick is due: then the pass is not complete, and nothing of it is counted.
    pub fn pass(&mut self, set: &Arc<TaskSet>, tick: u32, next_due_ns: u64, stopped: &dyn Fn() -> bool) -> PassOutcome {
        let deadline = Deadline { next_due_ns, stopped };
        let at = TickTime { tick, now_ns: monotonic_ns() };
        let mut outcome = PassOutcome { is_complete: true, ..PassOutcome::default() };
        let mut working = self.begin();
        self.send(&mut working, Arc::clone(set), Vec::new(), at);
        let mut back = self.gather(working, deadline, &mut outcome);
        outcome.duration_ns = monotonic_ns().saturating_sub(at.now_ns);
        finish_deferred(&mut back, at, deadline, outcome.is_complete);
        self.collect(back, tick, &mut outcome);
        outcome
    }

    /// Has the kernel walk over its tasks once. Then visits the tasks that the walk does not show, and those of which files
    /// have to be read. Gives up as [`pass`](Self::pass) does.
    ///
    /// # Errors
    /// When the walk fails.
    pub fn walk(
        &mut self,
        walker: &mut Walker,
        tick: u32,
        next_due_ns: u64,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<PassOutcome> {
        let deadline = Deadline { next_due_ns, stopped };
        let at = TickTime { tick, now_ns: monotonic_ns() };
        let mut outcome = PassOutcome::default();
        let mut own = self.lanes.take();
        // Before the walk, so that they are read while it runs.
        let mut working = self.begin();
        self.send(&mut working, Arc::clone(walker.unseen()), Vec::new(), at);
        let walked = walker.walk(&mut own.observer, at).map(|Walked { counts, throttled, own_running, pending }| {
            (outcome.throttled, outcome.own_running) = (throttled, own_running);
            if walker.sees_everything() {
                counts.states().for_each(|(state, count)| own.states.add(state.letter(), count));
            }
            outcome.is_complete = counts.overflowed == 0;
            if !pending.is_empty() {
                self.send(&mut working, Arc::default(), pending, at);
            }
        });
        let mut back = self.gather(working, deadline, &mut outcome);
        outcome.duration_ns = monotonic_ns().saturating_sub(at.now_ns);
        // Last, so that the next walk gets the same lane.
        back.push(own);
        finish_deferred(&mut back, at, deadline, outcome.is_complete);
        self.collect(back, tick, &mut outcome);
        walked.map(|()| outcome)
    }

    fn begin(&mut self) -> Working {
        self.passes += 1;
        Working::default()
    }

    /// Sends lanes to visit the threads of `set`, or the `pending` ones of a walk.
    fn send(&mut self, working: &mut Working, set: Arc<TaskSet>, pending: Vec<PendingTask>, at: TickTime) {
        let status_only = self.watchdog.stuck() >= SPARE_THREADS;
        let work = Workload::new(set, pending, Arc::clone(&self.quarantine), status_only, at);
        if work.chunks() > 0 {
            let (work, lanes) = self.lanes.send(self.passes, work);
            working.works.push(work);
            working.lanes.extend(lanes);
        }
    }

    /// Waits for the working lanes, and returns those that came back.
    fn gather(&mut self, mut working: Working, deadline: Deadline<'_>, outcome: &mut PassOutcome) -> Vec<Box<Lane>> {
        let mut back = Vec::with_capacity(working.lanes.len() + 1);
        let mut stopped_ns = None;
        while !working.lanes.is_empty() {
            match self.lanes.receive_within(WATCH_PERIOD) {
                Some(FinishedLane { pass, lane }) if pass == self.passes => {
                    working.lanes.retain(|watched| !watched.is(&lane));
                    back.push(lane);
                    continue;
                }
                Some(FinishedLane { lane, .. }) => {
                    self.take_back_late(lane);
                    continue;
                }
                None => {}
            }
            if (deadline.stopped)() {
                outcome.is_complete = false;
                working.cancel();
                let now = monotonic_ns();
                if now.saturating_sub(*stopped_ns.get_or_insert(now)) > STOP_PATIENCE_NS {
                    break;
                }
            }
            let before = working.lanes.len();
            working.lanes.retain_mut(|lane| !self.gives_up(lane, deadline.next_due_ns));
            if working.lanes.len() < before {
                outcome.is_complete = false;
                working.cancel();
            }
            if !self.lanes.has_runner(self.watchdog.stuck()) {
                // Nobody is left to run the lanes that are still queued.
                outcome.is_complete = false;
                break;
            }
        }
        back
    }

    /// Gives `lane` up if the watchdog finds it stuck: quarantines the process and replaces the runner.
    fn gives_up(&mut self, lane: &mut WatchedLane, next_due_ns: u64) -> bool {
        let Some(StuckLane { tgid, source, by_status, .. }) = self.watchdog.check(lane, next_due_ns) else {
            return false;
        };
        self.accounts.health.record_error(*source, ReadError::TimedOut);
        Arc::make_mut(&mut self.quarantine).begin(*tgid, *by_status);
        self.lanes.replace_stuck(self.watchdog.stuck());
        true
    }

    /// Takes back a lane of an earlier pass: one that was stuck, or that no runner took in time.
    fn take_back_late(&mut self, mut lane: Box<Lane>) {
        if let Some(StuckLane { tgid, source, .. }) = self.watchdog.release(&lane) {
            // The read that timed out was answered after all, and the lane has counted it.
            self.accounts.health.retract_timeout(source);
            Arc::make_mut(&mut self.quarantine).end(tgid, monotonic_ns());
        }
        lane.observer.counter.fold.discard();
        lane.observer.counter.drop_deferred();
        lane.states = StateCounts::default();
        lane.observer.counter.coverage = Coverage::default();
        self.accounts.health.take(&mut lane.observer.reader.health);
        self.lanes.put_back(lane);
    }

    /// Adds up what the lanes have, and commits their counts if the pass is complete.
    fn collect(&mut self, mut back: Vec<Box<Lane>>, tick: u32, outcome: &mut PassOutcome) {
        let is_stuck = self.watchdog.stuck() > 0;
        if outcome.is_complete {
            outcome.has_lost_rows = back.iter().any(|lane| lane.observer.counter.fold.has_lost_rows());
            outcome.rows.extend(back.iter_mut().filter_map(|lane| lane.observer.counter.fold.take_rows()));
            // Work given to the pool could wait for a stuck thread: then the coordinator commits alone.
            self.lanes.commit(&mut back, tick, !is_stuck);
        }
        for mut lane in back {
            if !outcome.is_complete {
                lane.observer.counter.coverage = Coverage::default();
            }
            lane.observer.counter.fold.discard();
            lane.observer.counter.drop_deferred();
            outcome.states.take(&mut lane.states);
            self.accounts.take(&mut lane);
            self.lanes.put_back(lane);
        }
        if outcome.is_complete && !is_stuck {
            // No read is under way: all are in the accounts.
            self.accounts.health.debug_assert_accounts_for(self.lanes.attempts());
        }
    }

    /// Drops a task set on the pool, where the caller does not wait while its files are closed.
    pub fn drop_aside(&self, set: Arc<TaskSet>) {
        self.lanes.drop_aside(set);
    }

    /// The processes that blocked a lane.
    #[must_use]
    pub fn blocking_processes(&self) -> Vec<BlockingProcess> {
        self.quarantine.processes(&self.accounts.blocked_names)
    }

    /// The outcome of every read so far.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.accounts.health
    }

    /// How complete the observations are so far.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.accounts.coverage
    }
}

/// Waits for what rows of these lanes wait for, titles and lookups, as long as the tick allows, and counts the rows.
fn finish_deferred(lanes: &mut [Box<Lane>], at: TickTime, deadline: Deadline<'_>, is_complete: bool) {
    if !is_complete || !lanes.iter().any(|lane| lane.observer.counter.has_deferred()) {
        return;
    }
    let readers = lanes.iter().find_map(|lane| lane.observer.counter.readers().cloned());
    let with_lookups = lanes.iter().any(|lane| lane.observer.counter.waits_for_lookups());
    let lookups = lanes.iter().find_map(|lane| lane.observer.reader.lookups().filter(|_| with_lookups).cloned());
    let with_mappings = lanes.iter().any(|lane| lane.observer.counter.waits_for_mappings());
    let until = titles::deadline(at.now_ns, monotonic_ns(), deadline.next_due_ns);
    if let Some(lookups) = &lookups {
        lookups.begin();
    }
    if let Some(readers) = readers {
        readers.settle_rows(with_mappings, until, deadline.stopped);
    }
    if let Some(lookups) = lookups {
        lookups.settle(until, deadline.stopped);
    }
    lanes.iter_mut().for_each(|lane| lane.observer.finish_deferred(at));
}

/// The lanes at work on a pass, and what they work on.
#[derive(Default)]
struct Working {
    works: Vec<Arc<Workload>>,
    lanes: Vec<WatchedLane>,
}

impl Working {
    /// Has the lanes come back after their current chunks.
    fn cancel(&self) {
        self.works.iter().for_each(|work| work.cancel());
    }
}

/// What ends a pass early.
#[derive(Clone, Copy)]
struct Deadline<'a> {
    next_due_ns: u64,
    stopped: &'a dyn Fn() -> bool,
}
