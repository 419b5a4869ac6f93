//! Signals: which are ignored, how psn handles them, and how it resets them for programs that it starts.
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

/// Whether psn was started with `signal` ignored, as by `nohup`, or by a shell in the background.
#[must_use]
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, so sigaction(2) only writes the present one to `action`, which is large enough.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: the structure has only numbers, for which the zeros that it was filled with are valid.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Makes SIGINT, SIGTERM and SIGHUP set `stop`, and a second one end psn at once. Signals that are ignored stay ignored.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn stop_by(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
        // In this order: at the second signal the flag is set already, and the default action ends psn.
        flag::register_conditional_default(signal, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

/// Makes a write beyond the limit on file sizes an error (`EFBIG`), like one to a full disk, rather than the end of psn. Programs
/// that psn starts get the default action, as for every signal with a handler.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(|_| ())
}

/// Makes a program start with the default action for every signal, whatever psn was started with, and be killed when the thread
/// that started it ends.
pub(crate) fn as_if_new(command: &mut Command) {
    let prepare = || {
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: signal(2) may be called between fork and exec, when no handler of psn is needed any more. It fails for
            // the signals whose action cannot be changed, which does no harm.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
    };
    // SAFETY: it makes system calls, takes no lock and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}
