//! The scheduler's clock, in which the kernel keeps since when a task waits.

use std::time::Duration;

use crate::kernel::clock::Waited;
use crate::kernel::parts::TaskRecord;
use crate::kernel::parts::state::TaskState;
use crate::time::clock::{monotonic_ns, realtime_ns};
use crate::time::moment::nanoseconds;

/// The difference between `CLOCK_MONOTONIC` and the scheduler's clock.
///
/// The two clocks drift apart: the scheduler's has its own start, and no time server corrects it. Each walk subtracts the time at
/// which psn got its CPU, by the scheduler's clock, from the time of the walk, by `CLOCK_MONOTONIC`. The result is the difference of
/// the clocks plus the time between the two instants, some 20 µs or more. So the smallest result of the last half second to second is
/// nearest to the difference alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedClock {
    /// The smallest result in the current interval.
    least: Option<i64>,
    /// The smallest result in the interval before.
    least_before: Option<i64>,
    /// The start of the current interval, by `CLOCK_MONOTONIC`.
    began_ns: u64,
    /// The time at which the walk was due, by `CLOCK_MONOTONIC`; 0 if it is unknown.
    pub(crate) due_ns: u64,
    /// The time since 1970 minus `CLOCK_MONOTONIC`, nanoseconds.
    real: i64,
}

impl SchedClock {
    /// The length of an interval. Within two intervals the clocks drift apart by less than 10 µs, unless one is being adjusted.
    const STRETCH: Duration = Duration::from_millis(500);

    /// Takes the result of a walk: see [`CLOCK_OFFSET`](crate::kernel::control::CLOCK_OFFSET).
    pub fn note(&mut self, offset: u64) {
        if offset != 0 {
            let now_ns = monotonic_ns();
            self.real = realtime_ns().cast_signed().wrapping_sub(now_ns.cast_signed());
            self.note_at(offset.cast_signed(), now_ns);
        }
    }

    fn note_at(&mut self, offset: i64, now_ns: u64) {
        let age_ns = now_ns.saturating_sub(self.began_ns);
        if age_ns >= nanoseconds(Self::STRETCH) {
            self.least_before = self.least.take().filter(|_| age_ns < 2 * nanoseconds(Self::STRETCH));
            self.began_ns = now_ns;
        }
        self.least = Some(self.least.map_or(offset, |least| least.min(offset)));
    }

    /// The difference, nanoseconds; `None` before the first walk.
    fn offset(&self) -> Option<i64> {
        let least = self.least?;
        Some(self.least_before.map_or(least, |before| before.min(least)))
    }

    /// How long a task has been off its CPU; `None` if it is on one or if that is unknown. `anchor` is the start of the wait: the caller
    /// keeps it as long as the wait lasts, and passes 0 for a new wait.
    pub fn waited(&self, task: &TaskRecord<'_>, anchor: &mut u64) -> Option<Waited> {
        /// A wait's start may be off by this much from walk to walk.
        const TOLERANCE_NS: u64 = 50_000;
        let since = if task.state == TaskState::RUNNING { task.queued.since } else { task.left() };
        if task.is_on_cpu || since.ns == 0 || task.queued.seen_ns == 0 {
            return None;
        }
        let since_ns = since.ns.checked_add_signed(self.offset()?)?.checked_add_signed(self.real)?;
        if anchor.abs_diff(since_ns) > TOLERANCE_NS {
            *anchor = since_ns;
        }
        let due_ns = self.due_ns.checked_add_signed(self.real)?;
        let is_by_chance = self.due_ns != 0 && *anchor <= due_ns;
        let seen_ns = task.queued.seen_ns.checked_add_signed(self.real)?;
        // The difference is some microseconds too large, so a wait can seem to begin after it was seen.
        Some(Waited {
            ns: seen_ns.saturating_sub(*anchor),
            since_ns: *anchor,
            is_by_chance,
            is_most: since.is_earliest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::parts::{Queued, Since, WaitFacts};

    /// A wait for which a task left its CPU then.
    fn left(ns: u64, is_earliest: bool) -> Option<&'static WaitFacts> {
        Some(Box::leak(Box::new(WaitFacts { left: Since { ns, is_earliest }, ..WaitFacts::default() })))
    }

    #[test]
    fn the_distance_is_the_least_of_late() {
        let mut clock = SchedClock::default();
        let second = 1_000_000_000;
        for (now_ns, offset, expected) in [
            (second, 900, 900),
            (second + 50_000_000, 700, 700),
            (second + 499_000_000, 800, 700),
            (second + 600_000_000, 790, 700),
            (second + 1_050_000_000, 720, 700),
            (second + 1_150_000_000, 760, 720),
            (9 * second, -4, -4),
            (20 * second, 30, 30),
        ] {
            clock.note_at(offset, now_ns);
            assert_eq!(clock.offset(), Some(expected), "at {now_ns}");
        }
    }

    #[test]
    fn a_wait_is_as_long_as_the_clocks_say() {
        let mut clock = SchedClock::default();
        let at = |seen_ns, ns| Queued { seen_ns, since: Since { ns, is_earliest: false } };
        let runnable = TaskRecord { queued: at(1_000_000, 700_000), ..TaskRecord::in_state(b'R') };
        assert_eq!(clock.waited(&runnable, &mut 0), None, "the distance of the clocks is not known yet");
        clock.note_at(-100_000, 1);
        clock.real = 5_000_000_000;
        let waited = |task: TaskRecord<'_>| {
            clock.waited(&task, &mut 0).map(|waited| (waited.ns, waited.since_ns - 5_000_000_000, waited.is_most))
        };
        assert_eq!(waited(runnable), Some((400_000, 600_000, false)));
        assert_eq!(waited(TaskRecord { is_on_cpu: true, ..runnable }), None);
        let asleep = |ns, is_earliest| TaskRecord {
            queued: at(1_000_000, 0),
            wait: left(ns, is_earliest),
            ..TaskRecord::in_state(b'S')
        };
        assert_eq!(waited(asleep(200_000, false)), Some((900_000, 100_000, false)));
        assert_eq!(waited(asleep(200_000, true)), Some((900_000, 100_000, true)));
        assert_eq!(waited(asleep(1_100_005, false)), Some((0, 1_000_005, false)), "not less than nothing");
        assert_eq!(waited(asleep(0, false)), None, "not known");
    }

    #[test]
    fn a_wait_that_began_after_the_walk_was_due_is_told() {
        let mut clock = SchedClock::default();
        clock.note_at(0, 1);
        let runnable = |ns| TaskRecord {
            queued: Queued { seen_ns: 1_000_000, since: Since { ns, is_earliest: false } },
            ..TaskRecord::in_state(b'R')
        };
        assert!(!clock.waited(&runnable(1), &mut 0).unwrap().is_by_chance, "it is not known when it was due");
        clock.due_ns = 900_000;
        let is_by_chance = |ns| clock.waited(&runnable(ns), &mut 0).unwrap().is_by_chance;
        assert_eq!([100, 899_000, 900_000, 900_001, 990_000].map(is_by_chance), [true, true, true, false, false]);
    }

    #[test]
    fn the_start_of_a_wait_stays_while_the_clocks_drift() {
        let mut clock = SchedClock::default();
        let asleep = |seen_ns| TaskRecord {
            queued: Queued { seen_ns, since: Since::default() },
            wait: left(1_000_000_000, false),
            ..TaskRecord::in_state(b'S')
        };
        let mut anchor = 0;
        let mut since = |offset: i64, seen_ns| {
            clock = SchedClock { least: Some(offset), ..SchedClock::default() };
            clock.waited(&asleep(seen_ns), &mut anchor).map(|waited| (waited.since_ns, waited.ns)).unwrap()
        };
        assert_eq!(since(1000, 2_000_000_000), (1_000_001_000, 999_999_000));
        assert_eq!(since(30_000, 3_000_000_000), (1_000_001_000, 1_999_999_000), "within what the clocks may be off");
        assert_eq!(since(60_000, 4_000_000_000), (1_000_060_000, 2_999_940_000));
    }
}
