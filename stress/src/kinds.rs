//! What each kind of thread does, for ever. Nothing here allocates or can fail.

use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::event::{epoll, pause};
use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::futex;

use crate::board::Step;
use crate::context::Context;
use crate::plan::kind::Kind;
use crate::sys::nap;
use crate::vfork;

/// Turns the calling thread into number `slot` of the storm.
pub(crate) fn run(context: &Context, slot: usize) -> ! {
    let kind = context.plan.kind(slot);
    context.names.apply(kind, slot);
    if kind == Kind::Vfork {
        // The child borrows this thread's memory; its slot must say whose before it starts.
        prepare_vfork(context, slot);
    }
    context.board.arrive(slot, kind);
    match kind {
        Kind::Futex => sleep_in_futex(),
        Kind::Epoll => sleep_in_epoll(context, slot),
        Kind::Nanosleep => sleep_in_nanosleep(),
        Kind::Pipe => sleep_in_read(context, slot),
        Kind::Spin => spin(context),
        Kind::Vfork => sleep_in_vfork(context, slot),
        Kind::Stopped => stop(),
        Kind::Fsync => sync(context, slot),
        Kind::VforkChild | Kind::Harness => loop {
            pause();
        },
    }
}

fn sleep_in_futex() -> ! {
    let word = AtomicU32::new(0);
    loop {
        // Nobody knows the word, so nobody wakes it.
        let _ = futex::wait(&word, futex::Flags::PRIVATE, 0, None);
    }
}

fn sleep_in_epoll(context: &Context, slot: usize) -> ! {
    let Some(epoll) = pick(&context.objects.epolls, slot) else { sleep_in_futex() };
    loop {
        let mut events = [MaybeUninit::<epoll::Event>::uninit()];
        let _ = epoll::wait(epoll, &mut events[..], None);
    }
}

fn sleep_in_nanosleep() -> ! {
    loop {
        nap(Duration::from_secs(1 << 20));
    }
}

fn sleep_in_read(context: &Context, slot: usize) -> ! {
    let Some((reader, _)) = pick(&context.objects.pipes, slot) else { sleep_in_futex() };
    loop {
        let _ = rustix::io::read(reader, &mut [0u8; 1][..]);
    }
}

fn spin(context: &Context) -> ! {
    context.board.wait_at_gate();
    loop {
        std::hint::spin_loop();
    }
}

fn prepare_vfork(context: &Context, slot: usize) {
    if let Some(child) = context.plan.vfork_child(slot) {
        context.board.hint_parent(child);
    }
}

fn sleep_in_vfork(context: &Context, slot: usize) -> ! {
    let stack = context.stacks.get().and_then(crate::sys::stacks::Stacks::take);
    let error = match (stack, context.plan.vfork_child(slot)) {
        (Some(stack), Some(child)) => vfork::sleep_in_vfork(&stack, child).err(),
        _ => Some(std::io::ErrorKind::OutOfMemory.into()),
    };
    // Without a child this is one more sleeper, and says so. (A child that was killed from outside
    // takes this road too, silently.)
    context.names.apply(Kind::Futex, slot);
    context.board.settle_as(slot, Kind::Futex);
    if let Some(error) = error {
        context.board.give_up(1, Step::Vfork, error.raw_os_error().unwrap_or(libc::ENOMEM));
    }
    sleep_in_futex()
}

fn stop() -> ! {
    loop {
        // Only SIGCONT lets it go on, and then it stops again.
        let _ = kill_process(getpid(), Signal::STOP);
    }
}

fn sync(context: &Context, slot: usize) -> ! {
    const BLOCK: [u8; 4096] = [b's'; 4096];
    const BLOCKS: u64 = 256;
    let Some(file) = pick(&context.objects.files, slot) else { sleep_in_futex() };
    context.board.wait_at_gate();
    for block in (0..BLOCKS).cycle() {
        let written = rustix::io::pwrite(file, &BLOCK, block * BLOCK.len() as u64);
        if written.and_then(|_| rustix::fs::fsync(file)).is_err() {
            // A full disk may have room again.
            nap(Duration::from_millis(100));
        }
    }
    sleep_in_futex()
}

fn pick<T>(of: &[T], slot: usize) -> Option<&T> {
    of.get(slot.checked_rem(of.len())?)
}
