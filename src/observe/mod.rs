//! Observing one active thread: reading what the plan's columns need of it, making its row, and counting it.
//!
//! # Rows of one instant
//! A thread's files are read one after another, and the thread may run in between. So its switch counters are read before and
//! after the files that say what it waits for. If they are equal, the thread was not switched in meanwhile, and the files
//! belong to one sleep; otherwise their columns show `[torn]`. The row keeps the state that was read first: retrying until a
//! row is consistent would favour long waits over short ones.
//!
//! For a running thread these files are not read, because it waits for nothing.
//!
//! A thread that a kernel walk found comes with most of this in its record: see `walked.rs`.
//!
//! # Parts
//! An observer has three parts: a plan, which never changes, a reader, which reads the files of one thread, and a counter, which
//! makes and counts rows. They are separate fields, so that the reader and the counter can change while the plan is borrowed.
//! Nothing has to be cloned for a thread, not even a reference count.

mod call;
mod contents;
mod counter;
mod coverage;
mod current_file;
mod deferred;
mod entry_cache;
mod epoll;
mod extract;
mod filename;
mod idle;
mod link;
mod lookups;
mod mount;
mod path;
mod plan;
mod reader;
mod socket;
mod thread;
mod tick;
pub(crate) mod titles;
mod wait;
mod wait_age;
mod wait_file;
pub(crate) mod walked;

use std::ops::Range;

use self::counter::Counter;
use self::deferred::{Waiting, Wanted};
use self::plan::ObservePlan;
use self::reader::{ReadTarget, SwitchCheck, ThreadReader, held};
use self::wait::WaitCheck;
use crate::ask::plan::StateGate;
use crate::count::Fold;
use crate::proc::parse::stat::Stat;
use crate::proc::source::Source;
use crate::proc::{Buffer, ReadError};
use crate::row::rows::Rows;
use crate::tasks::{Process, Task, TaskMemory};

pub use self::coverage::Coverage;
pub(crate) use self::current_file::CurrentFile;
#[cfg(test)]
pub(crate) use self::extract::text_of;
pub use self::plan::Context;
pub(crate) use self::plan::asks_about_descriptors;
pub(crate) use self::reader::read_stat;
pub(crate) use self::thread::Thread;
pub(crate) use self::tick::TickTime;

/// Makes observations of threads, one at a time. Each worker has one.
#[derive(Debug)]
pub(crate) struct Observer {
    plan: ObservePlan,
    /// Reads files, and accounts for the reads.
    pub(crate) reader: ThreadReader,
    /// Counts rows.
    pub(crate) counter: Counter,
    /// A buffer for `stat`, where the observer reads it itself.
    stat: Buffer,
    /// A buffer for the full name of a thread that a walk found, where its record has only the beginning.
    name: Vec<u8>,
    /// Stands in for the memory of a thread that has none, or whose own is locked by another worker.
    spare: TaskMemory,
}

impl Observer {
    /// An observer that counts into `fold`.
    #[must_use]
    pub(crate) fn new(context: &Context, fold: Fold) -> Self {
        let plan = ObservePlan::new(context);
        Self {
            reader: ThreadReader::new(&context.root, context.lookups.as_ref(), &context.links),
            counter: Counter::new(&plan, fold),
            plan,
            stat: Buffer::default(),
            name: Vec::new(),
            spare: TaskMemory::default(),
        }
    }

    /// The states to observe.
    #[inline]
    #[must_use]
    pub(crate) const fn gate(&self) -> &StateGate {
        &self.plan.run.gate
    }

    /// Observes one thread whose `stat` reads `line` and whose state has passed the gate. `is_blocked` says that the process
    /// blocks its readers.
    ///
    /// # Errors
    /// If `line` is not in the kernel's format.
    pub(crate) fn observe(
        &mut self,
        process: &Process,
        task: &Task,
        line: &[u8],
        is_blocked: bool,
        at: TickTime,
    ) -> Result<(), ReadError> {
        let stat = Stat::parse(line, self.plan.run.last_stat_field)?;
        let starttime_ticks = match stat.starttime() {
            Some(starttime) => starttime,
            None if is_blocked => 0,
            None => return Err(ReadError::Malformed),
        };
        let thread = Thread::from_stat(process.tgid, &stat, starttime_ticks, is_blocked);
        let mut lock = task.memory().try_lock();
        let mut spare = TaskMemory::default();
        let memory = held(&mut lock).unwrap_or(&mut spare);
        if !is_blocked {
            memory.revalidate(starttime_ticks, stat.comm, at.now_ns);
        }
        task.mark_active(at.tick);
        if self.plan.wants(Source::Comm) {
            self.reader.process_name.note(&thread, at);
        }
        self.reader.reset();
        if self.begin(&thread) {
            self.observe_details(ReadTarget { process, task, memory }, &thread, at);
            self.reader.current_file.enter(Source::Stat);
        }
        Ok(())
    }

    /// Begins the row of a thread. False if a filter rejects it.
    fn begin(&mut self, thread: &Thread<'_>) -> bool {
        self.counter.begin(&self.plan, &mut self.reader, thread)
    }

    fn observe_details(&mut self, mut target: ReadTarget<'_>, thread: &Thread<'_>, at: TickTime) {
        if thread.is_blocked {
            self.reader.contents.mark_blocked();
        } else if self.plan.reads_wait && thread.is_waiting() {
            return self.observe_waiting(target, thread, at);
        }
        self.finish(&mut target, thread, at);
    }

    fn observe_waiting(&mut self, mut target: ReadTarget<'_>, thread: &Thread<'_>, at: TickTime) {
        let mut again = std::mem::take(&mut self.stat);
        let check = self.reader.read_wait(&self.plan, &mut target, thread, &mut again);
        self.counter.coverage.checked += 1;
        let is_torn = matches!(check, WaitCheck::Torn);
        self.reader.switch_check = if is_torn { SwitchCheck::Changed } else { SwitchCheck::Unchanged };
        if !is_torn {
            self.reader.entries.confirm();
            self.reader.confirm_link(target.memory, target.memory.switches);
            if self.plan.wants(Source::Wait) {
                self.reader.note_sleep(target.memory, target.memory.switches);
            }
        }
        match check {
            WaitCheck::SameSleep => self.finish(&mut target, thread, at),
            WaitCheck::LaterSleep => match Stat::parse(again.bytes(), self.plan.run.last_stat_field) {
                Ok(stat) => {
                    let thread = thread.with_stat(&stat);
                    if self.begin(&thread) {
                        self.finish(&mut target, &thread, at);
                    }
                }
                Err(_) => self.finish_torn(&mut target, thread, at),
            },
            WaitCheck::Torn => self.finish_torn(&mut target, thread, at),
        }
        self.stat = again;
    }

    /// Counts a thread that ran while its wait was read.
    fn finish_torn(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>, at: TickTime) {
        self.mark_torn();
        self.finish(target, thread, at);
    }

    /// Marks what was read of the thread's wait as torn.
    fn mark_torn(&mut self) {
        self.counter.coverage.torn += 1;
        self.reader.contents.mark_torn();
    }

    /// Reads what the remaining columns need, cheapest first and while the filters hold, and counts the row.
    fn finish(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>, at: TickTime) {
        if !self.read_slots(target, thread, self.plan.file_slots())
            || self.defers_wait(target, thread)
            || !self.read_slots(target, thread, self.plan.descriptor_slots())
        {
            return;
        }
        if self.plan.has_facts() && !thread.is_blocked && !self.read_facts(target, thread) {
            return;
        }
        self.count(thread, target.memory, at);
    }

    /// Reads what these columns need, and fills them in. False if a filter rejects the row.
    fn read_slots(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>, slots: Range<usize>) -> bool {
        let Self { plan, reader, counter, .. } = self;
        let mut last_read = None;
        for slot in slots {
            let Some(column) = plan.run.columns.get(slot) else { break };
            let source = column.source;
            let is_known =
                thread.is_blocked || thread.provided.contains(source) || contents::WAIT_SOURCES.contains(source);
            if !is_known && last_read != Some(source) {
                reader.read(target, source);
                last_read = Some(source);
            }
            if !counter.fill(plan, reader, thread, slot..slot + 1) {
                return false;
            }
        }
        true
    }

    /// Whether the row is deferred, because it is being found out what its thread waits on.
    fn defers_wait(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>) -> bool {
        let Self { plan, reader, counter, .. } = self;
        if !plan.asks_about_descriptors || thread.is_blocked || !counter.deferred_waits.has_room() {
            return false;
        }
        let Some(question) = reader.ask_about_descriptor(plan, target, thread) else { return false };
        let Some(wait) = reader.keep_wait(plan, target, thread, question) else { return false };
        let of_facts = reader.request_facts(plan, target, thread);
        let mut lookups = reader.request_lookups(plan, target, thread);
        lookups.wait = Some(wait);
        let Counter { deferred_waits, row, .. } = counter;
        let wanted = Wanted { facts: target.process.facts.clone(), of_facts, lookups };
        deferred_waits.push(row, thread, wanted, target.task.kept_memory());
        true
    }

    /// Reads the facts of the process, and what the row asks of its wait. False if the row is deferred, because some of that is
    /// being read.
    fn read_facts(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>) -> bool {
        let process = target.process;
        let wanted = self.reader.request_facts(&self.plan, target, thread);
        let lookups = self.reader.request_lookups(&self.plan, target, thread);
        if (wanted.must_wait() || lookups.must_wait()) && self.counter.deferred.has_room() {
            let Counter { deferred, row, .. } = &mut self.counter;
            let wanted = Wanted { facts: process.facts.clone(), of_facts: wanted, lookups };
            deferred.push(row, thread, wanted, target.task.kept_memory());
            return false;
        }
        if let Some(facts) = &process.facts {
            let title = if wanted.must_wait() { titles::Title::Stale } else { wanted.title };
            self.reader.load_facts(&self.plan, facts, title, wanted.awaits_mappings.then_some(thread.comm));
        }
        self.reader.load_lookups(lookups);
        true
    }

    /// Fills in the facts of the process, and counts the row unless a filter rejects it.
    fn count(&mut self, thread: &Thread<'_>, memory: &mut TaskMemory, at: TickTime) {
        let Self { plan, reader, counter, .. } = self;
        if counter.fill(plan, reader, thread, plan.fact_slots()) {
            counter.count(plan, &mut reader.contents, &mut memory.last_values, at);
        }
    }

    /// Completes and counts the deferred rows.
    pub(crate) fn finish_deferred(&mut self, at: TickTime) {
        let mut deferred = std::mem::take(&mut self.counter.deferred);
        deferred.drain(|rows, index, waiting| self.finish_row(rows, index, waiting, at));
        self.counter.deferred = deferred;
        let mut deferred = std::mem::take(&mut self.counter.deferred_waits);
        deferred.drain(|rows, index, waiting| self.finish_row(rows, index, waiting, at));
        self.counter.deferred_waits = deferred;
        // What was restored of the last row's wait is not that of the next thread.
        self.reader.reset();
    }

    /// Completes and counts one deferred row.
    fn finish_row(&mut self, rows: &Rows, index: usize, waiting: Waiting, at: TickTime) {
        let Waiting { tid, tgid, starttime_ticks, state, facts, title, comm, mut lookups, memory } = waiting;
        let Self { plan, reader, counter, .. } = self;
        rows.load(index, &mut counter.row);
        let row = &mut counter.row;
        (row.tid, row.tgid, row.starttime_ticks, row.state) = (tid, tgid, starttime_ticks, state);
        let thread = Thread::unknown(tgid, tid, starttime_ticks, state);
        reader.reset();
        if let Some(wait) = lookups.wait.take() {
            reader.restore_wait(wait);
            if !counter.fill(plan, reader, &thread, plan.descriptor_slots()) {
                return;
            }
        }
        if let Some(facts) = facts {
            reader.load_facts(plan, &facts, title, comm.as_deref());
        }
        reader.load_lookups(lookups);
        let mut spare = std::mem::take(&mut self.spare);
        let mut lock = memory.as_ref().map(|memory| memory.try_lock());
        let memory = lock.as_mut().and_then(held).unwrap_or(&mut spare);
        self.count(&thread, memory, at);
        self.spare = spare;
    }
}
