//! Signals: as psn finds them, as it takes them, and as it leaves them to the programs it starts.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// Whether psn was started with `signal` ignored, as `nohup` does, and a shell for what it starts in the background.
#[must_use]
pub fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no action is given, so that sigaction(2) only writes the present one to the memory given, which is large enough.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros are valid for this structure of numbers, and it was written if anything was.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Has Ctrl-C and its like set `stop`, and the second of them end psn at once. Those that are ignored stay so.
///
/// # Errors
/// When the kernel refuses.
pub fn stop_by(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
        // In this order: the second signal finds the flag set and kills as if psn handled none.
        flag::register_conditional_default(signal, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

/// Has a write beyond the limit on file sizes be an error (`EFBIG`), as one to a full disk is, rather than the end of psn. A
/// program that is started has the default again, as a signal with a handler has.
///
/// # Errors
/// When the kernel refuses.
pub fn survive_file_size_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(|_| ())
}

/// Has a program start with the default action for every signal, whatever psn was started with, and end with the thread that
/// started it.
pub fn as_if_new(command: &mut Command) {
    let prepare = || {
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: signal(2) may be called between fork and exec, and no handler of psn's is needed any more. Of those for
            // which there is no other action it is refused, which is right.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
    };
    // SAFETY: it makes system calls, takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}
