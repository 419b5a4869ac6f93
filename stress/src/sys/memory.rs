//! Memory that processes share after a fork.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Maps `len` zeroed 32-bit words, shared by this process and all processes it forks from now on.
pub(crate) fn shared_u32s(len: usize) -> io::Result<&'static [AtomicU32]> {
    let start = shared_bytes(len * size_of::<AtomicU32>())?;
    // SAFETY: the mapping is page-aligned, zeroed, `len` words long, never unmapped, and only ever
    // accessed through atomics.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

/// Maps `len` zeroed 64-bit words, shared by this process and all processes it forks from now on.
pub(crate) fn shared_u64s(len: usize) -> io::Result<&'static [AtomicU64]> {
    let start = shared_bytes(len * size_of::<AtomicU64>())?;
    // SAFETY: as for shared_u32s.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

fn shared_bytes(len: usize) -> io::Result<*mut libc::c_void> {
    // SAFETY: a new mapping at an address the kernel chooses touches no memory in use.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), len.max(1), ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    }?;
    Ok(start)
}
