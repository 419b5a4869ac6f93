//! The wait of a thread in a system call, to tell whether it is still in it.

use super::files::LookupFiles;
use crate::proc::health::Health;
use crate::proc::parse::syscall::{SyscallLine, parse};
use crate::proc::parse::{schedstat, whole};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError, TaskDir};
use crate::tasks::CallOfWait;
use crate::tasks::facts::RunCount;
use crate::tasks::facts::files::{slices, switches};

/// The wait of a thread in a system call that was given a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathWait {
    /// The process.
    pub(crate) tgid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// When the thread started, in clock ticks after boot.
    pub(crate) starttime_ticks: u64,
    /// The call, and how often the thread had run.
    pub(crate) call: CallOfWait,
    /// Where the path is.
    pub(crate) address: u64,
}

impl PathWait {
    /// Whether the thread is still in this wait.
    pub(super) fn is_still_so(&self, files: &mut LookupFiles<'_>) -> Result<bool, ReadError> {
        let LookupFiles { root, health, buffer, .. } = files;
        let dir = TaskDir { tgid: self.tgid, dir: None };
        let line = root.read_task(dir, self.tid, Source::Syscall, buffer);
        let line = line.and_then(|line| Ok(parse(whole(line)?)?));
        health.record(Source::Syscall, &line);
        let is_same_call = match line? {
            SyscallLine::Call { number, sp, pc, .. } => {
                (number, sp, pc) == (self.call.number, self.call.sp, self.call.pc)
            }
            _ => false,
        };
        if !is_same_call {
            return Ok(false);
        }
        let before = self.call.runs;
        let now = runs(root, self.tgid, self.tid, before, health, buffer)?;
        Ok(now == Some(before))
    }
}

/// How often a thread has run, counted as `like` counts it.
pub(super) fn runs(
    root: &ProcRoot,
    tgid: u32,
    tid: u32,
    like: RunCount,
    health: &mut Health,
    buffer: &mut Buffer,
) -> Result<Option<RunCount>, ReadError> {
    let dir = TaskDir { tgid, dir: None };
    match like {
        RunCount::Slices { .. } => {
            let text = root.read_task(dir, tid, Source::Schedstat, buffer);
            let times = text.and_then(|text| Ok(schedstat::parse(text)?));
            health.record(Source::Schedstat, &times);
            Ok(slices(times?))
        }
        RunCount::Switches(_) => {
            let text = root.read_task(dir, tid, Source::Status, buffer);
            health.record(Source::Status, &text);
            Ok(switches(text?).map(RunCount::Switches))
        }
    }
}
