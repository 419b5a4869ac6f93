//! Calls that may never return, with a deadline: another thread makes them.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

type BoxedCall = Box<dyn FnOnce() + Send>;

/// A thread that makes calls for its owner, one at a time. It is started at the first call; one that is stuck in a call is left
/// behind, and the next call starts another. A thread that is not stuck ends with this.
///
/// The thread has the capabilities of the thread that made the first call.
#[derive(Debug, Default)]
pub(crate) struct HelperThread(Option<Sender<BoxedCall>>);

impl HelperThread {
    /// The result of `work`; `None` if it takes longer than `patience`, or if no thread can be started.
    pub(crate) fn within<T: Send + 'static>(
        &mut self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let jobs = match self.0.take() {
            Some(jobs) => jobs,
            None => start()?,
        };
        let (sender, answer) = bounded(1);
        let job = move || {
            // The caller may have given up.
            let _ = sender.send(work());
        };
        jobs.send(Box::new(job)).ok()?;
        let result = answer.recv_timeout(patience).ok()?;
        self.0 = Some(jobs);
        Some(result)
    }
}

fn start() -> Option<Sender<BoxedCall>> {
    let (sender, jobs) = bounded::<BoxedCall>(1);
    let work = move || jobs.iter().for_each(|job| job());
    let started = std::thread::Builder::new().name("psn-host".to_owned()).stack_size(256 << 10).spawn(work);
    started.ok().map(|_| sender)
}

/// The result of `work`, done by a thread of its own; `None` if it takes longer than `patience`. Then the thread is left behind.
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    HelperThread::default().within(patience, work)
}

#[cfg(test)]
mod tests {
    use std::thread::{current, park};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_thread_makes_all_calls_until_one_is_stuck() {
        let mut helper = HelperThread::default();
        let id = |helper: &mut HelperThread| helper.within(LONG, || current().id()).unwrap();
        let first = id(&mut helper);
        assert_eq!(id(&mut helper), first);
        let (sender, thread) = bounded(1);
        let stuck = move || {
            sender.send(current()).unwrap();
            park();
        };
        assert_eq!(helper.within(Duration::from_millis(1), stuck), None);
        let second = id(&mut helper);
        assert!(second != first && id(&mut helper) == second);
        thread.recv_timeout(LONG).unwrap().unpark();
    }
}
