//! The side readers: threads that read files which may block, from two queues of requests.
//!
//! Titles that rows wait for have a queue and readers of their own, so that no long file delays them. All facts of a process
//! are read from the other queue, when the process is discovered and every few seconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::ask::column::{Column, Extract, SmapsPart};
use crate::proc::health::Health;
use crate::proc::source::SourceSet;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::desk::{Activity, Desk, LostReaders, lock};
use crate::tasks::facts::fact::{FACTS, FactBudget, TITLES};
use crate::tasks::facts::limits::Limits;
use crate::tasks::facts::request::{CurrentRead, FactRequest};
use crate::tasks::facts::store::FactStore;
use crate::tasks::facts::visit::{FactVisit, SharedByReaders};

/// If more readers than this are stuck, no more facts are read.
const MAX_LOST: usize = 4;

/// Reads facts beside the sampling, for discovery and for rows.
pub struct SideReaders {
    shared: SharedByReaders,
    /// Requests for titles that rows wait for.
    titles: Desk<FactRequest, CurrentRead>,
    /// Requests for all facts of a process.
    all: Desk<FactRequest, CurrentRead>,
    /// How many readers are stuck.
    lost: LostReaders,
    /// The processes in which a reader was stuck.
    blockers: Mutex<Vec<u32>>,
    budget: Arc<FactBudget>,
}

impl std::fmt::Debug for SideReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SideReaders").field("sources", &self.shared.sources).finish_non_exhaustive()
    }
}

impl SideReaders {
    /// How many readers read titles: while one is stuck, the other one serves the rows of other processes.
    const TITLE_READERS: usize = 2;

    /// Starts readers, if any of `sources` is a fact.
    #[must_use]
    pub fn start(root: &ProcRoot, sources: SourceSet) -> Option<Arc<Self>> {
        if !FACTS.iter().any(|fact| sources.contains(*fact)) {
            return None;
        }
        let has_titles = TITLES.iter().any(|title| sources.contains(*title));
        let readers = Arc::new(Self {
            shared: SharedByReaders {
                root: root.share(),
                sources,
                smaps_keys: OnceLock::new(),
                by_switches: AtomicBool::new(false),
                health: Mutex::default(),
                limits: Limits::default(),
            },
            titles: Desk::new(if has_titles { Self::TITLE_READERS } else { 0 }),
            all: Desk::new(1),
            lost: LostReaders::new(MAX_LOST),
            blockers: Mutex::default(),
            budget: Arc::default(),
        });
        readers.supervise();
        Some(readers)
    }

    /// Whether rows count how often their threads have run by switches, as the records of walks do, rather than by `schedstat`.
    pub(crate) fn count_switches(&self, is_so: bool) {
        self.shared.by_switches.store(is_so, Ordering::Relaxed);
    }

    /// Keeps only the lines of `smaps` that the columns show. Until this is called, all lines are kept.
    pub(crate) fn keep_lines_of<'a>(&self, columns: impl IntoIterator<Item = &'a Column>) {
        let key = |column: &Column| match column.extract {
            Extract::Smaps(SmapsPart::Kb(key)) => Some(key),
            Extract::Smaps(SmapsPart::VmFlags) => Some("VmFlags"),
            _ => None,
        };
        let keys: Vec<&'static str> = columns.into_iter().filter_map(key).collect();
        let _ = self.shared.smaps_keys.set(Some(keys.into()));
    }

    /// Empty facts of a process, which share the budget of all.
    pub(super) fn store(&self) -> FactStore {
        FactStore::new(&self.budget)
    }

    /// Asks for all facts of a process, which a reader will store in `facts`; false if they cannot be read now.
    pub(super) fn request(&self, tgid: u32, facts: &Arc<FactStore>) -> bool {
        // A process may block one reader, however often its facts are asked for.
        if !self.has_readers() || facts.is_blocked() {
            return false;
        }
        if facts.mark_asked() {
            self.all.send(FactRequest { tgid, facts: Arc::clone(facts) });
        }
        true
    }

    /// Asks for the titles of a process for rows that wait; false if they cannot be read now.
    pub(super) fn ask_for_title(&self, tgid: u32, facts: &Arc<FactStore>) -> bool {
        let can = self.has_readers();
        if can {
            self.titles.send(FactRequest { tgid, facts: Arc::clone(facts) });
        }
        can
    }

    /// Whether readers are at work.
    fn has_readers(&self) -> bool {
        !self.lost.are_too_many()
    }

    /// Waits until all facts that discovery asked for were read, at most for `patience`.
    pub(crate) fn settle(self: &Arc<Self>, patience: Duration) {
        self.wait(&self.all, Instant::now() + patience, &|| false);
    }

    /// Waits until the titles that rows wait for were read, and with `with_mappings` all facts too; at most until `deadline`, or until
    /// `stopped` returns true.
    pub(crate) fn settle_rows(self: &Arc<Self>, with_mappings: bool, deadline: Instant, stopped: &dyn Fn() -> bool) {
        self.wait(&self.titles, deadline, stopped);
        if with_mappings {
            self.wait(&self.all, deadline, stopped);
        }
    }

    fn wait(self: &Arc<Self>, desk: &Desk<FactRequest, CurrentRead>, deadline: Instant, stopped: &dyn Fn() -> bool) {
        desk.wait(&self.lost, deadline, stopped, || self.supervise());
    }

    /// Leaves stuck readers behind and starts others in their place, unless too many are stuck.
    pub(crate) fn supervise(self: &Arc<Self>) {
        for (desk, for_titles) in [(&self.titles, true), (&self.all, false)] {
            let start = || {
                let readers = Arc::downgrade(self);
                let work = move |queue: &Receiver<FactRequest>, activity: &Activity<CurrentRead>| {
                    serve_queue(&readers, queue, activity, for_titles);
                };
                ("psn-facts", work)
            };
            desk.watch(&self.lost, |read| self.give_up(&read), start);
        }
    }

    /// Notes that the reader of this is stuck.
    fn give_up(&self, read: &CurrentRead) {
        lock(&self.shared.health).record_error(read.source, ReadError::TimedOut);
        read.facts.give_up(read.source);
        lock(&self.blockers).push(read.tgid);
    }

    /// The processes that have blocked a reader.
    #[must_use]
    pub(crate) fn blockers(&self) -> Vec<u32> {
        lock(&self.blockers).clone()
    }

    /// Takes the account of the reads since the last call.
    #[must_use]
    pub fn take_health(&self) -> Health {
        std::mem::take(&mut *lock(&self.shared.health))
    }

    /// A sentence for each limit that was met.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.shared.limits.warnings()
    }
}

/// What a reader of one of the queues does, until the run ends or the reader is given up.
fn serve_queue(
    readers: &Weak<SideReaders>,
    queue: &Receiver<FactRequest>,
    activity: &Activity<CurrentRead>,
    for_titles: bool,
) {
    let mut buffer = Buffer::default();
    while let Ok(request) = queue.recv() {
        // The run may have ended.
        let Some(readers) = readers.upgrade() else { return };
        let mut visit = FactVisit { shared: &readers.shared, activity, request: &request, buffer: &mut buffer };
        if visit.serve(for_titles).is_none() {
            // The read that was stuck has returned, so the process may be read again.
            request.facts.forget();
            return readers.lost.has_returned();
        }
        if for_titles { &readers.titles } else { &readers.all }.has_served();
    }
}
