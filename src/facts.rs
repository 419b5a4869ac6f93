//! Slow-changing facts of a process, read beside the sampling: command line, executable, mappings.
//!
//! Reading them can block for ever: `cmdline` and `smaps` take the target's mmap_lock, `exe` its
//! exec lock (fs/proc/base.c). So only a side reader reads them, one process at a time; a reader
//! that does not come back is left behind and replaced, and the process is marked as one that
//! blocks its readers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::column::{Source, SourceSet};
use crate::health::Health;
use crate::procfs::{Buffer, ProcRoot, ReadError};

/// The state of one fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fact {
    /// The reader has not come to it.
    #[default]
    Unread,
    /// The bytes.
    Known(Arc<[u8]>),
    /// The read failed.
    Failed(ReadError),
    /// The read did not come back.
    Blocked,
}

/// The facts of one process.
#[derive(Debug, Default)]
pub struct ProcessFacts {
    facts: Mutex<[Fact; FACTS.len()]>,
    /// The process's name when they were asked for.
    comm: Mutex<Option<Box<[u8]>>>,
    /// They were forgotten, and are to be asked for again.
    is_stale: AtomicBool,
    /// They were asked for, and the reader has not come to the end of them.
    is_asked_for: AtomicBool,
}

/// The sources that are facts of a process.
pub const FACTS: [Source; 3] = [Source::Cmdline, Source::Exe, Source::Smaps];

impl ProcessFacts {
    /// The fact from `source`.
    #[must_use]
    pub fn fact(&self, source: Source) -> Fact {
        let place = FACTS.iter().position(|fact| *fact == source);
        place.and_then(|place| lock(&self.facts).get(place).cloned()).unwrap_or_default()
    }

    /// Forgets the facts if they were learnt under another name than `comm`, the leader's now: they
    /// are those of the program before an exec.
    pub fn revalidate(&self, comm: &[u8]) {
        let is_known = |known: &Option<Box<[u8]>>| known.as_deref().is_some_and(|known| known != comm);
        if is_known(&lock(&self.comm)) {
            self.forget();
        }
    }

    fn forget(&self) {
        *lock(&self.facts) = Default::default();
        *lock(&self.comm) = None;
        self.is_stale.store(true, Ordering::Relaxed);
    }

    /// Whether a reader is still stuck in one of them.
    fn is_blocked(&self) -> bool {
        lock(&self.facts).contains(&Fact::Blocked)
    }

    /// Whether the facts were forgotten since the last call.
    pub fn take_stale(&self) -> bool {
        self.is_stale.swap(false, Ordering::Relaxed)
    }

    fn set(&self, source: Source, fact: Fact) {
        let mut facts = lock(&self.facts);
        if let Some(slot) = FACTS.iter().position(|fact| *fact == source).and_then(|place| facts.get_mut(place)) {
            *slot = fact;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    health: Health,
}

/// The side reader and its queue.
pub struct SideReader {
    root: Arc<ProcRoot>,
    sources: SourceSet,
    requests: Sender<Request>,
    queue: Receiver<Request>,
    /// Whether a reader is at work.
    has_reader: bool,
    progress: Arc<Mutex<Progress>>,
    /// Requests not yet answered or given up.
    pending: Arc<AtomicUsize>,
    /// Readers that are stuck.
    lost: Arc<AtomicUsize>,
    blockers: Vec<u32>,
    health: Health,
}

impl SideReader {
    /// A read that takes longer is taken for stuck.
    const PATIENCE: Duration = Duration::from_millis(250);
    /// Readers that may be lost before facts are no longer read.
    const MAX_LOST: usize = 4;

    /// Starts the reader if `sources` holds any fact.
    #[must_use]
    pub fn start(root: &ProcRoot, sources: SourceSet) -> Option<Self> {
        if !FACTS.iter().any(|fact| sources.contains(*fact)) {
            return None;
        }
        let (requests, queue) = unbounded();
        let mut reader = Self {
            root: Arc::new(root.share()),
            sources,
            requests,
            queue,
            has_reader: false,
            progress: Arc::default(),
            pending: Arc::default(),
            lost: Arc::default(),
            blockers: Vec::new(),
            health: Health::default(),
        };
        reader.spawn();
        Some(reader)
    }

    /// Asks for the facts of a process, to be filled in when they are read; whether that makes sense now.
    pub fn request(&self, tgid: u32, facts: &Arc<ProcessFacts>) -> bool {
        // One process may hold one reader, however often its facts are wanted.
        if !self.has_reader || facts.is_blocked() {
            return false;
        }
        if !facts.is_asked_for.swap(true, Ordering::AcqRel) {
            self.pending.fetch_add(1, Ordering::AcqRel);
            // The queue is closed only when the reader is dropped.
            let _ = self.requests.send(Request { tgid, facts: Arc::clone(facts) });
        }
        true
    }

    /// Waits until everything asked for was read, `patience` at most.
    pub fn settle(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            self.supervise();
            if self.pending.load(Ordering::Acquire) == 0 || !self.has_reader {
                return;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Leaves a stuck reader behind and starts another, unless too many are stuck.
    pub fn supervise(&mut self) {
        if !self.has_reader && self.lost.load(Ordering::Acquire) <= Self::MAX_LOST {
            // One that was stuck has come back since.
            self.spawn();
        }
        let mut progress = lock(&self.progress);
        self.health.take(&mut progress.health);
        let stuck = progress.at.as_ref().is_some_and(|(since, ..)| since.elapsed() > Self::PATIENCE);
        if !stuck {
            return;
        }
        progress.abandoned = true;
        if let Some((_, tgid, source, facts)) = progress.at.take() {
            self.health.record_error(source, ReadError::TimedOut);
            for fact in FACTS {
                if facts.fact(fact) == Fact::Unread || fact == source {
                    facts.set(fact, Fact::Blocked);
                }
            }
            self.blockers.push(tgid);
            facts.is_asked_for.store(false, Ordering::Release);
            self.pending.fetch_sub(1, Ordering::AcqRel);
        }
        // Under the lock: the reader, should it come back, takes itself off the count after this.
        let lost = self.lost.fetch_add(1, Ordering::AcqRel) + 1;
        drop(progress);
        self.progress = Arc::default();
        self.has_reader = false;
        if lost <= Self::MAX_LOST {
            self.spawn();
        }
    }

    /// The processes that blocked a reader.
    #[must_use]
    pub fn blockers(&self) -> &[u32] {
        &self.blockers
    }

    /// Takes the accounting of the reads since the last call.
    pub fn take_health(&mut self) -> Health {
        let mut health = std::mem::take(&mut self.health);
        health.take(&mut lock(&self.progress).health);
        health
    }

    fn spawn(&mut self) {
        let (root, sources) = (Arc::clone(&self.root), self.sources);
        let (queue, progress) = (self.queue.clone(), Arc::clone(&self.progress));
        let (pending, lost) = (Arc::clone(&self.pending), Arc::clone(&self.lost));
        let started = std::thread::Builder::new()
            .name("psn-facts".to_owned())
            .stack_size(256 << 10)
            .spawn(move || serve(&root, sources, &queue, &progress, &pending, &lost));
        // Without a thread to be had, facts stay unread, and say so.
        self.has_reader = started.is_ok();
    }
}

fn serve(
    root: &ProcRoot,
    sources: SourceSet,
    queue: &Receiver<Request>,
    progress: &Mutex<Progress>,
    pending: &AtomicUsize,
    lost: &AtomicUsize,
) {
    let mut buffer = Buffer::default();
    for request in queue {
        let mut health = Health::default();
        let comm = root.read_process(request.tgid, Source::Comm, Source::Comm.name(), &mut buffer);
        health.record(Source::Comm, &comm);
        // Read before the facts: a program that starts in between has another name than this one.
        let comm: Option<Box<[u8]>> = comm.ok().map(|comm| comm.strip_suffix(b"\n").unwrap_or(comm).into());
        lock(progress).health.take(&mut health);
        for source in FACTS.into_iter().filter(|fact| sources.contains(*fact)) {
            {
                let mut progress = lock(progress);
                if progress.abandoned {
                    return;
                }
                progress.at = Some((Instant::now(), request.tgid, source, Arc::clone(&request.facts)));
            }
            let result = read(root, request.tgid, source, &mut buffer);
            let mut progress = lock(progress);
            if progress.abandoned {
                // What blocked blocks no more: its facts may be asked for again.
                request.facts.forget();
                lost.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            progress.at = None;
            progress.health.record(source, &result);
            request.facts.set(source, result.map_or_else(Fact::Failed, Fact::Known));
        }
        *lock(&request.facts.comm) = comm;
        request.facts.is_asked_for.store(false, Ordering::Release);
        pending.fetch_sub(1, Ordering::AcqRel);
    }
}

fn read(root: &ProcRoot, tgid: u32, source: Source, buffer: &mut Buffer) -> Result<Arc<[u8]>, ReadError> {
    match source {
        Source::Exe => match root.read_process_link(tgid, source, source.name()) {
            // A kernel thread or a zombie has no executable: there is no link, and that is the answer.
            Err(ReadError::Gone) if root.owner(tgid).is_some() => Ok(Arc::default()),
            link => link.map(Into::into),
        },
        _ => match root.read_process(tgid, source, source.name(), buffer) {
            // The process is there and its file is not: this kernel has no such file.
            Err(ReadError::Gone) if root.owner(tgid).is_some() => Err(ReadError::Unsupported),
            bytes => bytes.map(Into::into),
        },
    }
}
