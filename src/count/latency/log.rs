//! The ticks of a run as its ages need them, shared by all who count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ticks::{Pace, RecentTicks};
use super::unseen::UnseenAges;

/// The beginning of a tick.
#[derive(Debug, Clone, Copy)]
pub struct TickStart {
    /// When its pass began, nanoseconds, by a clock that is the same for all ticks of a run.
    pub now_ns: u64,
    /// The time between ticks that was asked for, nanoseconds.
    pub period_ns: u64,
    /// Whether the run of the last completed tick is another one.
    pub begins_run: bool,
}

/// The ticks that were completed, and the one that is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct TickLog(Arc<Mutex<LoggedTicks>>);

#[derive(Debug, Default)]
struct LoggedTicks {
    completed: Option<RecentTicks>,
    current: Option<RecentTicks>,
    unseen: UnseenAges,
}

impl TickLog {
    /// A tick begins. If it is not completed, the next one takes its place.
    pub(crate) fn begin(&self, start: TickStart) {
        let TickStart { now_ns, period_ns, begins_run } = start;
        let mut ticks = self.lock();
        ticks.current = Some(match ticks.completed {
            None => RecentTicks::new(now_ns, period_ns),
            Some(mut recent) => {
                if begins_run {
                    recent.begin_run(now_ns, period_ns);
                } else {
                    recent.advance(now_ns);
                }
                recent
            }
        });
    }

    /// The tick that has begun is completed: it began `late_ns` after it was due, and took `pass_ns`.
    pub(crate) fn end(&self, late_ns: u64, pass_ns: u64) {
        let mut ticks = self.lock();
        if let Some(current) = ticks.current.take() {
            ticks.completed = Some(current);
            ticks.unseen.note(late_ns, pass_ns);
        }
    }

    /// The tick under way and those before it; `None` if none has begun.
    pub(crate) fn current(&self) -> Option<RecentTicks> {
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
        let begin = |now_ns| log.begin(TickStart { now_ns, period_ns: 50, begins_run: false });
        assert!(log.completed().is_none() && log.current().is_none());
        begin(1000);
        log.end(3, 4);
        begin(1050);
        begin(1100);
        assert_eq!(log.completed().unwrap().0.ticks, 1);
        assert_eq!(log.current().unwrap().within(99), 0, "the tick at 1050 was not completed");
        assert_eq!(log.current().unwrap().within(100), 1);
        log.end(3, 4);
        assert_eq!(log.completed().unwrap().0, Pace { ticks: 2, period_s: 100e-9, irregularity: 1.0 });
    }
}
