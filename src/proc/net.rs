//! What the proc root tells of sockets and of epoll instances: tables of sockets, sets of watched files, and who has a socket open.

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;

use rustix::fs::AtFlags;

use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::open::OPEN_DIR;
use crate::proc::parse::system::ns_id;
use crate::proc::path::{Component, PathName};
use crate::proc::root::ProcRoot;
use crate::proc::source::Source;
use crate::proc::task::list_numbers;

/// A thread, by its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ThreadId {
    pub(crate) tgid: u32,
    pub(crate) tid: u32,
}

impl ThreadId {
    fn path(self, file: &str, number: Option<u32>) -> PathName {
        let parts = [Component::Number(self.tgid), Component::Text("task"), Component::Number(self.tid)];
        PathName::new(&parts, file, number)
    }
}

impl ProcRoot {
    /// The id of the network namespace of a thread.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn net_namespace(&self, of: ThreadId) -> Result<u64, ReadError> {
        let link = self.link_at(self.fd.as_fd(), of.path("ns/net", None).as_cstr(), Source::Socket)?;
        ns_id(&link).ok_or(ReadError::Malformed)
    }

    /// The id of psn's own network namespace; `None` if the root is not that of psn's own system.
    #[must_use]
    pub(crate) fn own_net_namespace(&self) -> Option<u64> {
        let link = self.is_proc().then(|| self.link_at(self.fd.as_fd(), c"self/ns/net", Source::Socket))?;
        ns_id(&link.ok()?)
    }

    /// Reads a table of the sockets of a thread's network namespace, such as `net/tcp`, line by line, until its end or until `take`
    /// breaks.
    ///
    /// # Errors
    /// The class of the failure, even if `take` got some lines before.
    pub(crate) fn read_sockets(
        &self,
        of: ThreadId,
        table: &str,
        buffer: &mut Buffer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.lines_at(&of.path(table, None), Source::Socket, buffer, take)
    }

    /// Reads `fdinfo` of a thread's descriptor line by line, until its end or until `take` breaks.
    ///
    /// # Errors
    /// The class of the failure, even if `take` got some lines before.
    pub(crate) fn stream_fdinfo(
        &self,
        of: ThreadId,
        fd: u32,
        buffer: &mut Buffer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.lines_at(&of.path("fdinfo", Some(fd)), Source::Fd, buffer, take)
    }

    /// How many files a process has open; `None` if this kernel does not tell (before Linux 6.2), or not psn.
    #[must_use]
    pub(crate) fn open_files(&self, tgid: u32) -> Option<u64> {
        let name = PathName::process(tgid, Source::Fd.name());
        let size = rustix::fs::statat(&self.fd, name.as_cstr(), AtFlags::SYMLINK_NOFOLLOW).ok()?.st_size;
        u64::try_from(size).ok().filter(|size| *size > 0)
    }

    /// Lists the descriptors of a process, appended to `numbers`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn list_descriptors(
        &self,
        tgid: u32,
        buffer: &mut Vec<u8>,
        numbers: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        let name = PathName::process(tgid, Source::Fd.name());
        let dir = self.open_at(self.fd.as_fd(), name.as_cstr(), OPEN_DIR, None)?;
        list_numbers(dir.as_fd(), buffer, numbers)
    }

    /// Lists the pids in the root, appended to `pids`, beside whoever else lists them.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn list_processes_aside(&self, buffer: &mut Vec<u8>, pids: &mut Vec<u32>) -> Result<(), ReadError> {
        // Another open directory has another position.
        let dir = self.open_at(self.fd.as_fd(), c".", OPEN_DIR, None)?;
        list_numbers(dir.as_fd(), buffer, pids)
    }

    /// The link of a descriptor of a process.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_descriptor_link(&self, tgid: u32, fd: u32) -> Result<Vec<u8>, ReadError> {
        let name = PathName::new(&[Component::Number(tgid)], Source::Fd.name(), Some(fd));
        self.link_at(self.fd.as_fd(), name.as_cstr(), Source::Fd)
    }

    fn lines_at(
        &self,
        name: &PathName,
        source: Source,
        buffer: &mut Buffer,
        take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut lines = TableLines::default();
        self.stream_at(name, source, buffer, &mut |piece| lines.push(piece, take))
    }
}

/// Cuts a text that comes in pieces into lines.
#[derive(Default)]
struct TableLines {
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl TableLines {
    /// The most bytes that are kept of a line: the longest, of a UNIX socket, is far shorter.
    const MAX: usize = 4096;

    fn push(&mut self, piece: &[u8], take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) if self.rest.is_empty() => take(end)?,
                Some(end) => {
                    self.keep(end);
                    let result = take(&self.rest);
                    self.rest.clear();
                    result?;
                }
                None => self.keep(part),
            }
        }
        ControlFlow::Continue(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = Self::MAX.saturating_sub(self.rest.len()).min(bytes.len());
        self.rest.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let text = b"one\ntwo and more\n\nfour\nno end";
        for size in 1..text.len() {
            let mut lines = TableLines::default();
            let mut told: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size) {
                let flow = lines.push(piece, &mut |line| {
                    told.push(line.to_vec());
                    ControlFlow::Continue(())
                });
                assert!(flow.is_continue());
            }
            assert_eq!(told, [&b"one"[..], b"two and more", b"", b"four"], "{size}");
        }
        let mut lines = TableLines::default();
        let flow =
            lines.push(b"a\nb\n", &mut |line| if line == b"a" { ControlFlow::Break(()) } else { panic!("{line:?}") });
        assert!(flow.is_break());
    }
}
