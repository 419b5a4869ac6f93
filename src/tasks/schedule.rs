//! When discovery lists the tasks again.

use std::time::Duration;

use crate::tasks::reads::Reads;
use crate::time::clock::monotonic_ns;

/// Tasks are listed at least this often, even if `loadavg` shows no new one.
const MAX_AGE_NS: u64 = 3_000_000_000;

/// Decides at each look whether a listing is due.
pub(super) struct ListingSchedule {
    /// Time between two looks.
    period: Duration,
    /// Whether `loadavg` counts the tasks of this proc root, rather than those of another PID namespace.
    trusts_loadavg: bool,
    /// The last pid and the number of tasks at the last look.
    last_loadavg: Option<(u64, u64)>,
    /// When the last listing began.
    listed_ns: u64,
    /// Whether no listing has succeeded yet.
    is_first: bool,
}

impl ListingSchedule {
    pub(super) const fn new(period: Duration, trusts_loadavg: bool) -> Self {
        Self { period, trusts_loadavg, last_loadavg: None, listed_ns: 0, is_first: true }
    }

    pub(super) const fn is_first(&self) -> bool {
        self.is_first
    }

    /// Notes that a listing succeeded.
    pub(super) const fn succeeded(&mut self) {
        self.is_first = false;
    }

    /// Whether the tasks are to be listed now: the last listing is old, `must_list` is set, or there may be a new task that
    /// the caller has to know at once (not if it `can_wait`).
    pub(super) fn is_due(&mut self, reads: &mut Reads, must_list: bool, can_wait: bool) -> bool {
        let now = monotonic_ns();
        let is_old = self.is_first || must_list || now.saturating_sub(self.listed_ns) >= MAX_AGE_NS;
        let loadavg = if self.trusts_loadavg { reads.last_pid_and_tasks() } else { None };
        let is_unchanged = loadavg.is_some() && loadavg == self.last_loadavg;
        self.last_loadavg = loadavg;
        let is_due = is_old || !(is_unchanged || can_wait);
        if is_due {
            self.listed_ns = now;
        }
        is_due
    }

    /// The pause after a look that took `spent`: what is left of the period, and at least as long as the look itself (at
    /// most 1 s), so that discovery never takes more than half a CPU.
    pub(super) fn pause_after(&self, spent: Duration) -> Duration {
        self.period.saturating_sub(spent).max(spent.min(Duration::from_secs(1)))
    }
}
