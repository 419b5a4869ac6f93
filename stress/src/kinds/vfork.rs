//! In uninterruptible sleep without any disk: the parent of a vfork child that does not end.
#![allow(unsafe_code)]

use std::io;
use std::ptr::from_ref;

use libc::{c_int, c_void};
use rustix::event::pause;
use rustix::process::{Pid, getpid};

use super::behaviour::{Behaviour, Place};
use super::futex;
use crate::board::{Board, Cause};
use crate::plan::kind::Kind;
use crate::plan::names::Names;
use crate::sys::process::tie_to;
use crate::sys::stacks::{Stack, Stacks};

pub(super) struct Vfork;

impl Behaviour for Vfork {
    fn run(&self, place: &Place<'_>) -> ! {
        let error = match (place.stacks.and_then(Stacks::take), place.vfork_child) {
            (Some(stack), Some(slot)) => {
                let child = Child { parent: getpid(), slot, board: place.board, names: place.names };
                start(&stack, &child).err()
            }
            _ => Some(io::ErrorKind::OutOfMemory.into()),
        };
        // Without a child this thread sleeps like a futex thread, and says so. (A child that was killed
        // from outside leads here too, without an error.)
        place.names.apply(Kind::Futex, place.slot);
        place.board.settle_as(place.slot, Kind::Futex);
        if let Some(error) = error {
            place.board.give_up(1, Cause::Vfork, error.raw_os_error().unwrap_or(libc::ENOMEM));
        }
        futex::sleep()
    }
}

/// The argument of the child.
struct Child<'a> {
    /// The parent, whose memory the child borrows.
    parent: Pid,
    slot: usize,
    board: &'a Board,
    names: Names,
}

/// Starts a child that borrows this thread's memory and never gives it back. Returns only if the
/// child could not be started or has been killed from outside.
fn start(stack: &Stack, child: &Child<'_>) -> io::Result<()> {
    let argument = from_ref(child).cast_mut().cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is mapped, and the borrows of it and of `child` outlive the child, as the call
    // returns only after the child's end. The child shares this thread's memory and thread-local storage
    // while this thread is suspended; it makes system calls through rustix, which touch neither errno
    // nor the heap, and atomic stores into shared memory.
    match unsafe { libc::clone(run_child, stack.top(), flags, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

extern "C" fn run_child(argument: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to a Child, which outlives this process and is only read.
    let child = unsafe { &*argument.cast::<Child<'_>>() };
    if tie_to(Some(child.parent)).is_err() {
        return 1;
    }
    child.names.apply(Kind::VforkChild, child.slot);
    child.board.arrive(child.slot, Kind::VforkChild);
    loop {
        pause();
    }
}
