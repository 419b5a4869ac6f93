//! Clocks, and the schedule of ticks by absolute deadlines on `CLOCK_MONOTONIC`.
//!
//! Tick *k* is due at start + *k* × period + jitter, however long earlier passes took. After a late pass, the ticks that it
//! overran are skipped, never made up for. Each tick has its own random jitter, which avoids lock-step with
//! periodic programs and does not accumulate.

use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The nanoseconds of `CLOCK_MONOTONIC`, which setting the clock does not change, and which stops during suspend.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// The nanoseconds since 1970, by `CLOCK_REALTIME`.
#[must_use]
pub(crate) fn realtime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// The nanoseconds of `CLOCK_BOOTTIME`, the clock of threads' start times, which does not stop during suspend.
#[must_use]
pub(crate) fn boottime_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

/// The CPU time that this process has used, user and system.
#[must_use]
pub(crate) fn process_cpu() -> Duration {
    Duration::from_nanos(nanoseconds(clock_gettime(ClockId::ProcessCPUTime)))
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Lowers the calling thread's timer slack to 1 ns. By default the kernel may wake it 50 µs late to save power.
pub(crate) fn be_punctual() {
    // If the kernel refuses, ticks are a little later.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The deadline was reached.
    Due,
    /// The run is being stopped.
    Stopped,
}

/// The longest uninterrupted sleep, so that a stop is noticed even if another thread received the signal.
const SLICE_NS: u64 = 200_000_000;

/// Sleeps until `deadline_ns` by [`monotonic_ns`], or until `stopped` returns true.
pub(crate) fn sleep_until(deadline_ns: u64, stopped: &dyn Fn() -> bool) -> Wake {
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
        // A signal ends the sleep early; the loop then asks `stopped`.
        match clock_nanosleep_absolute(ClockId::Monotonic, &time) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(Duration::from_nanos(until - now)),
        }
    }
}

/// The time between ticks at `hz` a second, nanoseconds; the longest there is for what is no rate.
#[must_use]
pub(crate) fn period_ns(hz: f64) -> u64 {
    let period = Duration::try_from_secs_f64(1.0 / hz).unwrap_or(Duration::MAX);
    u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The tick schedule of a run.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    start_ns: u64,
    period_ns: u64,
    /// A tick is delayed by less than this fraction of a period, or of the remaining run if that is shorter.
    jitter: f64,
    /// When the run ends; `None` for until stopped.
    end_ns: Option<u64>,
    /// The number of the next tick.
    next: u64,
    /// The number of the last tick of the run.
    last: Option<u64>,
    throttled: u64,
}

impl Schedule {
    /// A schedule of `hz` ticks per second from `start_ns` on, for `duration` or until stopped. `jitter` is the fraction of a
    /// period (0 to 1) by which a tick may be delayed.
    #[must_use]
    pub(crate) fn new(start_ns: u64, hz: f64, duration: Option<Duration>, jitter: f64) -> Self {
        let period_ns = period_ns(hz);
        let duration_ns = duration.map(|duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let last = duration_ns.map(|duration_ns| duration_ns.div_ceil(period_ns).max(1) - 1);
        let end_ns = duration_ns.map(|duration_ns| start_ns.saturating_add(duration_ns));
        Self { start_ns, period_ns, jitter: jitter.clamp(0.0, 1.0), end_ns, next: 0, last, throttled: 0 }
    }

    /// When the next tick is due; `None` after the last one.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<u64> {
        if self.last.is_some_and(|last| self.next > last) {
            return None;
        }
        let due = self.start_ns.saturating_add(self.next.saturating_mul(self.period_ns));
        let left = self.end_ns.map_or(self.period_ns, |end| end.saturating_sub(due).min(self.period_ns));
        Some(due.saturating_add(self.jitter(left)))
    }

    /// By when the next tick should be complete: when the tick after it is due, without jitter, or when the run ends.
    #[must_use]
    pub(crate) fn due_after(&self) -> u64 {
        let due = self.start_ns.saturating_add(self.next.saturating_add(1).saturating_mul(self.period_ns));
        self.end_ns.map_or(due, |end| due.min(end))
    }

    /// The delay of the next tick, as a fraction of `whole_ns`. It is a hash of the tick's number, so that repeated calls
    /// agree.
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

    /// Advances to the first tick that is due neither before `now_ns` nor before `not_before_ns`, and counts those
    /// skipped because of `not_before_ns`.
    pub(crate) fn advance(&mut self, now_ns: u64, not_before_ns: u64) {
        self.skip_to(now_ns);
        if not_before_ns > now_ns {
            self.next -= 1;
            self.throttled += self.skip_to(not_before_ns);
        }
    }

    /// Advances to the first tick after the current one that is due at `now_ns` or later; returns the number of skipped ticks.
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

    /// The number of ticks skipped to stay within a CPU budget.
    #[must_use]
    pub(crate) const fn throttled(&self) -> u64 {
        self.throttled
    }

    /// The number of ticks due so far, or in the whole run once it is over.
    #[must_use]
    pub(crate) const fn expected(&self) -> u64 {
        self.next
    }

    /// The number of ticks of the whole run; `None` if it runs until stopped.
    #[must_use]
    pub(crate) fn total(&self) -> Option<u64> {
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
        assert_eq!(schedule.expected(), 10);
    }

    #[test]
    fn a_late_pass_skips_ticks() {
        let mut schedule = schedule(10.0, 1.0);
        schedule.advance(1000 + 350 * MS, 0);
        assert_eq!(schedule.deadline(), Some(1000 + 400 * MS));
        schedule.advance(1000 + 5000 * MS, 0);
        assert_eq!(schedule.deadline(), None);
        assert_eq!(schedule.expected(), 10);
    }

    #[test]
    fn a_budget_skips_ticks_and_says_so() {
        let mut schedule = schedule(10.0, 1.0);
        schedule.advance(1000 + 50 * MS, 1000 + 310 * MS);
        assert_eq!(schedule.deadline(), Some(1000 + 400 * MS));
        assert_eq!(schedule.throttled(), 3);
        schedule.advance(1000 + 550 * MS, 1000 + 560 * MS);
        assert_eq!(schedule.deadline(), Some(1000 + 600 * MS));
        assert_eq!(schedule.throttled(), 3);
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
