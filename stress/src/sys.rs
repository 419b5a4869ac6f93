//! The few calls that neither std nor rustix offers in a safe form: fork, signals as a file, and
//! memory shared between processes.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rustix::process::{Pid, Signal};

/// Set by the first thread a process starts, and inherited by nothing: see [`fork`].
static THREADED: AtomicBool = AtomicBool::new(false);

/// Notes that this process has more than one thread from now on.
pub(crate) fn mark_threaded() {
    THREADED.store(true, Ordering::Relaxed);
}

/// Runs `child` in a new process that ends with the exit status `child` returns, and never runs
/// anything of the caller's: no destructors, no exit handlers. Only for single-threaded processes;
/// in another it is refused, since a lock held by some other thread would stay held in the child.
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

/// A process id from a number that may be none.
pub(crate) fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Blocks `signals` in this thread, and in all threads and processes it starts from now on, and
/// returns a file that yields them instead.
pub(crate) fn signals_as_file(signals: &[Signal]) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero sigset_t is a valid value for sigemptyset to overwrite; the pointers are
    // to a live local; signalfd returns a new descriptor that nothing else owns, or -1.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.as_raw());
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `len` zeroed words that this process and all it forks from now on have in common.
pub(crate) fn shared_u32s(len: usize) -> io::Result<&'static [AtomicU32]> {
    let start = shared_bytes(len * size_of::<AtomicU32>())?;
    // SAFETY: the mapping is page-aligned, zeroed, `len` words long, never unmapped, and only ever
    // accessed through atomics.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

/// `len` zeroed double words that this process and all it forks from now on have in common.
pub(crate) fn shared_u64s(len: usize) -> io::Result<&'static [AtomicU64]> {
    let start = shared_bytes(len * size_of::<AtomicU64>())?;
    // SAFETY: as for shared_u32s.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

fn shared_bytes(len: usize) -> io::Result<*mut libc::c_void> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    // SAFETY: a new mapping at an address the kernel chooses touches no memory in use.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), len.max(1), ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    }?;
    Ok(start)
}

/// How a child process ended, and what it used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time, user and system, of the child and of all its descendants that it has waited for.
    pub(crate) cpu: std::time::Duration,
    /// Whether it exited with status 0.
    pub(crate) succeeded: bool,
}

/// Waits until the child `pid` has ended, reaps it, and says what it used: what `wait4` knows and
/// `waitid` does not tell.
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
