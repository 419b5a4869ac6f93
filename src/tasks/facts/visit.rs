//! How a side reader serves one request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::proc::health::Health;
use crate::proc::parse::smaps;
use crate::proc::source::{Source, SourceSet};
use crate::proc::{Buffer, ProcRoot, ReadError};
use crate::tasks::facts::desk::{Activity, CurrentRead, FactRequest};
use crate::tasks::facts::fact::{Fact, TITLES};
use crate::tasks::facts::files::{FactSubject, ProcessFiles};
use crate::tasks::facts::limits::Limits;
use crate::tasks::facts::witness::{RunCount, Witness};

/// What all readers share.
pub(super) struct SharedByReaders {
    pub(super) root: ProcRoot,
    pub(super) sources: SourceSet,
    /// The lines of `smaps` that are kept, once it is known.
    pub(super) smaps_keys: OnceLock<smaps::SmapsKeys>,
    /// Whether rows count how often their threads have run by switches, as the records of walks do.
    pub(super) by_switches: AtomicBool,
    pub(super) health: Mutex<Health>,
    pub(super) limits: Limits,
}

/// One request being served. A function that returns `None` was given up by the supervisor.
pub(super) struct FactVisit<'a> {
    pub(super) shared: &'a SharedByReaders,
    pub(super) activity: &'a Mutex<Activity>,
    pub(super) request: &'a FactRequest,
    pub(super) buffer: &'a mut Buffer,
}

impl FactVisit<'_> {
    /// Reads the titles, or all facts.
    pub(super) fn serve(&mut self, for_titles: bool) -> Option<()> {
        let facts = &self.request.facts;
        if facts.is_blocked() {
            // Another reader is stuck in this process.
            facts.stand_aside();
            return Some(());
        }
        if for_titles {
            return self.read_titles(false);
        }
        // The name is read before the facts, so that an exec in between shows as a changed name.
        let comm = self.read(Source::Comm, |files, of| {
            let comm = files.root.read_process(of.tgid, Source::Comm, Source::Comm.name(), files.buffer);
            files.health.record(Source::Comm, &comm);
            comm.ok().map(|comm| comm.strip_suffix(b"\n").unwrap_or(comm).into())
        })?;
        if TITLES.iter().any(|title| self.shared.sources.contains(*title)) {
            self.read_titles(true)?;
        }
        if self.shared.sources.contains(Source::Smaps) {
            let fact = self.read(Source::Smaps, |files, of| files.fact(of, Source::Smaps))?;
            self.keep(Source::Smaps, &fact);
        }
        facts.finish_all(comm);
        Some(())
    }

    /// Stores a fact, and counts a limit that it meets.
    fn keep(&self, source: Source, fact: &Fact) {
        let facts = &self.request.facts;
        let fits = facts.set(source, fact.clone());
        self.shared.limits.count(facts, source, fits, matches!(fact, Fact::Cut(_)));
    }

    /// Reads the titles, and checks whether the threads whose rows wait for them have run in the meantime.
    fn read_titles(&mut self, notes_leader: bool) -> Option<()> {
        let FactRequest { tgid, facts } = self.request;
        let by_switches = self.shared.by_switches.load(Ordering::Relaxed);
        let (reading, witnesses) = facts.begin();
        if notes_leader
            && let Some(runs) = self.read(Source::Schedstat, |files, of| files.runs(of.tgid, of.tgid, by_switches))?
        {
            facts.note(*tgid, runs, reading);
        }
        let mut titles = Vec::with_capacity(TITLES.len());
        for source in TITLES.into_iter().filter(|title| self.shared.sources.contains(*title)) {
            let known = facts.fact(source);
            if !notes_leader && matches!(known, Fact::Failed(ReadError::Denied | ReadError::Unsupported)) {
                // A file that was refused is tried again only when all facts are read.
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
        let read = |files: &mut ProcessFiles<'_>, of| files.program_addresses(of);
        let addresses = if differs { Some(self.read(Source::Stat, read)?) } else { None };
        for (source, fact) in &titles {
            // Whether it fits is counted below, for all titles at once.
            self.shared.limits.count(facts, *source, true, matches!(fact, Fact::Cut(_)));
        }
        if !facts.finish(reading, titles, &confirmed, addresses) {
            self.shared.limits.count(facts, Source::Cmdline, false, false);
        }
        Some(())
    }

    /// Whether the thread has not run since its row was taken or, if it was running, has not been switched in since.
    fn confirms(&mut self, witness: Witness) -> Option<bool> {
        let Some(then) = witness.runs else { return Some(false) };
        let by_switches = matches!(then, RunCount::Switches(_));
        let now = self.read(Source::Schedstat, |files, of| files.runs(of.tgid, witness.tid, by_switches))?;
        Some(now.is_some_and(|now| if witness.is_at_rest { now == then } else { now.is_same_slice(then) }))
    }

    /// Calls `read`, watched by the supervisor.
    fn read<T>(&mut self, source: Source, read: impl FnOnce(&mut ProcessFiles<'_>, FactSubject) -> T) -> Option<T> {
        let FactRequest { tgid, facts } = self.request;
        let of = FactSubject { tgid: *tgid, tid: facts.other() };
        let activity = self.activity;
        let may_go_on = || {
            let mut activity = lock(activity);
            if !activity.is_abandoned {
                let (since, facts) = (Instant::now(), Arc::clone(facts));
                activity.read = Some(CurrentRead { since, tgid: *tgid, source, facts });
            }
            !activity.is_abandoned
        };
        if !may_go_on() {
            return None;
        }
        let mut health = Health::default();
        let mut files = ProcessFiles {
            root: &self.shared.root,
            health: &mut health,
            goes_on: &mut { may_go_on },
            buffer: self.buffer,
            smaps_keys: self.shared.smaps_keys.get().cloned().flatten(),
        };
        let read = read(&mut files, of);
        let mut activity = lock(activity);
        if activity.is_abandoned {
            return None;
        }
        activity.read = None;
        lock(&self.shared.health).take(&mut health);
        Some(read)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
