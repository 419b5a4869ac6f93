//! How much of a CPU the reader of descriptors may use.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time that may be used: a tenth of the time that passes, and a little in advance.
#[derive(Debug)]
pub(super) struct TimeBudget {
    left_ns: i128,
    at: Instant,
}

impl TimeBudget {
    /// The most time that is saved up, in nanoseconds: so much may be used at once.
    const MAX_NS: i128 = 50_000_000;
    /// One part in so many of the time that passes.
    const SHARE: i128 = 10;

    pub(super) fn new() -> Self {
        Self { left_ns: Self::MAX_NS, at: Instant::now() }
    }

    /// Whether there is time left. If more was used than there was, as by a long table, nothing is left until that is made up for.
    pub(super) fn has_left(&mut self) -> bool {
        let now = Instant::now();
        self.left_ns = (self.left_ns + ns(now - self.at) / Self::SHARE).min(Self::MAX_NS);
        self.at = now;
        self.left_ns > 0
    }

    /// Calls `action`, and takes off the time that it was on a CPU.
    pub(super) fn spend<T>(&mut self, action: impl FnOnce() -> T) -> T {
        let began = used_ns();
        let result = action();
        self.left_ns -= used_ns() - began;
        result
    }
}

/// For how long this thread has been on a CPU.
fn used_ns() -> i128 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    i128::from(used.tv_sec) * 1_000_000_000 + i128::from(used.tv_nsec)
}

fn ns(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_in_advance_is_made_up_for() {
        let mut budget = TimeBudget::new();
        assert!(budget.has_left());
        budget.spend(|| std::thread::sleep(Duration::from_millis(60)));
        assert!(budget.has_left(), "it used no CPU");
        let before = budget.left_ns;
        let end = used_ns() + 5_000_000;
        budget.spend(|| while used_ns() < end {});
        assert!(budget.left_ns <= before - 4_000_000);
        budget.left_ns = -20_000_000;
        budget.at = Instant::now();
        let at = budget.at;
        assert!(!budget.has_left() || at.elapsed() > Duration::from_millis(150));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !budget.has_left() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
