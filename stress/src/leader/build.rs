//! Building a storm: starting its processes, and waiting until its threads are in place.

use std::io;
use std::time::{Duration, Instant};

use super::audit;
use super::control::Control;
use super::error::StormError;
use crate::board::Cause;
use crate::host::limits;
use crate::plan::ProcessPlan;
use crate::plan::kind::Kind;
use crate::sys::process::fork;
use crate::worker;
use crate::worker::context::Context;

/// How many processes are forked between two looks at signals and at the memory that is left.
const FORK_BATCH: usize = 128;

/// Starts every process of the plan, or as many as the host allows.
pub(super) fn fork_all(control: &mut Control, best_effort: bool) -> Result<(), StormError> {
    let context = control.context;
    let processes = &context.plan.processes;
    for (i, process) in processes.iter().enumerate() {
        let is_checked = i % FORK_BATCH == 0;
        let forked = if is_checked && limits::memory_is_short() {
            Err((Cause::Memory, io::ErrorKind::OutOfMemory.into()))
        } else {
            fork(|| worker::run(context, process)).map_err(|error| (Cause::Fork, error))
        };
        match forked {
            Ok(pid) => control.children.add(pid),
            Err((cause, error)) => {
                let missing = processes[i..].iter().map(|process| planned(context, process));
                let errno = error.raw_os_error().unwrap_or(libc::ENOMEM);
                context.board.give_up(missing.sum(), cause, errno);
                return Ok(());
            }
        }
        if is_checked {
            control.wait(best_effort, Duration::ZERO)?;
        }
    }
    Ok(())
}

/// How many slots a process fills when it is complete.
fn planned(context: &Context, process: &ProcessPlan) -> usize {
    let vforks = context.plan.vforks_in(&process.slots);
    process.slots.len() + vforks + usize::from(process.churner.is_some())
}

/// Waits until every thread has arrived or has been given up.
pub(super) fn await_arrivals(control: &mut Control, best_effort: bool, deadline: Instant) -> Result<(), StormError> {
    let board = &control.context.board;
    let wanted = control.context.plan.slots();
    loop {
        // In this order, because a thread that gives up after it has arrived was counted before.
        let here = board.absent() + board.arrived();
        control.wait(best_effort, Duration::ZERO)?;
        if here >= wanted {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let arrived = board.arrived();
            return Err(StormError::Broken(format!(
                "{arrived} of {wanted} threads have arrived in time; see --timeout"
            )));
        }
        control.wait(best_effort, Duration::from_millis(5))?;
    }
}

/// Waits until the threads of the `wanted` kinds are in the state they should be in.
pub(super) fn settle(
    control: &mut Control,
    deadline: Instant,
    wanted: impl Fn(Kind) -> bool,
) -> Result<(), StormError> {
    let board = &control.context.board;
    let mut trouble = None;
    let settled = audit::await_settled(board, deadline, wanted, || {
        trouble = control.wait(true, Duration::ZERO).err();
        trouble.is_some()
    });
    trouble.map_or(settled.map_err(StormError::Broken), Err)
}
