//! Files of a process as a whole: `comm`, `cmdline`, `exe`, `smaps`.

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::open::OPEN_FILE;
use crate::proc::path::{Component, PathName};
use crate::proc::root::ProcRoot;
use crate::proc::source::Source;

impl ProcRoot {
    /// Reads a file of a process, such as `comm`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_process<'b>(
        &self,
        tgid: u32,
        source: Source,
        file: &str,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let fd = self.open_at(self.fd.as_fd(), PathName::process(tgid, file).as_cstr(), OPEN_FILE, Some(source))?;
        self.read(fd.as_fd(), Some(source), buffer)
    }

    /// Reads a long file of a process piece by piece, until its end or until `take` breaks. If `tid` is given, reads the file of
    /// the same name of that thread.
    ///
    /// # Errors
    /// The class of the failure, even if `take` got some pieces before.
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
                let parts = [Component::Number(tgid), Component::Text("task"), Component::Number(tid)];
                PathName::new(&parts, source.name(), None)
            }
            None => PathName::process(tgid, source.name()),
        };
        self.stream_at(&name, source, buffer, take)
    }

    /// Reads the file `name` piece by piece, until its end or until `take` breaks.
    pub(super) fn stream_at(
        &self,
        name: &PathName,
        source: Source,
        buffer: &mut Buffer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let fd = self.open_at(self.fd.as_fd(), name.as_cstr(), OPEN_FILE, Some(source))?;
        self.attempts().count(Some(source));
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

    /// Reads a link of a process, such as `exe`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_process_link(&self, tgid: u32, source: Source, file: &str) -> Result<Vec<u8>, ReadError> {
        self.link_at(self.fd.as_fd(), PathName::process(tgid, file).as_cstr(), source)
    }

    /// The user id that owns the directory of a process: its effective user, or root if it is not dumpable.
    #[must_use]
    pub fn owner(&self, tgid: u32) -> Option<u32> {
        let name = PathName::process(tgid, "task");
        rustix::fs::statat(&self.fd, name.as_cstr(), AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_uid)
    }
}
