//! The threads that read lookups.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::blocked::BlockedProcesses;
use super::files::LookupFiles;
use super::request::{KnownLookups, LookupRequest};
use super::turns::Turns;
use crate::proc::health::Health;
use crate::proc::source::SourceSet;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::desk::{Activity, Desk, LostReaders, lock};

/// If more readers than this are stuck, nothing more is read.
const MAX_LOST: usize = 8;

/// How many readers there are: while one is stuck in a process, the other one serves other processes.
const READERS: usize = 2;

/// Reads what rows ask of their own waits.
pub struct LookupReaders {
    root: ProcRoot,
    desk: Desk<SentRequest, LookupRequest>,
    /// The number of the tick. Requests of earlier ones are not served any more, unless they serve later rows too.
    round: AtomicU64,
    /// How many readers are stuck.
    lost: LostReaders,
    blocked: Mutex<BlockedProcesses>,
    turns: Turns<SentRequest>,
    health: Mutex<Health>,
    pub(super) known: KnownLookups,
}

#[derive(Debug)]
struct SentRequest {
    /// The tick whose rows wait for it.
    round: u64,
    request: LookupRequest,
}

impl std::fmt::Debug for LookupReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookupReaders").field("round", &self.round).finish_non_exhaustive()
    }
}

impl LookupReaders {
    /// Starts readers, if a column shows what they read. `asks_about_descriptors` says that a column shows more of a descriptor than its
    /// link does.
    #[must_use]
    pub fn start(root: &ProcRoot, sources: SourceSet, asks_about_descriptors: bool) -> Option<Arc<Self>> {
        if !asks_about_descriptors && !LookupRequest::SOURCES.into_iter().any(|source| sources.contains(source)) {
            return None;
        }
        let readers = Arc::new(Self {
            root: root.share(),
            desk: Desk::new(READERS),
            round: AtomicU64::new(0),
            lost: LostReaders::new(MAX_LOST),
            blocked: Mutex::default(),
            turns: Turns::default(),
            health: Mutex::default(),
            known: KnownLookups::default(),
        });
        readers.supervise();
        Some(readers)
    }

    /// Asks for something to be read.
    ///
    /// # Errors
    /// [`ReadError::TimedOut`] if its process blocks its readers, or if too many readers are stuck.
    pub(super) fn send(&self, request: LookupRequest) -> Result<(), ReadError> {
        if !self.may_read(request.tgid()) {
            return Err(ReadError::TimedOut);
        }
        self.desk.send(SentRequest { round: self.round.load(Ordering::Acquire), request });
        Ok(())
    }

    /// Whether the files of a process are read: it blocks none of its readers, and not too many are stuck.
    pub(super) fn may_read(&self, tgid: u32) -> bool {
        !self.lost.are_too_many() && !lock(&self.blocked).contains(tgid)
    }

    /// Has all questions of this tick about descriptors answered, which [`settle`](Self::settle) waits for.
    pub(crate) fn begin(&self) {
        if let Some(batch) = self.known.descriptors.take_batch()
            && self.send(LookupRequest::Descriptors(batch)).is_err()
        {
            self.known.descriptors.give_up();
        }
    }

    /// Waits until all requests were served, at most until `deadline`, or until `stopped` returns true. Those that were not are
    /// dropped.
    pub(crate) fn settle(self: &Arc<Self>, deadline: Instant, stopped: &dyn Fn() -> bool) {
        self.desk.wait(&self.lost, deadline, stopped, || self.supervise());
        self.round.fetch_add(1, Ordering::AcqRel);
    }

    /// Leaves stuck readers behind and starts others in their place, unless too many are stuck.
    fn supervise(self: &Arc<Self>) {
        let start = || {
            let readers = Arc::downgrade(self);
            let work = move |queue: &Receiver<SentRequest>, activity: &Activity<LookupRequest>| {
                serve_queue(&readers, queue, activity);
            };
            ("psn-lookups", work)
        };
        self.desk.watch(&self.lost, |request| self.give_up(&request), start);
    }

    /// Notes that the reader of this request is stuck.
    fn give_up(&self, request: &LookupRequest) {
        lock(&self.health).record_error(request.source(), ReadError::TimedOut);
        lock(&self.blocked).begin(request.tgid());
        request.fail(&self.known, ReadError::TimedOut);
        for SentRequest { request, .. } in self.turns.give_up(request.turn()) {
            request.fail(&self.known, ReadError::TimedOut);
            self.desk.has_served();
        }
    }

    /// Serves one request. `None` if the reader was given up meanwhile.
    fn serve(&self, sent: &SentRequest, activity: &Activity<LookupRequest>, buffer: &mut Buffer) -> Option<()> {
        let SentRequest { round, request } = sent;
        if *round < self.round.load(Ordering::Acquire) && !request.serves_later_rows() {
            request.drop_late(&self.known);
        } else if lock(&self.blocked).contains(request.tgid()) {
            // It has blocked another reader since this was asked.
            request.fail(&self.known, ReadError::TimedOut);
        } else {
            let mut health = Health::default();
            let served = activity.begin(request.clone()).and_then(|()| {
                let goes_on = || activity.goes_on();
                let mut files = LookupFiles {
                    root: &self.root,
                    health: &mut health,
                    buffer,
                    goes_on: &goes_on,
                    may_read: &|tgid| self.may_read(tgid),
                };
                request.read(&self.known, &mut files);
                activity.end(|| lock(&self.health).take(&mut health))
            });
            if served.is_none() {
                lock(&self.blocked).end(request.tgid());
                self.lost.has_returned();
                return None;
            }
        }
        self.desk.has_served();
        Some(())
    }

    /// The processes that have blocked a reader.
    #[must_use]
    pub(crate) fn blockers(&self) -> Vec<u32> {
        lock(&self.blocked).all()
    }

    /// A sentence for each limit that was met.
    #[must_use]
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.known.descriptors.warnings()
    }

    /// Takes the account of the reads since the last call.
    #[must_use]
    pub fn take_health(&self) -> Health {
        std::mem::take(&mut *lock(&self.health))
    }
}

/// What a reader does until the run ends or it is given up.
fn serve_queue(readers: &Weak<LookupReaders>, queue: &Receiver<SentRequest>, activity: &Activity<LookupRequest>) {
    let mut buffer = Buffer::default();
    while let Ok(sent) = queue.recv() {
        // The run may have ended.
        let Some(readers) = readers.upgrade() else { return };
        let number = sent.request.turn();
        let mut turn = readers.turns.begin(number, sent);
        while let Some(sent) = turn {
            if readers.serve(&sent, activity, &mut buffer).is_none() {
                return;
            }
            turn = readers.turns.next(number);
        }
    }
}
