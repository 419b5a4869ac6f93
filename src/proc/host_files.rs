//! Which files of the whole host can be relied on.
//!
//! Files such as `loadavg` may hang or be replaced: container runtimes mount files of their own over some of them (lxcfs). psn
//! recognizes such a file by its device number, which the kernel knows without asking the server of the file, and does not open
//! it. Another thread does all of this. It has a deadline, and is left behind if it does not return. The sum of all these waits is
//! bounded too.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::proc::deadline::HelperThread;
use crate::proc::error::ReadError;
use crate::proc::open::OPEN_FILE;

/// How long one file may take, and how long all that do not answer may take together in a run.
const PATIENCE: Duration = Duration::from_millis(500);
const ALL_PATIENCE: Duration = Duration::from_secs(1);

/// No file of the whole host that psn reads is longer.
const MAX_BYTES: usize = 16 << 20;

/// Why a file is not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreliable {
    /// It did not answer in time.
    Hangs,
    /// Something else is mounted over it.
    Foreign,
}

impl From<Unreliable> for ReadError {
    fn from(trouble: Unreliable) -> Self {
        match trouble {
            Unreliable::Hangs => Self::TimedOut,
            Unreliable::Foreign => Self::Unsupported,
        }
    }
}

#[derive(Debug)]
struct Reliability {
    /// How long psn will yet wait for files that do not answer.
    left: Duration,
    unreliable: BTreeMap<CString, Unreliable>,
}

/// Which files of the whole host under one proc root can be relied on.
#[derive(Debug)]
pub(super) struct HostFiles(Mutex<Reliability>);

impl Default for HostFiles {
    fn default() -> Self {
        Self(Mutex::new(Reliability { left: ALL_PATIENCE, unreliable: BTreeMap::new() }))
    }
}

impl HostFiles {
    /// Has `helper` do `work` with a file, unless the file is known not to be reliable.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        helper: &mut HelperThread,
        name: &CStr,
        root: Arc<OwnedFd>,
        work: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ReadError> {
        let patience = {
            let state = self.lock();
            if let Some(trouble) = state.unreliable.get(name) {
                return Err((*trouble).into());
            }
            state.left.min(PATIENCE)
        };
        let (asked, owned) = (Instant::now(), name.to_owned());
        let answer = helper.within(patience, move || work(root.as_fd(), &owned));
        let trouble = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(Refusal::Failed(errno))) => return Err(errno.into()),
            Some(Err(Refusal::Foreign)) => Unreliable::Foreign,
            None => Unreliable::Hangs,
        };
        let mut state = self.lock();
        if trouble == Unreliable::Hangs {
            state.left = state.left.saturating_sub(asked.elapsed());
        }
        state.unreliable.insert(name.to_owned(), trouble);
        Err(trouble.into())
    }

    /// The files that cannot be relied on, each with the reason in words.
    pub(super) fn unreliable(&self) -> Vec<(String, &'static str)> {
        let why = |trouble: &Unreliable| match trouble {
            Unreliable::Hangs => "did not answer in time",
            Unreliable::Foreign => "is not of the proc file system, but of what is mounted over it",
        };
        self.lock()
            .unreliable
            .iter()
            .map(|(name, trouble)| (name.to_string_lossy().into_owned(), why(trouble)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Reliability> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a file was not read.
pub(super) enum Refusal {
    Failed(Errno),
    Foreign,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// Checks that the file is on the file system of the proc root, without asking the server of the file.
pub(super) fn check(root: BorrowedFd<'_>, name: &CStr) -> Result<(), Refusal> {
    let file = rustix::fs::openat(root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if device(file.as_fd())? == device(root)? { Ok(()) } else { Err(Refusal::Foreign) }
}

fn device(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(file, c"", flags, StatxFlags::empty()) {
        Ok(stat) => Ok(rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)),
        // Before Linux 4.11.
        #[allow(clippy::useless_conversion, reason = "the field is 32 bits wide on some architectures")]
        Err(Errno::NOSYS) => Ok(u64::from(rustix::fs::fstat(file)?.st_dev)),
        Err(errno) => Err(errno),
    }
}

pub(super) fn read(root: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Refusal> {
    check(root, name)?;
    let file = rustix::fs::openat(root, name, OPEN_FILE, Mode::empty())?;
    // Something may have been mounted over it since the check.
    if device(file.as_fd())? != device(root)? {
        return Err(Refusal::Foreign);
    }
    let mut bytes = Vec::with_capacity(4096);
    while bytes.len() < MAX_BYTES {
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) => bytes.reserve(4096),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(bytes)
}
