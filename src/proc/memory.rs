//! Memory of another process, and what it sees of the file system: `mem`, `fdinfo`, `ns/mnt`, `root`.
//!
//! Reading `mem` faults pages in, and can block as long as a page takes: on a swap device, a userfaultfd, a FUSE file that is
//! mapped. Whoever reads it does so beside the sampling.
//!
//! process_vm_readv(2) would do the same, with the same rights. It takes a process by its number in psn's own PID namespace, so it is
//! of no use under another proc root, and needs code that is not safe in the sense of Rust. And an open `mem` stays that of the memory
//! that was there when it was opened, also after an exec.

use std::os::fd::AsFd as _;

use rustix::io::Errno;

use crate::proc::buffer::Buffer;
use crate::proc::error::ReadError;
use crate::proc::faults::Call;
use crate::proc::open::OPEN_FILE;
use crate::proc::root::ProcRoot;
use crate::proc::source::Source;
use crate::proc::task::TaskDir;

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

    /// Copies `len` bytes at `address` in the memory of a task.
    ///
    /// # Errors
    /// The class of the failure: [`ReadError::Dropped`] with `EIO` if there is no memory at this address.
    pub(crate) fn copy_memory<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        address: u64,
        len: usize,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let (base, name) = self.task_path(dir, tid, Source::Path.name(), None);
        let fd = self.open_at(base, name.as_cstr(), OPEN_FILE, Some(Source::Path))?;
        self.attempts().count(Some(Source::Path));
        buffer.len = 0;
        if buffer.bytes.len() < len {
            buffer.bytes.resize(len, 0);
        }
        while buffer.len < len {
            let from = address.checked_add(buffer.len as u64).filter(|from| i64::try_from(*from).is_ok());
            let from = from.ok_or(ReadError::Dropped(Errno::IO))?;
            let room = buffer.bytes.get_mut(buffer.len..len).unwrap_or_default();
            let most = self.inject(Call::Read, Some(Source::Path));
            let read = most.and_then(|most| {
                let read = rustix::io::pread(&fd, &mut *room, from)?;
                Ok(most.map_or(read, |most| read.min(most)))
            });
            match read {
                Err(Errno::INTR) => {}
                // The process has no memory any more.
                Ok(0) => return Err(ReadError::Gone),
                Err(errno) => return Err(errno.into()),
                Ok(read) => buffer.len += read,
            }
        }
        Ok(buffer.bytes())
    }

    /// Reads the text that ends with a zero byte at `address` in the memory of a task, without that byte; of a longer one, the first
    /// `limit` bytes. No page beyond the end of the text is touched.
    ///
    /// # Errors
    /// The class of the failure: [`ReadError::Dropped`] with `EIO` if there is no memory at this address,
    /// [`ReadError::Malformed`] if no zero byte follows within `limit` bytes.
    pub(crate) fn read_memory<'b>(
        &self,
        dir: TaskDir<'_>,
        tid: u32,
        address: u64,
        limit: usize,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        let (base, name) = self.task_path(dir, tid, Source::Path.name(), None);
        let fd = self.open_at(base, name.as_cstr(), OPEN_FILE, Some(Source::Path))?;
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
                return Err(ReadError::Malformed);
            }
            let most = self.inject(Call::Read, Some(Source::Path));
            let read = most.and_then(|most| {
                let read = rustix::io::pread(&fd, &mut *room, from)?;
                Ok(most.map_or(read, |most| read.min(most)))
            });
            match read {
                Err(Errno::INTR) => continue,
                // The process has no memory any more.
                Ok(0) => return Err(ReadError::Gone),
                Err(errno) => return Err(errno.into()),
                Ok(read) => {
                    let end = memchr::memchr(0, room.get(..read).unwrap_or_default());
                    buffer.len += end.unwrap_or(read);
                    if end.is_some() {
                        break;
                    }
                }
            }
        }
        Ok(buffer.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::open::DEFAULT_ROOT;

    fn read(address: u64) -> Result<Vec<u8>, ReadError> {
        let root = ProcRoot::open(DEFAULT_ROOT.as_ref()).unwrap();
        let (tgid, tid) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        let mut buffer = Buffer::default();
        root.read_memory(TaskDir { tgid, dir: None }, tid, address, 4096, &mut buffer).map(<[u8]>::to_vec)
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
            assert_eq!(read((start + from) as u64), Ok(vec![b'x'; len]), "{len} bytes");
        }
        memory.fill(b'x');
        assert_eq!(read(start as u64), Err(ReadError::Malformed), "no end within 4,096 bytes");
    }

    #[test]
    fn where_no_memory_is_there_is_no_text() {
        for address in [0, 8, 0x7fff_ffff_f000, 1 << 60, u64::MAX - 4, i64::MAX as u64] {
            assert!(matches!(read(address), Err(ReadError::Dropped(Errno::IO))), "{address:#x}: {:?}", read(address));
        }
    }
}
