//! How a run is stopped, and how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends a run from another thread or from a signal handler.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag itself, for a signal handler to set.
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

    /// Does what cannot be stopped half-way, such as printing: a signal that would stop a run ends psn at once meanwhile, as
    /// it does when it comes again.
    pub fn unstoppable<T>(&self, action: impl FnOnce() -> T) -> T {
        let was_stopped = self.0.swap(true, Ordering::Relaxed);
        let result = action();
        if !was_stopped {
            self.0.store(false, Ordering::Relaxed);
        }
        result
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    /// The first task list is being made.
    Listing,
    /// Sampling.
    Sampling {
        /// Ticks due so far, completed or missed.
        due: u64,
        /// Ticks completed.
        completed: u64,
        /// Ticks of the whole run, if it ends by itself.
        total: Option<u64>,
        /// Threads in the task set.
        threads: usize,
        /// The last pass took this long.
        pass: Duration,
        /// Samples per second so far.
        achieved_hz: f64,
    },
}

/// Is told how far a run is.
pub trait Progress {
    /// Called after each tick, and now and then while waiting.
    fn update(&mut self, status: Status);
}

/// Progress for nobody.
impl Progress for () {
    fn update(&mut self, _status: Status) {}
}
