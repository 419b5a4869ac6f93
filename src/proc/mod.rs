//! The only place that opens or reads anything under the proc root.
//!
//! Every read lands in exactly one class: the bytes, or a [`ReadError`]. A vanished thread is data,
//! never an error worth a message. Files are opened relative to a held directory descriptor, so a
//! reused pid can not slip in between, and read with one `pread` each.

mod attempts;
pub mod cpus;
mod error;
mod faults;
pub mod health;
pub mod host;
mod limits;
pub mod lookup;
pub(crate) mod open;
pub mod parse;
mod path;
pub mod rights;
pub mod signals;
pub mod source;
pub mod syscall;

use std::ffi::CStr;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::HostFiles;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::proc::parse::system::{ns_id, pid_name};
use crate::text::sentence::shown;
use open::{OPEN_DIR, OPEN_FILE};
use path::{Part, PathName};
use source::Source;

pub use attempts::Attempts;
pub use error::ReadError;
pub use faults::{Call, Fault, Faults};
pub use limits::raise_fd_limit;

/// Where the kernel shows its processes.
pub const DEFAULT_ROOT: &str = "/proc";

/// A reusable read buffer; grows, never shrinks.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// One page: no per-thread file but a deep `stack` or a long `status` is larger.
    const INITIAL: usize = 4096;
    /// A piece of a file that is read piece by piece.
    const PIECE: usize = 64 << 10;
    /// Reads stop here: no file psn reads is larger, short of an attack on its memory.
    const MAX: usize = 16 << 20;

    /// The bytes of the last read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Puts `bytes` in the place of a read.
    pub fn store(&mut self, bytes: &[u8]) {
        if self.bytes.len() < bytes.len() {
            self.bytes.resize(bytes.len(), 0);
        }
        if let Some(room) = self.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.len = bytes.len();
    }
}

/// Where a task's files are reached from.
#[derive(Debug, Clone, Copy)]
pub struct TaskDir<'a> {
    /// The process.
    pub tgid: u32,
    /// Its `task` directory, if it is held open.
    pub dir: Option<BorrowedFd<'a>>,
}

/// What a `task` directory tells without being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskDirStatus {
    /// The number of threads, by the link count.
    pub threads: u64,
    /// The number of the inode, which is of one process for ever: a pid that is given to another leads to another
    /// inode (fs/proc/base.c, `proc_pid_make_inode`). The reverse does not hold: an inode that nobody uses may be
    /// dropped, and the same process has another then. It is what `stat` would tell by the start time, without `stat`,
    /// which may block.
    pub inode: u64,
}

/// An open proc root.
pub struct ProcRoot {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    faults: Option<Arc<dyn Faults>>,
    attempts: Attempts,
    host: Arc<HostFiles>,
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

    /// Makes calls fail as `faults` says: for tests.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn Faults>) -> Self {
        self.faults = Some(faults);
        self
    }

    /// The same root for another part of psn, which accounts for its reads by itself.
    #[must_use]
    pub fn share(&self) -> Self {
        let Self { fd, path, faults, host, .. } = self;
        let (fd, host) = (Arc::clone(fd), Arc::clone(host));
        Self { fd, path: path.clone(), faults: faults.clone(), attempts: Attempts::default(), host }
    }

    /// The reads that were attempted through this root.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The path it was opened at.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// psn's own process id as this proc root shows it, which is not getpid() when the root belongs
    /// to another PID namespace.
    #[must_use]
    pub fn own_pid(&self) -> Option<u32> {
        let link = rustix::fs::readlinkat(&self.fd, c"self", Vec::new()).ok()?;
        pid_name(link.to_bytes())
    }

    /// Reads a file of the whole host, such as `loadavg`, if it is on the file system of the root and answers in time. One
    /// that does not is not asked again.
    ///
    /// # Errors
    /// The class of the failure: what is mounted over the file is [`ReadError::Unsupported`].
    pub fn read_host<'b>(&self, name: &CStr, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        self.inject(Call::Open, None)?;
        let bytes = self.host.read(&self.fd, name)?;
        let limit = self.inject(Call::Read, None)?;
        buffer.store(limit.and_then(|limit| bytes.get(..limit)).unwrap_or(&bytes));
        Ok(buffer.bytes())
    }

    /// The path of a long file of the whole host, such as `kallsyms`, if it is on the file system of the root, so that whoever
    /// reads it by itself is not kept waiting.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn host_path(&self, name: &CStr) -> Result<PathBuf, ReadError> {
        self.host.check(&self.fd, name)?;
        Ok(self.path.join(OsStr::from_bytes(name.to_bytes())))
    }

    /// A sentence for each file of the whole host that was not to be relied on.
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
            format!("{}/{name} {why}, and was not used: {instead}", shown(&self.path))
        };
        // Whoever misses the list of names says so.
        let troubles = self.host.troubles().into_iter().filter(|(name, _)| name != "kallsyms");
        troubles.map(sentence).collect()
    }

    /// The id of the PID namespace that a process is in, by its pid or as `self`.
    #[must_use]
    pub fn pid_namespace(&self, process: &str) -> Option<u64> {
        let name = PathName::new(&[Part::Text(process)], Source::PidNs.name(), None);
        let link = rustix::fs::readlinkat(&self.fd, name.as_cstr(), Vec::new()).ok()?;
        ns_id(link.to_bytes())
    }

    /// Reads a file of a process by its pid, such as `comm`.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn read_process<'b>(
        &self,
        tgid: u32,
        source: Source,
        file: &str,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let fd = self.open_at(self.fd.as_fd(), PathName::process(tgid, file).as_cstr(), OPEN_FILE, Some(source))?;
        self.read(fd.as_fd(), Some(source), buffer)
    }

    /// Reads a long file of a process piece by piece, through its thread `tid` if one is given, until its end or until
    /// `take` has enough.
    ///
    /// # Errors
    /// The class of the failure, whatever was taken before.
    pub fn stream(
        &self,
        tgid: u32,
        tid: Option<u32>,
        source: Source,
        buffer: &mut Buffer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let name = match tid {
            Some(tid) => {
                let parts = [Part::Number(tgid), Part::Text("task"), Part::Number(tid)];
                PathName::new(&parts, source.name(), None)
            }
            None => PathName::process(tgid, source.name()),
        };
        let fd = self.open_at(self.fd.as_fd(), name.as_cstr(), OPEN_FILE, Some(source))?;
        self.attempts.count(Some(source));
        buffer.len = 0;
        if buffer.bytes.len() < Buffer::PIECE {
            buffer.bytes.resize(Buffer::PIECE, 0);
        }
        let mut offset = 0;
        loop {
            let result = self.inject(Call::Read, Some(source)).and_then(|limit| {
                let read = rustix::io::pread(&fd, &mut *buffer.bytes, offset)?;
                Ok(limit.map_or(read, |limit| read.min(limit)))
            });
            let read = match result {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            offset += read as u64;
            let piece = buffer.bytes.get(..read).unwrap_or_default();
            if piece.is_empty() || take(piece).is_break() {
                return Ok(());
            }
        }
    }

    /// Reads a link of a process by its pid, such as `exe`.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn read_process_link(&self, tgid: u32, source: Source, file: &str) -> Result<Vec<u8>, ReadError> {
        self.link_at(self.fd.as_fd(), PathName::process(tgid, file).as_cstr(), source)
    }

    /// Opens a task's file, to be kept and read with [`read_open`](Self::read_open).
    ///
    /// # Errors
    /// The class of the failure.
    pub fn open_task_file(&self, dir: TaskDir<'_>, tid: u32, source: Source) -> Result<OwnedFd, ReadError> {
        let (base, name) = self.task_path(dir, tid, source.name(), None);
        match self.open_at(base, name.as_cstr(), OPEN_FILE, Some(source)) {
            // No such file: either no such task, or a kernel without this file.
            Err(ReadError::Gone) if source != Source::Stat && self.has_task(dir, tid) => Err(ReadError::Unsupported),
            result => result,
        }
    }

    /// Reads a kept file from its start, with one system call.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn read_open<'b>(
        &self,
        fd: BorrowedFd<'_>,
        source: Source,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        self.read(fd, Some(source), buffer)
    }

    /// Opens, reads and closes a task's file.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn read_task<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        source: Source,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let fd = self.open_task_file(dir, tid, source)?;
        self.read(fd.as_fd(), Some(source), buffer)
    }

    /// Reads a task's link: `ns/pid`, or `fd/N` where `number` is given. The target is never touched.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn read_task_link(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        source: Source,
        number: Option<u32>,
    ) -> Result<Vec<u8>, ReadError> {
        let (base, name) = self.task_path(dir, tid, source.name(), number);
        match self.link_at(base, name.as_cstr(), source) {
            // A descriptor may be closed at any time; any other link is of every task, or of none.
            Err(ReadError::Gone) if number.is_none() && self.has_task(dir, tid) => Err(ReadError::Unsupported),
            result => result,
        }
    }

    /// Whether the task itself is still there: tells a missing file from a missing task.
    #[must_use]
    pub fn has_task(&self, dir: TaskDir<'_>, tid: u32) -> bool {
        let (base, name) = self.task_path(dir, tid, Source::Stat.name(), None);
        rustix::fs::statat(base, name.as_cstr(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens the `task` directory of a process.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn open_task_dir(&self, tgid: u32) -> Result<OwnedFd, ReadError> {
        self.open_at(self.fd.as_fd(), PathName::process(tgid, "task").as_cstr(), OPEN_DIR, None)
    }

    /// What the `task` directory of a process tells without being listed.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn task_dir_status(&self, dir: TaskDir<'_>) -> Result<TaskDirStatus, ReadError> {
        let stat = match dir.dir {
            Some(fd) => rustix::fs::fstat(fd)?,
            None => {
                rustix::fs::statat(&self.fd, PathName::process(dir.tgid, "task").as_cstr(), AtFlags::SYMLINK_NOFOLLOW)?
            }
        };
        // `.` and `..`, then one link a thread: fs/proc/base.c, proc_task_getattr.
        #[allow(clippy::useless_conversion, reason = "the field is 32 bits wide on some architectures")]
        let links = u64::from(stat.st_nlink);
        Ok(TaskDirStatus { threads: links.saturating_sub(2), inode: stat.st_ino })
    }

    /// The user id that owns a process's directory: its effective user, or root when it is not
    /// dumpable.
    #[must_use]
    pub fn owner(&self, tgid: u32) -> Option<u32> {
        let name = PathName::process(tgid, "task");
        rustix::fs::statat(&self.fd, name.as_cstr(), AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_uid)
    }

    /// Lists the pids in the root, ascending, appended to `pids`.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn list_processes(&self, buffer: &mut Vec<u8>, pids: &mut Vec<u32>) -> Result<(), ReadError> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        list_numbers(self.fd.as_fd(), buffer, pids)
    }

    /// Lists the tids in a `task` directory, appended to `tids`.
    ///
    /// # Errors
    /// The class of the failure.
    pub fn list_tasks(&self, dir: BorrowedFd<'_>, buffer: &mut Vec<u8>, tids: &mut Vec<u32>) -> Result<(), ReadError> {
        self.inject(Call::Read, None)?;
        rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
        list_numbers(dir, buffer, tids)
    }

    fn task_path<'a>(
        &'a self,
        dir: TaskDir<'a>,
        tid: u32,
        file: &str,
        number: Option<u32>,
    ) -> (BorrowedFd<'a>, PathName) {
        match dir.dir {
            Some(fd) => (fd, PathName::new(&[Part::Number(tid)], file, number)),
            None => {
                let parts = [Part::Number(dir.tgid), Part::Text("task"), Part::Number(tid)];
                (self.fd.as_fd(), PathName::new(&parts, file, number))
            }
        }
    }

    fn inject(&self, call: Call, source: Option<Source>) -> Result<Option<usize>, Errno> {
        match self.faults.as_ref().and_then(|faults| faults.fault(call, source)) {
            None => Ok(None),
            Some(Fault::Fail(errno)) => Err(errno),
            Some(Fault::Short(len)) => Ok(Some(len)),
        }
    }

    fn open_at(
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
                    // One that succeeds is followed by the read.
                    self.attempts.count(source);
                    return Err(errno.into());
                }
            }
        }
    }

    fn link_at(&self, base: BorrowedFd<'_>, name: &CStr, source: Source) -> Result<Vec<u8>, ReadError> {
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
    fn read<'b>(
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
            // One `pread` gives the file, unless it fills the buffer: every `single_open` file of /proc.
            if !filled || buffer.len >= Buffer::MAX {
                return Ok(buffer.bytes());
            }
            buffer.bytes.resize(buffer.bytes.len() * 2, 0);
        }
    }
}

/// Appends the numeric entries of a directory, read with as few calls as the buffer allows.
fn list_numbers(dir: BorrowedFd<'_>, buffer: &mut Vec<u8>, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
    buffer.clear();
    let mut entries = rustix::fs::RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => numbers.extend(pid_name(entry.file_name().to_bytes())),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_fits() {
        let parts = [Part::Number(u32::MAX), Part::Text("task"), Part::Number(u32::MAX)];
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
