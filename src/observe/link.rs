//! The link of the descriptor that a thread waits on. It is read once in each wait.

use super::call::{descriptor, system_call};
use super::contents::{Descriptor, FileContents};
use super::plan::ObservePlan;
use super::reader::{ReadTarget, ThreadReader};
use super::thread::Thread;
use crate::kernel::TaskRecord;
use crate::proc::ReadError;
use crate::proc::source::Source;
use crate::row::observation::Mark;
use crate::tasks::facts::RunCount;
use crate::tasks::{CallOfWait, TaskMemory};

/// Whether the record tells all that columns show of the file, so that the link is not needed.
pub(super) fn is_told_by(record: &TaskRecord<'_>, plan: &ObservePlan) -> bool {
    !plan.needs_links_of_sockets && record.file().is_some_and(|file| file.socket.is_some())
}

/// The wait of a thread that has run so often, if it is in a system call.
pub(super) fn call_of_wait(thread: &Thread<'_>, contents: &FileContents, runs: RunCount) -> Option<CallOfWait> {
    Some(system_call(thread, contents).ok()?.with_runs(runs))
}

impl ThreadReader {
    /// Finds out which descriptor the thread's system call uses, and its link: the one that was read earlier in the same wait, or else
    /// by reading it. `runs` is how often the thread has run, if that is known or will be checked.
    pub(super) fn read_descriptor(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
        runs: Option<RunCount>,
    ) {
        self.new_link = None;
        self.contents.descriptor = descriptor(thread, &self.contents);
        let Descriptor::Fd(fd) = self.contents.descriptor else { return };
        if thread.record_for(Source::Syscall).is_some_and(|record| is_told_by(record, plan)) {
            return;
        }
        let wait = runs.and_then(|runs| call_of_wait(thread, &self.contents, runs));
        if let Some(link) = wait.and_then(|wait| target.memory.link_of(&wait)) {
            return self.contents.store(Source::Fd, link);
        }
        target.memory.link = None;
        if target.memory.refused.contains(Source::Fd) {
            return self.contents.set(Source::Fd, Err(Mark::Denied));
        }
        self.current_file.enter(Source::Fd);
        let result = self.root.read_task_link(target.process.task_dir(), target.task.tid, Source::Fd, Some(fd));
        self.health.record(Source::Fd, &result);
        self.contents.is_link_read = true;
        match result {
            Ok(link) => {
                self.contents.store(Source::Fd, &link);
                self.new_link = wait;
            }
            Err(error) => {
                if error == ReadError::Denied {
                    target.memory.refused.insert(Source::Fd);
                }
                self.contents.set(Source::Fd, Err(error.into()));
            }
        }
    }

    /// Keeps the link that was read: the thread did not run meanwhile, and has run so often.
    pub(super) fn confirm_link(&mut self, memory: &mut TaskMemory, runs: Option<RunCount>) {
        if let Some(wait) = self.new_link.take()
            && runs == Some(wait.runs)
            && let Ok(link) = self.contents.bytes(Source::Fd)
        {
            memory.link = self.links.hold(wait, link);
        }
    }
}
