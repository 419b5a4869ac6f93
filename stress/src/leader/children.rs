//! The child processes of the leader.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::watch::Watch;

/// How long the leader waits for its descendants to end, before it reports that some have not and ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes the leader has started and not yet reaped. Until they are reaped, the kernel gives their process
/// ids to no other process.
#[derive(Default)]
pub(super) struct Children {
    alive: HashSet<Pid>,
}

impl Children {
    pub(super) fn add(&mut self, pid: Pid) {
        self.alive.insert(pid);
    }

    /// Reaps all children that have ended, and returns the first of them that [`Self::add`] was told of.
    pub(super) fn reap(&mut self) -> Option<(Pid, WaitStatus)> {
        let mut first = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.alive.remove(&pid) {
                first = first.or(Some((pid, status)));
            }
        }
        first
    }

    /// Kills all children and waits until no descendant is left. The children of a killed child are killed by
    /// the kernel and reaped by the leader, their subreaper. Returns whether all have ended.
    pub(super) fn end(&mut self, watch: &Watch) -> bool {
        for pid in &self.alive {
            // Fails only if the process has ended.
            let _ = kill_process(*pid, Signal::KILL);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => {
                    self.alive.remove(&pid);
                }
                Ok(None) if Instant::now() < deadline => {
                    // Which event it is no longer matters.
                    let _ = watch.wait(Some(Duration::from_millis(20)));
                }
                Ok(None) => return false,
                Err(Errno::INTR) => {}
                Err(_) => return true, // ECHILD: nobody is left
            }
        }
    }
}
