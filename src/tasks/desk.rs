//! Desks: queues of requests to threads that read beside the sampling, and the watch over these threads.
//!
//! A read may block for ever. So a reader notes what it reads, and since when. A reader whose read takes longer than [`PATIENCE`] is
//! given up: nothing that it still reads counts, and another thread is started in its place. If too many readers are given up, no
//! more are started.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::proc::rights;

/// A reader whose read takes longer counts as stuck.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often whoever waits for readers looks whether they are done.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// What a reader is doing, for the watch to see whether it is stuck.
#[derive(Debug)]
pub(super) struct Activity<Read>(Mutex<State<Read>>);

#[derive(Debug)]
struct State<Read> {
    /// The current read, and since when it takes.
    current: Option<(Instant, Read)>,
    /// Whether the reader was given up.
    is_abandoned: bool,
}

impl<Read> Activity<Read> {
    fn new() -> Self {
        Self(Mutex::new(State { current: None, is_abandoned: false }))
    }

    /// Notes that a read begins. `None` if the reader was given up: then it reads nothing more.
    pub(super) fn begin(&self, read: Read) -> Option<()> {
        let mut state = lock(&self.0);
        if state.is_abandoned {
            return None;
        }
        state.current = Some((Instant::now(), read));
        Some(())
    }

    /// Notes that a long read has come one step further, so that its time begins again. False if the reader was given up.
    pub(super) fn goes_on(&self) -> bool {
        let mut state = lock(&self.0);
        if let Some((since, _)) = &mut state.current {
            *since = Instant::now();
        }
        !state.is_abandoned
    }

    /// Notes the end of a read, and keeps with `keep` what was read. `None` if the reader was given up: then nothing is kept.
    pub(super) fn end(&self, keep: impl FnOnce()) -> Option<()> {
        let mut state = lock(&self.0);
        if state.is_abandoned {
            return None;
        }
        state.current = None;
        keep();
        Some(())
    }

    /// Gives the reader up if it is stuck, and calls `note` with what it reads. Returns whether it is stuck.
    fn gives_up(&self, note: impl FnOnce(Read)) -> bool {
        let mut state = lock(&self.0);
        let Some((_, read)) = state.current.take_if(|(since, _)| since.elapsed() > PATIENCE) else { return false };
        state.is_abandoned = true;
        // Under the lock, so that a reader that returns takes back what is noted only after this.
        note(read);
        true
    }
}

/// How many readers were given up and have not returned.
#[derive(Debug)]
pub(super) struct LostReaders {
    count: AtomicUsize,
    most: usize,
}

impl LostReaders {
    /// With more than `most` of them, nothing more is read.
    pub(super) const fn new(most: usize) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }

    /// Whether they are too many to go on reading.
    pub(super) fn are_too_many(&self) -> bool {
        self.count.load(Ordering::Acquire) > self.most
    }

    /// Notes that a reader that was given up has returned.
    pub(super) fn has_returned(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A queue of requests, and the readers that serve it. `Read` says what a reader is reading.
#[derive(Debug)]
pub(super) struct Desk<Request, Read> {
    requests: Sender<Request>,
    queue: Receiver<Request>,
    /// What each of its readers is doing; `None` for a reader that has to be started.
    readers: Mutex<Vec<Option<Arc<Activity<Read>>>>>,
    /// Requests that are neither served nor given up.
    pending: AtomicUsize,
}

impl<Request: Send + 'static, Read: Send + 'static> Desk<Request, Read> {
    /// A desk with this number of readers, which [`watch`](Self::watch) starts.
    pub(super) fn new(readers: usize) -> Self {
        let (requests, queue) = unbounded();
        let readers = Mutex::new((0..readers).map(|_| None).collect());
        Self { requests, queue, readers, pending: AtomicUsize::new(0) }
    }

    /// Adds a request to the queue.
    pub(super) fn send(&self, request: Request) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // The receiver lives as long as this.
        let _ = self.requests.send(request);
    }

    /// Notes that a request was served.
    pub(super) fn has_served(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Leaves stuck readers behind and starts others in their place, unless too many are stuck. `give_up` is called with what a
    /// stuck reader reads. `start` gives what a new reader does with its queue.
    pub(super) fn watch<W>(&self, lost: &LostReaders, give_up: impl Fn(Read), start: impl Fn() -> (&'static str, W))
    where
        W: FnOnce(&Receiver<Request>, &Activity<Read>) + Send + 'static,
    {
        for reader in &mut *lock(&self.readers) {
            let is_stuck = reader.as_ref().is_some_and(|activity| {
                activity.gives_up(|read| {
                    give_up(read);
                    self.has_served();
                    lost.count.fetch_add(1, Ordering::AcqRel);
                })
            });
            if is_stuck {
                *reader = None;
            }
            if reader.is_none() && !lost.are_too_many() {
                let (name, work) = start();
                *reader = self.start(name, work);
            }
        }
    }

    /// Starts a reader; `None` if no thread can be started.
    fn start<W>(&self, name: &str, work: W) -> Option<Arc<Activity<Read>>>
    where
        W: FnOnce(&Receiver<Request>, &Activity<Read>) + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let (queue, at) = (self.queue.clone(), Arc::clone(&activity));
        let builder = std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10);
        // The coordinator, which has lowered rights, may be the one that watches.
        let started = rights::raised(|| builder.spawn(move || work(&queue, &at)));
        started.flatten().is_ok().then_some(activity)
    }

    /// Waits until all requests were served, at most until `deadline`, or until `stopped` returns true. Meanwhile `watch` is called.
    pub(super) fn wait(&self, lost: &LostReaders, deadline: Instant, stopped: &dyn Fn() -> bool, watch: impl Fn()) {
        while self.pending.load(Ordering::Acquire) > 0
            && !lost.are_too_many()
            && Instant::now() < deadline
            && !stopped()
        {
            watch();
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The lock, also after a thread has panicked with it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_reader_that_is_stuck_is_given_up_and_another_serves_the_next_request() {
        let desk = Arc::new(Desk::<u32, u32>::new(1));
        let lost = Arc::new(LostReaders::new(1));
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (given_up, served) = (Arc::<Mutex<Vec<u32>>>::default(), Arc::<Mutex<Vec<u32>>>::default());
        let watch = || {
            let start = || {
                let (desk, lost) = (Arc::clone(&desk), Arc::clone(&lost));
                let (served, held) = (Arc::clone(&served), Arc::clone(&held));
                let work = move |queue: &Receiver<u32>, activity: &Activity<u32>| {
                    while let Ok(request) = queue.recv() {
                        activity.begin(request).unwrap();
                        if request == 1 {
                            let _ = held.lock().unwrap().recv();
                        }
                        if activity.end(|| served.lock().unwrap().push(request)).is_none() {
                            return lost.has_returned();
                        }
                        desk.has_served();
                        if request == 3 {
                            return;
                        }
                    }
                };
                ("desk-test", work)
            };
            desk.watch(&lost, |read| given_up.lock().unwrap().push(read), start);
        };
        (1..=3).for_each(|request| desk.send(request));
        desk.wait(&lost, Instant::now() + Duration::from_secs(30), &|| false, watch);
        assert_eq!(*given_up.lock().unwrap(), [1]);
        assert_eq!(*served.lock().unwrap(), [2, 3]);
        assert_eq!(lost.count.load(Ordering::Acquire), 1);
        release.send(()).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while lost.count.load(Ordering::Acquire) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(lost.count.load(Ordering::Acquire), 0, "it has returned");
        assert_eq!(*served.lock().unwrap(), [2, 3], "what it read does not count");
    }
}
