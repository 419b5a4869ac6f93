//! One page of a file, mapped shared.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use libc::c_void;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

/// The size of a page on architectures with small pages.
const LEN: usize = 4096;

/// One page of a file, never unmapped.
pub(crate) struct SharedPage(*mut c_void);

impl SharedPage {
    /// Maps the first page of `file`.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: a new mapping at an address the kernel chooses touches no memory in use.
        let start =
            unsafe { mmap(std::ptr::null_mut(), LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0) }?;
        Ok(Self(start))
    }

    /// Makes the kernel read the page from the file.
    pub(crate) fn read(&self) {
        // SAFETY: the page is mapped for reading.
        unsafe { self.0.cast::<u8>().read_volatile() };
    }

    /// Writes to the page, which makes it dirty.
    pub(crate) fn write(&self) {
        // SAFETY: the page is mapped for writing, and nobody else in this process uses it.
        unsafe { self.0.cast::<u8>().write_volatile(1) }
    }

    /// Gives the page to open(2) as a path, for which the kernel has to read the page from the file. Returns when that has failed.
    pub(crate) fn open_as_path(&self) {
        // SAFETY: the kernel checks the memory that it reads a path from.
        unsafe { libc::openat(libc::AT_FDCWD, self.0.cast(), libc::O_RDONLY) };
    }

    /// Maps empty memory in its place: the kernel unmaps the page while it holds the process's memory lock.
    pub(crate) fn replace(&self) -> io::Result<()> {
        // SAFETY: what is replaced is this page alone, to which there is no reference.
        unsafe { mmap_anonymous(self.0, LEN, ProtFlags::READ, MapFlags::PRIVATE | MapFlags::FIXED) }?;
        Ok(())
    }
}
