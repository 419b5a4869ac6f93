//! The interface that all churners implement.

use rustix::process::{WaitOptions, wait};

/// Starts short-lived tasks of one type, and reaps them.
pub(super) trait Source {
    /// Starts task `number`; `false` when it cannot be started now.
    fn start(&mut self, number: u64) -> bool;

    /// Reaps the tasks that have ended.
    fn reap(&mut self);

    /// How many tasks have been started and not yet reaped.
    fn alive(&self) -> usize;
}

/// Reaps the child processes that have ended, and counts them.
pub(super) fn reap_processes() -> usize {
    let mut reaped = 0;
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {
        reaped += 1;
    }
    reaped
}
