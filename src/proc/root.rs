//! The proc root: opening and reading whatever lies under it.
//!
//! This file has the calls that open and read files. `proc/task.rs`, `proc/process.rs` and `proc/host.rs` say which files.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::proc::attempts::Attempts;
use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::faults::{Call, Fault, Faults};
use crate::proc::host_files::HostFiles;
use crate::proc::open::OPEN_DIR;
use crate::proc::parse::system::{ns_id, pid_name};
use crate::proc::path::{Component, PathName};
use crate::proc::source::Source;

/// An open proc root.
pub struct ProcRoot {
    pub(super) fd: Arc<OwnedFd>,
    path: PathBuf,
    faults: Option<Arc<dyn Faults>>,
    attempts: Attempts,
    pub(super) host: Arc<HostFiles>,
}

impl std::fmt::Debug for ProcRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcRoot").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ProcRoot {
    /// Opens the proc root at `path`.
    ///
    /// # Errors
    /// When `path` is not a directory that can be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let fd = rustix::fs::open(path, OPEN_DIR, Mode::empty())?;
        Ok(Self {
            fd: Arc::new(fd),
            path: path.to_owned(),
            faults: None,
            attempts: Attempts::default(),
            host: Arc::default(),
        })
    }

    /// Makes calls fail as `faults` says, for tests.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn Faults>) -> Self {
        self.faults = Some(faults);
        self
    }

    /// The same root with an account of its own, for another thread.
    #[must_use]
    pub fn share(&self) -> Self {
        let Self { fd, path, faults, host, .. } = self;
        let (fd, host) = (Arc::clone(fd), Arc::clone(host));
        Self { fd, path: path.clone(), faults: faults.clone(), attempts: Attempts::default(), host }
    }

    /// How many reads were attempted through this root.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The path it was opened at.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// psn's own process id as this proc root shows it. It differs from `getpid()` if the root belongs to another PID namespace.
    #[must_use]
    pub fn own_pid(&self) -> Option<u32> {
        let link = rustix::fs::readlinkat(&self.fd, c"self", Vec::new()).ok()?;
        pid_name(link.to_bytes())
    }

    /// The id of the PID namespace of a process, which is given as its pid or as `self`.
    #[must_use]
    pub(crate) fn pid_namespace(&self, process: &str) -> Option<u64> {
        let name = PathName::new(&[Component::Text(process)], Source::PidNs.name(), None);
        let link = rustix::fs::readlinkat(&self.fd, name.as_cstr(), Vec::new()).ok()?;
        ns_id(link.to_bytes())
    }

    /// Whether a proc file system is mounted at the root, rather than a directory that imitates one.
    #[must_use]
    pub(crate) fn is_proc(&self) -> bool {
        /// `PROC_SUPER_MAGIC`
        const PROC: i128 = 0x9fa0;
        rustix::fs::fstatfs(&self.fd).is_ok_and(|stat| i128::from(stat.f_type) == PROC)
    }

    /// The fault that a test has set for this call: an error, or the number of bytes that a read gives at most.
    pub(super) fn inject(&self, call: Call, source: Option<Source>) -> Result<Option<usize>, Errno> {
        match self.faults.as_ref().and_then(|faults| faults.fault(call, source)) {
            None => Ok(None),
            Some(Fault::Fail(errno)) => Err(errno),
            Some(Fault::Short(len)) => Ok(Some(len)),
        }
    }

    pub(super) fn open_at(
        &self,
        base: BorrowedFd<'_>,
        name: &CStr,
        flags: OFlags,
        source: Option<Source>,
    ) -> Result<OwnedFd, ReadError> {
        loop {
            let result =
                self.inject(Call::Open, source).and_then(|_| rustix::fs::openat(base, name, flags, Mode::empty()));
            match result {
                Err(Errno::INTR) => {}
                Ok(fd) => return Ok(fd),
                Err(errno) => {
                    // After an open that succeeds, the read counts the attempt.
                    self.attempts.count(source);
                    return Err(errno.into());
                }
            }
        }
    }

    pub(super) fn link_at(&self, base: BorrowedFd<'_>, name: &CStr, source: Source) -> Result<Vec<u8>, ReadError> {
        self.attempts.count(Some(source));
        loop {
            let result =
                self.inject(Call::Open, Some(source)).and_then(|_| rustix::fs::readlinkat(base, name, Vec::new()));
            match result {
                Err(Errno::INTR) => {}
                other => return Ok(other?.into_bytes()),
            }
        }
    }

    #[inline]
    pub(super) fn read<'b>(
        &self,
        fd: BorrowedFd<'_>,
        source: Option<Source>,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        self.attempts.count(source);
        buffer.len = 0;
        if buffer.bytes.len() < Buffer::INITIAL {
            buffer.bytes.resize(Buffer::INITIAL, 0);
        }
        loop {
            let free = buffer.bytes.get_mut(buffer.len..).unwrap_or_default();
            let result = match self.inject(Call::Read, source) {
                Err(errno) => Err(errno),
                Ok(limit) => rustix::io::pread(fd, &mut *free, buffer.len as u64)
                    .map(|read| limit.map_or(read, |limit| read.min(limit))),
            };
            let read = match result {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let filled = read == free.len();
            buffer.len += read;
            // One `pread` returns the whole of a `single_open` file of /proc, unless it fills the buffer.
            if !filled || buffer.len >= Buffer::MAX {
                return Ok(buffer.bytes());
            }
            buffer.bytes.resize(buffer.bytes.len() * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_fits() {
        let parts = [Component::Number(u32::MAX), Component::Text("task"), Component::Number(u32::MAX)];
        let name = PathName::new(&parts, "schedstat", Some(u32::MAX));
        assert_eq!(name.as_cstr().to_bytes(), b"4294967295/task/4294967295/schedstat/4294967295");
    }

    #[test]
    fn errors_fall_into_their_classes() {
        assert_eq!(ReadError::from(Errno::SRCH), ReadError::Gone);
        assert_eq!(ReadError::from(Errno::NOENT), ReadError::Gone);
        assert_eq!(ReadError::from(Errno::PERM), ReadError::Denied);
        assert_eq!(ReadError::from(Errno::MFILE), ReadError::Dropped(Errno::MFILE));
    }

    #[test]
    fn a_file_longer_than_the_buffer_is_read_whole() {
        let dir = std::env::temp_dir().join(format!("psn-procfs-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("7")).unwrap();
        let long = vec![b'x'; 3 * Buffer::INITIAL];
        std::fs::write(dir.join("7/status"), &long).unwrap();
        let root = ProcRoot::open(&dir).unwrap();
        let mut buffer = Buffer::default();
        let read = root.read_process(7, Source::Status, "status", &mut buffer);
        assert_eq!(read.map(<[u8]>::len), Ok(long.len()));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
