//! Task directories, and the files of a task.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::open::{OPEN_DIR, OPEN_FILE};
use crate::proc::parse::system::pid_name;
use crate::proc::path::{Component, PathName};
use crate::proc::root::ProcRoot;
use crate::proc::source::Source;

/// The `task` directory of a process.
#[derive(Debug, Clone, Copy)]
pub struct TaskDir<'a> {
    /// The process id.
    pub tgid: u32,
    /// The directory, if it is open. If not, files are opened by the path `TGID/task/…`.
    pub dir: Option<BorrowedFd<'a>>,
}

/// What `fstat` tells of a `task` directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskDirStatus {
    /// The number of threads, by the link count.
    pub threads: u64,
    /// The inode number. Two processes that have the same pid one after the other have different inodes (fs/proc/base.c,
    /// `proc_pid_make_inode`). The reverse is not true: the kernel may drop an unused inode and give the same process
    /// another one later. It serves as the start time in `stat` would, but reading `stat` may block.
    pub inode: u64,
}

impl ProcRoot {
    /// Opens a task's file, to be read with [`read_open`](Self::read_open).
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn open_task_file(&self, dir: TaskDir<'_>, tid: u32, source: Source) -> Result<OwnedFd, ReadError> {
        let (base, name) = self.task_path(dir, tid, source.name(), None);
        match self.open_at(base, name.as_cstr(), OPEN_FILE, Some(source)) {
            // Either the task does not exist, or this kernel has no such file.
            Err(ReadError::Gone) if source != Source::Stat && self.has_task(dir, tid) => Err(ReadError::Unsupported),
            result => result,
        }
    }

    /// Reads an open file from its start, with one system call.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_open<'b>(
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
    pub(crate) fn read_task<'b>(
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
    pub(crate) fn read_task_link(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        source: Source,
        number: Option<u32>,
    ) -> Result<Vec<u8>, ReadError> {
        let (base, name) = self.task_path(dir, tid, source.name(), number);
        match self.link_at(base, name.as_cstr(), source) {
            // A descriptor may be closed at any time. Every other link exists for all tasks or for none.
            Err(ReadError::Gone) if number.is_none() && self.has_task(dir, tid) => Err(ReadError::Unsupported),
            result => result,
        }
    }

    /// Whether the task still exists: tells a missing file from a missing task.
    #[must_use]
    pub(crate) fn has_task(&self, dir: TaskDir<'_>, tid: u32) -> bool {
        let (base, name) = self.task_path(dir, tid, Source::Stat.name(), None);
        rustix::fs::statat(base, name.as_cstr(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens the `task` directory of a process.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn open_task_dir(&self, tgid: u32) -> Result<OwnedFd, ReadError> {
        self.open_at(self.fd.as_fd(), PathName::process(tgid, "task").as_cstr(), OPEN_DIR, None)
    }

    /// The number of threads of a process and the inode of its `task` directory.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn task_dir_status(&self, dir: TaskDir<'_>) -> Result<TaskDirStatus, ReadError> {
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

    /// Lists the pids in the root, ascending, appended to `pids`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn list_processes(&self, buffer: &mut Vec<u8>, pids: &mut Vec<u32>) -> Result<(), ReadError> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        list_numbers(self.fd.as_fd(), buffer, pids)
    }

    /// Lists the tids in a `task` directory, appended to `tids`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn list_tasks(
        &self,
        dir: BorrowedFd<'_>,
        buffer: &mut Vec<u8>,
        tids: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        self.inject(Call::Read, None)?;
        rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
        list_numbers(dir, buffer, tids)
    }

    /// The directory and the path relative to it by which a task's file is opened.
    pub(super) fn task_path<'a>(
        &'a self,
        dir: TaskDir<'a>,
        tid: u32,
        file: &str,
        number: Option<u32>,
    ) -> (BorrowedFd<'a>, PathName) {
        match dir.dir {
            Some(fd) => (fd, PathName::new(&[Component::Number(tid)], file, number)),
            None => {
                let parts = [Component::Number(dir.tgid), Component::Text("task"), Component::Number(tid)];
                (self.fd.as_fd(), PathName::new(&parts, file, number))
            }
        }
    }
}

/// Appends the numeric entries of a directory, read with as few calls as the buffer allows.
pub(super) fn list_numbers(dir: BorrowedFd<'_>, buffer: &mut Vec<u8>, numbers: &mut Vec<u32>) -> Result<(), ReadError> {
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
