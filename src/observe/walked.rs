//! Observing a thread that a kernel walk found.
//!
//! Its record is of one instant and has the values of most columns, so nothing need be read twice. Files are read only for what
//! records do not have, at once after the walk. What such a file says of the thread's wait belongs to the row if the thread's
//! switch counter is still the one in the record.

use super::Observer;
use super::call::descriptor;
use super::contents::Descriptor;
use super::link::{call_of_wait, is_told_by};
use super::plan::{ObservePlan, needs_stat};
use super::reader::{ReadTarget, ThreadReader, held, read_stat};
use super::thread::Thread;
use super::tick::TickTime;
use crate::ask::column::Column;
use crate::ask::filter::Condition;
use crate::kernel::TaskRecord;
use crate::proc::parse::stat::{self, Stat};
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ReadError};
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;
use crate::tasks::{Process, Task, TaskMemory};

/// Sources that need not be read of every thread: each record has them, or they matter only for threads that wait, or side
/// readers read them.
const NOT_OF_EVERY_THREAD: SourceSet = SourceSet::of(&[
    Source::Task,
    Source::Kernel,
    Source::Stat,
    Source::Comm,
    Source::Syscall,
    Source::Wchan,
    Source::Wait,
    Source::Stack,
    Source::Fd,
    Source::Fdinfo,
    Source::Socket,
    Source::Idle,
    Source::Cmdline,
    Source::Exe,
    Source::Mounts,
    Source::Path,
]);

/// What has to be read of a thread before it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: its record suffices.
    Nothing,
    /// Its full name, unless that [is known](knows_name).
    Name,
    /// The link of the descriptor that it waits on, unless that [is known](Observer::knows_link).
    Link,
    /// Files.
    Files,
}

/// Whether the full name of the record's thread is known from an earlier reading.
#[must_use]
pub(crate) fn knows_name(task: &Task, record: &TaskRecord<'_>) -> bool {
    held(&mut task.memory().try_lock()).is_some_and(|memory| known_name(memory, record).is_some())
}

/// The name that was read of the thread, if it has not run since: its switch counter is the same, and it is at rest. It is
/// still its name, because only the thread itself changes the longer name of a kernel worker.
fn known_name<'a>(memory: &'a TaskMemory, record: &TaskRecord<'_>) -> Option<&'a [u8]> {
    let (switches, name) = memory.whole_name.as_ref()?;
    let is_same = memory.starttime_ticks == record.starttime_ticks && *switches == record.switches;
    (is_same && record.is_at_rest()).then_some(name)
}

impl Observer {
    /// What has to be read of the thread before it can be counted.
    #[must_use]
    pub(crate) fn need(&self, thread: &Thread<'_>) -> Need {
        let Some(record) = thread.record else { return Need::Files };
        let plan = &self.plan;
        let missing = plan.run.sources.without(thread.provided);
        if plan.needs_stat || !missing.without(NOT_OF_EVERY_THREAD).is_empty() {
            return Need::Files;
        }
        let of_wait = if plan.reads_wait { self.need_of_wait(thread, record, missing) } else { Need::Nothing };
        if of_wait != Need::Nothing {
            of_wait
        } else if plan.needs_name && record.may_have_longer_comm() {
            Need::Name
        } else {
            Need::Nothing
        }
    }

    fn need_of_wait(&self, thread: &Thread<'_>, record: &TaskRecord<'_>, missing: SourceSet) -> Need {
        if !record.is_at_rest() || record.has_moved {
            return Need::Nothing;
        }
        if [Source::Wchan, Source::Wait, Source::Stack].into_iter().any(|source| missing.contains(source)) {
            return Need::Files;
        }
        if record.is_kernel_thread() || record.is_io_worker() {
            return Need::Nothing;
        }
        let needs_link = || {
            matches!(descriptor(thread, &self.reader.contents), Descriptor::Fd(_)) && !is_told_by(record, &self.plan)
        };
        match missing {
            _ if missing.contains(Source::Syscall) => Need::Files,
            _ if !missing.contains(Source::Fd) || !needs_link() => Need::Nothing,
            // The mount of the file is found by further files.
            _ if missing.contains(Source::Fdinfo) => Need::Files,
            _ => Need::Link,
        }
    }

    /// Whether the link that the thread needs was read earlier in the same wait.
    #[must_use]
    pub(crate) fn knows_link(&self, task: &Task, thread: &Thread<'_>) -> bool {
        let Some(record) = thread.record else { return false };
        let runs = RunCount::Switches(record.switches);
        let wait = call_of_wait(thread, &self.reader.contents, runs);
        let knows = |memory: &TaskMemory, wait| {
            memory.starttime_ticks == record.starttime_ticks && memory.link_of(&wait).is_some()
        };
        wait.is_some_and(|wait| held(&mut task.memory().try_lock()).is_some_and(|memory| knows(memory, wait)))
    }

    /// Whether a filter rejects the thread by what its record says. Then none of its files need be read.
    #[must_use]
    pub(crate) fn rejects(&mut self, thread: &Thread<'_>) -> bool {
        let Self { plan, reader, counter, .. } = self;
        let row = &mut counter.row;
        let mut known = |condition: &Condition| {
            record_has(condition.column, thread).then(|| {
                row.clear();
                plan.extractor.extract(condition.column, thread, &reader.contents, row);
                condition.matches(row.value(0))
            })
        };
        let is_rejected = plan.run.filters.iter().flatten().any(|filter| filter.decide(&mut known) == Some(false));
        counter.coverage.rejected += u64::from(is_rejected);
        is_rejected
    }

    /// Observes a thread that a walk found. Its files are reached through `task`, which may be left out if there is no
    /// [need](Self::need) of any.
    pub(crate) fn observe_walked(&mut self, process: &Process, task: Option<&Task>, thread: &Thread<'_>, at: TickTime) {
        let mut spare = std::mem::take(&mut self.spare);
        if let Some(task) = task {
            let mut lock = task.memory().try_lock();
            let memory = held(&mut lock).unwrap_or(&mut spare);
            if !thread.is_blocked {
                memory.revalidate(thread.starttime_ticks, thread.comm, at.now_ns);
            }
            if matches!(self.need(thread), Need::Link | Need::Files) {
                task.mark_active(at.tick);
            }
            self.observe_record(ReadTarget { process, task, memory }, thread, at);
        } else {
            let task = Task::new(thread.tid);
            self.observe_record(ReadTarget { process, task: &task, memory: &mut spare }, thread, at);
        }
        self.spare = spare;
        self.reader.current_file.enter(Source::Stat);
    }

    fn observe_record(&mut self, mut target: ReadTarget<'_>, thread: &Thread<'_>, at: TickTime) {
        self.reader.reset();
        let Some(record) = thread.record else { return };
        let (mut name, mut line) = (std::mem::take(&mut self.name), std::mem::take(&mut self.stat));
        name.clear();
        let is_blocked = thread.is_blocked;
        if self.plan.needs_name && record.may_have_longer_comm() && !is_blocked {
            self.reader.read_name(&mut target, record, &mut name);
        }
        // If `wchan` is read, `stat` tells whether psn has the permission to see the function.
        let missing = self.plan.run.sources.without(thread.provided);
        let reads_wchan = missing.contains(Source::Wchan) && record.is_at_rest();
        let reads_stat = (self.plan.needs_stat || reads_wchan) && !is_blocked;
        let stat = if reads_stat { self.reader.read_numbers(&self.plan, &target, record, &mut line) } else { None };
        let comm = if name.is_empty() { thread.comm } else { &name };
        let thread = Thread { comm, stat: stat.as_ref(), ..*thread };
        if is_blocked {
            let contents = &mut self.reader.contents;
            contents.mark_blocked();
            contents.descriptor = descriptor(&thread, contents);
        }
        if self.begin(&thread) {
            if !is_blocked {
                self.read_rest_of_wait(&mut target, &thread, record);
            }
            self.finish(&mut target, &thread, at);
        }
        self.name = name;
        self.stat = line;
    }

    /// Reads what the record does not say of what the thread waits for.
    fn read_rest_of_wait(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>, record: &TaskRecord<'_>) {
        if !self.plan.reads_wait || !thread.is_waiting() {
            return;
        }
        self.counter.coverage.checked += 1;
        if record.has_moved {
            self.counter.coverage.torn += 1;
            return;
        }
        if !record.is_at_rest() {
            return;
        }
        let runs = Some(RunCount::Switches(record.switches));
        self.reader.read_wait_files(&self.plan, target, thread, runs);
        if self.plan.wants(Source::Wait) && !thread.provided.contains(Source::Wait) {
            self.reader.note_sleep(target.memory, runs);
        }
        if !self.reader.contents.has_wait() {
            return;
        }
        if self.reader.read_context_switches(target) == runs {
            self.reader.entries.confirm();
            self.reader.confirm_link(target.memory, runs);
        } else {
            self.mark_torn();
        }
    }
}

impl ThreadReader {
    /// Reads the full name of a thread, of which the record has the beginning, into `name`.
    fn read_name(&mut self, target: &mut ReadTarget<'_>, record: &TaskRecord<'_>, name: &mut Vec<u8>) {
        if let Some(known) = known_name(target.memory, record) {
            name.extend_from_slice(known);
            return;
        }
        self.current_file.enter(Source::Comm);
        let dir = target.process.task_dir();
        let result = self.root.read_task(dir, record.tid, Source::Comm, self.contents.buffer(Source::Comm));
        self.health.record(Source::Comm, &result);
        // The end of a worker's name may have changed since the walk. If the beginning did, the id belongs to another thread.
        if let Some(text) = result.ok().filter(|text| text.starts_with(record.comm())) {
            name.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
            target.memory.whole_name = Some((record.switches, name.as_slice().into()));
        }
    }

    /// Reads `stat`, for the numbers that no record has.
    fn read_numbers<'b>(
        &mut self,
        plan: &ObservePlan,
        target: &ReadTarget<'_>,
        record: &TaskRecord<'_>,
        line: &'b mut Buffer,
    ) -> Option<Stat<'b>> {
        self.current_file.enter(Source::Stat);
        let line = read_stat(&self.root, target.process, target.task, line);
        let result = line.and_then(|line| Ok(Stat::parse(stat::whole(line)?, plan.run.last_stat_field)?));
        self.health.record(Source::Stat, &result);
        // By now the id may belong to another thread.
        let is_same = |stat: &Stat<'_>| stat.starttime() == Some(record.starttime_ticks);
        let result = result.and_then(|stat| if is_same(&stat) { Ok(stat) } else { Err(ReadError::Gone) });
        if matches!(result, Err(ReadError::Gone)) {
            target.task.mark_gone();
        }
        self.contents.set(Source::Stat, result.as_ref().map(|_| ()).map_err(|error| Mark::from(*error)));
        result.ok()
    }
}

/// Whether the record has the column's value.
fn record_has(column: &Column, thread: &Thread<'_>) -> bool {
    let may_be_longer = thread.record.is_some_and(TaskRecord::may_have_longer_comm);
    match column.source {
        Source::Task | Source::Kernel => true,
        Source::Stat => !(needs_stat(column) || (column.is_comm() && may_be_longer)),
        // The name of a process is that of its first thread, which may be this one.
        Source::Comm => thread.provided.contains(Source::Comm) && !may_be_longer,
        source => thread.provided.contains(source),
    }
}
