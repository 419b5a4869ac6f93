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

mod queue;
mod roster;
pub mod walker;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::count::Aggregator;
use crate::observe::{Context, Coverage, Instant, Observer, Place, read_stat, titles};
use crate::proc::health::Health;
use crate::proc::lookup::PerByte;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{stat, status, syscall};
use crate::proc::rights;
use crate::proc::source::Source;
use crate::proc::syscall::Abi;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::row::rows::Rows;
use crate::sample::queue::Queue;
use crate::sample::walker::{Row, Walker};
use crate::tasks::{Process, Task, TaskSet};
use crate::time::clock::monotonic_ns;

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

/// What a lane is at, for the coordinator to see. On a cache line of its own: only the coordinator
/// ever looks, and only when a pass is late.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Progress {
    /// The pool thread's id as the kernel knows it; 0 before the lane runs.
    os_tid: AtomicU32,
    /// The process being read.
    tgid: AtomicU32,
    /// Threads visited in this pass.
    visits: AtomicU64,
    /// Whether the process is read by `status` alone.
    is_careful: AtomicBool,
}

/// A lane that was given up: it is stuck in the kernel, as far as is known.
#[derive(Debug)]
struct LostLane {
    progress: Arc<Progress>,
    /// The process and file that it is stuck in.
    tgid: u32,
    source: Source,
}

/// The work of one pass, shared by its lanes.
#[derive(Debug)]
struct Work {
    set: Arc<TaskSet>,
    /// Threads that a walk met and of which files have to be read: the chunks after those of the set.
    rows: Vec<Row>,
    /// Each lane's next chunk, with where its run ends.
    runs: Vec<Run>,
    quarantine: Arc<Quarantine>,
    /// Whether no more lanes may be lost: every process is read as if it were in quarantine.
    is_cautious: bool,
    cancelled: AtomicBool,
    at: Instant,
}

#[repr(align(128))]
#[derive(Debug)]
struct Run {
    next: AtomicUsize,
    end: usize,
}

/// Threads of a walk that a lane takes at a time.
const CHUNK_ROWS: usize = TaskSet::MIN_CHUNK;

impl Work {
    fn new(set: Arc<TaskSet>, rows: Vec<Row>, quarantine: Arc<Quarantine>, is_cautious: bool, at: Instant) -> Self {
        Self { set, rows, runs: Vec::new(), quarantine, is_cautious, cancelled: AtomicBool::new(false), at }
    }

    fn chunks(&self) -> usize {
        self.set.chunks() + self.rows.len().div_ceil(CHUNK_ROWS)
    }

    /// Deals the chunks to so many lanes.
    fn deal(mut self, lanes: usize) -> Self {
        let run = |run: Range<usize>| Run { next: AtomicUsize::new(run.start), end: run.end };
        self.runs = shares(self.chunks(), lanes).map(run).collect();
        self
    }

    /// The walked threads of a chunk; none of a chunk of the set.
    fn rows(&self, chunk: usize) -> &[Row] {
        let chunk = chunk.checked_sub(self.set.chunks()).and_then(|chunk| self.rows.chunks(CHUNK_ROWS).nth(chunk));
        chunk.unwrap_or_default()
    }

    /// The next chunk for `lane`: of its own run first, then of the others'.
    fn take(&self, lane: usize) -> Option<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let runs = self.runs.iter().cycle().skip(lane).take(self.runs.len());
        runs.filter_map(Run::take).next()
    }
}

impl Run {
    fn take(&self) -> Option<usize> {
        // A look first: the counter of a finished run is not written again and again.
        if self.next.load(Ordering::Relaxed) >= self.end {
            return None;
        }
        let chunk = self.next.fetch_add(1, Ordering::Relaxed);
        (chunk < self.end).then_some(chunk)
    }
}

/// `count` things in `lanes` runs of equal length, to one.
fn shares(count: usize, lanes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..lanes).map(move |lane| (count * lane / lanes)..(count * (lane + 1) / lanes))
}

/// Processes that block their readers. Such a process is not read in full while a lane is stuck in it,
/// nor for a while after. One in which even `status` blocked, which no known kernel does, is not read at all.
#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    processes: HashMap<u32, Sentence>,
}

#[derive(Debug, Clone, Copy)]
struct Sentence {
    /// Lanes that are stuck in the process now.
    stuck: u32,
    until_ns: u64,
    offences: u32,
    /// Whether even `status` blocked.
    is_mute: bool,
}

/// How the threads of a process are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// In full.
    None,
    /// By `status`, which does not block.
    Status,
    /// Not at all.
    Avoid,
}

/// A process that blocked a reader.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    /// The process.
    pub tgid: u32,
    /// Its name, once `status` has told it.
    pub name: Vec<u8>,
    /// Whether even `status` blocked, so that its threads were not counted.
    pub is_mute: bool,
}

impl Quarantine {
    /// The first stay; each further offence doubles it.
    const FIRST_NS: u64 = 1_000_000_000;
    const MAX_DOUBLINGS: u32 = 10;
    /// Processes that are remembered, beside those that hold a lane now.
    const MAX_PROCESSES: usize = 1024;

    /// A lane is stuck in the process, which it read by `status` alone if it `is_careful`.
    fn begin(&mut self, tgid: u32, is_careful: bool) {
        if self.processes.len() >= Self::MAX_PROCESSES {
            self.processes.retain(|_, sentence| sentence.stuck > 0);
        }
        let sentence =
            self.processes.entry(tgid).or_insert(Sentence { stuck: 0, until_ns: 0, offences: 0, is_mute: false });
        sentence.stuck += 1;
        sentence.offences += 1;
        sentence.is_mute |= is_careful;
    }

    /// A lane that was stuck in the process has come back.
    fn end(&mut self, tgid: u32, now_ns: u64) {
        if let Some(sentence) = self.processes.get_mut(&tgid) {
            sentence.stuck = sentence.stuck.saturating_sub(1);
            let doublings = sentence.offences.saturating_sub(1).min(Self::MAX_DOUBLINGS);
            sentence.until_ns = now_ns.saturating_add(Self::FIRST_NS << doublings);
        }
    }

    /// How the threads of `tgid` are to be read.
    #[inline]
    fn care(&self, tgid: u32, now_ns: u64) -> Care {
        if self.processes.is_empty() {
            return Care::None;
        }
        match self.processes.get(&tgid) {
            Some(sentence) if sentence.stuck == 0 && now_ns >= sentence.until_ns => Care::None,
            Some(sentence) if sentence.is_mute => Care::Avoid,
            Some(_) => Care::Status,
            None => Care::None,
        }
    }
}

/// One lane: what a worker needs to visit threads, kept from pass to pass.
#[derive(Debug)]
struct Lane {
    root: Arc<ProcRoot>,
    observer: Observer,
    stat: Buffer,
    line: Vec<u8>,
    /// The name of a thread of each process visited in quarantine.
    blocked_names: HashMap<u32, Vec<u8>>,
    progress: Arc<Progress>,
    states: StateCounts,
}

/// Threads seen in each state, by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCounts(Box<PerByte<u64>>);

impl Default for StateCounts {
    fn default() -> Self {
        Self(Box::new(PerByte::filled(0)))
    }
}

impl StateCounts {
    #[inline]
    fn count(&mut self, letter: u8) {
        self.add(letter, 1);
    }

    #[inline]
    fn add(&mut self, letter: u8, count: u64) {
        *self.0.at_mut(letter) += count;
    }

    fn take(&mut self, other: &mut Self) {
        for (letter, count) in other.iter() {
            self.add(letter, count);
        }
        *other = Self::default();
    }

    /// The letters that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        self.0.iter().filter(|(_, count)| *count > 0)
    }

    /// All threads.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

impl Lane {
    fn run(&mut self, work: &Work, lane: usize) {
        self.progress.os_tid.store(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(), Ordering::Relaxed);
        while let Some(chunk) = work.take(lane) {
            for span in work.set.chunk(chunk) {
                let Some((process, tasks)) = work.set.tasks(*span) else { continue };
                let care = work.quarantine.care(process.tgid, work.at.now_ns);
                if care == Care::Avoid {
                    continue;
                }
                let blocked = work.is_cautious || care == Care::Status;
                self.enter(process.tgid, blocked);
                for task in tasks {
                    self.note_visit();
                    if blocked {
                        self.visit_blocked(process, task, work.at);
                    } else {
                        self.visit(process, task, work.at);
                    }
                }
            }
            for row in work.rows(chunk) {
                self.visit_walked(row, work);
            }
        }
    }

    /// Notes which process is read next.
    fn enter(&self, tgid: u32, is_careful: bool) {
        self.progress.tgid.store(tgid, Ordering::Relaxed);
        self.progress.is_careful.store(is_careful, Ordering::Relaxed);
    }

    /// Notes that another thread is visited.
    #[inline]
    fn note_visit(&self) {
        let visits = &self.progress.visits;
        // Not a read-modify-write: this lane is the only writer.
        visits.store(visits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Visits a thread that a walk met. Of a process that blocks its readers, the record has to do.
    fn visit_walked(&mut self, row: &Row, work: &Work) {
        let tgid = row.process.tgid;
        let blocked = work.is_cautious || work.quarantine.care(tgid, work.at.now_ns) != Care::None;
        let walked = row.walked();
        if blocked {
            note_name(&mut self.blocked_names, tgid, walked.record.comm());
        }
        self.enter(tgid, blocked);
        self.note_visit();
        self.observer.observe_walked(&row.process, Some(&row.task), walked, blocked, work.at);
    }

    /// Visits one thread: one read, and no more unless its state passes the gate.
    #[inline]
    fn visit(&mut self, process: &Process, task: &Task, at: Instant) {
        if task.is_gone() {
            return;
        }
        let result = read_stat(&self.root, process, task, &mut self.stat);
        let result = result.and_then(|line| Ok((stat::state(stat::whole(line)?)?, line)));
        match result {
            Ok((state, line)) => {
                self.observer.health.record_ok(Source::Stat, 1);
                self.states.count(state);
                if self.observer.gate().passes(state)
                    && let Err(error) = self.observer.observe(process, task, line, false, at)
                {
                    self.observer.health.correct(Source::Stat, error);
                }
            }
            Err(error) => {
                self.observer.health.record_error(Source::Stat, error);
                if error == ReadError::Gone {
                    task.mark_gone();
                }
            }
        }
    }

    /// Visits a thread of a process that blocks its readers, by the one file that never does.
    #[cold]
    fn visit_blocked(&mut self, process: &Process, task: &Task, at: Instant) {
        if task.is_gone() {
            return;
        }
        self.observer.place.enter(Source::Status);
        let result = self.root.read_task(process.task_dir(), task.tid, Source::Status, &mut self.stat);
        self.observer.place.enter(Source::Stat);
        self.observer.health.record(Source::Status, &result);
        match result.map(|text| stat_line_of_status(task.tid, text, &mut self.line)) {
            Ok(Some(state)) => {
                self.states.count(state);
                if !self.blocked_names.contains_key(&process.tgid)
                    && let Ok(stat) = stat::Stat::parse(&self.line, 0)
                {
                    note_name(&mut self.blocked_names, process.tgid, stat.comm);
                }
                if self.observer.gate().passes(state)
                    && let Err(error) = self.observer.observe(process, task, &self.line, true, at)
                {
                    self.observer.health.correct(Source::Status, error);
                }
            }
            Ok(None) => self.observer.health.correct(Source::Status, ReadError::Malformed),
            Err(ReadError::Gone) => task.mark_gone(),
            Err(_) => {}
        }
    }
}

/// Notes the name of a process that blocks its readers, of so many processes at most.
fn note_name(names: &mut HashMap<u32, Vec<u8>>, tgid: u32, name: &[u8]) {
    if names.len() < Quarantine::MAX_PROCESSES && !names.contains_key(&tgid) {
        names.insert(tgid, name.to_vec());
    }
}

/// Writes what `status` tells in the form of `stat`: tid, name and state. Returns the state.
fn stat_line_of_status(tid: u32, text: &[u8], line: &mut Vec<u8>) -> Option<u8> {
    let state = status::state(text)?;
    line.clear();
    line.extend_from_slice(itoa::Buffer::new().format(tid).as_bytes());
    line.extend_from_slice(b" (");
    status::unescape_name(status::name(text)?, line);
    line.extend_from_slice(b") ");
    line.push(state);
    line.push(b'\n');
    Some(state)
}

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
        let at = Instant { tick, now_ns: monotonic_ns() };
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
        let at = Instant { tick, now_ns: monotonic_ns() };
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
    fn hand_out(&mut self, round: &mut Round, set: Arc<TaskSet>, rows: Vec<Row>, at: Instant) {
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
        let place = Arc::clone(&lane.observer.place);
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
        lane.observer.fold.discard();
        lane.observer.deferred().clear();
        lane.states = StateCounts::default();
        lane.observer.coverage = Coverage::default();
        self.health.take(&mut lane.observer.health);
        self.lanes.push(lane);
    }

    #[expect(clippy::vec_box)]
    fn collect(&mut self, mut back: Vec<Box<Lane>>, tick: u32, outcome: &mut PassOutcome) {
        if outcome.is_complete {
            outcome.has_lost_rows = back.iter().any(|lane| lane.observer.fold.has_lost_rows());
            outcome.rows.extend(back.iter_mut().filter_map(|lane| lane.observer.fold.take_rows()));
            self.commit(&mut back, tick);
        }
        for mut lane in back {
            if !outcome.is_complete {
                lane.observer.coverage = Coverage::default();
            }
            lane.observer.fold.discard();
            lane.observer.deferred().clear();
            outcome.states.take(&mut lane.states);
            self.health.take(&mut lane.observer.health);
            self.coverage.take(&mut lane.observer.coverage);
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
        let groups: usize = lanes.iter().map(|lane| lane.observer.fold.touched()).sum();
        // With a thread of the pool stuck, `scope` could wait for it: then the coordinator does it alone.
        if groups < PARALLEL_GROUPS || !self.lost.is_empty() {
            lanes.iter_mut().for_each(|lane| self.aggregator.commit(&mut lane.observer.fold, tick));
        } else {
            self.pool.scope(|scope| {
                for lane in lanes {
                    scope.spawn(|_| self.aggregator.commit(&mut lane.observer.fold, tick));
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
fn finish_deferred(lanes: &mut [Box<Lane>], at: Instant, until: Until<'_>, is_complete: bool) {
    let readers = lanes.iter_mut().find_map(|lane| lane.observer.deferred().readers().cloned());
    let Some(readers) = readers.filter(|_| is_complete) else { return };
    let with_mappings = lanes.iter_mut().any(|lane| lane.observer.deferred().wait_for_mappings());
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

/// A lane that is out, as the coordinator watches it.
struct Watch {
    progress: Arc<Progress>,
    place: Arc<Place>,
    visits: u64,
    since_ns: u64,
}

/// Whether a thread of psn's own is blocked in the kernel. It reads psn's own files, which can not
/// block: only a process in exec or hung on its memory blocks its readers, and psn is neither.
fn is_blocked(os_tid: u32) -> bool {
    let path = |file: &str| format!("{}/self/task/{os_tid}/{file}", crate::config::DEFAULT_PROC_ROOT);
    // Files of a program that was given capabilities are root's.
    let read = |file: &str| rights::raised(|| std::fs::read(path(file))).flatten();
    match read("stat") {
        Ok(line) => {
            let waits_for_psn = || waits_for_psn(&read("syscall").unwrap_or_default());
            stat::state(&line).is_ok_and(|state| state != b'R') && !waits_for_psn()
        }
        Err(_) => true,
    }
}

/// Whether a thread waits for another of psn's own, which on an overloaded host may hold a lock for
/// long without having a CPU: no process is to blame for that.
fn waits_for_psn(line: &[u8]) -> bool {
    match syscall::parse(line) {
        Ok(SyscallLine::Call { number, .. }) => crate::proc::syscall::name(Abi::native(), number) == Some("futex"),
        // On its way in or out of the kernel, or in a fault of its own memory.
        Ok(SyscallLine::Running | SyscallLine::Blocked { .. }) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_evenly() {
        for (count, lanes) in [(0, 1), (1, 1), (7, 3), (391, 16), (16, 16)] {
            let runs: Vec<_> = shares(count, lanes).collect();
            assert_eq!(runs.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            let (min, max) = (runs.iter().map(Range::len).min(), runs.iter().map(Range::len).max());
            assert!(max.unwrap() - min.unwrap() <= 1);
        }
    }

    #[test]
    fn status_stands_in_for_stat() {
        let mut line = Vec::new();
        let text = b"Name:\ta)\\nb\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t7\n";
        assert_eq!(stat_line_of_status(7, text, &mut line), Some(b'D'));
        assert_eq!(line, b"7 (a)\nb) D\n");
        assert_eq!(stat_line_of_status(7, b"", &mut line), None);
    }

    #[test]
    fn a_stay_in_quarantine_doubles_and_ends() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        assert_eq!(quarantine.care(5, u64::MAX), Care::Status, "while a lane is stuck");
        quarantine.end(5, 0);
        assert_eq!(quarantine.care(5, Quarantine::FIRST_NS - 1), Care::Status);
        assert_eq!(quarantine.care(5, Quarantine::FIRST_NS), Care::None);
        quarantine.begin(5, false);
        quarantine.end(5, 0);
        assert_eq!(quarantine.care(5, 2 * Quarantine::FIRST_NS - 1), Care::Status);
        assert_eq!(quarantine.care(6, 0), Care::None);
    }

    #[test]
    fn a_process_whose_status_blocks_is_left_alone() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        quarantine.begin(5, true);
        assert_eq!(quarantine.care(5, u64::MAX), Care::Avoid);
        assert_eq!(quarantine.care(6, 0), Care::None);
    }
}
