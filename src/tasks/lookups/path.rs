//! The path that a system call was given, from the memory of its process.
//!
//! The text belongs to the wait of the row if the thread is still in it when the text has been read: its line in `syscall` is the
//! same, and so is the count of its switches. A thread that has run meanwhile and is off its CPU again has another count; one that is
//! still running has another line.
//!
//! The kernel has copied the path at the beginning of the call. If another thread of the process overwrites it during the call, what
//! was read is what is there now.

use std::sync::{Arc, OnceLock};

use super::files::LookupFiles;
use super::held::{HeldText, KnownPaths};
use super::wait::PathWait;
use crate::proc::source::Source;
use crate::proc::{ReadError, TaskDir};

/// The longest path that the kernel takes, with the zero byte at its end (`PATH_MAX`).
const PATH_BYTES: usize = 4096;

/// What is known of the path of a wait.
#[derive(Debug, Clone)]
pub(crate) enum PathAnswer {
    /// The path.
    Known(Arc<HeldText>),
    /// The page that it lies on is not in memory.
    NotInMemory,
    /// The thread is not in that wait any more.
    Moved,
    /// It could not be read.
    Failed(ReadError),
}

/// The path of a wait that a row waits for.
#[derive(Debug)]
pub(crate) struct PathRequest {
    pub(super) wait: PathWait,
    pub(super) answer: OnceLock<PathAnswer>,
}

impl PathRequest {
    /// The answer; `None` if there was none in time.
    pub(crate) fn answer(&self) -> Option<&PathAnswer> {
        self.answer.get()
    }

    /// Reads the path of the wait, checks that the thread is still in it, and stores the answer.
    pub(super) fn read(&self, known: &KnownPaths, files: &mut LookupFiles<'_>) {
        let _ = self.answer.set(path(&self.wait, known, files));
    }
}

/// The path of a wait.
fn path(wait: &PathWait, known: &KnownPaths, files: &mut LookupFiles<'_>) -> PathAnswer {
    let dir = TaskDir { tgid: wait.tgid, dir: None };
    let text = files.root.read_memory(dir, wait.tid, wait.address, PATH_BYTES, files.buffer);
    let text = text.map(|text| text.map(<[u8]>::to_vec));
    files.health.record(Source::Path, &text);
    let is_same = match text {
        // Then nothing was read that could belong to another wait.
        Err(error @ (ReadError::Denied | ReadError::Gone)) => return PathAnswer::Failed(error),
        _ => wait.is_still_so(files),
    };
    match (is_same, text) {
        (Err(error), _) | (Ok(true), Err(error)) => PathAnswer::Failed(error),
        (Ok(false), _) => PathAnswer::Moved,
        (Ok(true), Ok(None)) => PathAnswer::NotInMemory,
        (Ok(true), Ok(Some(text))) => match known.keep(*wait, &text) {
            Some(text) => PathAnswer::Known(text),
            None => PathAnswer::Failed(ReadError::Dropped(rustix::io::Errno::NOMEM)),
        },
    }
}
