//! Memory of another process, and what it sees of the file system: `mem`, `pagemap`, `fdinfo`, `ns/mnt`, `root`.
//!
//! Reading `mem` where a page is not in memory fetches the page, and waits for that without end and so that not even a kill ends it
//! (`mem_rw` in the kernel's `fs/proc/base.c`): for a swap device, a userfaultfd, a FUSE or NFS file that is mapped. So
//! `pagemap` is asked first, and only pages that are in memory are read. Both take the memory lock of the process, whose holder may be
//! stuck; that wait ends with psn. Whoever reads them does so beside the sampling.
//!
//! process_vm_readv(2) takes a process by its number in psn's own PID namespace, so it is of no use under another proc root, and needs
//! code that is not safe in the sense of Rust. Its wait for the memory lock does not end with psn. And an open `mem` stays that of
//! the memory that was there when it was opened, also after an exec.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;

use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::open::OPEN_FILE;
use crate::proc::root::ProcRoot;
use crate::proc::source::Source;
use crate::proc::task::TaskDir;

/// Which pages of a process are in memory, 8 bytes each.
const PAGEMAP: &str = "pagemap";

/// Where what is read of a memory ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MemoryEnd {
    /// Before the first zero byte.
    Zero,
    /// At the limit.
    Length,
}

impl ProcRoot {
    /// Reads `task/TID/fdinfo/N`.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_fdinfo<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        number: u32,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let (base, name) = self.task_path(dir, tid, Source::Fdinfo.name(), Some(number));
        let fd = self.open_at(base, name.as_cstr(), OPEN_FILE, Some(Source::Fdinfo))?;
        self.read(fd.as_fd(), Some(Source::Fdinfo), buffer)
    }

    /// Reads a link of a task that is read on behalf of `source`, such as `root` and `ns/mnt` to know which `mountinfo` is its own.
    ///
    /// # Errors
    /// The class of the failure.
    pub(crate) fn read_link_for(
        &self,
        source: Source,
        dir: TaskDir<'_>,
        tid: u32,
        link: &str,
    ) -> Result<Vec<u8>, ReadError> {
        let (base, name) = self.task_path(dir, tid, link, None);
        self.link_at(base, name.as_cstr(), source)
    }

    /// Reads the text that ends with a zero byte at `address` in the memory of a task, without that byte; `None` if a page that it
    /// lies on is not in memory. No page beyond the end of the text is touched.
    ///
    /// # Errors
    /// The class of the failure: [`ReadError::Dropped`] with `EIO` if the task has no memory at this address, and
    /// [`ReadError::Malformed`] if no zero byte follows within `limit` bytes.
    pub(crate) fn read_memory<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        address: u64,
        limit: usize,
        buffer: &'b mut Buffer,
    ) -> Result<Option<&'b [u8]>, ReadError> {
        self.read_pages(dir, tid, address, limit, MemoryEnd::Zero, buffer)
    }

    /// Copies `len` bytes at `address` in the memory of a task; `None` if a page of them is not in memory.
    ///
    /// # Errors
    /// The class of the failure: [`ReadError::Dropped`] with `EIO` if the task has no memory at this address.
    pub(crate) fn copy_memory<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        address: u64,
        len: usize,
        buffer: &'b mut Buffer,
    ) -> Result<Option<&'b [u8]>, ReadError> {
        self.read_pages(dir, tid, address, len, MemoryEnd::Length, buffer)
    }

    /// Reads at `address` in the memory of a task, page by page, up to `limit` bytes; `None` if a page is not in memory.
    fn read_pages<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        address: u64,
        limit: usize,
        until: MemoryEnd,
        buffer: &'b mut Buffer,
    ) -> Result<Option<&'b [u8]>, ReadError> {
        let open = |file| {
            let (base, name) = self.task_path(dir, tid, file, None);
            self.open_at(base, name.as_cstr(), OPEN_FILE, Some(Source::Path))
        };
        let pages = open(PAGEMAP)?;
        let memory = open(Source::Path.name())?;
        self.attempts().count(Some(Source::Path));
        buffer.len = 0;
        if buffer.bytes.len() < limit {
            buffer.bytes.resize(limit, 0);
        }
        let page = rustix::param::page_size() as u64;
        loop {
            let from = address.checked_add(buffer.len as u64).filter(|from| i64::try_from(*from).is_ok());
            // The kernel takes offsets up to the largest signed number.
            let from = from.ok_or(ReadError::Dropped(Errno::IO))?;
            let to_page_end = usize::try_from(page - from % page).unwrap_or(limit);
            let end = limit.min(buffer.len + to_page_end);
            let room = buffer.bytes.get_mut(buffer.len..end).unwrap_or_default();
            if room.is_empty() {
                return match until {
                    MemoryEnd::Zero => Err(ReadError::Malformed),
                    MemoryEnd::Length => Ok(Some(buffer.bytes())),
                };
            }
            if !self.is_in_memory(&pages, from / page)? {
                return Ok(None);
            }
            // The process may have no memory any more.
            let read = self.read_piece(&memory, from, room)?.ok_or(ReadError::Gone)?;
            let zero = || memchr::memchr(0, room.get(..read).unwrap_or_default());
            let end = if until == MemoryEnd::Zero { zero() } else { None };
            buffer.len += end.unwrap_or(read);
            if end.is_some() {
                return Ok(Some(buffer.bytes()));
            }
        }
    }

    /// Whether a page of the process is in memory, by its number.
    fn is_in_memory(&self, pages: &OwnedFd, number: u64) -> Result<bool, ReadError> {
        /// The page is in memory (`PM_PRESENT`).
        const PRESENT: u64 = 1 << 63;
        let mut entry = [0; 8];
        match self.read_piece(pages, number * 8, &mut entry)? {
            Some(8) => Ok(u64::from_ne_bytes(entry) & PRESENT != 0),
            // The file ends at the end of the address space.
            _ => Err(ReadError::Dropped(Errno::IO)),
        }
    }

    /// Reads once; `None` at the end of the file.
    fn read_piece(&self, file: &OwnedFd, from: u64, room: &mut [u8]) -> Result<Option<usize>, ReadError> {
        loop {
            let result = self.inject(Call::Read, Some(Source::Path)).and_then(|most| {
                let read = rustix::io::pread(file, &mut *room, from)?;
                Ok(most.map_or(read, |most| read.min(most)))
            });
            match result {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(read) => return Ok((read > 0).then_some(read)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::open::DEFAULT_ROOT;

    fn read(address: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let root = ProcRoot::open(DEFAULT_ROOT.as_ref()).unwrap();
        let (tgid, tid) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        let mut buffer = Buffer::default();
        root.read_memory(TaskDir { tgid, dir: None }, tid, address, 4096, &mut buffer)
            .map(|text| text.map(<[u8]>::to_vec))
    }

    #[test]
    fn a_text_is_read_up_to_its_end() {
        let page = rustix::param::page_size();
        let mut memory = vec![b'x'; 4 * page];
        let start = memory.as_ptr() as usize;
        let boundary = start.next_multiple_of(page) - start + page;
        for (from, len) in [(0, 0), (5, 1), (5, 200), (boundary - 3, 3), (boundary - 3, 10), (boundary - 1, 4095)] {
            memory.fill(b'x');
            memory[from + len] = 0;
            assert_eq!(read((start + from) as u64), Ok(Some(vec![b'x'; len])), "{len} bytes");
        }
        memory.fill(b'x');
        assert_eq!(read(start as u64), Err(ReadError::Malformed), "no end within 4,096 bytes");
    }

    #[test]
    fn where_no_memory_is_there_is_no_text() {
        for address in [0, 8, 0x7fff_ffff_f000, 1 << 60, u64::MAX - 4, i64::MAX as u64] {
            let told = read(address);
            assert!(matches!(told, Ok(None) | Err(ReadError::Dropped(Errno::IO))), "{address:#x}: {told:?}");
        }
    }

    #[test]
    fn no_page_is_fetched() {
        let page = rustix::param::page_size();
        // Large enough that it is mapped for itself, and not in memory before it is written to.
        let mut memory = vec![0_u8; 64 << 20];
        let middle = (memory.as_ptr() as usize + (32 << 20)).next_multiple_of(page);
        let at = middle - memory.as_ptr() as usize;
        assert_eq!(read(middle as u64), Ok(None));
        assert_eq!(read(middle as u64), Ok(None), "the first read has not fetched it");
        memory[at] = b'x';
        assert_eq!(read(middle as u64), Ok(Some(b"x".to_vec())));
    }
}
