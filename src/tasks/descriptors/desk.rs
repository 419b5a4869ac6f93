//! Takes questions about descriptors from the lanes, and has them answered beside the sampling.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::proc::health::Health;
use crate::proc::source::Source;
use crate::proc::{ProcRoot, ReadError, rights};
use crate::tasks::descriptors::answers::Answers;
use crate::tasks::descriptors::question::{Found, Question};
use crate::tasks::descriptors::visit::Visitor;
use crate::tasks::descriptors::watch::Watch;

/// A reader one of whose reads takes longer counts as stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// If more readers than this are stuck, no more questions are answered.
const MAX_LOST: usize = 4;

/// How often whoever waits for answers looks whether they have come.
const POLL: Duration = Duration::from_micros(200);

/// What threads wait on, as a reader beside the sampling finds it out.
pub struct Descriptors {
    root: ProcRoot,
    answers: Answers,
    requests: Sender<Vec<Question>>,
    queue: Receiver<Vec<Question>>,
    /// Ticks whose questions are neither answered nor given up.
    pending: AtomicUsize,
    reader: Mutex<Option<Arc<Watch>>>,
    lost: AtomicUsize,
    blockers: Mutex<Vec<u32>>,
    health: Mutex<Health>,
}

impl std::fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Descriptors").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Descriptors {
    /// Starts a reader. It inherits the capabilities of the caller.
    #[must_use]
    pub(crate) fn start(root: &ProcRoot) -> Arc<Self> {
        let (requests, queue) = unbounded();
        let descriptors = Arc::new(Self {
            root: root.share(),
            answers: Answers::default(),
            requests,
            queue,
            pending: AtomicUsize::new(0),
            reader: Mutex::default(),
            lost: AtomicUsize::new(0),
            blockers: Mutex::default(),
            health: Mutex::default(),
        });
        descriptors.supervise();
        descriptors
    }

    /// The answer, if it is known already. Otherwise the question is put, and [`answer`](Self::answer) has the answer after
    /// [`settle`](Self::settle).
    pub(crate) fn look(&self, question: &Question) -> Option<Found> {
        if let Some(found) = self.answers.known(question) {
            return Some(found);
        }
        (!self.has_reader() || !self.answers.ask(*question)).then_some(Found::Unread)
    }

    /// The answer to a question that was put.
    #[must_use]
    pub(crate) fn answer(&self, question: &Question) -> Found {
        self.answers.answer(question)
    }

    /// Has the questions of this tick answered.
    pub(crate) fn begin(&self) {
        /// If the reader is that many ticks behind, the rows of this one get no answer.
        const MAX_PENDING: usize = 2;
        let questions = self.answers.take_questions();
        if !questions.is_empty() && self.pending.load(Ordering::Acquire) < MAX_PENDING {
            self.pending.fetch_add(1, Ordering::AcqRel);
            // The receiver lives as long as this.
            let _ = self.requests.send(questions);
        }
    }

    /// Waits until the questions are answered, at most until `deadline`, or until `stopped` returns true.
    pub(crate) fn settle(self: &Arc<Self>, deadline: Instant, stopped: &dyn Fn() -> bool) {
        while self.pending.load(Ordering::Acquire) > 0 && self.has_reader() && Instant::now() < deadline && !stopped() {
            self.supervise();
            std::thread::sleep(POLL);
        }
    }

    /// Whether questions are answered.
    fn has_reader(&self) -> bool {
        self.lost.load(Ordering::Acquire) <= MAX_LOST
    }

    /// Replaces the reader if it is stuck.
    fn supervise(self: &Arc<Self>) {
        let mut reader = lock(&self.reader);
        if let Some(tgid) = reader.as_ref().and_then(|watch| watch.give_up(PATIENCE)) {
            self.lost.fetch_add(1, Ordering::AcqRel);
            lock(&self.blockers).push(tgid);
            lock(&self.health).record_error(Source::Socket, ReadError::TimedOut);
            self.pending.fetch_sub(1, Ordering::AcqRel);
            *reader = None;
        }
        if reader.is_none() && self.has_reader() {
            *reader = rights::raised(|| self.spawn()).ok().flatten();
        }
    }

    /// Starts a reader; `None` if no thread can be started.
    fn spawn(self: &Arc<Self>) -> Option<Arc<Watch>> {
        let watch = Arc::<Watch>::default();
        let (queue, descriptors, at) = (self.queue.clone(), Arc::downgrade(self), Arc::clone(&watch));
        let root = self.root.share();
        let started =
            std::thread::Builder::new().name("psn-sockets".to_owned()).stack_size(256 << 10).spawn(move || {
                let mut visitor = Visitor::new(root);
                while let Ok(questions) = queue.recv() {
                    // The run may have ended.
                    let Some(descriptors) = descriptors.upgrade() else { return };
                    let served = visitor.serve(questions, &descriptors.answers, &at);
                    lock(&descriptors.health).take(&mut visitor.health);
                    if served.is_none() {
                        return;
                    }
                    descriptors.pending.fetch_sub(1, Ordering::AcqRel);
                }
            });
        started.is_ok().then_some(watch)
    }

    /// The processes that have blocked a reader.
    #[must_use]
    pub(crate) fn blockers(&self) -> Vec<u32> {
        lock(&self.blockers).clone()
    }

    /// Takes the account of the reads since the last call.
    #[must_use]
    pub(crate) fn take_health(&self) -> Health {
        std::mem::take(&mut *lock(&self.health))
    }

    /// A sentence for each limit that was met.
    #[must_use]
    pub(crate) fn warnings(&self) -> Vec<String> {
        let left_out = self.answers.left_out();
        let sentence = || {
            let most = Answers::MAX;
            format!(
                "{left_out} samples show no connection: of at most {most} threads at a time it is found out what they wait on"
            )
        };
        (left_out > 0).then(sentence).into_iter().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
