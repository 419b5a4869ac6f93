//! The processes the leader has started, and their end.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::watch::Watch;

/// How long the end is waited for before the leader says that something hangs, and ends itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The processes the leader has started and not yet reaped. No number here can be another process's:
/// the kernel gives none away before it is reaped.
#[derive(Default)]
pub(super) struct Children {
    alive: HashSet<Pid>,
}

impl Children {
    pub(super) fn add(&mut self, pid: Pid) {
        self.alive.insert(pid);
    }

    /// Reaps what has ended, and returns the first that should not have.
    pub(super) fn reap(&mut self) -> Option<(Pid, WaitStatus)> {
        let mut first = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.alive.remove(&pid) {
                first = first.or(Some((pid, status)));
            }
        }
        first
    }

    /// Kills all and waits until no descendant is left: the children of a killed child die with it
    /// and then fall to the leader, which is their subreaper. Returns whether all have ended.
    pub(super) fn end(&mut self, watch: &Watch) -> bool {
        for pid in &self.alive {
            // Fails only for one that has ended.
            let _ = kill_process(*pid, Signal::KILL);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => {
                    self.alive.remove(&pid);
                }
                Ok(None) if Instant::now() < deadline => {
                    // Any event wakes; what else there is to know no longer matters.
                    let _ = watch.wait(Some(Duration::from_millis(20)));
                }
                Ok(None) => return false,
                Err(Errno::INTR) => {}
                Err(_) => return true, // ECHILD: nobody is left
            }
        }
    }
}
