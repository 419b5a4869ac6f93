//! The ticks of a run as its ages need them, shared by all who count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ticks::{Pace, RecentTicks};
use super::unseen::UnseenAges;

/// The beginning of a tick.
#[derive(Debug, Clone, Copy)]
pub struct TickStart {
    /// When its pass began, nanoseconds, by a clock that is the same for all ticks of a run.
    pub now_ns: u64,
    /// How long after it was due that was, nanoseconds.
    pub late_ns: u64,
    /// The time between ticks that was asked for, nanoseconds.
    pub period_ns: u64,
    /// Whether the run of the last completed tick is another one.
    pub begins_run: bool,
}

impl TickStart {
    /// So long after the beginning of a pass it has surely begun: the scheduler's clock is not exact.
    const MARGIN_NS: u64 = 50_000;

    /// When the tick was due.
    pub(crate) const fn due_ns(&self) -> u64 {
        self.now_ns.saturating_sub(self.late_ns)
    }

    /// When its pass had surely begun: then psn had a CPU, and its start causes no wait any more.
    pub(crate) const fn has_begun_ns(&self) -> u64 {
        self.now_ns.saturating_add(Self::MARGIN_NS)
    }
}

/// When the first and the last thread were seen, nanoseconds after their tick was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SeenBetween(Option<(u64, u64)>);

impl SeenBetween {
    /// Notes that a thread was seen then.
    pub(crate) fn note(&mut self, after_ns: u64) {
        self.merge(Self(Some((after_ns, after_ns))));
    }

    /// Includes all of `other`.
    pub(crate) fn merge(&mut self, other: Self) {
        let Some((first, last)) = other.0 else { return };
        self.0 = Some(self.0.map_or((first, last), |known| (known.0.min(first), known.1.max(last))));
    }
}

/// The ticks that were completed, and the one that is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct TickLog(Arc<Mutex<LoggedTicks>>);

#[derive(Debug, Default)]
struct LoggedTicks {
    completed: Option<RecentTicks>,
    current: Option<(RecentTicks, TickStart)>,
    seen: SeenBetween,
    unseen: UnseenAges,
}

impl TickLog {
    /// A tick begins. If it is not completed, the next one takes its place.
    pub(crate) fn begin(&self, start: TickStart) {
        let TickStart { now_ns, period_ns, begins_run, .. } = start;
        let mut ticks = self.lock();
        ticks.seen = SeenBetween::default();
        let recent = match ticks.completed {
            None => RecentTicks::new(now_ns, period_ns),
            Some(mut recent) => {
                if begins_run {
                    recent.begin_run(now_ns, period_ns);
                } else {
                    recent.advance(now_ns);
                }
                recent
            }
        };
        ticks.current = Some((recent, start));
    }

    /// Notes when threads were seen in the tick that has begun.
    pub(crate) fn note_seen(&self, seen: SeenBetween) {
        self.lock().seen.merge(seen);
    }

    /// The tick that has begun is completed, and took `pass_ns`.
    pub(crate) fn end(&self, pass_ns: u64) {
        let mut ticks = self.lock();
        if let Some((recent, TickStart { late_ns, .. })) = ticks.current.take() {
            ticks.completed = Some(recent);
            let (first, last) = ticks.seen.0.unwrap_or((late_ns, late_ns.saturating_add(pass_ns)));
            ticks.unseen.note(first, last.saturating_sub(first));
        }
    }

    /// The tick under way with those before it, and its beginning; `None` if none has begun.
    pub(crate) fn current(&self) -> Option<(RecentTicks, TickStart)> {
        self.lock().current
    }

    /// How many ticks were completed, how regular they were, and how late; `None` if there was none.
    pub(crate) fn completed(&self) -> Option<(Pace, UnseenAges)> {
        let ticks = self.lock();
        Some((ticks.completed?.pace(), ticks.unseen.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, LoggedTicks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_is_not_completed_does_not_count() {
        let log = TickLog::default();
        let begin = |now_ns| log.begin(TickStart { now_ns, late_ns: 3, period_ns: 50, begins_run: false });
        assert!(log.completed().is_none() && log.current().is_none());
        begin(1000);
        log.end(4);
        begin(1050);
        begin(1100);
        assert_eq!(log.completed().unwrap().0.ticks, 1);
        assert_eq!(log.current().unwrap().0.within(99), 0, "the tick at 1050 was not completed");
        assert_eq!(log.current().unwrap().0.within(100), 1);
        log.end(4);
        assert_eq!(log.completed().unwrap().0, Pace { ticks: 2, period_s: 100e-9, irregularity: 1.0 });
    }
    #[test]
    fn threads_are_seen_when_they_say_or_else_at_any_time_of_the_pass() {
        let log = TickLog::default();
        let begin = || log.begin(TickStart { now_ns: 1_000_000, late_ns: 100_000, period_ns: 50, begins_run: false });
        let seen = |age_ns| log.completed().unwrap().1.seen(age_ns).1;
        begin();
        assert_eq!(log.current().unwrap().1.due_ns(), 900_000, "when it was due");
        let mut two = SeenBetween::default();
        [130_000, 120_000].iter().for_each(|after_ns| two.note(*after_ns));
        log.note_seen(two);
        log.note_seen(SeenBetween::default());
        log.end(900_000);
        assert_eq!([100_000, 200_000].map(seen), [0.0, 1.0]);
        begin();
        log.end(900_000);
        assert_eq!([100_000, 200_000, 2_000_000].map(seen), [0.0, 0.5, 1.0]);
    }
}
