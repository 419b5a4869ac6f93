//! Child processes: starting them by fork, tying them to their parent, and what they used.
#![allow(unsafe_code)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Set once this process starts a thread. [`fork`] refuses from then on.
static THREADED: AtomicBool = AtomicBool::new(false);

/// Notes that this process has more than one thread from now on.
pub(crate) fn mark_threaded() {
    THREADED.store(true, Ordering::Relaxed);
}

/// Forks a process that runs `child` and exits with the status that `child` returns. The new process
/// runs no destructors and no exit handlers of the caller. Refused in a process with several threads:
/// a lock that another thread holds would stay locked in the child.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    if THREADED.load(Ordering::Relaxed) {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: the process has one thread (checked above), so the child finds every lock free and
    // may do whatever its parent could.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            let status = catch_unwind(AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: _exit takes any status and does not return.
            unsafe { libc::_exit(status) }
        }
        _ => Pid::from_raw(pid.max(0)).ok_or_else(io::Error::last_os_error),
    }
}

/// The process id with this number; `None` for 0 and for numbers out of range.
pub(crate) fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Makes the kernel kill this process when its parent ends. Fails if the parent is not `parent`: it
/// ended before the kernel was asked.
pub(crate) fn tie_to(parent: Option<Pid>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// How a child process ended, and what it used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time, user and system, of the child and of all its descendants that it has waited for.
    pub(crate) cpu: std::time::Duration,
    /// Whether it exited with status 0.
    pub(crate) succeeded: bool,
}

/// Waits until the child `pid` has ended, reaps it, and returns its CPU time, which `waitid` does not
/// tell.
pub(crate) fn wait_for_usage(pid: Pid) -> io::Result<Usage> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value for wait4 to overwrite.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals.
        let waited = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage) };
        if waited >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0);
        std::time::Duration::from_micros(micros)
    };
    Ok(Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), succeeded: status == 0 })
}
