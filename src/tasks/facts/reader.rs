//! The side readers: threads that read what may block, from two desks with a queue each.
//!
//! Titles that rows wait for have a desk of their own, so that nothing long is read before them. All else that is known of
//! processes is read at the other, when they are found and now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::ask::column::{Column, Extract, SmapsPart};
use crate::proc::health::Health;
use crate::proc::parse::smaps;
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::facts::files::{CMDLINE_BYTES, Files, SMAPS_BYTES, Subject};
use crate::tasks::facts::{Budget, FACTS, Fact, ProcessFacts, TITLES, Witness, lock};

/// A read that takes longer is taken for stuck.
const PATIENCE: Duration = Duration::from_millis(250);

/// Readers that may be lost before facts are no longer read.
const MAX_LOST: usize = 4;

/// What is asked for.
struct Request {
    tgid: u32,
    facts: Arc<ProcessFacts>,
}

/// What a reader thread is at, so that its supervisor sees it stuck.
#[derive(Default)]
struct Progress {
    at: Option<(Instant, u32, Source, Arc<ProcessFacts>)>,
    /// The supervisor gave the reader up; whatever it still reads is void.
    abandoned: bool,
}

/// A queue with readers at work on it.
struct Desk {
    requests: Sender<Request>,
    queue: Receiver<Request>,
    /// What each of its readers is at; none where there is no reader.
    readers: Mutex<Vec<Option<Arc<Mutex<Progress>>>>>,
    /// Requests not yet answered or given up.
    pending: AtomicUsize,
}

impl Desk {
    fn new(readers: usize) -> Self {
        let (requests, queue) = unbounded();
        let readers = Mutex::new((0..readers).map(|_| None).collect());
        Self { requests, queue, readers, pending: AtomicUsize::new(0) }
    }

    fn send(&self, request: Request) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // The queue is closed only when the readers are dropped.
        let _ = self.requests.send(request);
    }
}

/// Processes of which not all could be shown.
#[derive(Debug, Default)]
struct Limits {
    long_titles: AtomicU64,
    cut_mappings: AtomicU64,
    left_out: AtomicU64,
}

/// Reads facts beside the sampling, for discovery and for rows.
pub struct SideReaders {
    root: Arc<ProcRoot>,
    sources: SourceSet,
    smaps_keys: OnceLock<smaps::Keys>,
    titles: Desk,
    all: Desk,
    /// Whether threads are told to have run by their switches, as a walk's records have them.
    by_switches: AtomicBool,
    /// Readers that are stuck.
    lost: AtomicUsize,
    blockers: Mutex<Vec<u32>>,
    health: Mutex<Health>,
    budget: Arc<Budget>,
    limits: Limits,
}

impl std::fmt::Debug for SideReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SideReaders").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl SideReaders {
    /// Readers of titles at work: one that gets stuck then keeps nobody else's rows waiting.
    const TITLE_READERS: usize = 2;

    /// Starts readers if `sources` holds any fact.
    #[must_use]
    pub fn start(root: &ProcRoot, sources: SourceSet) -> Option<Arc<Self>> {
        if !FACTS.iter().any(|fact| sources.contains(*fact)) {
            return None;
        }
        let readers = Self::idle(root, sources);
        readers.supervise();
        Some(readers)
    }

    /// The same, with no reader at work yet.
    pub(super) fn idle(root: &ProcRoot, sources: SourceSet) -> Arc<Self> {
        let has_titles = TITLES.iter().any(|title| sources.contains(*title));
        Arc::new(Self {
            root: Arc::new(root.share()),
            sources,
            smaps_keys: OnceLock::new(),
            titles: Desk::new(if has_titles { Self::TITLE_READERS } else { 0 }),
            all: Desk::new(1),
            by_switches: AtomicBool::new(false),
            lost: AtomicUsize::new(0),
            blockers: Mutex::default(),
            health: Mutex::default(),
            budget: Arc::default(),
            limits: Limits::default(),
        })
    }

    /// Whether threads are told to have run by their switches, as a walk's records have them, rather than by `schedstat`.
    pub fn count_switches(&self, is_so: bool) {
        self.by_switches.store(is_so, Ordering::Relaxed);
    }

    /// Keeps no lines of `smaps` but those that the columns show; until this is said, all are.
    pub fn keep_lines_of<'a>(&self, columns: impl IntoIterator<Item = &'a Column>) {
        let key = |column: &Column| match column.extract {
            Extract::Smaps(SmapsPart::Kb(key)) => Some(key),
            Extract::Smaps(SmapsPart::VmFlags) => Some("VmFlags"),
            _ => None,
        };
        let keys: Vec<&'static str> = columns.into_iter().filter_map(key).collect();
        let _ = self.smaps_keys.set(Some(keys.into()));
    }

    pub(super) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Asks for all facts of a process, to be filled in when they are read; whether that makes sense now.
    pub fn request(&self, tgid: u32, facts: &Arc<ProcessFacts>) -> bool {
        // One process may hold one reader, however often its facts are wanted.
        if !self.has_readers() || facts.is_blocked() {
            return false;
        }
        if !facts.is_asked_for.swap(true, Ordering::AcqRel) {
            self.all.send(Request { tgid, facts: Arc::clone(facts) });
        }
        true
    }

    /// Asks for the titles of a process for rows that wait; false if they can not be had now.
    pub(super) fn ask_for_title(&self, tgid: u32, facts: &Arc<ProcessFacts>) -> bool {
        let can = self.has_readers();
        if can {
            self.titles.send(Request { tgid, facts: Arc::clone(facts) });
        }
        can
    }

    fn has_readers(&self) -> bool {
        self.lost.load(Ordering::Acquire) <= MAX_LOST
    }

    /// Waits until everything that discovery asked for was read, `patience` at most.
    pub fn settle(self: &Arc<Self>, patience: Duration) {
        self.wait(&self.all, Instant::now() + patience, &|| false);
    }

    /// Waits until the titles that rows wait for were read, and the mappings if they wait for those, until `deadline` or
    /// `stopped` at most.
    pub fn settle_rows(self: &Arc<Self>, with_mappings: bool, deadline: Instant, stopped: &dyn Fn() -> bool) {
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

    /// Leaves stuck readers behind and starts others, unless too many are stuck.
    pub fn supervise(self: &Arc<Self>) {
        for desk in [&self.titles, &self.all] {
            let mut readers = lock(&desk.readers);
            for place in &mut *readers {
                if place.as_ref().is_some_and(|progress| self.gives_up(desk, progress)) {
                    *place = None;
                }
                if place.is_none() && self.has_readers() {
                    *place = self.spawn(std::ptr::eq(desk, &self.titles));
                }
            }
        }
    }

    /// Whether a reader is stuck: then nothing that it is at counts any more.
    fn gives_up(&self, desk: &Desk, progress: &Mutex<Progress>) -> bool {
        let mut progress = lock(progress);
        let is_stuck = progress.at.as_ref().is_some_and(|(since, ..)| since.elapsed() > PATIENCE);
        if !is_stuck {
            return false;
        }
        progress.abandoned = true;
        if let Some((_, tgid, source, facts)) = progress.at.take() {
            lock(&self.health).record_error(source, ReadError::TimedOut);
            facts.give_up(source);
            lock(&self.blockers).push(tgid);
            desk.pending.fetch_sub(1, Ordering::AcqRel);
        }
        // Under the lock: the reader, should it come back, takes itself off the count after this.
        self.lost.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// The processes that blocked a reader.
    #[must_use]
    pub fn blockers(&self) -> Vec<u32> {
        lock(&self.blockers).clone()
    }

    /// Takes the accounting of the reads since the last call.
    #[must_use]
    pub fn take_health(&self) -> Health {
        std::mem::take(&mut *lock(&self.health))
    }

    /// A sentence for each limit that was met.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let many = |count: &AtomicU64, one: &str, of: &str| match count.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(one.to_owned()),
            many => Some(format!("{many} {of}")),
        };
        let Limits { long_titles, cut_mappings, left_out } = &self.limits;
        let long = many(long_titles, "a command line is", "command lines are").map(|who| {
            format!(
                "{who} longer than {CMDLINE_BYTES} bytes: as many are shown, from both ends, with a mark between them"
            )
        });
        let cut = many(cut_mappings, "a process", "processes").map(|who| {
            let mib = SMAPS_BYTES >> 20;
            format!("not all mappings of {who} are counted: of each, {mib} MiB of smaps are kept; [dropped] stands for the rest")
        });
        let out = many(left_out, "a process", "processes").map(|who| {
            let mib = Budget::BYTES >> 20;
            format!(
                "facts of {who} show [dropped]: command lines, executables and mappings of all others take {mib} MiB"
            )
        });
        [long, cut, out].into_iter().flatten().collect()
    }

    fn spawn(self: &Arc<Self>, for_titles: bool) -> Option<Arc<Mutex<Progress>>> {
        let progress = Arc::<Mutex<Progress>>::default();
        let desk = if for_titles { &self.titles } else { &self.all };
        let (queue, readers, at) = (desk.queue.clone(), Arc::downgrade(self), Arc::clone(&progress));
        let started = std::thread::Builder::new().name("psn-facts".to_owned()).stack_size(256 << 10).spawn(move || {
            let mut buffer = Buffer::default();
            while let Ok(request) = queue.recv() {
                // Whoever asked may be gone, and the run with it.
                let Some(readers) = readers.upgrade() else { return };
                let mut visit = Visit { readers: &readers, progress: &at, request: &request, buffer: &mut buffer };
                if visit.serve(for_titles).is_none() {
                    // What blocked blocks no more: its facts may be asked for again.
                    request.facts.forget();
                    readers.lost.fetch_sub(1, Ordering::AcqRel);
                    return;
                }
                let desk = if for_titles { &readers.titles } else { &readers.all };
                desk.pending.fetch_sub(1, Ordering::AcqRel);
            }
        });
        // Without a thread to be had, facts stay unread, and say so.
        started.is_ok().then_some(progress)
    }

    /// Accounts for a limit that the facts of a process have met, once.
    fn tell(&self, facts: &ProcessFacts, source: Source, fits: bool, is_cut: bool) {
        if (fits && !is_cut) || facts.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let Limits { long_titles, cut_mappings, left_out } = &self.limits;
        let count = match source {
            _ if !fits => left_out,
            Source::Smaps => cut_mappings,
            _ => long_titles,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request as it is served. What returns nothing was given up meanwhile.
struct Visit<'a> {
    readers: &'a SideReaders,
    progress: &'a Mutex<Progress>,
    request: &'a Request,
    buffer: &'a mut Buffer,
}

impl Visit<'_> {
    /// Reads the titles, or everything.
    fn serve(&mut self, for_titles: bool) -> Option<()> {
        let facts = &self.request.facts;
        if facts.is_blocked() {
            // Another reader is stuck there.
            facts.stand_aside();
            return Some(());
        }
        if for_titles {
            return self.read_titles(false);
        }
        // Read before the facts: a program that starts in between has another name than this one.
        let comm = self.read(Source::Comm, |files, of| {
            let comm = files.root.read_process(of.tgid, Source::Comm, Source::Comm.name(), files.buffer);
            files.health.record(Source::Comm, &comm);
            comm.ok().map(|comm| comm.strip_suffix(b"\n").unwrap_or(comm).into())
        })?;
        if TITLES.iter().any(|title| self.readers.sources.contains(*title)) {
            self.read_titles(true)?;
        }
        if self.readers.sources.contains(Source::Smaps) {
            let fact = self.read(Source::Smaps, |files, of| files.fact(of, Source::Smaps))?;
            self.keep(Source::Smaps, &fact);
        }
        lock(&facts.inner).comm = comm;
        facts.is_asked_for.store(false, Ordering::Release);
        Some(())
    }

    fn keep(&self, source: Source, fact: &Fact) {
        let facts = &self.request.facts;
        let fits = facts.set(source, fact.clone());
        self.readers.tell(facts, source, fits, matches!(fact, Fact::Cut(_)));
    }

    /// Reads the titles, and looks whether the threads whose rows wait for them have run meanwhile.
    fn read_titles(&mut self, notes_leader: bool) -> Option<()> {
        let Request { tgid, facts } = self.request;
        let by_switches = self.readers.by_switches.load(Ordering::Relaxed);
        let (reading, witnesses) = facts.begin();
        if notes_leader
            && let Some(runs) = self.read(Source::Schedstat, |files, of| files.runs(of.tgid, of.tgid, by_switches))?
        {
            facts.note(*tgid, runs, reading);
        }
        let mut titles = Vec::with_capacity(TITLES.len());
        for source in TITLES.into_iter().filter(|title| self.readers.sources.contains(*title)) {
            let known = facts.fact(source);
            if !notes_leader && matches!(known, Fact::Failed(ReadError::Denied | ReadError::Unsupported)) {
                // What was refused is asked for with everything else, now and then.
                titles.push((source, known));
                continue;
            }
            titles.push((source, self.read(source, |files, of| files.fact(of, source))?));
        }
        let (differs, is_called) = facts.compare(&titles);
        let mut confirmed = Vec::new();
        for witness in witnesses.into_iter().filter(is_called) {
            if self.confirms(witness)? {
                confirmed.push(witness);
            }
        }
        let layout = if differs { Some(self.read(Source::Stat, |files, of| files.layout(of))?) } else { None };
        for (source, fact) in &titles {
            // What does not fit is left out before it counts as read.
            self.readers.tell(facts, *source, true, matches!(fact, Fact::Cut(_)));
        }
        if !facts.finish(reading, titles, &confirmed, layout) {
            self.readers.tell(facts, Source::Cmdline, false, false);
        }
        Some(())
    }

    /// Whether the thread has not run since its row was taken or, if it ran then, has run on since.
    fn confirms(&mut self, witness: Witness) -> Option<bool> {
        let Some(then) = witness.runs else { return Some(false) };
        let by_switches = matches!(then, crate::tasks::facts::Runs::Switches(_));
        let now = self.read(Source::Schedstat, |files, of| files.runs(of.tgid, witness.tid, by_switches))?;
        Some(now.is_some_and(|now| if witness.is_at_rest { now == then } else { now.is_same_slice(then) }))
    }

    /// Has `read` read a file, watched by whoever supervises.
    fn read<T>(&mut self, source: Source, read: impl FnOnce(&mut Files<'_>, Subject) -> T) -> Option<T> {
        let Request { tgid, facts } = self.request;
        let of = Subject { tgid: *tgid, tid: lock(&facts.inner).other };
        let progress = self.progress;
        let is_let = || {
            let mut progress = lock(progress);
            if !progress.abandoned {
                progress.at = Some((Instant::now(), *tgid, source, Arc::clone(facts)));
            }
            !progress.abandoned
        };
        if !is_let() {
            return None;
        }
        let mut health = Health::default();
        let mut files = Files {
            root: &self.readers.root,
            health: &mut health,
            goes_on: &mut { is_let },
            buffer: self.buffer,
            smaps_keys: self.readers.smaps_keys.get().cloned().flatten(),
        };
        let read = read(&mut files, of);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.abandoned {
            return None;
        }
        progress.at = None;
        lock(&self.readers.health).take(&mut health);
        Some(read)
    }
}
