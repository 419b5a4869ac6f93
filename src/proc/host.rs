//! Files of the whole host, such as `loadavg`: they may hang or lie.
//!
//! Container runtimes mount files of their own over some of those (lxcfs). What is not on the proc file system itself is
//! told by its device, which no server is asked for, and is not even opened. All of it is done by a thread of its own, which is
//! waited for with a deadline and left behind where it does not come back; and so is the sum of these waits.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::proc::error::ReadError;
use crate::proc::open::OPEN_FILE;

/// How long one file may take, and all of them of a run that do not answer.
const PATIENCE: Duration = Duration::from_millis(500);
const ALL_PATIENCE: Duration = Duration::from_secs(1);

/// Files of the whole host are shorter.
const MAX_BYTES: usize = 16 << 20;

/// Why a file is not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It did not answer in time.
    Hangs,
    /// Something else is mounted over it.
    Foreign,
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Hangs => Self::TimedOut,
            Trouble::Foreign => Self::Unsupported,
        }
    }
}

#[derive(Debug)]
struct State {
    /// The patience that is left for files that do not answer.
    left: Duration,
    troubles: BTreeMap<CString, Trouble>,
}

/// The files of the whole host under one proc root.
#[derive(Debug)]
pub(super) struct HostFiles(Mutex<State>);

impl Default for HostFiles {
    fn default() -> Self {
        Self(Mutex::new(State { left: ALL_PATIENCE, troubles: BTreeMap::new() }))
    }
}

impl HostFiles {
    /// The file's bytes.
    pub(super) fn read(&self, root: &Arc<OwnedFd>, name: &CStr) -> Result<Vec<u8>, ReadError> {
        self.ask(name, Arc::clone(root), read)
    }

    /// Whether the file is of the proc file system itself, and so answers.
    pub(super) fn check(&self, root: &Arc<OwnedFd>, name: &CStr) -> Result<(), ReadError> {
        self.ask(name, Arc::clone(root), check)
    }

    fn ask<T: Send + 'static>(
        &self,
        name: &CStr,
        root: Arc<OwnedFd>,
        work: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T, Answer> + Send + 'static,
    ) -> Result<T, ReadError> {
        let patience = {
            let state = self.lock();
            if let Some(trouble) = state.troubles.get(name) {
                return Err((*trouble).into());
            }
            state.left.min(PATIENCE)
        };
        let (asked, owned) = (Instant::now(), name.to_owned());
        let answer = within(patience, move || work(root.as_fd(), &owned));
        let trouble = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(Answer::Failed(errno))) => return Err(errno.into()),
            Some(Err(Answer::Foreign)) => Trouble::Foreign,
            None => Trouble::Hangs,
        };
        let mut state = self.lock();
        if trouble == Trouble::Hangs {
            state.left = state.left.saturating_sub(asked.elapsed());
        }
        state.troubles.insert(name.to_owned(), trouble);
        Err(trouble.into())
    }

    /// The files that could not be relied on, each with the reason in words.
    pub(super) fn troubles(&self) -> Vec<(String, &'static str)> {
        let why = |trouble: &Trouble| match trouble {
            Trouble::Hangs => "did not answer in time",
            Trouble::Foreign => "is not of the proc file system, but of what is mounted over it",
        };
        self.lock().troubles.iter().map(|(name, trouble)| (name.to_string_lossy().into_owned(), why(trouble))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` gives, done by another thread; nothing if it takes longer than `patience`, and then the thread is left behind.
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = crossbeam_channel::bounded(1);
    let started = std::thread::Builder::new().name("psn-host".to_owned()).stack_size(256 << 10).spawn(move || {
        // Whoever asked may have given up.
        let _ = sender.send(work());
    });
    started.ok().and_then(|_| answer.recv_timeout(patience).ok())
}

/// Why there are no bytes.
enum Answer {
    Failed(Errno),
    Foreign,
}

impl From<Errno> for Answer {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// Whether the file is on the file system of the proc root, by what the kernel knows without asking who serves it.
fn check(root: BorrowedFd<'_>, name: &CStr) -> Result<(), Answer> {
    let file = rustix::fs::openat(root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if device(file.as_fd())? == device(root)? { Ok(()) } else { Err(Answer::Foreign) }
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

fn read(root: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Answer> {
    check(root, name)?;
    let file = rustix::fs::openat(root, name, OPEN_FILE, Mode::empty())?;
    // It may have been mounted over meanwhile.
    if device(file.as_fd())? != device(root)? {
        return Err(Answer::Foreign);
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
