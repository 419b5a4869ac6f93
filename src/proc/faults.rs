//! Faults that tests inject into system calls.

use super::source::Source;
use rustix::io::Errno;

/// A system call that a test can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening a file, a directory or a link.
    Open,
    /// Reading an open file.
    Read,
}

/// How a call is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this error.
    Fail(Errno),
    /// The read gives at most this many bytes.
    Short(usize),
}

/// Decides which calls fail, so that a test can make any call on any file fail without being root.
pub trait Faults: Send + Sync {
    /// The fault for this call, if any. `source` is `None` for directories and system-wide files.
    fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault>;
}
