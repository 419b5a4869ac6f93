//! The sampling clock: absolute deadlines on `CLOCK_MONOTONIC`, lateness, missed ticks.
//!
//! Tick *k* is due at start + *k* × period + jitter, whatever the passes before it took. A late pass
//! skips the ticks it overran and counts them; it never bursts to catch up. The jitter is drawn anew
//! for each tick, so it breaks lock-step with periodic programs and does not add up.

use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, which no clock setting moves and suspend stops.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Nanoseconds since 1970 by `CLOCK_REALTIME`.
#[must_use]
pub fn realtime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Nanoseconds of `CLOCK_BOOTTIME`, the clock that threads' start times are on; suspend does not stop it.
#[must_use]
pub fn boottime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

/// CPU time this process has used, user and system.
#[must_use]
pub fn process_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(clock_gettime(ClockId::ProcessCPUTime)))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Asks the kernel to wake the calling thread on time: by default it may be 50 µs late, to save power.
pub fn be_punctual() {
    // Refused, or unknown to the kernel: then ticks are a little later.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The deadline came.
    Due,
    /// The run is to stop.
    Stopped,
}

/// Sleeps are cut into slices of this length, so that a stop is noticed even when its signal went to
/// another thread.
const SLICE_NS: u64 = 200_000_000;

/// Sleeps until `deadline_ns` of [`monotonic_ns`], or until `stopped` says so.
pub fn sleep_until(deadline_ns: u64, stopped: &dyn Fn() -> bool) -> Wake {
    loop {
        if stopped() {
            return Wake::Stopped;
        }
        let now = monotonic_ns();
        if now >= deadline_ns {
            return Wake::Due;
        }
        let until = deadline_ns.min(now.saturating_add(SLICE_NS));
        let time = Timespec {
            tv_sec: i64::try_from(until / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(until % 1_000_000_000).unwrap_or(0),
        };
        // A signal ends the sleep early, and the loop looks at `stopped`.
        match clock_nanosleep_absolute(ClockId::Monotonic, &time) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(Duration::from_nanos(until - now)),
        }
    }
}

/// The deadlines of a run.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: u64,
    period_ns: u64,
    /// Jitter is drawn from 0 to below this share of a period, or of what is left of the run.
    jitter: f64,
    /// When the run is over.
    end_ns: Option<u64>,
    next: u64,
    last: Option<u64>,
    missed: u64,
    throttled: u64,
}

impl Schedule {
    /// Ticks at `hz` from `start_ns` on, for `duration`; without one, for ever. `jitter` is the share
    /// of a period, 0 to 1, by which a tick may be put off.
    #[must_use]
    pub fn new(start_ns: u64, hz: f64, duration: Option<Duration>, jitter: f64) -> Self {
        let period_ns = Duration::from_secs_f64(1.0 / hz).as_nanos();
        let period_ns = u64::try_from(period_ns).unwrap_or(u64::MAX).max(1);
        let duration_ns = duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let last = duration_ns.map(|duration_ns| duration_ns.div_ceil(period_ns).max(1) - 1);
        let end_ns = duration_ns.map(|duration_ns| start_ns.saturating_add(duration_ns));
        Self { start_ns, period_ns, jitter: jitter.clamp(0.0, 1.0), end_ns, next: 0, last, missed: 0, throttled: 0 }
    }

    /// When the next tick is due; none when the run is over.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.last.is_some_and(|last| self.next > last) {
            return None;
        }
        let due = self.start_ns.saturating_add(self.next.saturating_mul(self.period_ns));
        let left = self.end_ns.map_or(self.period_ns, |end| end.saturating_sub(due).min(self.period_ns));
        Some(due.saturating_add(self.jitter(left)))
    }

    /// When the tick after the next is due, jitter aside, or the run is over: by then the next should be done.
    #[must_use]
    pub fn due_after(&self) -> u64 {
        let due = self.start_ns.saturating_add(self.next.saturating_add(1).saturating_mul(self.period_ns));
        self.end_ns.map_or(due, |end| due.min(end))
    }

    /// The next tick's jitter, of which so many nanoseconds are the whole: a hash of its number, so that a run is the same
    /// each time it is asked.
    fn jitter(&self, whole_ns: u64) -> u64 {
        let jitter_ns = Duration::from_nanos(whole_ns).mul_f64(self.jitter).as_nanos();
        let jitter_ns = u64::try_from(jitter_ns).unwrap_or(0);
        if jitter_ns == 0 {
            return 0;
        }
        // splitmix64
        let mut z = (self.start_ns ^ self.next).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % jitter_ns
    }

    /// Goes on to the first tick that is not yet overdue at `now_ns`, nor due before `not_before_ns`;
    /// counts those it skips.
    pub fn advance(&mut self, now_ns: u64, not_before_ns: u64) {
        let missed = self.skip_to(now_ns);
        self.missed += missed;
        if not_before_ns > now_ns {
            self.next -= 1;
            let throttled = self.skip_to(not_before_ns);
            self.missed += throttled;
            self.throttled += throttled;
        }
    }

    /// Goes on to the first tick after this one that is due at `now_ns` or later; returns how many it skipped.
    fn skip_to(&mut self, now_ns: u64) -> u64 {
        let elapsed = now_ns.saturating_sub(self.start_ns);
        let due = elapsed.div_ceil(self.period_ns);
        let mut next = due.max(self.next + 1);
        if let Some(last) = self.last {
            next = next.min(last + 1);
        }
        let skipped = next - self.next - 1;
        self.next = next;
        skipped
    }

    /// Ticks skipped to keep within a budget, of those missed.
    #[must_use]
    pub const fn throttled(&self) -> u64 {
        self.throttled
    }

    /// Ticks due up to now, or in the whole run when it is over.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        self.next
    }

    /// Ticks skipped because a pass was late.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// The length of the whole run in ticks, if it ends by itself.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.last.map(|last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn schedule(hz: f64, seconds: f64) -> Schedule {
        Schedule::new(1000, hz, Some(Duration::from_secs_f64(seconds)), 0.0)
    }

    #[test]
    fn five_seconds_at_twenty_hertz_are_a_hundred_ticks() {
        assert_eq!(schedule(20.0, 5.0).total(), Some(100));
        assert_eq!(schedule(0.01, 5.0).total(), Some(1));
        assert_eq!(schedule(1000.0, 0.0005).total(), Some(1));
    }

    #[test]
    fn deadlines_do_not_drift() {
        let mut schedule = schedule(10.0, 1.0);
        for tick in 0..10 {
            let due = schedule.deadline().unwrap();
            assert_eq!(due, 1000 + tick * 100 * MS);
            schedule.advance(due + 30 * MS, 0);
        }
        assert_eq!(schedule.deadline(), None);
        assert_eq!((schedule.expected(), schedule.missed()), (10, 0));
    }

    #[test]
    fn a_late_pass_skips_ticks_and_counts_them() {
        let mut schedule = schedule(10.0, 1.0);
        schedule.advance(1000 + 350 * MS, 0);
        assert_eq!(schedule.deadline(), Some(1000 + 400 * MS));
        assert_eq!(schedule.missed(), 3);
        schedule.advance(1000 + 5000 * MS, 0);
        assert_eq!(schedule.deadline(), None);
        assert_eq!((schedule.expected(), schedule.missed()), (10, 8));
    }

    #[test]
    fn a_budget_skips_ticks_and_says_so() {
        let mut schedule = schedule(10.0, 1.0);
        schedule.advance(1000 + 50 * MS, 1000 + 310 * MS);
        assert_eq!(schedule.deadline(), Some(1000 + 400 * MS));
        assert_eq!((schedule.missed(), schedule.throttled()), (3, 3));
        schedule.advance(1000 + 550 * MS, 1000 + 560 * MS);
        assert_eq!(schedule.deadline(), Some(1000 + 600 * MS));
        assert_eq!((schedule.missed(), schedule.throttled()), (4, 3));
    }

    #[test]
    fn jitter_stays_within_its_share_and_does_not_add_up() {
        let mut schedule = Schedule::new(1000, 10.0, None, 0.5);
        let mut offsets = Vec::new();
        for tick in 0..1000 {
            let due = schedule.deadline().unwrap();
            let offset = due - (1000 + tick * 100 * MS);
            assert!(offset < 50 * MS);
            offsets.push(offset);
            schedule.advance(due, 0);
        }
        let mean = offsets.iter().sum::<u64>() / 1000;
        assert!((20 * MS..30 * MS).contains(&mean), "{mean}");
    }

    #[test]
    fn no_tick_is_put_off_beyond_the_end_of_the_run() {
        for (hz, seconds) in [(0.01, 0.05), (0.01, 5.0), (1.0, 2.5), (20.0, 1.0), (0.001, 0.001)] {
            for start in 0..50 {
                let end = start + (seconds * 1e9) as u64;
                let mut schedule = Schedule::new(start, hz, Some(Duration::from_secs_f64(seconds)), 1.0);
                while let Some(due) = schedule.deadline() {
                    assert!(due <= end && schedule.due_after() <= end, "{hz} {seconds}: {due}");
                    schedule.advance(due, 0);
                }
            }
        }
    }

    #[test]
    fn a_stop_ends_a_sleep_without_a_deadline() {
        assert_eq!(sleep_until(u64::MAX, &|| true), Wake::Stopped);
        assert_eq!(sleep_until(0, &|| false), Wake::Due);
    }
}
