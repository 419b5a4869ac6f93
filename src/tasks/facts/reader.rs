//! The side readers: threads that read files which may block, from two queues of requests.
//!
//! Titles that rows wait for have a queue and readers of their own, so that no long file delays them. All facts of a process
//! are read from the other queue, when the process is discovered and every few seconds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::ask::column::{Column, Extract, SmapsPart};
use crate::proc::health::Health;
use crate::proc::source::SourceSet;
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::facts::desk::{Activity, CurrentRead, Desk, FactRequest};
use crate::tasks::facts::fact::{FACTS, FactBudget, TITLES};
use crate::tasks::facts::limits::Limits;
use crate::tasks::facts::store::FactStore;
use crate::tasks::facts::visit::{FactVisit, SharedByReaders, lock};

/// A reader whose read takes longer counts as stuck.
const PATIENCE: Duration = Duration::from_millis(250);

/// If more readers than this are stuck, no more facts are read.
const MAX_LOST: usize = 4;

/// Reads facts beside the sampling, for discovery and for rows.
pub struct SideReaders {
    shared: SharedByReaders,
    /// Requests for titles that rows wait for.
    titles: Desk,
    /// Requests for all facts of a process.
    all: Desk,
    /// How many readers are stuck.
    lost: AtomicUsize,
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
            lost: AtomicUsize::new(0),
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
        self.lost.load(Ordering::Acquire) <= MAX_LOST
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

    fn wait(self: &Arc<Self>, desk: &Desk, deadline: Instant, stopped: &dyn Fn() -> bool) {
        while desk.pending.load(Ordering::Acquire) > 0 && self.has_readers() && Instant::now() < deadline && !stopped()
        {
            self.supervise();
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Leaves stuck readers behind and starts others in their place, unless too many are stuck.
    pub(crate) fn supervise(self: &Arc<Self>) {
        for desk in [&self.titles, &self.all] {
            let mut readers = lock(&desk.readers);
            for reader in &mut *readers {
                if reader.as_ref().is_some_and(|activity| self.gives_up(desk, activity)) {
                    *reader = None;
                }
                if reader.is_none() && self.has_readers() {
                    *reader = self.spawn(std::ptr::eq(desk, &self.titles));
                }
            }
        }
    }

    /// Gives a reader up if it is stuck; returns whether it is. Nothing that it reads counts any more.
    fn gives_up(&self, desk: &Desk, activity: &Mutex<Activity>) -> bool {
        let mut activity = lock(activity);
        let is_stuck = activity.read.as_ref().is_some_and(|read| read.since.elapsed() > PATIENCE);
        if !is_stuck {
            return false;
        }
        activity.is_abandoned = true;
        if let Some(CurrentRead { tgid, source, facts, .. }) = activity.read.take() {
            lock(&self.shared.health).record_error(source, ReadError::TimedOut);
            facts.give_up(source);
            lock(&self.blockers).push(tgid);
            desk.pending.fetch_sub(1, Ordering::AcqRel);
        }
        // Under the lock, so that a reader that returns takes itself off the count only after this.
        self.lost.fetch_add(1, Ordering::AcqRel);
        true
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

    /// Starts a reader of one of the queues; `None` if no thread can be started, and then its facts stay unread.
    fn spawn(self: &Arc<Self>, for_titles: bool) -> Option<Arc<Mutex<Activity>>> {
        let activity = Arc::<Mutex<Activity>>::default();
        let desk = if for_titles { &self.titles } else { &self.all };
        let (queue, readers, at) = (desk.queue.clone(), Arc::downgrade(self), Arc::clone(&activity));
        let started = std::thread::Builder::new().name("psn-facts".to_owned()).stack_size(256 << 10).spawn(move || {
            let mut buffer = Buffer::default();
            while let Ok(request) = queue.recv() {
                // The run may have ended.
                let Some(readers) = readers.upgrade() else { return };
                let shared = &readers.shared;
                let mut visit = FactVisit { shared, activity: &at, request: &request, buffer: &mut buffer };
                if visit.serve(for_titles).is_none() {
                    // The read that was stuck has returned, so the process may be read again.
                    request.facts.forget();
                    readers.lost.fetch_sub(1, Ordering::AcqRel);
                    return;
                }
                let desk = if for_titles { &readers.titles } else { &readers.all };
                desk.pending.fetch_sub(1, Ordering::AcqRel);
            }
        });
        started.is_ok().then_some(activity)
    }
}
