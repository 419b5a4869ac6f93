//! The stop flag of a run, and its progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A flag that ends a run, set by another thread or by a signal handler.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag itself, for a signal handler.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Asks the run to end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Does `action`, which cannot be stopped half-way, such as printing. Meanwhile the first signal ends psn at once, as the
    /// second one otherwise does: the handler finds the flag set already.
    pub fn unstoppable<T>(&self, action: impl FnOnce() -> T) -> T {
        let was_stopped = self.0.swap(true, Ordering::Relaxed);
        let result = action();
        if !was_stopped {
            self.0.store(false, Ordering::Relaxed);
        }
        result
    }
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    /// The first task list is being made.
    Listing,
    /// Ticks are being taken.
    Sampling {
        /// Ticks due so far, completed or not.
        due: u64,
        /// Ticks completed.
        completed: u64,
        /// Ticks of the whole run, if its duration is limited.
        total: Option<u64>,
        /// Threads in the task set.
        threads: usize,
        /// The duration of the last pass.
        pass: Duration,
        /// Ticks completed per second so far.
        achieved_hz: f64,
    },
}

/// Follows the state of a run.
pub trait Progress {
    /// Called after each tick, and now and then while waiting.
    fn update(&mut self, status: Status);
}

/// Ignores it.
impl Progress for () {
    fn update(&mut self, _status: Status) {}
}
