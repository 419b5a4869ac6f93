//! Files of the whole host, such as `loadavg`, which may hang or be replaced.
//!
//! Container runtimes mount files of their own over some of them (lxcfs). psn recognizes such a file by its device number, which
//! the kernel knows without asking the server of the file, and does not open it. Another thread does all of this. It has a
//! deadline, and is left behind if it does not return. The sum of all these waits is bounded too.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::proc::buffer::Buffer;
use crate::proc::deadline::Helper;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::open::OPEN_FILE;
use crate::proc::root::ProcRoot;
use crate::text::sentence::shown;

pub use crate::proc::deadline::within;

/// How long one file may take, and how long all that do not answer may take together in a run.
const PATIENCE: Duration = Duration::from_millis(500);
const ALL_PATIENCE: Duration = Duration::from_secs(1);

/// No file of the whole host that psn reads is longer.
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
struct Reliability {
    /// How long psn will yet wait for files that do not answer.
    left: Duration,
    troubles: BTreeMap<CString, Trouble>,
}

/// Which files of the whole host under one proc root can be relied on.
#[derive(Debug)]
pub(super) struct HostFiles(Mutex<Reliability>);

impl Default for HostFiles {
    fn default() -> Self {
        Self(Mutex::new(Reliability { left: ALL_PATIENCE, troubles: BTreeMap::new() }))
    }
}

impl HostFiles {
    /// Has `helper` do `work` with a file, unless the file is known not to be reliable.
    fn ask<T: Send + 'static>(
        &self,
        helper: &mut Helper,
        name: &CStr,
        root: Arc<OwnedFd>,
        work: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ReadError> {
        let patience = {
            let state = self.lock();
            if let Some(trouble) = state.troubles.get(name) {
                return Err((*trouble).into());
            }
            state.left.min(PATIENCE)
        };
        let (asked, owned) = (Instant::now(), name.to_owned());
        let answer = helper.within(patience, move || work(root.as_fd(), &owned));
        let trouble = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(Refusal::Failed(errno))) => return Err(errno.into()),
            Some(Err(Refusal::Foreign)) => Trouble::Foreign,
            None => Trouble::Hangs,
        };
        let mut state = self.lock();
        if trouble == Trouble::Hangs {
            state.left = state.left.saturating_sub(asked.elapsed());
        }
        state.troubles.insert(name.to_owned(), trouble);
        Err(trouble.into())
    }

    /// The files that cannot be relied on, each with the reason in words.
    fn troubles(&self) -> Vec<(String, &'static str)> {
        let why = |trouble: &Trouble| match trouble {
            Trouble::Hangs => "did not answer in time",
            Trouble::Foreign => "is not of the proc file system, but of what is mounted over it",
        };
        self.lock().troubles.iter().map(|(name, trouble)| (name.to_string_lossy().into_owned(), why(trouble))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Reliability> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProcRoot {
    /// Reads a file of the whole host, such as `loadavg`, if it is on the file system of the root and answers in time. A file
    /// that does not is not tried again.
    ///
    /// # Errors
    /// The class of the failure. A file over which something else is mounted is [`ReadError::Unsupported`].
    pub fn read_host<'b>(&self, name: &CStr, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        self.read_host_by(&mut Helper::default(), name, buffer)
    }

    /// Reads a file of the whole host as [`read_host`](Self::read_host) does, but by the thread of `helper`, for callers that
    /// read often.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_host_by<'b>(
        &self,
        helper: &mut Helper,
        name: &CStr,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        self.inject(Call::Open, None)?;
        let bytes = self.host.ask(helper, name, Arc::clone(&self.fd), read)?;
        let limit = self.inject(Call::Read, None)?;
        buffer.store(limit.and_then(|limit| bytes.get(..limit)).unwrap_or(&bytes));
        Ok(buffer.bytes())
    }

    /// Whether a file of the whole host is on the file system of the root and answers in time.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn check_host(&self, name: &CStr) -> Result<(), ReadError> {
        self.host.ask(&mut Helper::default(), name, Arc::clone(&self.fd), check)
    }

    /// Opens a long file of the whole host, such as `kallsyms`, for a caller that reads it line by line. It is checked first, so
    /// that reading it does not block.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(crate) fn open_host(&self, name: &CStr) -> io::Result<File> {
        self.check_host(name).map_err(|error| match error {
            ReadError::Unsupported => io::Error::other("something else is mounted over it"),
            error => io::Error::other(error.to_string()),
        })?;
        Ok(rustix::fs::openat(&self.fd, name, OPEN_FILE, Mode::empty())?.into())
    }

    /// A sentence for each file of the whole host that was not used because it cannot be relied on.
    #[must_use]
    pub fn host_warnings(&self) -> Vec<String> {
        let sentence = |(name, why): (String, &str)| {
            let instead = match name.as_str() {
                "loadavg" => "new tasks were found without it, by listing them at every look or by walks",
                "meminfo" => "the number of files kept open was bounded by the limit on open files alone",
                "sys/kernel/random/boot_id" => "the recording does not say of which boot it is",
                "self/mountinfo" => "whether the mount hides processes is not known",
                _ => "psn did without",
            };
            format!("{}/{name} {why}, and was not used: {instead}", shown(self.path()))
        };
        // The kernel walk has a warning of its own for a missing list of symbols.
        let troubles = self.host.troubles().into_iter().filter(|(name, _)| name != "kallsyms");
        troubles.map(sentence).collect()
    }
}

/// Why a file was not read.
enum Refusal {
    Failed(Errno),
    Foreign,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// Checks that the file is on the file system of the proc root, without asking the server of the file.
fn check(root: BorrowedFd<'_>, name: &CStr) -> Result<(), Refusal> {
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

fn read(root: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Refusal> {
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
