//! What the reader of descriptors is doing, for its supervisor to see whether it is stuck.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Reading {
    /// Since when a read goes on, and of which process.
    of: Option<(Instant, u32)>,
    /// Whether the reader was given up. Then nothing that it still reads counts.
    is_abandoned: bool,
}

/// A reader as its supervisor sees it. A function that returns `None` tells the reader that it was given up.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Reading>);

impl Watch {
    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read of this process's files begins, or goes on.
    pub(super) fn enter(&self, tgid: u32) -> Option<()> {
        let mut reading = self.reading();
        reading.of = Some((Instant::now(), tgid));
        (!reading.is_abandoned).then_some(())
    }

    /// The read has ended.
    pub(super) fn leave(&self) -> Option<()> {
        let mut reading = self.reading();
        reading.of = None;
        (!reading.is_abandoned).then_some(())
    }

    /// Gives the reader up if one of its reads takes longer than `patience`. Returns the process that it is stuck in.
    pub(super) fn give_up(&self, patience: Duration) -> Option<u32> {
        let mut reading = self.reading();
        let (since, tgid) = reading.of?;
        let is_stuck = !reading.is_abandoned && since.elapsed() > patience;
        reading.is_abandoned |= is_stuck;
        is_stuck.then_some(tgid)
    }
}
