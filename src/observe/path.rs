//! The path that a thread's system call was given.

use std::sync::Arc;

use super::contents::{FileContents, SystemCall};
use super::reader::{ReadTarget, SwitchCheck, ThreadReader};
use super::thread::Thread;
use crate::proc::path_calls::path_argument;
use crate::proc::source::Source;
use crate::proc::syscall::Abi;
use crate::row::observation::{Mark, Observation};
use crate::tasks::facts::RunCount;
use crate::tasks::lookups::{HeldText, LookupReaders, PathAnswer, PathRequest, PathWait};

/// What is known of the path, or what reads it.
#[derive(Debug)]
pub(super) enum PathWanted {
    Known(Result<Arc<HeldText>, Mark>),
    Awaited(Arc<PathRequest>),
}

impl ThreadReader {
    /// Finds out what is known of the path, and has it read if it is not known.
    pub(super) fn request_path(
        &self,
        readers: &LookupReaders,
        target: &ReadTarget<'_>,
        thread: &Thread<'_>,
        call: Result<SystemCall, Mark>,
    ) -> PathWanted {
        let wait = match call.map(|call| (call, path_address(&call))) {
            Ok((_, None)) | Err(Mark::KernelThread | Mark::KernelDirect | Mark::UserWorker) => Err(Mark::None),
            Ok((call, Some(address))) => match self.runs_of_wait(target, thread) {
                Some(runs) => Ok(PathWait {
                    tgid: thread.tgid,
                    tid: thread.tid,
                    starttime_ticks: thread.starttime_ticks,
                    call: call.with_runs(runs),
                    address,
                }),
                None => Err(Mark::Torn),
            },
            Err(mark) => Err(mark),
        };
        match wait {
            Err(mark) => PathWanted::Known(Err(mark)),
            Ok(wait) => match readers.known_path(&wait) {
                Some(text) => PathWanted::Known(Ok(text)),
                None => match readers.ask_for_path(wait) {
                    Ok(request) => PathWanted::Awaited(request),
                    Err(error) => PathWanted::Known(Err(error.into())),
                },
            },
        }
    }

    /// How often the thread had run when it was seen in this wait.
    fn runs_of_wait(&self, target: &ReadTarget<'_>, thread: &Thread<'_>) -> Option<RunCount> {
        match thread.record {
            Some(record) => Some(RunCount::Switches(record.switches)),
            None if self.switch_check == SwitchCheck::Unchanged => target.memory.switches,
            None => None,
        }
    }

    /// Puts what is known of the path into the contents.
    pub(super) fn load_path(&mut self, path: PathWanted) {
        let known = match path {
            PathWanted::Known(known) => known,
            PathWanted::Awaited(request) => match request.answer() {
                Some(PathAnswer::Known(text)) => Ok(Arc::clone(text)),
                Some(PathAnswer::Failed(error)) => Err((*error).into()),
                Some(PathAnswer::NotInMemory) => Err(Mark::Unread),
                Some(PathAnswer::Moved) | None => Err(Mark::Stale),
            },
        };
        match known {
            Ok(text) => self.contents.store(Source::Path, &text),
            Err(mark) => self.contents.set(Source::Path, Err(mark)),
        }
    }
}

/// Where the path is that the call was given, if it takes one.
fn path_address(call: &SystemCall) -> Option<u64> {
    let argument = *call.args.get(path_argument(call.abi, call.number)?)?;
    // The upper half of a 64-bit register is undefined in a call of 32-bit programs.
    let address = if matches!(call.abi, Abi::X86 | Abi::Arm) { argument & u64::from(u32::MAX) } else { argument };
    (address != 0).then_some(address)
}

/// Appends the path of the thread's system call to `row`; `-` for an empty one, which stands for the descriptor itself.
pub(super) fn extract_path(contents: &FileContents, row: &mut Observation) {
    contents.push_value(Source::Path, row, |path, row| match path {
        [] => row.push_mark(Mark::None),
        path => row.push_text(path),
    });
}
