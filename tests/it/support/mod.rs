//! Code that several tests share.

pub mod alloc;
pub mod child;
pub mod dir;
pub mod driver;
pub mod fake;
pub mod faults;
pub mod json;
pub mod measured;
pub mod reader;
pub mod report;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use psn::session::{Progress, Status};

/// Runs `work` on another thread and returns its result. Panics if it takes longer than `patience`; the thread then goes on.
#[track_caller]
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(patience) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done within {patience:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().unwrap_err()),
    }
}

/// Calls a function once the given number of ticks is due.
pub struct AtTick<F: FnMut()>(pub u64, pub F);

impl<F: FnMut()> Progress for AtTick<F> {
    fn update(&mut self, status: Status) {
        if let Status::Sampling { due, .. } = status
            && due >= self.0
        {
            self.0 = u64::MAX;
            (self.1)();
        }
    }
}

/// Waits until `is_so` returns true; panics after a minute.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came to pass: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Prints that a test is skipped, and why.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    // Not eprintln: the test harness hides the output of tests that pass.
    let text = format!("\nSKIPPED {}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
