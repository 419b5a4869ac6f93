//! Reads what a thread waits for, and checks that it all belongs to one sleep.

use super::contents::Descriptor;
use super::extract::{is_no_wchan, wchan_was_refused};
use super::plan::ObservePlan;
use super::reader::{ReadTarget, ThreadReader, whole};
use super::thread::Thread;
use crate::proc::parse::stat::{self, Stat};
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{self, stack};
use crate::proc::source::{Source, SourceSet};
use crate::proc::syscall::{self, Abi};
use crate::proc::{Buffer, ReadError};
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;

/// To which sleep the wait files belong.
pub(super) enum WaitCheck {
    /// The sleep in which `stat` was first read.
    SameSleep,
    /// The sleep in which `stat` was read again, with the same state as before.
    LaterSleep,
    /// The thread ran between the reads.
    Torn,
}

impl ThreadReader {
    /// Reads the files that say what the thread waits for. `again` receives the line of `stat` if that is read again.
    pub(super) fn read_wait(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
        again: &mut Buffer,
    ) -> WaitCheck {
        let mut before = None;
        if target.memory.is_steady && target.memory.switches.is_some() {
            // The thread did not run between the last two readings of its counters, so it has likely not run since. If a third
            // reading is the same, everything read after the second belongs to one sleep.
            let runs = target.memory.switches;
            self.read_wait_files(plan, target, thread, runs);
            before = self.read_switches(target);
            if before == target.memory.switches {
                return WaitCheck::SameSleep;
            }
        }
        let before = match before {
            Some(switches) => Some(switches),
            None => self.read_switches(target),
        };
        target.memory.is_steady = false;
        if !self.is_same_state(plan, target, thread, again) {
            return WaitCheck::Torn;
        }
        self.read_wait_files(plan, target, thread, before);
        let after = self.read_switches(target);
        target.memory.switches = after;
        target.memory.is_steady = before == after;
        if before == after { WaitCheck::LaterSleep } else { WaitCheck::Torn }
    }

    /// Reads `stat` again into `again`: whether it shows the same thread in the same state.
    fn is_same_state(
        &mut self,
        plan: &ObservePlan,
        target: &ReadTarget<'_>,
        thread: &Thread<'_>,
        again: &mut Buffer,
    ) -> bool {
        self.current_file.enter(Source::Stat);
        let result = match target.task.stat_fd() {
            Some(fd) => self.root.read_open(fd, Source::Stat, again),
            None => self.root.read_task(target.process.task_dir(), target.task.tid, Source::Stat, again),
        };
        let result = result.and_then(|line| Ok(Stat::parse(stat::whole(line)?, plan.run.last_stat_field)?));
        self.health.record(Source::Stat, &result);
        result.is_ok_and(|now| now.state == thread.state && now.starttime() == Some(thread.starttime_ticks))
    }

    /// Reads the wait files that the record does not stand for. `runs` is how often the thread has run, if that is known or will be
    /// checked.
    pub(super) fn read_wait_files(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
        runs: Option<RunCount>,
    ) {
        let wanted = plan.run.sources.without(thread.provided);
        let makes_calls = !thread.is_kernel_thread() && !thread.is_io_worker();
        if wanted.contains(Source::Syscall) && makes_calls {
            self.read(target, Source::Syscall);
        }
        self.read_wchan_and_stack(target, thread, wanted);
        if wanted.contains(Source::Syscall) && makes_calls && Abi::native() == Abi::X86_64 {
            self.find_entry(target);
        }
        if wanted.contains(Source::Fd) && makes_calls {
            self.read_descriptor(plan, target, thread, runs);
            if wanted.contains(Source::Fdinfo)
                && let Descriptor::Fd(number) = self.contents.descriptor
            {
                self.read_mount_id(target, number);
            }
        }
    }

    /// Reads `wchan` and `stack`. If `wchan` names no function, the stack is read in any case: it may name one.
    fn read_wchan_and_stack(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>, wanted: SourceSet) {
        let wants_wchan = wanted.contains(Source::Wchan);
        if wants_wchan {
            self.read(target, Source::Wchan);
        }
        let has_no_wchan = wants_wchan && self.contents.bytes(Source::Wchan).is_ok_and(is_no_wchan);
        if wanted.contains(Source::Stack) || has_no_wchan {
            self.read(target, Source::Stack);
        }
        if has_no_wchan {
            self.note_refused_wchan(target, thread);
        }
    }

    /// If `wchan` names no function because psn has no permission to see it, accounts for the read as refused, so that it is not
    /// tried again.
    fn note_refused_wchan(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>) {
        if wchan_was_refused(thread, &self.contents) && self.counted_ok.remove(Source::Wchan) {
            self.health.correct(Source::Wchan, ReadError::Denied);
            self.contents.set(Source::Wchan, Err(Mark::Denied));
            target.memory.refused.insert(Source::Wchan);
        }
    }

    /// Finds the entry point by which the thread came into the kernel, from its kernel stack if it is not known for this place
    /// in the program.
    fn find_entry(&mut self, target: &ReadTarget<'_>) {
        self.entries.discard();
        let call = self.contents.bytes(Source::Syscall).ok().and_then(|line| parse::syscall::parse(line).ok());
        let Some(SyscallLine::Call { number, pc, .. }) = call else { return };
        // The number of an x32 call tells its table, and without a program counter there is no call by a program.
        if number >= syscall::X32_BIT || pc == 0 {
            return;
        }
        let tgid = target.process.tgid;
        if let Some(known) = self.entries.known(tgid, pc) {
            self.contents.entry = known;
            return;
        }
        let entry = match self.contents.bytes(Source::Stack) {
            Ok(text) => stack::entry(text),
            Err(Mark::Unread) if self.entries.may_read_stacks(&self.root, &mut self.stack) => {
                self.current_file.enter(Source::Stack);
                let dir = target.process.task_dir();
                let result = self.root.read_task(dir, target.task.tid, Source::Stack, &mut self.stack);
                let result = result.and_then(|text| whole(Source::Stack, text));
                self.health.record(Source::Stack, &result);
                let Ok(text) = result else { return };
                stack::entry(text)
            }
            Err(_) => return,
        };
        self.contents.entry = entry;
        self.entries.find(tgid, pc, entry);
    }
}
