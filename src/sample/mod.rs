//! One pass: every thread visited once, on the rayon pool, or met by the kernel's own walk.
//!
//! A pass is a few lanes, each with its own buffers and counts, run by threads of the pool. The chunks
//! of the task set are dealt to the lanes in runs, so that a lane stays with its processes from tick to
//! tick; a lane that has finished its run helps the others. Each of those threads is one long job of
//! the pool, a runner, that sleeps on a channel between passes: handing the pool a job a tick would have
//! its idle threads look for work in vain, which at 1,000 Hz costs more than the reads.
//!
//! Where the kernel walks, the coordinator itself has it done, in a lane like the others: a walk can not block. What has to
//! be looked up in /proc of those it met, and whom it does not show, is work for the other lanes.
//!
//! # A lane that does not come back
//! A read can block in the kernel for ever. The coordinator waits for lanes with a deadline; a lane
//! that is blocked inside one thread's files is given up, its process is quarantined (its threads'
//! states then come from `status`, which does not block), and a fresh lane takes its place on one of
//! the pool's spare threads. The tick that lost the lane is discarded.

mod lane;
mod quarantine;
mod queue;
mod roster;
mod states;
pub mod walker;
mod watch;
mod work;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::count::Aggregator;
use crate::observe::{Context, Coverage, Observer, TickTime, titles};
use crate::proc::health::Health;
use crate::proc::{Buffer, ReadError};
use crate::row::rows::Rows;
use crate::sample::queue::Queue;
use crate::sample::walker::{Row, Walker};
use crate::tasks::TaskSet;
use crate::time::clock::monotonic_ns;
use lane::{Lane, note_name};
use quarantine::{Quarantine, Sentence};
use watch::{LostLane, Watch, is_blocked};
use work::Work;

pub use quarantine::Blocker;
pub use states::StateCounts;

/// Threads of the pool beyond the workers: each can replace one that is stuck in the kernel.
pub const SPARE_THREADS: usize = 4;

/// A lane that has been at one thread for this long, blocked, may be given up: once the next tick is
/// due, so that it costs no more than its own.
const PATIENCE_NS: u64 = 20_000_000;

/// A lane that has been blocked for this long is given up though the next tick is not due yet.
const MAX_PATIENCE_NS: u64 = 1_000_000_000;

/// Once the run is to stop, lanes are waited for this long, even if they are only starved of CPU.
const FAREWELL_NS: u64 = 500_000_000;

/// How long a lane is waited for between two looks at the lanes.
const LOOK: Duration = Duration::from_millis(5);

/// A lane on its way to a runner.
struct Job {
    pass: u64,
    lane: Box<Lane>,
    work: Arc<Work>,
    index: usize,
}

/// Runs lanes until the sampler is dropped.
fn run_lanes(jobs: &Queue<Job>, done: &Queue<Done>) {
    while let Some(Job { pass, mut lane, work, index }) = jobs.receive() {
        lane.run(&work, index);
        drop(work);
        // The sampler may be gone: then so is the need for the lane.
        done.send(Done { pass, lane });
    }
}

/// A lane as it comes back from a pass.
struct Done {
    pass: u64,
    lane: Box<Lane>,
}

/// How a pass went.
#[derive(Debug, Clone, Default)]
pub struct PassOutcome {
    /// Whether every thread was visited: if not, nothing of the pass is counted.
    pub is_complete: bool,
    /// Threads in each state.
    pub states: StateCounts,
    /// How long it took.
    pub duration_ns: u64,
    /// What was observed, if the plan has it kept.
    pub rows: Vec<Rows>,
    /// Whether it was too much to be kept.
    pub has_lost_rows: bool,
}

/// Makes passes.
pub struct Sampler {
    context: Arc<Context>,
    aggregator: Arc<Aggregator>,
    pool: rayon::ThreadPool,
    workers: usize,
    /// Boxed: a lane is large, and moves to the pool and back at every pass.
    #[expect(clippy::vec_box)]
    lanes: Vec<Box<Lane>>,
    jobs: Arc<Queue<Job>>,
    done: Arc<Queue<Done>>,
    /// Threads of the pool that run lanes, those that are stuck among them.
    runners: usize,
    passes: u64,
    quarantine: Arc<Quarantine>,
    lost: Vec<LostLane>,
    health: Health,
    coverage: Coverage,
    blocked_names: HashMap<u32, Vec<u8>>,
}

impl Sampler {
    /// A sampler with a pool of `workers`.
    ///
    /// # Errors
    /// When the pool's threads can not be had.
    pub fn new(
        context: Arc<Context>,
        aggregator: Arc<Aggregator>,
        workers: usize,
    ) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers + SPARE_THREADS)
            .thread_name(|index| format!("psn-worker-{index}"))
            .stack_size(512 << 10)
            .build()?;
        let mut sampler = Self {
            context,
            aggregator,
            pool,
            workers,
            lanes: Vec::new(),
            jobs: Arc::default(),
            done: Arc::default(),
            runners: 0,
            passes: 0,
            quarantine: Arc::default(),
            lost: Vec::new(),
            health: Health::default(),
            coverage: Coverage::default(),
            blocked_names: HashMap::new(),
        };
        sampler.start_runners();
        Ok(sampler)
    }

    /// Sees to it that as many runners are at liberty as there are workers.
    fn start_runners(&mut self) {
        // More than the pool has threads would only wait for one.
        while self.runners < self.lost.len() + self.workers && self.runners < self.workers + SPARE_THREADS {
            let (jobs, done) = (Arc::clone(&self.jobs), Arc::clone(&self.done));
            self.pool.spawn(move || run_lanes(&jobs, &done));
            self.runners += 1;
        }
    }

    /// Visits every thread of `set` once. Gives up when `stopped` says so, or when a lane is still
    /// stuck when the next tick is due; then the pass is not complete and nothing of it is counted.
    pub fn pass(&mut self, set: &Arc<TaskSet>, tick: u32, next_due_ns: u64, stopped: &dyn Fn() -> bool) -> PassOutcome {
        let at = TickTime { tick, now_ns: monotonic_ns() };
        let mut outcome = PassOutcome { is_complete: true, ..PassOutcome::default() };
        let mut round = self.begin();
        self.hand_out(&mut round, Arc::clone(set), Vec::new(), at);
        let mut back = self.gather(round, Until { next_due_ns, stopped }, &mut outcome);
        outcome.duration_ns = monotonic_ns().saturating_sub(at.now_ns);
        finish_deferred(&mut back, at, Until { next_due_ns, stopped }, outcome.is_complete);
        self.collect(back, tick, &mut outcome);
        outcome
    }

    /// Has the kernel walk over its tasks once, and visits what it does not show, and those it met of which files have to
    /// be read. Gives up as a [pass](Self::pass) over a task set does.
    ///
    /// # Errors
    /// When the kernel does not walk.
    pub fn walk(
        &mut self,
        walker: &mut Walker,
        tick: u32,
        next_due_ns: u64,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<PassOutcome> {
        let at = TickTime { tick, now_ns: monotonic_ns() };
        let mut outcome = PassOutcome::default();
        let mut home = self.lanes.pop().unwrap_or_else(|| self.new_lane());
        // At the same time as the walk, which is done when they are.
        let mut round = self.begin();
        self.hand_out(&mut round, Arc::clone(walker.unseen()), Vec::new(), at);
        let walked = walker.walk(&mut home.observer, at).map(|(walk, rows)| {
            if walker.sees_everything() {
                walk.states().for_each(|(state, count)| home.states.add(state.letter(), count));
            }
            outcome.is_complete = walk.overflowed == 0;
            if !rows.is_empty() {
                self.hand_out(&mut round, Arc::default(), rows, at);
            }
        });
        let mut back = self.gather(round, Until { next_due_ns, stopped }, &mut outcome);
        outcome.duration_ns = monotonic_ns().saturating_sub(at.now_ns);
        // Last, so that it is the home of the next walk, too.
        back.push(home);
        finish_deferred(&mut back, at, Until { next_due_ns, stopped }, outcome.is_complete);
        self.collect(back, tick, &mut outcome);
        walked.map(|()| outcome)
    }

    fn begin(&mut self) -> Round {
        self.passes += 1;
        Round::default()
    }

    /// Has lanes visit the threads of `set`, or those of `rows`.
    fn hand_out(&mut self, round: &mut Round, set: Arc<TaskSet>, rows: Vec<Row>, at: TickTime) {
        let is_cautious = self.lost.len() >= SPARE_THREADS;
        let work = Work::new(set, rows, Arc::clone(&self.quarantine), is_cautious, at);
        let lanes = self.workers.min(work.chunks());
        if lanes == 0 {
            return;
        }
        let work = Arc::new(work.deal(lanes));
        round.out.extend((0..lanes).map(|index| self.dispatch(&work, index)));
        round.works.push(work);
    }

    /// Waits for the lanes, and returns those that came back.
    #[expect(clippy::vec_box)]
    fn gather(&mut self, mut round: Round, until: Until<'_>, outcome: &mut PassOutcome) -> Vec<Box<Lane>> {
        let mut back = Vec::with_capacity(round.out.len() + 1);
        let mut stopped_ns = None;
        while !round.out.is_empty() {
            match self.done.receive_within(LOOK) {
                Some(done) if done.pass == self.passes => {
                    round.out.retain(|watch| !Arc::ptr_eq(&watch.progress, &done.lane.progress));
                    back.push(done.lane);
                }
                Some(done) => self.welcome_back(done),
                None => {
                    if (until.stopped)() {
                        outcome.is_complete = false;
                        round.cancel();
                        let now = monotonic_ns();
                        if now.saturating_sub(*stopped_ns.get_or_insert(now)) > FAREWELL_NS {
                            break;
                        }
                    }
                    let before = round.out.len();
                    round.out.retain_mut(|watch| !self.gives_up(watch, until.next_due_ns));
                    if round.out.len() < before {
                        outcome.is_complete = false;
                        round.cancel();
                    }
                    if self.lost.len() >= self.runners {
                        // Nobody is left to run the lanes that wait.
                        outcome.is_complete = false;
                        break;
                    }
                }
            }
        }
        back
    }

    fn dispatch(&mut self, work: &Arc<Work>, index: usize) -> Watch {
        let lane = self.lanes.pop().unwrap_or_else(|| self.new_lane());
        let place = Arc::clone(&lane.observer.reader.current_file);
        let watch = Watch { progress: Arc::clone(&lane.progress), place, visits: 0, since_ns: work.at.now_ns };
        lane.progress.visits.store(0, Ordering::Relaxed);
        lane.progress.os_tid.store(0, Ordering::Relaxed);
        self.jobs.send(Job { pass: self.passes, lane, work: Arc::clone(work), index });
        watch
    }

    fn new_lane(&self) -> Box<Lane> {
        Box::new(Lane {
            root: Arc::clone(&self.context.root),
            observer: Observer::new(&self.context, self.aggregator.fold()),
            stat: Buffer::default(),
            line: Vec::new(),
            blocked_names: HashMap::new(),
            progress: Arc::default(),
            states: StateCounts::default(),
        })
    }

    /// Whether a lane is stuck: at one thread for too long, and blocked rather than waiting for a CPU.
    fn gives_up(&mut self, watch: &mut Watch, next_due_ns: u64) -> bool {
        let now = monotonic_ns();
        let visits = watch.progress.visits.load(Ordering::Relaxed);
        if visits != watch.visits {
            (watch.visits, watch.since_ns) = (visits, now);
            return false;
        }
        let os_tid = watch.progress.os_tid.load(Ordering::Relaxed);
        let waited_ns = now.saturating_sub(watch.since_ns);
        let is_late = waited_ns >= MAX_PATIENCE_NS || (waited_ns >= PATIENCE_NS && now >= next_due_ns);
        if !is_late || os_tid == 0 || visits == 0 || !is_blocked(os_tid) {
            return false;
        }
        let source = watch.place.source();
        self.health.record_error(source, ReadError::TimedOut);
        let tgid = watch.progress.tgid.load(Ordering::Relaxed);
        let is_careful = watch.progress.is_careful.load(Ordering::Relaxed);
        self.lost.push(LostLane { progress: Arc::clone(&watch.progress), tgid, source });
        self.start_runners();
        Arc::make_mut(&mut self.quarantine).begin(tgid, is_careful);
        true
    }

    /// Takes back a lane of an earlier pass that came back after all: one that was given up, or that nobody ran in time.
    fn welcome_back(&mut self, done: Done) {
        let mut lane = done.lane;
        if let Some(index) = self.lost.iter().position(|lost| Arc::ptr_eq(&lost.progress, &lane.progress)) {
            let LostLane { tgid, source, .. } = self.lost.swap_remove(index);
            // The read that had timed out has its answer, and the lane has counted it.
            self.health.retract_timeout(source);
            Arc::make_mut(&mut self.quarantine).end(tgid, monotonic_ns());
        }
        lane.observer.counter.fold.discard();
        lane.observer.counter.deferred.clear();
        lane.states = StateCounts::default();
        lane.observer.counter.coverage = Coverage::default();
        self.health.take(&mut lane.observer.reader.health);
        self.lanes.push(lane);
    }

    #[expect(clippy::vec_box)]
    fn collect(&mut self, mut back: Vec<Box<Lane>>, tick: u32, outcome: &mut PassOutcome) {
        if outcome.is_complete {
            outcome.has_lost_rows = back.iter().any(|lane| lane.observer.counter.fold.has_lost_rows());
            outcome.rows.extend(back.iter_mut().filter_map(|lane| lane.observer.counter.fold.take_rows()));
            self.commit(&mut back, tick);
        }
        for mut lane in back {
            if !outcome.is_complete {
                lane.observer.counter.coverage = Coverage::default();
            }
            lane.observer.counter.fold.discard();
            lane.observer.counter.deferred.clear();
            outcome.states.take(&mut lane.states);
            self.health.take(&mut lane.observer.reader.health);
            self.coverage.take(&mut lane.observer.counter.coverage);
            for (tgid, name) in lane.blocked_names.drain() {
                note_name(&mut self.blocked_names, tgid, &name);
            }
            self.lanes.push(lane);
        }
        if outcome.is_complete && self.lost.is_empty() {
            // No reader is out: every read has come to its account.
            self.health.debug_assert_accounts_for(self.context.root.attempts());
        }
    }

    /// Adds the lanes' counts to the session's, in parallel when there are many.
    fn commit(&self, lanes: &mut [Box<Lane>], tick: u32) {
        /// Groups from which the pool's help is worth its wake-ups. `benches/aggregate.rs`, `commit`.
        const PARALLEL_GROUPS: usize = 8192;
        let groups: usize = lanes.iter().map(|lane| lane.observer.counter.fold.touched()).sum();
        // With a thread of the pool stuck, `scope` could wait for it: then the coordinator does it alone.
        if groups < PARALLEL_GROUPS || !self.lost.is_empty() {
            lanes.iter_mut().for_each(|lane| self.aggregator.commit(&mut lane.observer.counter.fold, tick));
        } else {
            self.pool.scope(|scope| {
                for lane in lanes {
                    scope.spawn(|_| self.aggregator.commit(&mut lane.observer.counter.fold, tick));
                }
            });
        }
    }

    /// Drops a task set on the pool, where closing its files is in nobody's way.
    pub fn drop_aside(&self, set: Arc<TaskSet>) {
        if self.runners >= self.workers + SPARE_THREADS {
            // Every thread of the pool runs lanes or is stuck: none would ever come to it.
            return drop(set);
        }
        self.pool.spawn(move || drop(set));
    }

    /// Whether readers were lost for good and only what can not block is read.
    #[must_use]
    pub const fn lost_lanes(&self) -> usize {
        self.lost.len()
    }

    /// The processes that blocked their readers.
    #[must_use]
    pub fn blockers(&self) -> Vec<Blocker> {
        let blocker = |(tgid, sentence): (&u32, &Sentence)| Blocker {
            tgid: *tgid,
            name: self.blocked_names.get(tgid).cloned().unwrap_or_default(),
            is_mute: sentence.is_mute,
        };
        self.quarantine.processes.iter().map(blocker).collect()
    }

    /// The accounting so far.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// What could be told so far.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

/// Waits for the titles that rows of these lanes wait for, as long as the tick allows, and counts the rows.
fn finish_deferred(lanes: &mut [Box<Lane>], at: TickTime, until: Until<'_>, is_complete: bool) {
    let readers = lanes.iter_mut().find_map(|lane| lane.observer.counter.deferred.readers().cloned());
    let Some(readers) = readers.filter(|_| is_complete) else { return };
    let with_mappings = lanes.iter_mut().any(|lane| lane.observer.counter.deferred.wait_for_mappings());
    readers.settle_rows(with_mappings, titles::deadline(at.now_ns, monotonic_ns(), until.next_due_ns), until.stopped);
    lanes.iter_mut().for_each(|lane| lane.observer.finish_deferred(at));
}

/// The work of one pass that lanes are out for.
#[derive(Default)]
struct Round {
    works: Vec<Arc<Work>>,
    out: Vec<Watch>,
}

impl Round {
    /// Has the lanes come back as soon as they can.
    fn cancel(&self) {
        self.works.iter().for_each(|work| work.cancelled.store(true, Ordering::Relaxed));
    }
}

/// How long a pass may take.
#[derive(Clone, Copy)]
struct Until<'a> {
    next_due_ns: u64,
    stopped: &'a dyn Fn() -> bool,
}

#[cfg(test)]
mod tests {}
