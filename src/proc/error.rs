//! The classes of failed reads.

use rustix::io::Errno;

/// Why a read gave no usable bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// The task ended (`ENOENT`, `ESRCH`).
    #[error("the task is gone")]
    Gone,
    /// The kernel refused (`EACCES`, `EPERM`).
    #[error("permission denied")]
    Denied,
    /// This kernel has no such file or field.
    #[error("not supported by this kernel")]
    Unsupported,
    /// The read did not return in time.
    #[error("timed out")]
    TimedOut,
    /// The read failed for lack of a resource or with an I/O error.
    #[error("{}", std::io::Error::from_raw_os_error(.0.raw_os_error()))]
    Dropped(Errno),
    /// The bytes are in no known format.
    #[error("not in the kernel's format")]
    Malformed,
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::SRCH => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Dropped(other),
        }
    }
}

impl From<crate::proc::parse::Malformed> for ReadError {
    fn from(_: crate::proc::parse::Malformed) -> Self {
        Self::Malformed
    }
}
