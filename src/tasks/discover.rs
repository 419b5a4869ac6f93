//! The discovery thread: lists processes and threads, and sends each new [`TaskSet`] to the sampler.
//!
//! Listing is made cheap by not doing it: `/proc/loadavg` tells whether any task was created since
//! the last look, and a process whose `task` directory has as many links as threads known, none of
//! them seen gone, is taken over as it is. A full listing happens every few seconds all the same.
//!
//! Where ticks are taken by the kernel's own walk, which meets new threads by itself, each listing is held against one.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::ask::select::{ProcessSelection, Selection};
use crate::proc::health::Health;
use crate::proc::parse::status;
use crate::proc::parse::system::Loadavg;
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ProcRoot, ReadError, TaskDir, TaskDirStatus};
use crate::tasks::census::is_worth_a_walk;
use crate::tasks::census::{Census, Unseen};
use crate::tasks::facts::{ProcessFacts, SideReaders};
use crate::tasks::fds::{FdBudget, FdUse};
use crate::tasks::users::Users;
use crate::tasks::{Permit, Process, Task, TaskSet};
use crate::time::clock::monotonic_ns;

/// What discovery needs to know of the run.
#[derive(Debug, Clone)]
pub struct DiscoveryConfig {
    /// The tasks to list.
    pub selection: Selection,
    /// The files that the plan reads: facts among them are asked for as processes appear.
    pub sources: SourceSet,
    /// Whether the plan shows user names.
    pub names_users: bool,
    /// Open files allowed.
    pub budget: FdBudget,
    /// Whether threads in every state are read in detail, so that all are equally hot.
    pub all_states: bool,
    /// Time between two refreshes.
    pub period: Duration,
}

/// What a refresh found, beside the task set.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// The tasks.
    pub set: Arc<TaskSet>,
    /// Those of them that a walk does not show; none where ticks are not taken by walks.
    pub unseen: Option<Unseen>,
    /// Threads that a listing may have skipped, over all refreshes.
    pub skipped: u64,
    /// Processes whose threads could not be listed now.
    pub unlisted: u64,
    /// Open files allowed to threads, and kept for directories.
    pub fds: FdUse,
}

/// Full listings happen at least this often, whatever the cheap signs say.
const FULL_LISTING_NS: u64 = 3_000_000_000;

/// Facts of processes are read again after this time.
const FACTS_AGE_NS: u64 = 10_000_000_000;

/// How long the first set waits for the facts of its processes, and later ones.
const FIRST_FACTS: Duration = Duration::from_secs(2);
const LATER_FACTS: Duration = Duration::from_millis(50);

/// How long the first set waits for the names of its users, and later ones.
const FIRST_NAMES: Duration = Duration::from_millis(500);
const LATER_NAMES: Duration = Duration::from_millis(50);
/// A refresh that takes longer may be stuck: it is told that its list is not there.
const STUCK: Duration = Duration::from_secs(2);

/// Bytes of one entry in a listing of numbers: fs/readdir.c, 24 for the header and name, rounded up.
const ENTRY_BYTES: usize = 32;

/// Lists tasks; the work of the discovery thread.
pub struct Discovery {
    root: Arc<ProcRoot>,
    config: DiscoveryConfig,
    users: Arc<Users>,
    side_readers: Option<Arc<SideReaders>>,
    census: Option<Census>,
    /// Whether walks are made even if reading the selected threads costs less.
    must_walk: bool,
    unseen: Unseen,
    known: HashMap<u32, Known, foldhash::fast::RandomState>,
    /// Whether `loadavg` counts the tasks of this proc root: not in another PID namespace's.
    trusts_loadavg: bool,
    last_loadavg: Option<(u64, u64)>,
    last_full_ns: u64,
    listing: Vec<u8>,
    numbers: Vec<u32>,
    buffer: Buffer,
    health: Health,
    skipped: u64,
    unlisted: u64,
    /// A listing failed for want of something that may be had next time.
    is_incomplete: bool,
    refreshes: u32,
    fds: FdUse,
    first: bool,
}

/// What is known of one pid.
struct Known {
    /// The last refresh that listed it.
    seen: u32,
    selected: bool,
    /// The parent, once looked up.
    parent: Option<u32>,
    process: Option<Arc<Process>>,
    /// The inode of its `task` directory, once it is known: of another process, it is another.
    inode: Option<u64>,
    facts_ns: u64,
}

impl Known {
    const fn new(refresh: u32) -> Self {
        Self { seen: refresh, selected: false, parent: None, process: None, inode: None, facts_ns: 0 }
    }
}

/// The threads of a process as they were listed.
struct Listed {
    tids: Vec<u32>,
    /// The directory, if it was opened for this.
    opened: Option<OwnedFd>,
    inode: u64,
}

impl Discovery {
    /// Prepares to list the tasks of `root`.
    #[must_use]
    pub fn new(root: Arc<ProcRoot>, config: DiscoveryConfig, users: Arc<Users>) -> Self {
        let trusts_loadavg = root.own_pid() == Some(std::process::id());
        let side_readers = SideReaders::start(&root, config.sources);
        Self {
            root: Arc::new(root.share()),
            config,
            users,
            side_readers,
            census: None,
            must_walk: false,
            unseen: Unseen::default(),
            known: HashMap::default(),
            trusts_loadavg,
            last_loadavg: None,
            last_full_ns: 0,
            listing: Vec::with_capacity(256 << 10),
            numbers: Vec::new(),
            buffer: Buffer::default(),
            health: Health::default(),
            skipped: 0,
            unlisted: 0,
            is_incomplete: false,
            refreshes: 0,
            fds: FdUse::default(),
            first: true,
        }
    }

    /// Has each listing held against a walk, for ticks are to be taken by walks. Whether it pays is decided at the
    /// first listing, unless it `must` be so: see [`Discovered::unseen`].
    #[must_use]
    pub fn with_census(mut self, census: Census, must: bool) -> Self {
        (self.census, self.must_walk) = (Some(census), must);
        if let Some(readers) = &self.side_readers {
            readers.count_switches(true);
        }
        self
    }

    /// Who reads facts beside the sampling, if any are to be read.
    #[must_use]
    pub const fn side_readers(&self) -> Option<&Arc<SideReaders>> {
        self.side_readers.as_ref()
    }

    /// Lists the tasks. `tick` is the sampler's: it tells recently active threads from idle ones.
    /// None when nothing can have changed since the last call.
    ///
    /// # Errors
    /// When the proc root itself can not be listed.
    pub fn refresh(&mut self, tick: u32) -> Result<Option<Discovered>, ReadError> {
        if let Some(reader) = &self.side_readers {
            reader.supervise();
        }
        if !self.is_due() {
            return Ok(None);
        }
        self.refreshes = self.refreshes.wrapping_add(1);
        let mut pids = std::mem::take(&mut self.numbers);
        pids.clear();
        let listed = self.list_candidates(&mut pids);
        if listed.is_ok() {
            self.select(&pids);
        }
        self.numbers = pids;
        listed?;
        let set = self.build(tick);
        if self.config.names_users {
            self.users.settle(if self.first { FIRST_NAMES } else { LATER_NAMES });
        }
        let patience = if self.first { FIRST_FACTS } else { LATER_FACTS };
        if let Some(reader) = &self.side_readers {
            reader.settle(patience);
        }
        self.first = false;
        Ok(Some(Discovered {
            set: Arc::new(set),
            unseen: self.census.is_some().then(|| self.unseen.clone()),
            skipped: self.skipped,
            unlisted: self.unlisted,
            fds: self.fds,
        }))
    }

    /// Takes the accounting of the reads since the last call.
    pub fn take_health(&mut self) -> Health {
        let mut health = std::mem::take(&mut self.health);
        health.debug_assert_accounts_for(self.root.attempts());
        self.root.attempts().forget();
        if let Some(readers) = &self.side_readers {
            health.take(&mut readers.take_health());
        }
        health
    }

    /// Whether a listing is called for: a task was created, or the last one is old.
    fn is_due(&mut self) -> bool {
        let now = monotonic_ns();
        let old = self.first || self.is_incomplete || now.saturating_sub(self.last_full_ns) >= FULL_LISTING_NS;
        let seen = if self.trusts_loadavg {
            let text = self.root.read_host(c"loadavg", &mut self.buffer);
            text.ok().and_then(|text| Loadavg::parse(text).ok()).map(|loadavg| (loadavg.last_pid, loadavg.total))
        } else {
            None
        };
        let unchanged = seen.is_some() && seen == self.last_loadavg;
        self.last_loadavg = seen;
        if old || !(unchanged || self.can_wait()) {
            self.last_full_ns = now;
            return true;
        }
        false
    }

    /// Whether new tasks need not be listed at once: a walk meets them, and nothing has to be known of them beforehand.
    fn can_wait(&self) -> bool {
        let Selection { threads, .. } = &self.config.selection;
        let is_everything = self.config.selection.is_everything() && threads.is_none();
        self.census.is_some() && is_everything && self.side_readers.is_none() && !self.config.names_users
    }

    fn list_candidates(&mut self, pids: &mut Vec<u32>) -> Result<(), ReadError> {
        match &self.config.selection.processes {
            // A thread's id answers like a process's, with all threads of its process: not another process.
            ProcessSelection::Pids(wanted) if !self.config.selection.recursive => {
                let wanted = wanted.clone();
                pids.extend(wanted.into_iter().filter(|pid| self.owner_of(*pid).is_none_or(|owner| owner == *pid)));
            }
            _ => self.root.list_processes(&mut self.listing, pids)?,
        }
        pids.sort_unstable();
        pids.dedup();
        if self.config.selection.excluded.is_some() || self.config.selection.threads.is_some() {
            let excluded = self.config.selection.excluded;
            pids.retain(|pid| Some(*pid) != excluded);
        }
        // The line of descent goes through processes that have none of the threads.
        if !self.config.selection.recursive {
            self.retain_owners(pids);
        }
        Ok(())
    }

    /// Keeps the processes of the threads that are meant, if only some are.
    fn retain_owners(&mut self, pids: &mut Vec<u32>) {
        if let Some(threads) = self.config.selection.threads.clone() {
            let owners: Vec<u32> = threads.into_iter().filter_map(|tid| self.owner_of(tid)).collect();
            pids.retain(|pid| owners.contains(pid));
        }
    }

    /// The process that a thread belongs to: `/proc/TID` answers for every thread, listed or not.
    fn owner_of(&mut self, tid: u32) -> Option<u32> {
        let result = self.root.read_process(tid, Source::Status, Source::Status.name(), &mut self.buffer);
        self.health.record(Source::Status, &result);
        crate::proc::parse::system::pid_name(status::value(result.ok()?, b"Tgid")?)
    }

    /// Decides for each listed pid whether it is meant, and forgets those no longer listed.
    fn select(&mut self, pids: &[u32]) {
        let refresh = self.refreshes;
        for pid in pids {
            self.known.entry(*pid).or_insert_with(|| Known::new(refresh)).seen = refresh;
        }
        self.known.retain(|_, known| known.seen == refresh);
        if self.config.selection.recursive && !self.config.selection.is_everything() {
            self.forget_reused(pids);
        }
        match &self.config.selection.processes {
            ProcessSelection::All => self.known.values_mut().for_each(|known| known.selected = true),
            ProcessSelection::Pids(wanted) => {
                for pid in wanted {
                    if let Some(known) = self.known.get_mut(pid) {
                        known.selected = true;
                    }
                }
            }
            ProcessSelection::Name(regex) => {
                let regex = regex.clone();
                for pid in pids {
                    // Names change, so every listing asks again; `comm` never blocks.
                    let matches = match self.root.read_process(*pid, Source::Comm, "comm", &mut self.buffer) {
                        Ok(comm) => regex.is_match(comm.strip_suffix(b"\n").unwrap_or(comm)),
                        Err(error) => {
                            self.health.record_error(Source::Comm, error);
                            continue;
                        }
                    };
                    self.health.record_ok(Source::Comm, 1);
                    if let Some(known) = self.known.get_mut(pid) {
                        // A descendant stays selected by descent, whatever its name.
                        known.selected = matches || (self.config.selection.recursive && known.selected);
                    }
                }
            }
        }
        if self.config.selection.recursive && !self.config.selection.is_everything() {
            self.select_descendants(pids);
        }
    }

    /// Forgets what is known of pids that were given to other processes: those are not selected for their predecessors'
    /// sake.
    fn forget_reused(&mut self, pids: &[u32]) {
        for pid in pids {
            let Ok(status) = self.root.task_dir_status(TaskDir { tgid: *pid, dir: None }) else { continue };
            if let Some(known) = self.known.get_mut(pid) {
                if known.inode.is_some_and(|inode| inode != status.inode) {
                    *known = Known::new(self.refreshes);
                }
                known.inode = Some(status.inode);
            }
        }
    }

    /// Selects the children of selected processes, and theirs. Once selected, a process stays so
    /// when its parent ends and it is given to init.
    fn select_descendants(&mut self, pids: &[u32]) {
        for pid in pids {
            if self.known.get(pid).is_some_and(|known| known.parent.is_some()) {
                continue;
            }
            // `status` never blocks, unlike `stat`.
            let result = self.root.read_process(*pid, Source::Status, "status", &mut self.buffer);
            self.health.record(Source::Status, &result);
            let parent =
                result.ok().and_then(|text| status::value(text, b"PPid")).and_then(crate::proc::parse::unsigned);
            if let Some(known) = self.known.get_mut(pid) {
                known.parent = parent.and_then(|parent| u32::try_from(parent).ok());
            }
        }
        // Pids wrap, so a child's may be less than its parent's: repeat until nothing is added.
        loop {
            let added: Vec<u32> = pids
                .iter()
                .filter(|pid| {
                    let Some(known) = self.known.get(*pid) else { return false };
                    let parent = known.parent.and_then(|parent| self.known.get(&parent));
                    !known.selected && parent.is_some_and(|parent| parent.selected)
                })
                .copied()
                .collect();
            if added.is_empty() {
                return;
            }
            for pid in added {
                if let Some(known) = self.known.get_mut(&pid) {
                    known.selected = true;
                }
            }
        }
    }

    /// Lists the threads of the selected processes.
    fn build(&mut self, tick: u32) -> TaskSet {
        let now = monotonic_ns();
        (self.unlisted, self.is_incomplete) = (0, false);
        let mut pids: Vec<u32> = self.known.iter().filter(|(_, known)| known.selected).map(|(pid, _)| *pid).collect();
        self.retain_owners(&mut pids);
        pids.sort_unstable();
        let mut processes = Vec::with_capacity(pids.len());
        let mut dirs_left = self.config.budget.dirs.saturating_sub(self.fds.dirs);
        for pid in pids {
            let before = self.known.get_mut(&pid).and_then(|known| known.process.take());
            if let Some(process) = self.list_process(pid, before, &mut dirs_left) {
                self.ask_for_facts(&process, now);
                processes.push(process);
            }
        }
        self.take_census(&processes);
        let idle = match (&self.census, self.config.all_states) {
            (Some(_), _) => Permit::None,
            (None, true) => Permit::Details,
            (None, false) => Permit::Stat,
        };
        self.fds = self.config.budget.distribute(&mut processes, idle, tick);
        if let Some(census) = &self.census {
            self.unseen = census.unseen(&self.root, &processes);
            self.fds.files += self.unseen.keep_open(self.config.budget.files.saturating_sub(self.fds.files));
        }
        for process in &processes {
            if let Some(known) = self.known.get_mut(&process.tgid) {
                known.process = Some(Arc::clone(process));
            }
        }
        TaskSet::new(processes)
    }

    /// Walks, and at the first listing decides whether walks are worth while.
    fn take_census(&mut self, processes: &[Arc<Process>]) {
        let Some(census) = &mut self.census else { return };
        let threads: usize = processes.iter().map(|process| process.tasks.len()).sum();
        if self.first && !self.must_walk && !is_worth_a_walk(threads as u64, census.host_tasks()) {
            self.census = None;
            if let Some(readers) = &self.side_readers {
                readers.count_switches(false);
            }
            return;
        }
        match census.take(processes) {
            Ok(tasks) => self.health.record_ok(Source::Kernel, tasks),
            // All tasks are then read through /proc until the next listing.
            Err(error) => {
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                self.health.record_dropped(Source::Kernel, errno, 1);
            }
        }
    }

    fn ask_for_facts(&mut self, process: &Process, now: u64) {
        let Some(known) = self.known.get_mut(&process.tgid) else { return };
        let asked_ns = &mut known.facts_ns;
        if let (Some(reader), Some(facts)) = (&self.side_readers, &process.facts) {
            let age = if self.config.sources.contains(Source::Smaps) { 0 } else { FACTS_AGE_NS };
            if facts.take_stale() || *asked_ns == 0 || now.saturating_sub(*asked_ns) > age {
                let other = process.tasks.iter().find(|task| task.tid != process.tgid && !task.is_gone());
                if let Some(task) = other {
                    facts.note_other(task.tid);
                }
                *asked_ns = if reader.request(process.tgid, facts) { now } else { 0 };
            }
            facts.forget_threads_beyond(process.tasks.len());
        }
    }

    /// The process with its threads of now; the same object when nothing changed, none when it ended.
    fn list_process(&mut self, tgid: u32, before: Option<Arc<Process>>, dirs_left: &mut usize) -> Option<Arc<Process>> {
        let inode = self.known.get(&tgid).and_then(|known| known.inode);
        if let Some(process) = &before
            && self.is_unchanged(process, inode)
        {
            return before;
        }
        let held = before.as_ref().and_then(|process| process.dir.clone());
        let mut dir = held;
        let mut listed = self.list_threads(tgid, dir.as_deref().map(AsFd::as_fd));
        if listed.is_err() && dir.is_some() {
            // The held directory is of a process that ended; the pid may be another's by now.
            dir = None;
            listed = self.list_threads(tgid, None);
        }
        let listed = match listed {
            Ok(listed) => listed,
            Err(ReadError::Gone) => return None,
            Err(error) => {
                self.health.record_error(Source::Task, error);
                self.unlisted += 1;
                self.is_incomplete |= matches!(error, ReadError::Dropped(_));
                // Its threads of before are likely there still, and each is told from another by itself.
                return before;
            }
        };
        if listed.tids.is_empty() {
            return None;
        }
        if dir.is_none() && listed.tids.len() > 1 && *dirs_left > 0 {
            *dirs_left -= 1;
            dir = listed.opened.map(Arc::new);
        }
        if self.config.names_users && before.is_none() {
            self.name_owner(tgid);
        }
        let same_process = before.filter(|process| match (&process.dir, &dir) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => inode == Some(listed.inode),
        });
        if let Some(known) = self.known.get_mut(&tgid) {
            known.inode = Some(listed.inode);
            if same_process.is_none() {
                known.facts_ns = 0;
            }
        }
        let facts = match &same_process {
            Some(process) => process.facts.clone(),
            None => self.side_readers.as_ref().map(|readers| Arc::new(ProcessFacts::of(readers))),
        };
        let old = same_process.as_ref().map_or(&[][..], |process| &process.tasks);
        let task_dir = TaskDir { tgid, dir: dir.as_deref().map(AsFd::as_fd) };
        let tasks = merge(old, &listed.tids, |task| self.root.has_task(task_dir, task.tid));
        Some(Arc::new(Process { tgid, dir, tasks, facts }))
    }

    /// Whether it is the process it was, with the threads it had: as many as known, and none of them seen gone.
    fn is_unchanged(&self, process: &Process, inode: Option<u64>) -> bool {
        let same = |status: TaskDirStatus| {
            status.threads == process.tasks.len() as u64 && (process.dir.is_some() || inode == Some(status.inode))
        };
        self.config.selection.threads.is_none()
            && self.root.task_dir_status(process.task_dir()).is_ok_and(same)
            && !process.tasks.iter().any(|task| task.is_gone())
    }

    fn name_owner(&self, tgid: u32) {
        if let Some(uid) = self.root.owner(tgid) {
            self.users.want(uid);
        }
    }

    /// Lists the threads of a process, in one piece, and once more if the listing skipped any.
    fn list_threads(&mut self, tgid: u32, held: Option<BorrowedFd<'_>>) -> Result<Listed, ReadError> {
        let opened = match held {
            Some(_) => None,
            None => Some(self.root.open_task_dir(tgid)?),
        };
        let Some(dir) = held.or_else(|| opened.as_ref().map(AsFd::as_fd)) else {
            return Err(ReadError::Gone);
        };
        let task_dir = TaskDir { tgid, dir: Some(dir) };
        let mut tids = Vec::new();
        let mut inode = 0;
        for attempt in 0..2 {
            tids.clear();
            let before = self.root.task_dir_status(task_dir)?;
            inode = before.inode;
            let room = usize::try_from(before.threads).unwrap_or(0).saturating_mul(ENTRY_BYTES * 5 / 4) + 4096;
            self.listing.reserve(room.max(64 << 10));
            self.root.list_tasks(dir, &mut self.listing, &mut tids)?;
            let after = self.root.task_dir_status(task_dir)?;
            let expected = before.threads.min(after.threads);
            let missing = expected.saturating_sub(tids.len() as u64);
            if missing == 0 {
                break;
            }
            if attempt == 1 {
                self.skipped += missing;
            }
        }
        tids.sort_unstable();
        if let Some(threads) = &self.config.selection.threads {
            tids.retain(|tid| threads.contains(tid));
        }
        Ok(Listed { tids, opened, inode })
    }
}

/// The threads `tids`, taken over from `old` where they are known and alive, and those of `old` that the list lacks
/// though they live. Both are sorted.
///
/// However long its buffer, a list may lack a thread: where the one that the kernel stands at exits, the list ends, and
/// goes on from a place that is counted from the start, where one has left (fs/proc/base.c, `next_tid`, `first_tid`). The
/// number of threads does not tell, as the one that exited is in the list.
fn merge(old: &[Arc<Task>], tids: &[u32], lives: impl Fn(&Task) -> bool) -> Box<[Arc<Task>]> {
    let lives = |task: &Task| !task.is_gone() && lives(task);
    let mut tasks = Vec::with_capacity(tids.len());
    let mut old = old.iter().peekable();
    for tid in tids {
        while let Some(task) = old.next_if(|task| task.tid < *tid) {
            if lives(task) {
                tasks.push(Arc::clone(task));
            }
        }
        tasks.push(match old.next_if(|task| task.tid == *tid) {
            Some(task) if !task.is_gone() => Arc::clone(task),
            _ => Arc::new(Task::new(*tid)),
        });
    }
    tasks.extend(old.filter(|task| lives(task)).cloned());
    tasks.into()
}

/// The discovery thread, as the sampler sees it.
pub struct Discoverer {
    sets: Receiver<Result<Discovered, ReadError>>,
    health: Arc<Mutex<Health>>,
    /// Closing this channel ends the thread.
    _stop: Sender<()>,
    tick: Arc<AtomicU32>,
    /// When the refresh that is under way began, and 0 while there is none.
    busy_ns: Arc<AtomicU64>,
}

impl Discoverer {
    /// Starts the thread. It is never joined: it may be stuck in the kernel.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(mut discovery: Discovery) -> std::io::Result<Self> {
        let (set_sender, sets) = bounded(1);
        let health = Arc::<Mutex<Health>>::default();
        let account = Arc::clone(&health);
        let (stop, stopped) = bounded::<()>(0);
        let tick = Arc::new(AtomicU32::new(0));
        let sampler_tick = Arc::clone(&tick);
        let busy_ns = Arc::new(AtomicU64::new(0));
        let busy = Arc::clone(&busy_ns);
        std::thread::Builder::new().name("psn-discover".to_owned()).spawn(move || {
            loop {
                let started = monotonic_ns();
                busy.store(started, Ordering::Relaxed);
                let found = discovery.refresh(sampler_tick.load(Ordering::Relaxed)).transpose();
                account.lock().unwrap_or_else(PoisonError::into_inner).take(&mut discovery.take_health());
                busy.store(0, Ordering::Relaxed);
                if let Some(found) = found
                    && !deliver(&set_sender, &stopped, found)
                {
                    return;
                }
                let spent = Duration::from_nanos(monotonic_ns().saturating_sub(started));
                // A refresh that outlasts its period is followed by a pause as long as itself, so that
                // discovery never takes more than half a core.
                let pause = discovery.config.period.saturating_sub(spent).max(spent.min(Duration::from_secs(1)));
                match stopped.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { sets, health, _stop: stop, tick, busy_ns })
    }

    /// How old the task list is at least, if whoever makes it seems not to come back.
    #[must_use]
    pub fn stuck_since(&self) -> Option<Duration> {
        let began = self.busy_ns.load(Ordering::Relaxed);
        let since = Duration::from_nanos(monotonic_ns().saturating_sub(began));
        (began != 0 && since > STUCK).then_some(since)
    }

    /// The newest task set, if there is one since the last call. `tick` is the sampler's.
    #[must_use]
    pub fn newest(&self, tick: u32) -> Option<Result<Discovered, ReadError>> {
        self.tick.store(tick, Ordering::Relaxed);
        self.sets.try_recv().ok()
    }

    /// Waits for a task set.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> Option<Result<Discovered, ReadError>> {
        self.sets.recv_timeout(patience).ok()
    }

    /// Takes the accounting of the reads since the last call.
    #[must_use]
    pub fn take_health(&self) -> Health {
        std::mem::take(&mut *self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends the newest set, replacing one that was not fetched; false when the sampler is gone.
fn deliver(
    sets: &Sender<Result<Discovered, ReadError>>,
    stopped: &Receiver<()>,
    found: Result<Discovered, ReadError>,
) -> bool {
    match sets.try_send(found) {
        Ok(()) => true,
        Err(TrySendError::Disconnected(_)) => false,
        // The sampler is in a long pass: wait until it has fetched the set before.
        Err(TrySendError::Full(found)) => crossbeam_channel::select! {
            send(sets, found) -> sent => sent.is_ok(),
            recv(stopped) -> _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_a_list_lacks_stays_while_it_lives() {
        let old: Vec<Arc<Task>> = (1..=6).map(|tid| Arc::new(Task::new(tid))).collect();
        old[1].mark_gone();
        old[4].mark_gone();
        // 1 and 6 were left out, 2 and 5 were seen gone, 3 has ended since; 5 was given anew, and 7 is new.
        let merged = merge(&old, &[4, 5, 7], |task| task.tid != 3);
        let tids: Vec<u32> = merged.iter().map(|task| task.tid).collect();
        assert_eq!(tids, [1, 4, 5, 6, 7]);
        let is_same = |task: &Arc<Task>| old.iter().any(|old| Arc::ptr_eq(old, task));
        assert_eq!(merged.iter().map(is_same).collect::<Vec<_>>(), [true, true, false, true, false]);
    }
}
