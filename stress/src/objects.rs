//! The kernel objects that threads sleep on, opened once by the leader and inherited by all: a few of
//! each kind, so that neither RLIMIT_NOFILE nor the pipe quota bounds the storm.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::event::epoll;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::plan::kind::Kind;

const EPOLLS: usize = 16;
const PIPES: usize = 16;
const FILES: usize = 64;

/// The kernel objects that threads sleep on.
pub(crate) struct Objects {
    pub(crate) epolls: Vec<OwnedFd>,
    /// Both ends, so that a reader never sees the end of the file.
    pub(crate) pipes: Vec<(OwnedFd, OwnedFd)>,
    pub(crate) files: Vec<File>,
}

impl Objects {
    /// Opens what the kinds in `counts` need; files without a name go into `dir`.
    pub(crate) fn open(counts: &[(Kind, u32)], dir: &Path) -> io::Result<Self> {
        let wanted = |kind: Kind, most: usize| {
            let count = counts.iter().find(|(counted, _)| *counted == kind).map_or(0, |(_, n)| *n);
            0..most.min(count as usize)
        };
        Ok(Self {
            epolls: wanted(Kind::Epoll, EPOLLS)
                .map(|_| Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?))
                .collect::<io::Result<_>>()?,
            pipes: wanted(Kind::Pipe, PIPES).map(|_| Ok(pipe_with(PipeFlags::CLOEXEC)?)).collect::<io::Result<_>>()?,
            files: wanted(Kind::Fsync, FILES)
                .map(|i| nameless_file(dir, i))
                .collect::<io::Result<_>>()
                .map_err(|error| io::Error::new(error.kind(), format!("a file in {}: {error}", dir.display())))?,
        })
    }
}

/// A file that never has a name or loses it at once, so that nothing can be left behind.
fn nameless_file(dir: &Path, i: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let tmpfile = i32::try_from(rustix::fs::OFlags::TMPFILE.bits()).unwrap_or(0);
    match options.clone().custom_flags(tmpfile).open(dir) {
        Ok(file) => return Ok(file),
        // The file system, or the kernel, has no O_TMPFILE.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {}
        Err(error) => return Err(error),
    }
    let path = dir.join(format!(".psn-storm-{}-{i}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_no_names() {
        let dir = std::env::temp_dir().join(format!("psn-storm-objects-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let objects = Objects::open(&[(Kind::Fsync, 3), (Kind::Pipe, 100)], &dir).unwrap();
        let names = std::fs::read_dir(&dir).unwrap().count();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((objects.files.len(), objects.pipes.len(), names), (3, PIPES, 0));
        assert!(objects.epolls.is_empty());
    }
}
