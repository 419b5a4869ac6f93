//! The reads behind the state gate: everything the plan wants to know of one active thread.
//!
//! # Rows of one instant
//! A thread's files are read one after another, and the thread does not wait. So the files that say
//! what it waits for are bracketed: two equal readings of its switch counters mean that it was not
//! switched in meanwhile, and that the files between them tell of one sleep. The state is the one
//! first read, always: to retry until a row looks consistent would favour long waits over short
//! ones. Where the thread moved on, those columns show `[torn]`.
//!
//! For a running thread nothing need be read: by definition it waits for nothing.
//!
//! A thread that the kernel's own walk found comes with most of this: see [`walked`].

mod doors;
pub mod extract;
pub mod titles;
pub mod walked;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, MutexGuard, TryLockError, TryLockResult};

use self::doors::Doors;
use crate::ask::column::{Column, Extract};
use crate::ask::plan::{Plan, StateGate};
use crate::count::Fold;
use crate::observe::extract::{
    Answers, Descriptor, Thread, Walked, descriptor, extract, has_ended, is_kernel_thread, is_no_wchan, is_running,
    wchan_was_refused,
};
use crate::proc::health::Health;
use crate::proc::lookup::PerSource;
use crate::proc::parse::smaps::{Mapping, mappings};
use crate::proc::parse::stat::Stat;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{self, schedstat, stack, stat, status};
use crate::proc::source::{Source, SourceSet};
use crate::proc::syscall::{self, Abi};
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::row::last::LastValues;
use crate::row::observation::{Mark, Observation};
use crate::tasks::facts::RunCount;
use crate::tasks::facts::files::{slices, switches};
use crate::tasks::users::Users;
use crate::tasks::{DetailFiles, Permit, Process, Task, TaskFacts, TaskMemory};
use titles::{Deferred, Mappings};

/// The sources that say what a thread waits for: only together with its state do they make sense.
const WAIT_SOURCES: [Source; 4] = [Source::Syscall, Source::Wchan, Source::Stack, Source::Fd];

/// How much of what was asked for could be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Observations of threads that wait, for which wait columns were read.
    pub checked: u64,
    /// Of those, the ones that moved on between the reads.
    pub torn: u64,
    /// Observations by source in which a refusal stands.
    pub denied: PerSource<u64>,
    /// Observations counted.
    pub rows: u64,
    /// Threads that passed the state gate, and that the filters then left out.
    pub rejected: u64,
}

impl Coverage {
    /// Adds another and empties it.
    pub fn take(&mut self, other: &mut Self) {
        self.checked += other.checked;
        self.torn += other.torn;
        self.rows += other.rows;
        self.rejected += other.rejected;
        for ((_, mine), (_, theirs)) in self.denied.iter_mut().zip(other.denied.iter()) {
            *mine += theirs;
        }
        *other = Self::default();
    }
}

/// What observers share.
#[derive(Debug, Clone)]
pub struct Context {
    /// The proc root.
    pub root: Arc<ProcRoot>,
    /// What to read.
    pub plan: Plan,
    /// User names.
    pub users: Arc<Users>,
}

/// When an observation is made.
#[derive(Debug, Clone, Copy)]
pub struct Instant {
    /// The tick's number, from 0.
    pub tick: u32,
    /// The tick's start by [`crate::time::clock::monotonic_ns`].
    pub now_ns: u64,
}

/// The file that a worker is at, for the coordinator to see when the worker does not come back. On a cache line of its
/// own: it is written at each read behind the gate, and hardly ever looked at.
#[repr(align(128))]
#[derive(Debug)]
pub struct Place(AtomicU8);

impl Default for Place {
    fn default() -> Self {
        Self(AtomicU8::new(Source::Stat as u8))
    }
}

impl Place {
    /// Notes that `source` is read next.
    #[inline]
    pub fn enter(&self, source: Source) {
        self.0.store(source as u8, Ordering::Relaxed);
    }

    /// The file being read.
    #[must_use]
    pub fn source(&self) -> Source {
        let place = self.0.load(Ordering::Relaxed);
        Source::ALL.into_iter().find(|source| *source as u8 == place).unwrap_or(Source::Stat)
    }
}

/// Makes observations of threads, one at a time; one for each worker.
#[derive(Debug)]
pub struct Observer {
    context: Arc<Context>,
    /// The worker's counts.
    pub fold: Fold,
    /// The worker's accounting.
    pub health: Health,
    /// What could be told.
    pub coverage: Coverage,
    /// The file being read: `stat`, unless it says otherwise.
    pub place: Arc<Place>,
    answers: Answers,
    row: Observation,
    again: Buffer,
    /// The name of a thread that a walk found, where it is longer than a record has room for.
    name: Vec<u8>,
    /// The process whose name was seen last.
    leader: Leader,
    /// What is kept with threads of which nothing is kept.
    spare: TaskMemory,
    /// By which doors programs come into the kernel.
    doors: Doors,
    /// A stack that is looked at for that alone.
    stack: Buffer,
    /// Files read for this row whose bytes were counted as understood before they were parsed.
    unparsed: SourceSet,
    wait_sources: bool,
    needs: Needs,
    /// Slots of columns that `stat` and the task list give.
    cheap_slots: usize,
    /// The first slot of a column that is a fact of the process.
    title_slot: usize,
    smaps_slot: usize,
    /// What is known of the mappings of the row's process, where a column shows them.
    mappings: Result<Mappings, Mark>,
    /// Whether the row's reads were bracketed by readings of its thread's switches.
    bracket: Bracket,
    /// Rows that are put by until the pass is over.
    deferred: Deferred,
}

/// What readings of a thread's switches around the reads for a row have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// There were none.
    None,
    /// It has not run in between.
    Held,
    /// It has.
    Torn,
}

/// The name of a process, as it was in one tick.
#[derive(Debug, Default)]
struct Leader {
    tgid: u32,
    tick: u32,
    name: Vec<u8>,
}

impl Leader {
    /// Notes the name of a thread that is met, if it is its process's; and forgets what is of another tick.
    fn see(&mut self, tgid: u32, tid: u32, comm: &[u8], at: Instant) {
        if self.tick != at.tick {
            self.tick = at.tick;
            self.name.clear();
        }
        if tgid == tid {
            self.keep(tgid, comm);
        }
    }

    fn keep(&mut self, tgid: u32, name: &[u8]) {
        self.tgid = tgid;
        self.name.clear();
        self.name.extend_from_slice(name);
    }
}

/// What the columns need of threads that a walk found, beside their records.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// Numbers of `stat` that are in no record.
    stat: bool,
    /// Names, of which a record has but the beginning.
    names: bool,
}

impl Needs {
    fn of(plan: &Plan) -> Self {
        let is_any = |wanted: fn(&Column) -> bool| plan.columns.iter().any(|column| wanted(column));
        Self { stat: is_any(needs_stat), names: is_any(Column::is_comm) }
    }
}

/// What is known of a thread before any of its detail files is read.
#[derive(Clone, Copy)]
struct Subject<'a> {
    stat: &'a Stat<'a>,
    /// What the kernel's own walk tells of it, if that is how it was found.
    walked: Option<Walked<'a>>,
    /// Whether its process blocks its readers: then no file of it is read.
    blocked: bool,
}

impl<'a> Subject<'a> {
    /// The subject as columns see it.
    fn thread(self, tgid: u32, answers: &'a Answers, users: &'a Users, mapping: Option<Mapping<'a>>) -> Thread<'a> {
        let Self { stat, walked, blocked } = self;
        Thread { tgid, stat, walked, answers, mapping, users, blocked }
    }

    /// Whether no file need be read for `source`.
    fn knows(self, source: Source) -> bool {
        self.walked.is_some_and(|walked| walked.provides.contains(source))
    }

    fn is_kernel_thread(self) -> bool {
        match self.walked {
            Some(walked) => walked.record.is_kernel_thread(),
            None => is_kernel_thread(self.stat),
        }
    }
}

/// What became of the wait columns.
enum Moment {
    /// They are of the same sleep as the `stat` first read.
    Same,
    /// They are of the same sleep as the `stat` read again, which shows the same state.
    Again,
    /// The thread moved on.
    Torn,
}

impl Observer {
    /// An observer that counts into `fold`.
    #[must_use]
    pub fn new(context: &Context, fold: Fold) -> Self {
        // One of its own: the count of its references is written for each thread that is observed.
        let context = Arc::new(context.clone());
        let columns = &context.plan.columns;
        let before = |limit: Source| columns.partition_point(|column| column.source < limit);
        Self {
            wait_sources: WAIT_SOURCES.iter().any(|source| context.plan.sources.contains(*source)),
            cheap_slots: before(Source::Comm),
            title_slot: before(Source::Cmdline),
            smaps_slot: before(Source::Smaps),
            mappings: Err(Mark::Unread),
            bracket: Bracket::None,
            deferred: Deferred::new(before(Source::Cmdline)),
            needs: Needs::of(&context.plan),
            fold,
            health: Health::default(),
            coverage: Coverage::default(),
            place: Arc::default(),
            answers: Answers::of(context.plan.measured),
            row: Observation::default(),
            again: Buffer::default(),
            name: Vec::new(),
            leader: Leader::default(),
            spare: TaskMemory::default(),
            doors: Doors::default(),
            stack: Buffer::default(),
            unparsed: SourceSet::default(),
            context,
        }
    }

    /// The states to observe.
    #[inline]
    #[must_use]
    pub fn gate(&self) -> &StateGate {
        &self.context.plan.gate
    }

    /// Observes one thread whose `stat` reads `line` and whose state has passed the gate.
    ///
    /// # Errors
    /// When `line` is not in the kernel's format.
    pub fn observe(
        &mut self,
        process: &Process,
        task: &Task,
        line: &[u8],
        blocked: bool,
        at: Instant,
    ) -> Result<(), ReadError> {
        let context = Arc::clone(&self.context);
        let plan = &context.plan;
        let stat = Stat::parse(line, plan.last_stat_field)?;
        let starttime_ticks = match stat.starttime() {
            Some(starttime) => starttime,
            None if blocked => 0,
            None => return Err(ReadError::Malformed),
        };
        let mut lock = task.memory().try_lock();
        let mut spare = TaskMemory::default();
        let memory = held(&mut lock).unwrap_or(&mut spare);
        if !blocked {
            memory.revalidate(starttime_ticks, stat.comm, at.now_ns);
        }
        task.mark_active(at.tick);
        if context.plan.sources.contains(Source::Comm) {
            self.leader.see(process.tgid, stat.tid, stat.comm, at);
        }
        self.forget_answers();
        let subject = Subject { stat: &stat, walked: None, blocked };
        if !self.begin(&context, process.tgid, starttime_ticks, subject) {
            return Ok(());
        }
        let reading = Reading { process, task, memory };
        self.observe_details(&context, reading, subject, at);
        self.place.enter(Source::Stat);
        Ok(())
    }

    /// Forgets what was read for another row.
    fn forget_answers(&mut self) {
        self.answers.reset();
        self.unparsed = SourceSet::default();
        self.mappings = Err(Mark::Unread);
        self.bracket = Bracket::None;
    }

    /// Rows that are put by until the pass is over.
    #[must_use]
    pub const fn deferred(&mut self) -> &mut Deferred {
        &mut self.deferred
    }

    /// Fills in what is known before any detail file is read; false when a filter already rejects the row.
    fn begin(&mut self, context: &Context, tgid: u32, starttime_ticks: u64, subject: Subject<'_>) -> bool {
        self.row.clear();
        self.row.tid = subject.stat.tid;
        self.row.tgid = tgid;
        self.row.starttime_ticks = starttime_ticks;
        self.row.state = subject.stat.state;
        self.fill(context, subject, 0..self.cheap_slots)
    }

    /// Fills in the slots and says whether the filters hold.
    fn fill(&mut self, context: &Context, subject: Subject<'_>, slots: std::ops::Range<usize>) -> bool {
        let passes = slots.into_iter().all(|slot| match context.plan.columns.get(slot) {
            Some(column) => {
                let thread = subject.thread(self.row.tgid, &self.answers, &context.users, None);
                extract(column, thread, &mut self.row);
                if self.row.has_mark(slot, Mark::Malformed) {
                    // What makes no sense in a descriptor's column is the system call.
                    let source = if column.source == Source::Fd { Source::Syscall } else { column.source };
                    self.note_malformed(source);
                }
                context.plan.may_hold(&self.row, slot)
            }
            None => true,
        });
        self.coverage.rejected += u64::from(!passes);
        passes
    }

    /// Accounts for the last read of `source`, whose bytes turned out to be in no known format.
    #[cold]
    fn note_malformed(&mut self, source: Source) {
        if self.unparsed.remove(source) {
            self.health.correct(source, ReadError::Malformed);
        }
    }

    fn observe_details(&mut self, context: &Context, mut reading: Reading<'_>, subject: Subject<'_>, at: Instant) {
        if subject.blocked {
            self.mark_details_blocked();
            self.finish(context, &mut reading, subject, at);
            return;
        }
        let state = subject.stat.state;
        let waits = self.wait_sources && !is_running(state) && !has_ended(state);
        if !waits {
            self.finish(context, &mut reading, subject, at);
            return;
        }
        let mut again = std::mem::take(&mut self.again);
        let moment = self.read_wait(context, &mut reading, subject, &mut again);
        self.coverage.checked += 1;
        self.bracket = if matches!(moment, Moment::Torn) { Bracket::Torn } else { Bracket::Held };
        if !matches!(moment, Moment::Torn) {
            self.doors.confirm();
        }
        match moment {
            Moment::Same => self.finish(context, &mut reading, subject, at),
            Moment::Again => match Stat::parse(again.bytes(), context.plan.last_stat_field) {
                Ok(stat) => {
                    let subject = Subject { stat: &stat, ..subject };
                    if self.begin(context, reading.process.tgid, self.row.starttime_ticks, subject) {
                        self.finish(context, &mut reading, subject, at);
                    }
                }
                Err(_) => self.finish_torn(context, &mut reading, subject, at),
            },
            Moment::Torn => self.finish_torn(context, &mut reading, subject, at),
        }
        self.again = again;
    }

    fn finish_torn(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>, at: Instant) {
        self.mark_torn();
        self.finish(context, reading, subject, at);
    }

    /// What was read of the thread's wait is of another instant.
    fn mark_torn(&mut self) {
        self.coverage.torn += 1;
        for source in WAIT_SOURCES {
            // A refusal is true of every instant.
            if self.answers.bytes(source) != Err(Mark::Denied) {
                self.answers.set(source, Err(Mark::Torn));
            }
        }
    }

    /// Reads what the remaining columns need, cheapest first while the filters hold, and counts the row.
    fn finish(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>, at: Instant) {
        let mut read = None;
        for slot in self.cheap_slots..self.title_slot {
            let Some(column) = context.plan.columns.get(slot) else { break };
            let source = column.source;
            let is_known = subject.blocked || subject.knows(source) || WAIT_SOURCES.contains(&source);
            if !is_known && read != Some(source) {
                self.read(context, reading, source);
                read = Some(source);
            }
            if !self.fill(context, subject, slot..slot + 1) {
                return;
            }
        }
        let has_facts = context.plan.columns.len() > self.title_slot;
        if has_facts && !subject.blocked && !self.read_titles(context, reading, subject) {
            return;
        }
        if self.fill(context, subject, self.title_slot..self.smaps_slot) {
            self.count(context, subject, &mut reading.memory.last_values, at);
        }
    }

    /// Counts the row, which is complete but for the columns that show mappings.
    fn count(&mut self, context: &Context, subject: Subject<'_>, last: &mut LastValues, at: Instant) {
        self.coverage.rows += 1;
        self.count_refusals(context);
        if context.plan.columns.len() > self.smaps_slot {
            self.count_mappings(context, subject, last, at);
        } else {
            self.fold.add(&self.row, at.tick, last);
        }
    }

    /// Counts the row for each file of which it shows a refusal.
    fn count_refusals(&mut self, context: &Context) {
        let mut counted = SourceSet::default();
        for (slot, column) in context.plan.columns.iter().enumerate() {
            if self.row.has_mark(slot, Mark::Denied) && !counted.contains(column.source) {
                counted.insert(column.source);
                self.coverage.denied[column.source] += 1;
            }
        }
    }

    /// Counts one observation a mapping, and one for those that are not known.
    fn count_mappings(&mut self, context: &Context, subject: Subject<'_>, last: &mut LastValues, at: Instant) {
        let (text, missing) = match &self.mappings {
            Ok(Mappings { text, is_cut }) => (Arc::clone(text), is_cut.then_some(Mark::Dropped)),
            Err(mark) => (Arc::default(), Some(*mark)),
        };
        match missing {
            Some(mark) => self.answers.set(Source::Smaps, Err(mark)),
            None => self.answers.store(Source::Smaps, &[]),
        }
        if missing == Some(Mark::Denied) {
            self.coverage.denied[Source::Smaps] += 1;
        }
        let columns = context.plan.columns.get(self.smaps_slot..).unwrap_or_default();
        let mut any = false;
        for mapping in mappings(&text).map(Some).chain(std::iter::once(None)) {
            if mapping.is_none() && any && missing.is_none() {
                break;
            }
            any = true;
            self.row.truncate(self.smaps_slot);
            let thread = subject.thread(self.row.tgid, &self.answers, &context.users, mapping);
            let row = &mut self.row;
            let passes = columns.iter().enumerate().all(|(index, column): (usize, &&'static Column)| {
                extract(column, thread, row);
                context.plan.may_hold(row, self.smaps_slot + index)
            });
            if passes {
                self.fold.add(row, at.tick, last);
            }
        }
    }

    fn mark_details_blocked(&mut self) {
        for source in Source::ALL {
            self.answers.set(source, Err(Mark::Blocked));
        }
        self.mappings = Err(Mark::Blocked);
    }

    /// Reads the files that say what the thread waits for, and whether they tell of one sleep.
    fn read_wait(
        &mut self,
        context: &Context,
        reading: &mut Reading<'_>,
        subject: Subject<'_>,
        again: &mut Buffer,
    ) -> Moment {
        let stat = subject.stat;
        let mut before = None;
        if reading.memory.is_steady && reading.memory.switches.is_some() {
            // It did not move between the last two looks, so it likely has not since: then one more
            // reading of the counters proves everything since the last one to be of one sleep.
            self.read_wait_files(context, reading, subject);
            before = self.read_switches(context, reading);
            if before == reading.memory.switches {
                return Moment::Same;
            }
        }
        let before = match before {
            Some(switches) => Some(switches),
            None => self.read_switches(context, reading),
        };
        reading.memory.is_steady = false;
        let root = &context.root;
        self.place.enter(Source::Stat);
        let result = match reading.task.stat_fd() {
            Some(fd) => root.read_open(fd, Source::Stat, again),
            None => root.read_task(reading.process.task_dir(), reading.task.tid, Source::Stat, again),
        };
        let result = result.and_then(|line| Ok(Stat::parse(stat::whole(line)?, context.plan.last_stat_field)?));
        self.health.record(Source::Stat, &result);
        let same_state = result.is_ok_and(|now| now.state == stat.state && now.starttime() == stat.starttime());
        if !same_state {
            return Moment::Torn;
        }
        self.read_wait_files(context, reading, subject);
        let after = self.read_switches(context, reading);
        reading.memory.switches = after;
        reading.memory.is_steady = before == after;
        if before == after { Moment::Again } else { Moment::Torn }
    }

    fn read_wait_files(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>) {
        let wants = |source| context.plan.sources.contains(source) && !subject.knows(source);
        let thread = subject.thread(self.row.tgid, &self.answers, &context.users, None);
        let makes_calls = !thread.is_kernel_thread() && !thread.is_io_worker();
        if wants(Source::Syscall) && makes_calls {
            self.read(context, reading, Source::Syscall);
        }
        if wants(Source::Wchan) {
            self.read(context, reading, Source::Wchan);
        }
        let has_no_wchan = wants(Source::Wchan) && self.answers.bytes(Source::Wchan).is_ok_and(is_no_wchan);
        if wants(Source::Stack) || has_no_wchan {
            self.read(context, reading, Source::Stack);
        }
        if has_no_wchan {
            self.note_refused_wchan(context, reading, subject);
        }
        if wants(Source::Syscall) && makes_calls && Abi::native() == Abi::X86_64 {
            self.find_door(context, reading);
        }
        if wants(Source::Fd) && makes_calls {
            self.read_descriptor(context, reading, subject);
        }
    }

    /// Finds out whose numbers the thread's system call has, by its kernel stack if need be.
    fn find_door(&mut self, context: &Context, reading: &Reading<'_>) {
        self.doors.discard();
        let call = self.answers.bytes(Source::Syscall).ok().and_then(|line| parse::syscall::parse(line).ok());
        let Some(SyscallLine::Call { number, pc, .. }) = call else { return };
        // Numbers of x32 tell themselves; and whoever is nowhere in a program is in no call of it.
        if number >= syscall::X32_BIT || pc == 0 {
            return;
        }
        let tgid = reading.process.tgid;
        if let Some(known) = self.doors.known(tgid, pc) {
            self.answers.entry = known;
            return;
        }
        let entry = match self.answers.bytes(Source::Stack) {
            Ok(text) => stack::entry(text),
            Err(Mark::Unread) if self.doors.may_read(&context.root, &mut self.stack) => {
                self.place.enter(Source::Stack);
                let dir = reading.process.task_dir();
                let result = context.root.read_task(dir, reading.task.tid, Source::Stack, &mut self.stack);
                let result = result.and_then(|text| whole(Source::Stack, text));
                self.health.record(Source::Stack, &result);
                let Ok(text) = result else { return };
                stack::entry(text)
            }
            Err(_) => return,
        };
        self.answers.entry = entry;
        self.doors.find(tgid, pc, entry);
    }

    /// Accounts for a `wchan` that says nothing because it may not: a refusal, not to be asked for again.
    fn note_refused_wchan(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>) {
        let thread = subject.thread(self.row.tgid, &self.answers, &context.users, None);
        if wchan_was_refused(thread) && self.unparsed.remove(Source::Wchan) {
            self.health.correct(Source::Wchan, ReadError::Denied);
            self.answers.set(Source::Wchan, Err(Mark::Denied));
            reading.memory.refused.insert(Source::Wchan);
        }
    }

    fn read_descriptor(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>) {
        let thread = subject.thread(self.row.tgid, &self.answers, &context.users, None);
        self.answers.descriptor = descriptor(thread);
        let Descriptor::Fd(fd) = self.answers.descriptor else { return };
        if reading.memory.refused.contains(Source::Fd) {
            self.answers.set(Source::Fd, Err(Mark::Denied));
            return;
        }
        let dir = reading.process.task_dir();
        self.place.enter(Source::Fd);
        let result = context.root.read_task_link(dir, reading.task.tid, Source::Fd, Some(fd));
        self.health.record(Source::Fd, &result);
        match result {
            Ok(link) => self.answers.store(Source::Fd, &link),
            Err(error) => {
                if error == ReadError::Denied {
                    reading.memory.refused.insert(Source::Fd);
                }
                self.answers.set(Source::Fd, Err(error.into()));
            }
        }
    }

    /// The thread's switch counters; none where this kernel gives none.
    fn read_switches(&mut self, context: &Context, reading: &mut Reading<'_>) -> Option<RunCount> {
        self.read_task_file(context, reading, Source::Schedstat);
        let counted = self.answers.bytes(Source::Schedstat).ok().map(schedstat::parse);
        if let Some(Err(_)) = counted {
            self.note_malformed(Source::Schedstat);
        }
        match counted.and_then(Result::ok).and_then(slices) {
            Some(runs) => Some(runs),
            None => self.read_context_switches(context, reading),
        }
    }

    /// How often the thread gave up its CPU, or was taken from it.
    fn read_context_switches(&mut self, context: &Context, reading: &mut Reading<'_>) -> Option<RunCount> {
        self.read_task_file(context, reading, Source::Status);
        self.answers.bytes(Source::Status).ok().and_then(switches).map(RunCount::Switches)
    }

    /// Makes the answer of `source` current.
    fn read(&mut self, context: &Context, reading: &mut Reading<'_>, source: Source) {
        match source {
            Source::Task | Source::Kernel | Source::Stat | Source::Fd => {}
            Source::Comm => self.read_process_name(context, reading),
            // Facts of the process, which no lane reads.
            Source::Cmdline | Source::Exe | Source::Smaps => {}
            Source::Owner | Source::Cgroup | Source::PidNs => self.read_fact(context, reading, source),
            _ => self.read_task_file(context, reading, source),
        }
    }

    /// Reads the name of the process of a thread that is not the first of it, once for all of its threads that this worker meets
    /// on end.
    fn read_process_name(&mut self, context: &Context, reading: &Reading<'_>) {
        let tgid = reading.process.tgid;
        if reading.task.tid == tgid {
            return;
        }
        if self.leader.tgid != tgid || self.leader.name.is_empty() {
            self.place.enter(Source::Comm);
            let buffer = self.answers.buffer(Source::Comm);
            let result = context.root.read_process(tgid, Source::Comm, Source::Comm.name(), buffer);
            self.health.record(Source::Comm, &result);
            match result {
                Ok(name) => self.leader.keep(tgid, name),
                Err(error) => return self.answers.set(Source::Comm, Err(error.into())),
            }
        }
        self.answers.store(Source::Comm, &self.leader.name);
    }

    /// Reads a file of the thread, kept open where its permit allows; one that was refused before is
    /// not asked again.
    fn read_task_file(&mut self, context: &Context, reading: &mut Reading<'_>, source: Source) {
        let memory = &mut *reading.memory;
        if memory.refused.contains(source) {
            let mark = if memory.unsupported.contains(source) { Mark::Unsupported } else { Mark::Denied };
            self.answers.set(source, Err(mark));
            return;
        }
        let root = &context.root;
        let (dir, tid) = (reading.process.task_dir(), reading.task.tid);
        let buffer = self.answers.buffer(source);
        self.place.enter(source);
        let result = if let Some(fd) = memory.files.open(source) {
            root.read_open(fd, source, buffer).map(|_| ())
        } else if reading.task.permit() == Permit::Details && DetailFiles::keeps(source) {
            root.open_task_file(dir, tid, source).and_then(|fd| {
                let result = root.read_open(std::os::fd::AsFd::as_fd(&fd), source, buffer).map(|_| ());
                memory.files.keep(source, fd);
                result
            })
        } else {
            root.read_task(dir, tid, source, buffer).map(|_| ())
        };
        let result = result.and_then(|()| whole(source, self.answers.buffer(source).bytes()).map(drop));
        self.health.record(source, &result);
        if let Err(error @ (ReadError::Denied | ReadError::Unsupported)) = result {
            memory.refused.insert(source);
            if error == ReadError::Unsupported {
                memory.unsupported.insert(source);
            }
        }
        // An earlier read for this row may have been understood, and is not to blame for what this one said.
        self.unparsed.remove(source);
        if result.is_ok() {
            self.unparsed.insert(source);
        }
        self.answers.set(source, result.map_err(Mark::from));
    }

    fn read_fact(&mut self, context: &Context, reading: &mut Reading<'_>, source: Source) {
        let TaskFacts { owner, cgroup, pid_ns } = &mut reading.memory.facts;
        let slot = match source {
            Source::Owner => owner,
            Source::Cgroup => cgroup,
            _ => pid_ns,
        };
        if slot.is_none() {
            self.place.enter(source);
            let (dir, tid) = (reading.process.task_dir(), reading.task.tid);
            let result: Result<Box<[u8]>, ReadError> = if source == Source::PidNs {
                context.root.read_task_link(dir, tid, source, None).map(Into::into)
            } else {
                let text = context.root.read_task(dir, tid, source, self.answers.buffer(source));
                let text = text.and_then(|text| whole(source, text));
                text.map(|text| if source == Source::Owner { owner_lines(text) } else { text.into() })
            };
            self.health.record(source, &result);
            if result.is_ok() {
                self.unparsed.insert(source);
            }
            *slot = Some(result);
        }
        match slot {
            Some(Ok(bytes)) => self.answers.store(source, bytes),
            Some(Err(error)) => self.answers.set(source, Err((*error).into())),
            None => self.answers.set(source, Err(Mark::Unread)),
        }
    }
}

/// What is locked, unless another holds it: nobody waits for that one, who may be stuck in this very thread's files.
fn held<'a>(lock: &'a mut TryLockResult<MutexGuard<'_, TaskMemory>>) -> Option<&'a mut TaskMemory> {
    match lock {
        Ok(memory) => Some(&mut **memory),
        Err(TryLockError::Poisoned(poisoned)) => Some(&mut **poisoned.get_mut()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Reads the thread's `stat`, with one system call where its descriptor is kept.
///
/// # Errors
/// The class of the failure.
#[inline]
pub fn read_stat<'b>(
    root: &ProcRoot,
    process: &Process,
    task: &Task,
    buffer: &'b mut Buffer,
) -> Result<&'b [u8], ReadError> {
    if let Some(fd) = task.stat_fd() {
        return root.read_open(fd, Source::Stat, buffer);
    }
    if task.permit() == Permit::None {
        return root.read_task(process.task_dir(), task.tid, Source::Stat, buffer);
    }
    let fd = root.open_task_file(process.task_dir(), task.tid, Source::Stat)?;
    root.read_open(task.keep_stat(fd), Source::Stat, buffer)
}

/// One thread as it is being read.
struct Reading<'a> {
    process: &'a Process,
    task: &'a Task,
    memory: &'a mut TaskMemory,
}

/// Whether a column shows a number of `stat` that is in no walk's record.
const fn needs_stat(column: &Column) -> bool {
    match column.extract {
        Extract::StatNumber(number) => !Walked::has_number(number),
        _ => false,
    }
}

/// What was read of `source`, if it is all of it: cut short, its last number would be a wrong one.
fn whole(source: Source, text: &[u8]) -> Result<&[u8], ReadError> {
    match source {
        // The one file without a newline, and the one that may be empty.
        Source::Wchan => Ok(text),
        Source::Stack if text.is_empty() => Ok(text),
        _ => Ok(crate::proc::parse::whole(text)?),
    }
}

/// The lines of `status` that name the owner: all that is worth keeping of it.
fn owner_lines(text: &[u8]) -> Box<[u8]> {
    let mut lines = Vec::with_capacity(48);
    for key in [&b"Uid"[..], b"Gid"] {
        if let Some(value) = status::value(text, key) {
            lines.extend_from_slice(key);
            lines.extend_from_slice(b":\t");
            lines.extend_from_slice(value);
            lines.push(b'\n');
        }
    }
    lines.into()
}
