//! Threads on small stacks, all carved out of one mapping.
//!
//! A thread started the ordinary way takes two mappings, its stack and the guard below it, so a
//! process cannot pass `vm.max_map_count` / 2 = 32,765 of them. Here any number of stacks is one
//! mapping, without guards: what runs on them is a few calls deep, and known.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::c_void;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::process::mark_threaded;

/// What a thread runs; the argument is the number given to [`Stack::spawn`].
pub(crate) type ThreadMain = extern "C" fn(*mut c_void) -> *mut c_void;

/// A mapping that is divided into stacks. It is never unmapped.
pub(crate) struct Stacks {
    base: usize,
    size: usize,
    count: usize,
    taken: AtomicUsize,
}

/// One stack that no thread runs on.
pub(crate) struct Stack {
    base: usize,
    size: usize,
}

/// A running thread and the stack it runs on.
pub(crate) struct Thread {
    id: libc::pthread_t,
    stack: Stack,
}

impl Stacks {
    /// Reserves address space for `count` stacks; memory is only used page by page as stacks are.
    pub(crate) fn map(count: usize) -> io::Result<Self> {
        let size = stack_size();
        let len = count.checked_mul(size).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at an address the kernel chooses touches no memory in use.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len.max(size),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK,
            )
        }?;
        // SAFETY: the range is the mapping just made. Without the advice a huge page could make
        // every stack resident as a whole; a kernel without huge pages refuses it, harmlessly.
        let _ = unsafe { madvise(base, len.max(size), Advice::LinuxNoHugepage) };
        Ok(Self { base: base as usize, size, count, taken: AtomicUsize::new(0) })
    }

    /// The next stack; `None` when all are taken.
    pub(crate) fn take(&self) -> Option<Stack> {
        let i = self.taken.fetch_add(1, Ordering::Relaxed);
        (i < self.count).then(|| Stack { base: self.base + i * self.size, size: self.size })
    }
}

impl Stack {
    /// Starts a thread on this stack. If that fails, returns the stack with the error.
    pub(crate) fn spawn(self, main: ThreadMain, argument: usize) -> Result<Thread, (io::Error, Self)> {
        mark_threaded();
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let mut id = MaybeUninit::<libc::pthread_t>::uninit();
        // SAFETY: attr_init fills `attributes` before anything reads it. The stack is mapped for
        // ever, readable and writable, and not in use: `self` is the only handle to it and moves
        // into the Thread. `id` is read only when pthread_create has succeeded and so written it.
        unsafe {
            let attributes = attributes.as_mut_ptr();
            let mut error = libc::pthread_attr_init(attributes);
            if error == 0 {
                error = libc::pthread_attr_setstack(attributes, self.base as *mut c_void, self.size);
                if error == 0 {
                    let argument = std::ptr::without_provenance_mut(argument);
                    error = libc::pthread_create(id.as_mut_ptr(), attributes, main, argument);
                }
                libc::pthread_attr_destroy(attributes);
            }
            if error == 0 {
                Ok(Thread { id: id.assume_init(), stack: self })
            } else {
                Err((io::Error::from_raw_os_error(error), self))
            }
        }
    }

    /// The address just above the stack, where a stack that grows down begins.
    pub(crate) fn top(&self) -> *mut c_void {
        (self.base + self.size) as *mut c_void
    }
}

impl Thread {
    /// Takes the stack back if the thread has ended, else returns the thread as it is.
    pub(crate) fn try_join(self) -> Result<Stack, Self> {
        // SAFETY: `id` is a thread that nobody has joined or detached: only this method joins, and
        // it consumes the handle when it does.
        match unsafe { libc::pthread_tryjoin_np(self.id, std::ptr::null_mut()) } {
            0 => Ok(self.stack),
            _ => Err(self),
        }
    }
}

/// The C library's minimum, which holds thread-local storage and a signal frame, and 16 KiB to run.
fn stack_size() -> usize {
    // SAFETY: sysconf takes any number and answers -1 for those it does not know.
    let minimum = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
    let wanted = usize::try_from(minimum).unwrap_or(0).max(libc::PTHREAD_STACK_MIN) + (16 << 10);
    wanted.next_multiple_of(rustix::param::page_size())
}
