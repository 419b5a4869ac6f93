//! A thread in uninterruptible sleep without any disk: the parent of a vfork child that stays.
#![allow(unsafe_code)]

use std::io;

use libc::{c_int, c_void};
use rustix::event::pause;

use crate::context;
use crate::plan::kind::Kind;
use crate::sys::process::tie_to;
use crate::sys::stacks::Stack;

/// Starts a child that borrows this thread's memory and never gives it back. Returns only if the
/// child could not be started or has been killed from outside.
pub(crate) fn sleep_in_vfork(stack: &Stack, slot: usize) -> io::Result<()> {
    let argument = std::ptr::without_provenance_mut::<c_void>(slot);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is mapped and this borrow of it outlives the child, as the call returns only
    // after the child's end. The child shares this thread's memory and thread-local storage while
    // this thread is suspended; it makes system calls through rustix, which touch neither errno nor
    // the heap, and atomic stores into shared memory.
    match unsafe { libc::clone(child, stack.top(), flags, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    let Some(context) = context::current() else {
        return 1;
    };
    let slot = argument.addr();
    // The number of the process it borrows from was written to the slot by the parent thread.
    if tie_to(context.board.parent_hint(slot)).is_err() {
        return 1;
    }
    context.names.apply(Kind::VforkChild, slot);
    context.board.arrive(slot, Kind::VforkChild);
    loop {
        pause();
    }
}
