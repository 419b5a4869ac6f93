//! Discovery: finds out which processes and threads there are, and makes each new [`TaskSet`].
//!
//! Discovery lists as little as it can. `/proc/loadavg` tells whether any task was created since the last look
//! (`tasks/schedule.rs`), and a process that still has as many threads as before is not listed again (`tasks/listing.rs`).
//! Every few seconds all processes are listed nevertheless.
//!
//! If the kernel takes the ticks by walks, which meet new threads by themselves, each listing is compared with a walk.

use std::sync::Arc;
use std::time::Duration;

use crate::ask::select::Selection;
use crate::proc::health::Health;
use crate::proc::source::SourceSet;
use crate::proc::{ProcRoot, ReadError};
use crate::tasks::census::{Census, Unseen, WalkCheck};
use crate::tasks::chosen::Chosen;
use crate::tasks::facts::SideReaders;
use crate::tasks::fds::{FdBudget, FdUse};
use crate::tasks::listing::Listing;
use crate::tasks::reads::Reads;
use crate::tasks::requests::Requests;
use crate::tasks::schedule::ListingSchedule;
use crate::tasks::set::{Process, TaskSet};
use crate::tasks::task::Permit;
use crate::tasks::users::Users;
use crate::time::clock::monotonic_ns;

/// What discovery needs to know of the run.
#[derive(Debug, Clone)]
pub struct DiscoveryConfig {
    /// The tasks to list.
    pub selection: Selection,
    /// The files that the plan reads. Side readers are asked for those that are facts as processes appear.
    pub sources: SourceSet,
    /// Whether the plan shows user names.
    pub names_users: bool,
    /// How many files may stay open.
    pub budget: FdBudget,
    /// Whether threads in every state are read in detail, so that idle threads need as many open files as busy ones.
    pub all_states: bool,
    /// Time between two refreshes.
    pub period: Duration,
}

/// What a refresh found.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// The tasks.
    pub set: Arc<TaskSet>,
    /// Those of them that a walk does not show; `None` if ticks are not taken by walks.
    pub unseen: Option<Unseen>,
    /// Threads that listings may have left out, over the whole run.
    pub skipped: u64,
    /// Processes whose threads this refresh could not list.
    pub unlisted: u64,
    /// Files that may stay open.
    pub fds: FdUse,
}

/// Lists tasks: the work of the discovery thread.
pub struct Discovery {
    reads: Reads,
    schedule: ListingSchedule,
    chosen: Chosen,
    listing: Listing,
    requests: Requests,
    walks: WalkCheck,
    budget: FdBudget,
    all_states: bool,
    fds: FdUse,
}

impl Discovery {
    /// Prepares to list the tasks of `root`.
    #[must_use]
    pub fn new(root: Arc<ProcRoot>, config: DiscoveryConfig, users: Arc<Users>) -> Self {
        let DiscoveryConfig { selection, sources, names_users, budget, all_states, period } = config;
        let trusts_loadavg = root.own_pid() == Some(std::process::id());
        let side_readers = SideReaders::start(&root, sources);
        Self {
            reads: Reads::new(&root),
            schedule: ListingSchedule::new(period, trusts_loadavg),
            listing: Listing::new(selection.threads.clone()),
            chosen: Chosen::new(selection),
            requests: Requests::new(side_readers, names_users.then_some(users), sources),
            walks: WalkCheck::default(),
            budget,
            all_states,
            fds: FdUse::default(),
        }
    }

    /// Compares each listing with a walk, for runs whose ticks are walks. Unless it `must`, the first listing decides whether
    /// walks are cheaper than reading files: see [`Discovered::unseen`].
    #[must_use]
    pub(crate) fn with_census(mut self, census: Census, must: bool) -> Self {
        self.walks = WalkCheck::new(census, must);
        if let Some(readers) = self.requests.side_readers() {
            readers.count_switches(true);
        }
        self
    }

    /// The threads that read slow facts, if the plan needs any.
    #[must_use]
    pub const fn side_readers(&self) -> Option<&Arc<SideReaders>> {
        self.requests.side_readers()
    }

    /// Lists the tasks; `None` if nothing can have changed since the last call. `tick` is the sampler's: it tells recently
    /// active threads from idle ones.
    ///
    /// # Errors
    /// When the proc root itself cannot be listed.
    pub fn refresh(&mut self, tick: u32) -> Result<Option<Discovered>, ReadError> {
        if let Some(readers) = self.requests.side_readers() {
            readers.supervise();
        }
        let can_wait = self.can_wait();
        if !self.schedule.is_due(&mut self.reads, self.listing.is_incomplete, can_wait) {
            return Ok(None);
        }
        self.chosen.update(&mut self.reads)?;
        let set = Arc::new(self.list(tick));
        self.requests.settle(self.schedule.is_first());
        self.schedule.succeeded();
        Ok(Some(Discovered {
            set,
            unseen: self.walks.unseen(),
            skipped: self.listing.skipped,
            unlisted: self.listing.unlisted,
            fds: self.fds,
        }))
    }

    /// Takes the account of the reads since the last call.
    pub fn take_health(&mut self) -> Health {
        let mut health = self.reads.take_health();
        if let Some(readers) = self.requests.side_readers() {
            health.take(&mut readers.take_health());
        }
        health
    }

    /// The pause after a refresh that took `spent`.
    pub(super) fn pause_after(&self, spent: Duration) -> Duration {
        self.schedule.pause_after(spent)
    }

    /// Whether a new task need not be listed at once: a walk meets it, and its row needs nothing that is read beforehand.
    fn can_wait(&self) -> bool {
        self.walks.are_made() && self.chosen.is_everything() && self.requests.are_none()
    }

    /// Lists the threads of the selected processes.
    fn list(&mut self, tick: u32) -> TaskSet {
        let now = monotonic_ns();
        self.listing.begin(self.budget.dirs.saturating_sub(self.fds.dirs));
        let mut processes = Vec::new();
        for pid in self.chosen.selected(&mut self.reads) {
            processes.extend(self.list_process(pid, now));
        }
        if self.schedule.is_first()
            && self.walks.are_given_up_for(&processes)
            && let Some(readers) = self.requests.side_readers()
        {
            readers.count_switches(false);
        }
        self.walks.take(&processes, &mut self.reads.health);
        self.fds = self.budget.distribute(&mut processes, self.idle_permit(), tick);
        let left = self.budget.files.saturating_sub(self.fds.files);
        self.fds.files += self.walks.compare(&self.reads.root, &processes, left);
        for process in &processes {
            if let Some(candidate) = self.chosen.candidate(process.tgid) {
                candidate.process = Some(Arc::clone(process));
            }
        }
        TaskSet::new(processes)
    }

    /// Lists the threads of one process, and asks for what else the plan shows of it.
    fn list_process(&mut self, pid: u32, now_ns: u64) -> Option<Arc<Process>> {
        let candidate = self.chosen.candidate(pid)?;
        let is_new = candidate.process.is_none();
        let readers = self.requests.side_readers();
        let process = self.listing.list_process(&mut self.reads, pid, candidate, readers)?;
        if is_new {
            self.requests.ask_for_owner(&self.reads, pid);
        }
        self.requests.ask_for_facts(&process, &mut candidate.facts_asked_ns, now_ns);
        Some(process)
    }

    /// Which files of an idle thread may stay open.
    const fn idle_permit(&self) -> Permit {
        match (self.walks.are_made(), self.all_states) {
            (true, _) => Permit::None,
            (false, true) => Permit::Details,
            (false, false) => Permit::Stat,
        }
    }
}
