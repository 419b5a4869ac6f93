//! Opening files and directories: the flags, and what lies beside a proc root.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// Where the kernel shows its processes.
pub const DEFAULT_ROOT: &str = "/proc";

pub(super) const OPEN_FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
pub(super) const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// Opens the root directory of the first process that the proc root at `root` shows: that of the system whose processes it
/// shows. `1/root` is a link that the kernel follows by itself.
pub(crate) fn open_first_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, root.join("1/root"), flags, Mode::empty())?)
}
