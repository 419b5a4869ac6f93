//! psn's own files under `/proc`. Reading them cannot block: only a process in exec, or one that hangs on its memory, blocks its
//! readers, and psn is neither.

use std::io;
use std::path::Path;

use crate::proc::open::DEFAULT_ROOT;
use crate::proc::rights;
use crate::proc::source::Source;

/// A file of one of psn's own threads.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_thread(tid: u32, source: Source) -> io::Result<Vec<u8>> {
    let path = format!("{DEFAULT_ROOT}/self/task/{tid}/{}", source.name());
    // Files of a program that was given capabilities belong to root.
    rights::raised(|| std::fs::read(path))?
}

/// psn's own name.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn name() -> io::Result<Vec<u8>> {
    Ok(std::fs::read(format!("{DEFAULT_ROOT}/self/comm"))?.trim_ascii().to_vec())
}

/// Whether psn has a thread `tid`, by the ids of its own PID namespace.
pub(crate) fn has_thread(tid: u32) -> bool {
    Path::new(&format!("{DEFAULT_ROOT}/self/task/{tid}")).exists()
}
