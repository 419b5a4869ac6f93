//! Observing a thread that the kernel's own walk found.
//!
//! Its record is of one instant and answers most columns, so there is nothing to bracket. A file is read only for what no
//! record has, at once after. What such a file tells of the thread's wait is held against the record: if the thread was
//! switched out no more often than the record says, both are of one sleep.

use std::sync::Arc;

use crate::ask::column::Column;
use crate::ask::filter::Condition;
use crate::kernel::TaskRecord;
use crate::observe::extract::{Descriptor, Walked, descriptor, extract, has_ended, is_running};
use crate::observe::{Context, Instant, Observer, Reading, Subject, WAIT_SOURCES, held, needs_stat, read_stat};
use crate::proc::parse::stat::{self, Stat};
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ReadError};
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;
use crate::tasks::{Process, Task, TaskMemory};

/// Sources for which no file is read of every thread: they are in each record, or matter to threads that wait, or are read
/// beside the sampling.
const NOT_OF_EVERY_THREAD: SourceSet = SourceSet::of(&[
    Source::Task,
    Source::Kernel,
    Source::Stat,
    Source::Comm,
    Source::Syscall,
    Source::Wchan,
    Source::Stack,
    Source::Fd,
    Source::Cmdline,
    Source::Exe,
]);

/// What has to be read of a thread before it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: its record says it all.
    Nothing,
    /// The whole of its name, unless that [is known](knows_name).
    Name,
    /// Files.
    Files,
}

/// Whether the whole name of a record's thread was read before, and is the same still.
#[must_use]
pub fn knows_name(task: &Task, record: &TaskRecord<'_>) -> bool {
    held(&mut task.memory().try_lock()).is_some_and(|memory| known_name(memory, record).is_some())
}

/// The name that was read of the thread when it had been switched out as often as now. It has not run since, if it is at rest;
/// and who gives a worker of the kernel its name is the worker itself.
fn known_name<'a>(memory: &'a TaskMemory, record: &TaskRecord<'_>) -> Option<&'a [u8]> {
    let (switches, name) = memory.whole_name.as_ref()?;
    let is_same = memory.starttime_ticks == record.starttime_ticks && *switches == record.switches;
    (is_same && record.is_at_rest()).then_some(name)
}

impl Observer {
    /// What has to be read of the thread before it can be counted.
    #[must_use]
    pub fn need(&self, walked: Walked<'_>) -> Need {
        let missing = self.context.plan.sources.without(walked.provides);
        if self.needs.stat
            || !missing.without(NOT_OF_EVERY_THREAD).is_empty()
            || (self.wait_sources && self.needs_wait_files(walked, missing))
        {
            Need::Files
        } else if self.needs.names && walked.record.may_have_longer_comm() {
            Need::Name
        } else {
            Need::Nothing
        }
    }

    fn needs_wait_files(&self, walked: Walked<'_>, missing: SourceSet) -> bool {
        let record = walked.record;
        if !record.is_at_rest() || record.has_moved {
            return false;
        }
        let any = missing.contains(Source::Wchan) || missing.contains(Source::Stack);
        let of_calls =
            missing.contains(Source::Syscall) || (missing.contains(Source::Fd) && self.has_descriptor(walked));
        any || (of_calls && !record.is_kernel_thread() && !record.is_io_worker())
    }

    fn has_descriptor(&self, walked: Walked<'_>) -> bool {
        let stat = stat_of(walked.record, walked.record.comm());
        let subject = Subject { stat: &stat, walked: Some(walked), blocked: false };
        let thread = subject.thread(walked.record.tgid, &self.answers, &self.context.users, None);
        matches!(descriptor(thread), Descriptor::Fd(_))
    }

    /// Whether a filter rejects the thread by what its record tells: then no file of it need be read.
    #[must_use]
    pub fn rejects(&mut self, walked: Walked<'_>) -> bool {
        let context = Arc::clone(&self.context);
        let plan = &context.plan;
        let stat = stat_of(walked.record, walked.record.comm());
        let subject = Subject { stat: &stat, walked: Some(walked), blocked: false };
        let thread = subject.thread(walked.record.tgid, &self.answers, &context.users, None);
        let row = &mut self.row;
        let mut known = |condition: &Condition| {
            is_told(condition.column, walked).then(|| {
                row.clear();
                extract(condition.column, thread, row);
                condition.matches(row.value(0))
            })
        };
        let is_rejected = plan.filters.iter().flatten().any(|filter| filter.decide(&mut known) == Some(false));
        self.coverage.rejected += u64::from(is_rejected);
        is_rejected
    }

    /// Observes a thread that a walk found. `task` is where its files are reached from; it may be left out if there is no
    /// [need](Self::need) of any. A process that `blocked` its readers is not asked for any.
    pub fn observe_walked(
        &mut self,
        process: &Process,
        task: Option<&Task>,
        walked: Walked<'_>,
        blocked: bool,
        at: Instant,
    ) {
        let context = Arc::clone(&self.context);
        let record = walked.record;
        let mut spare = std::mem::take(&mut self.spare);
        if let Some(task) = task {
            let mut lock = task.memory().try_lock();
            let memory = held(&mut lock).unwrap_or(&mut spare);
            if !blocked {
                memory.revalidate(record.starttime_ticks, record.comm(), at.now_ns);
            }
            if self.need(walked) == Need::Files {
                task.mark_active(at.tick);
            }
            self.observe_record(&context, Reading { process, task, memory }, walked, blocked, at);
        } else {
            let task = Task::new(record.tid);
            let reading = Reading { process, task: &task, memory: &mut spare };
            self.observe_record(&context, reading, walked, blocked, at);
        }
        self.spare = spare;
        self.place.enter(Source::Stat);
    }

    fn observe_record(
        &mut self,
        context: &Context,
        mut reading: Reading<'_>,
        walked: Walked<'_>,
        blocked: bool,
        at: Instant,
    ) {
        self.forget_answers();
        let record = walked.record;
        let (mut name, mut line) = (std::mem::take(&mut self.name), std::mem::take(&mut self.again));
        name.clear();
        if self.needs.names && record.may_have_longer_comm() && !blocked {
            self.read_name(context, &mut reading, record, &mut name);
        }
        // Of a wait channel that is read, `stat` tells whether it was refused.
        let reads_wchan = context.plan.sources.without(walked.provides).contains(Source::Wchan) && record.is_at_rest();
        let reads_stat = (self.needs.stat || reads_wchan) && !blocked;
        let numbers = if reads_stat { self.read_numbers(context, &reading, record, &mut line) } else { None };
        let comm = if name.is_empty() { record.comm() } else { &name };
        let stat = match &numbers {
            Some(numbers) => numbers.numbers_of(record.tid, comm, record.state.letter()),
            None => stat_of(record, comm),
        };
        let subject = Subject { stat: &stat, walked: Some(walked), blocked };
        if blocked {
            self.mark_details_blocked();
            let thread = subject.thread(record.tgid, &self.answers, &context.users, None);
            self.answers.descriptor = descriptor(thread);
        }
        if self.begin(context, record.tgid, record.starttime_ticks, subject) {
            if !blocked {
                self.read_rest_of_wait(context, &mut reading, subject, record);
            }
            self.finish(context, &mut reading, subject, at);
        }
        self.name = name;
        self.again = line;
    }

    /// Makes `name` the whole of a name that the record has the beginning of.
    fn read_name(&mut self, context: &Context, reading: &mut Reading<'_>, record: &TaskRecord<'_>, name: &mut Vec<u8>) {
        if let Some(known) = known_name(reading.memory, record) {
            name.extend_from_slice(known);
            return;
        }
        self.place.enter(Source::Comm);
        let dir = reading.process.task_dir();
        let result = context.root.read_task(dir, record.tid, Source::Comm, self.answers.buffer(Source::Comm));
        self.health.record(Source::Comm, &result);
        // A worker may have been given other work by now; a thread with another name altogether is none of this record's.
        if let Some(text) = result.ok().filter(|text| text.starts_with(record.comm())) {
            name.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
            reading.memory.whole_name = Some((record.switches, name.as_slice().into()));
        }
    }

    /// Reads `stat`, for the numbers that no record has.
    fn read_numbers<'b>(
        &mut self,
        context: &Context,
        reading: &Reading<'_>,
        record: &TaskRecord<'_>,
        line: &'b mut Buffer,
    ) -> Option<Stat<'b>> {
        self.place.enter(Source::Stat);
        let line = read_stat(&context.root, reading.process, reading.task, line);
        let result = line.and_then(|line| Ok(Stat::parse(stat::whole(line)?, context.plan.last_stat_field)?));
        self.health.record(Source::Stat, &result);
        // The id may be another thread's by now.
        let is_same = |stat: &Stat<'_>| stat.starttime() == Some(record.starttime_ticks);
        let result = result.and_then(|stat| if is_same(&stat) { Ok(stat) } else { Err(ReadError::Gone) });
        if matches!(result, Err(ReadError::Gone)) {
            reading.task.mark_gone();
        }
        self.answers.set(Source::Stat, result.as_ref().map(|_| ()).map_err(|error| Mark::from(*error)));
        result.ok()
    }

    /// Reads what the record does not say of what the thread waits for.
    fn read_rest_of_wait(
        &mut self,
        context: &Context,
        reading: &mut Reading<'_>,
        subject: Subject<'_>,
        record: &TaskRecord<'_>,
    ) {
        let state = subject.stat.state;
        if !self.wait_sources || is_running(state) || has_ended(state) {
            return;
        }
        self.coverage.checked += 1;
        if record.has_moved {
            self.coverage.torn += 1;
            return;
        }
        if !record.is_at_rest() {
            return;
        }
        self.read_wait_files(context, reading, subject);
        let has_read = |source| self.answers.bytes(source) != Err(Mark::Unread);
        if !WAIT_SOURCES.into_iter().any(has_read) {
            return;
        }
        let switches = self.read_context_switches(context, reading);
        if switches != Some(RunCount::Switches(record.switches)) {
            self.mark_torn();
        } else {
            self.doors.confirm();
        }
    }
}

/// What a record says of a thread in the form of `stat`.
fn stat_of<'a>(record: &TaskRecord<'_>, comm: &'a [u8]) -> Stat<'a> {
    Stat::without_numbers(record.tid, comm, record.state.letter())
}

/// Whether the column's value is in the record.
fn is_told(column: &Column, walked: Walked<'_>) -> bool {
    match column.source {
        Source::Task | Source::Kernel => true,
        Source::Stat => !(needs_stat(column) || (column.is_comm() && walked.record.may_have_longer_comm())),
        // Of a thread that is the first of its process, it is its own name.
        Source::Comm => walked.provides.contains(Source::Comm) && !walked.record.may_have_longer_comm(),
        source => walked.provides.contains(source),
    }
}
