//! How many files of which kind an epoll instance watches, by `fdinfo` of its descriptor.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;

use foldhash::fast::RandomState;
use rustix::fs::{fstat, major, minor};

use crate::proc::net::ThreadId;
use crate::proc::parse::fdinfo;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::descriptors::question::{Found, KnownSet};

/// The sets that were read.
#[derive(Debug)]
pub(super) struct Sets {
    /// What was read last of a process's descriptor.
    last: HashMap<(u32, u32), KnownSet, RandomState>,
    /// The devices of sockets and of pipes, as the kernel numbers them.
    devices: [Option<u64>; 2],
}

/// What was read of a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadSet {
    pub(super) set: KnownSet,
    /// Whether it was the same the last time.
    pub(super) is_as_before: bool,
}

impl Sets {
    /// The set of a process that has more files open is not read: the kernel makes the whole text for the first byte of it, while
    /// the program cannot use the set.
    pub(super) const MAX_OPEN: u64 = 65_536;
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

    /// Reads the set behind a thread's descriptor. Where there is none, the answer.
    pub(super) fn read(
        &mut self,
        root: &ProcRoot,
        of: ThreadId,
        fd: u32,
        buffer: &mut Buffer,
        account: &mut dyn FnMut(Result<(), ReadError>),
    ) -> Result<ReadSet, Found> {
        let key = (of.tgid, fd);
        if root.open_files(of.tgid).is_some_and(|open| open > Self::MAX_OPEN) {
            return Err(Found::Nowhere);
        }
        let (mut set, mut is_told) = (KnownSet::default(), true);
        let result = root.read_fdinfo(of, fd, buffer, &mut |line| {
            for file in fdinfo::watched(line) {
                set.has_more = set.sockets + set.pipes + set.others >= KnownSet::MAX_FILES;
                if set.has_more {
                    return ControlFlow::Break(());
                }
                is_told &= file.device.is_some();
                match file.device {
                    device if device == self.devices[0] => set.sockets += 1,
                    device if device == self.devices[1] => set.pipes += 1,
                    _ => set.others += 1,
                }
            }
            ControlFlow::Continue(())
        });
        account(result);
        result.map_err(Found::Failed)?;
        if !is_told {
            return Err(Found::Failed(ReadError::Unsupported));
        }
        if self.last.len() >= Self::MAX {
            self.last.clear();
        }
        let is_as_before = self.last.insert(key, set) == Some(set);
        Ok(ReadSet { set, is_as_before })
    }

    /// What was read last of a large set, which is not read again for each row.
    pub(super) fn large(&self, of: ThreadId, fd: u32) -> Option<KnownSet> {
        self.last.get(&(of.tgid, fd)).copied().filter(|set| set.has_more)
    }

    /// Forgets what was read, so that large sets are read again.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }
}
