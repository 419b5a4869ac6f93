//! Stopped by SIGSTOP, which it sends to its own process.

use rustix::process::{Signal, getpid, kill_process};

use super::behaviour::{Behaviour, Place};

pub(super) struct Stopped;

impl Behaviour for Stopped {
    fn run(&self, _: &Place<'_>) -> ! {
        loop {
            // Only SIGCONT continues the process, and then it stops again.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    }
}
