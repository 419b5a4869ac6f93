//! The state of the leader itself, which is also in the ground truth.

use std::io::Read as _;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitOptions, kill_process, waitpid};

use super::audit::{self, ThreadState};
use super::control::Control;
use super::error::StormError;
use super::watch::Event;
use crate::plan::kind::Kind;
use crate::sys::nap;
use crate::sys::process::{fork, tie_to};

/// How long the leader waits for the observer.
const OBSERVER_TIME: Duration = Duration::from_secs(5);

/// The state of the leader while it holds the storm. A short-lived child, the observer, reads it while the leader sleeps in
/// the same system call in which it will hold the storm.
pub(super) fn observe(control: &mut Control) -> Result<ThreadState, StormError> {
    let known = ThreadState { state: Some('S'), syscall_nr: Some(libc::SYS_ppoll), ..ThreadState::default() };
    let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC) else {
        return Ok(known);
    };
    let leader = control.context.leader;
    let observer = fork(|| {
        if tie_to(Some(leader)).is_ok() {
            let state = observe_asleep(leader.as_raw_nonzero().get().unsigned_abs());
            let _ = rustix::io::write(&writer, &serde_json::to_vec(&state).unwrap_or_default());
        }
        0
    });
    drop(writer);
    let Ok(observer) = observer else {
        return Ok(known);
    };
    let mut event = control.watch.wait_or_readable(&reader, OBSERVER_TIME);
    if event == Some(Event::Child) {
        // The child has stopped, as it should, or has ended, which is noticed below.
        event = control.watch.wait_or_readable(&reader, OBSERVER_TIME);
    }
    let mut seen = Vec::new();
    if event == Some(Event::Readable) {
        let _ = std::fs::File::from(reader).read_to_end(&mut seen);
    }
    let _ = kill_process(observer, Signal::KILL);
    let _ = waitpid(Some(observer), WaitOptions::empty());
    control.check(event)?;
    Ok(match serde_json::from_slice::<ThreadState>(&seen) {
        // The kernel may not let a child read all files of its parent. The ground truth then has what could be read.
        Ok(seen) if seen.state == known.state => {
            ThreadState { syscall_nr: seen.syscall_nr.or(known.syscall_nr), ..seen }
        }
        _ => known,
    })
}

/// The state of process `pid` once it sleeps. Two equal states in a row mean that it sleeps, and is not on its way to sleep.
fn observe_asleep(pid: u32) -> ThreadState {
    let mut state = audit::observe(pid, pid);
    for _ in 0..200 {
        nap(Duration::from_millis(2));
        let last = std::mem::replace(&mut state, audit::observe(pid, pid));
        if last == state && state.state == Kind::Futex.settled_state() {
            break;
        }
    }
    state
}
