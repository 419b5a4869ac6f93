//! How many files of which kind an epoll instance watches, by `fdinfo` of its descriptor.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;

use foldhash::fast::RandomState;
use rustix::fs::{fstat, major, minor};

use super::question::{Found, KnownSet};
use crate::proc::net::ThreadId;
use crate::proc::parse::fdinfo::{self, WatchedFile};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError, TaskDir};

/// The sets that were read.
#[derive(Debug)]
pub(super) struct Sets {
    /// What was read last of a process's descriptor.
    last: HashMap<(u32, u32), ReadSet, RandomState>,
    /// The devices of sockets and of pipes, as the kernel numbers them.
    devices: [Option<u64>; 2],
}

/// What was read of a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReadSet {
    pub(super) set: KnownSet,
    /// The inode, if it watches one socket and nothing else.
    pub(super) only: Option<u64>,
}

impl Sets {
    /// The set of a process that has more files open is not read: the kernel makes the whole text for the first byte of it, while
    /// the program cannot use the set.
    pub(super) const MAX_OPEN: u64 = 65_536;
    /// Of so many files of a set at most, the link is read to tell what they are.
    const MAX_LINKS: usize = 8;
    /// The most sets that are kept.
    const MAX: usize = 1 << 16;

    pub(super) fn new() -> Self {
        let device = |stat: rustix::io::Result<rustix::fs::Stat>| {
            stat.ok().map(|stat| u64::from(major(stat.st_dev)) << 20 | u64::from(minor(stat.st_dev)))
        };
        let sockets = UnixStream::pair().ok().and_then(|(one, _)| device(fstat(one)));
        let pipes = std::io::pipe().ok().and_then(|(one, _)| device(fstat(one)));
        Self { last: HashMap::default(), devices: [sockets, pipes] }
    }

    /// Reads the set behind a thread's descriptor, and tells whether it was the same the last time. Where there is none, the answer.
    pub(super) fn read(
        &mut self,
        root: &ProcRoot,
        of: ThreadId,
        fd: u32,
        buffer: &mut Buffer,
        account: &mut dyn FnMut(Result<(), ReadError>),
    ) -> Result<(ReadSet, bool), Found> {
        if root.open_files(of.tgid).is_some_and(|open| open > Self::MAX_OPEN) {
            return Err(Found::Nowhere);
        }
        let (mut read, mut is_told, mut others) = (ReadSet::default(), true, Vec::new());
        let result = root.stream_fdinfo(of, fd, buffer, &mut |line| {
            for file in fdinfo::watched(line) {
                is_told &= file.device.is_some();
                if !self.add(&mut read, file, &mut others) {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        account(result);
        result.map_err(Found::Failed)?;
        if !is_told {
            return Err(Found::Failed(ReadError::Unsupported));
        }
        read.only = read.only.filter(|_| read.set.files() == 1);
        for descriptor in others {
            let link = root.read_task_link(TaskDir { tgid: of.tgid, dir: None }, of.tid, Source::Fd, Some(descriptor));
            account(link.as_ref().map(drop).map_err(|error| *error));
            count_other(&mut read.set, &link.unwrap_or_default());
        }
        if self.last.len() >= Self::MAX {
            self.last.clear();
        }
        let is_as_before = self.last.insert((of.tgid, fd), read) == Some(read);
        Ok((read, is_as_before))
    }

    /// Counts a file; `others` gets the descriptors of those of which more has to be read. False if it is one too many.
    fn add(&self, read: &mut ReadSet, file: WatchedFile, others: &mut Vec<u32>) -> bool {
        let set = &mut read.set;
        set.has_more = set.files() >= KnownSet::MAX_FILES;
        if set.has_more {
            return false;
        }
        match file.device {
            device if device == self.devices[0] => {
                set.sockets += 1;
                read.only = file.inode;
            }
            device if device == self.devices[1] => set.pipes += 1,
            _ => {
                set.others += 1;
                if others.len() < Self::MAX_LINKS {
                    others.push(file.descriptor);
                }
            }
        }
        true
    }

    /// What was read last of a large set, which is not read again for each row.
    pub(super) fn large(&self, of: ThreadId, fd: u32) -> Option<KnownSet> {
        self.last.get(&(of.tgid, fd)).map(|read| read.set).filter(|set| set.has_more)
    }

    /// Forgets what was read, so that large sets are read again.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }
}

/// Counts one of the other files by its link.
pub(super) fn count_other(set: &mut KnownSet, link: &[u8]) {
    let count = match link {
        b"anon_inode:[timerfd]" => &mut set.timers,
        b"anon_inode:[eventfd]" | b"anon_inode:[signalfd]" => &mut set.events,
        // Or the number belongs to another file since the set got this one.
        _ => return,
    };
    *count += 1;
    set.others -= 1;
}
