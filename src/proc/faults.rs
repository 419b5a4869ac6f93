//! The seam at which tests have calls fail.

use super::source::Source;
use rustix::io::Errno;

/// A system call that a test may make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening a file, a directory or a link.
    Open,
    /// Reading an open file.
    Read,
}

/// What happens to a call instead of, or after, the kernel's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this error.
    Fail(Errno),
    /// The read gives at most this many bytes.
    Short(usize),
}

/// A script of faults: how tests make any call on any file fail, without root and without luck.
pub trait Faults: Send + Sync {
    /// The fault for this call, if any. `source` is `None` for directories and system-wide files.
    fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault>;
}
