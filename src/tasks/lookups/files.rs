//! With what the readers of lookups read.

use crate::proc::health::Health;
use crate::proc::{Buffer, ProcRoot};

/// With what a reader reads.
pub(super) struct LookupFiles<'a> {
    /// The proc root.
    pub(super) root: &'a ProcRoot,
    /// The account of the reads.
    pub(super) health: &'a mut Health,
    /// A buffer for what is read.
    pub(super) buffer: &'a mut Buffer,
    /// Called between the steps of a long read, each of which may take as long as a read may. False if the reader was given up.
    pub(super) goes_on: &'a dyn Fn() -> bool,
    /// Whether the files of a process may be read: it has not blocked a reader. That is known of the process of the request.
    pub(super) may_read: &'a dyn Fn(u32) -> bool,
}
