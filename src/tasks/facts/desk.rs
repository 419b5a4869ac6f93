//! Queues of requests to the side readers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::proc::source::Source;
use crate::tasks::facts::store::FactStore;

/// A process whose facts are to be read.
pub(super) struct FactRequest {
    pub(super) tgid: u32,
    pub(super) facts: Arc<FactStore>,
}

/// What a reader is doing, for the supervisor to see whether it is stuck.
#[derive(Default)]
pub(super) struct Activity {
    /// The current read.
    pub(super) read: Option<CurrentRead>,
    /// Whether the supervisor has given the reader up. Then nothing that it still reads counts.
    pub(super) is_abandoned: bool,
}

/// A read that has begun and not returned.
pub(super) struct CurrentRead {
    pub(super) since: Instant,
    pub(super) tgid: u32,
    pub(super) source: Source,
    pub(super) facts: Arc<FactStore>,
}

/// A queue of requests, and the readers that serve it.
pub(super) struct Desk {
    requests: Sender<FactRequest>,
    pub(super) queue: Receiver<FactRequest>,
    /// What each of its readers is doing; `None` for a reader that has to be started.
    pub(super) readers: Mutex<Vec<Option<Arc<Mutex<Activity>>>>>,
    /// Requests that are neither served nor given up.
    pub(super) pending: AtomicUsize,
}

impl Desk {
    pub(super) fn new(readers: usize) -> Self {
        let (requests, queue) = unbounded();
        let readers = Mutex::new((0..readers).map(|_| None).collect());
        Self { requests, queue, readers, pending: AtomicUsize::new(0) }
    }

    pub(super) fn send(&self, request: FactRequest) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // The receiver lives as long as this.
        let _ = self.requests.send(request);
    }
}
