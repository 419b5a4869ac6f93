//! One process of the storm: its main thread starts the other threads, then becomes a thread of the mix
//! itself.

pub(crate) mod churn;
pub(crate) mod context;

use std::io;

use context::Context;
use libc::c_void;

use crate::board::Cause;
use crate::host::limits;
use crate::kinds::behaviour::Place;
use crate::plan::ProcessPlan;
use crate::sys::process::tie_to;
use crate::sys::stacks::Stacks;

/// How many threads are started between two looks at the memory that is left.
const MEMORY_CHECK_INTERVAL: usize = 1024;

/// Runs one process of the plan. Returns only if the leader has ended.
pub(crate) fn run(context: &'static Context, process: &ProcessPlan) -> i32 {
    if tie_to(Some(context.leader)).is_err() {
        return 1;
    }
    let Some(first) = process.slots.clone().next() else {
        if let Some((slot, churner)) = process.churner {
            churn::run(context, slot, churner);
        }
        return 0;
    };
    start_threads(context, process);
    run_thread(context, first)
}

/// Starts all threads of the process but the main one, or as many as the host allows.
fn start_threads(context: &'static Context, process: &ProcessPlan) {
    let others = process.slots.clone().skip(1);
    let churner = process.churner.map(|(slot, _)| slot);
    let vforks = context.plan.vforks_in(&process.slots);
    let wanted = others.len() + vforks + usize::from(churner.is_some());
    if wanted == 0 {
        return;
    }
    let slots = others.chain(churner);
    let stacks = match Stacks::map(wanted) {
        Ok(stacks) => context.stacks.get_or_init(|| stacks),
        Err(error) => return give_up(context, process, slots, Cause::Stacks, &error),
    };
    for (started, slot) in slots.clone().enumerate() {
        let rest = slots.clone().skip(started);
        if started % MEMORY_CHECK_INTERVAL == 0 && limits::memory_is_short() {
            let error = io::ErrorKind::OutOfMemory.into();
            return give_up(context, process, rest, Cause::Memory, &error);
        }
        let spawned = match stacks.take() {
            Some(stack) => stack.spawn(thread_main, slot).map_err(|(error, _)| error),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        };
        if let Err(error) = spawned {
            return give_up(context, process, rest, Cause::Thread, &error);
        }
    }
}

/// Notes on the board that the `missing` threads will not be started, nor their vfork children.
fn give_up(
    context: &Context,
    process: &ProcessPlan,
    missing: impl Iterator<Item = usize> + Clone,
    cause: Cause,
    error: &io::Error,
) {
    let first = missing.clone().find(|slot| process.slots.contains(slot));
    let vforks = first.map_or(0, |first| context.plan.vforks_in(&(first..process.slots.end)));
    let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
    context.board.give_up(missing.count() + vforks, cause, errno);
}

/// Turns the calling thread into the one of the mix in `slot`.
fn run_thread(context: &Context, slot: usize) -> ! {
    let place = Place {
        slot,
        vfork_child: context.plan.vfork_child(slot),
        board: &context.board,
        names: context.names,
        stacks: context.stacks.get(),
    };
    context.behaviours.run(context.plan.kind(slot), &place)
}

extern "C" fn thread_main(slot: *mut c_void) -> *mut c_void {
    if let Some(context) = context::current() {
        let slot = slot.addr();
        match context.plan.churner(slot) {
            Some(churner) => churn::run(context, slot, churner),
            None => run_thread(context, slot),
        }
    }
    std::ptr::null_mut()
}
