//! Slow facts of a process, read beside the sampling: command line, executable, mappings.
//!
//! Reading them can block for ever: `cmdline` and `smaps` take the target's mmap_lock, `exe` its exec lock
//! (fs/proc/base.c). So only a side reader ([`reader`]) reads them; one that does not come back is left behind and replaced,
//! and the process is marked as one that blocks its readers.
//!
//! # Titles belong to a moment
//! A program may write another title over its command line whenever it runs, and execute another program. So with each
//! row whose thread has run since the title was read, or runs now, the title is read again ([`ProcessFacts::look`]), and the row
//! waits for that, no longer than its tick. The title read is the row's if the thread has not been switched in since the row
//! was taken, which its own counts of switches tell; or, as long as the program was never seen to change its title, if it
//! is the title that was read before the row. Else the row shows `[stale]` ([`ProcessFacts::holds`]).
//!
//! Threads of a process share the title. What is proved is that the thread of the row did not change it.

pub mod files;
pub mod reader;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::proc::ReadError;
use crate::proc::source::Source;
pub use reader::SideReaders;

/// The state of one fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fact {
    /// The reader has not come to it.
    #[default]
    Unread,
    /// The bytes.
    Known(Arc<[u8]>),
    /// The bytes as far as they are kept.
    Cut(Arc<[u8]>),
    /// The read failed.
    Failed(ReadError),
    /// The read did not come back.
    Blocked,
}

impl Fact {
    fn bytes(&self) -> usize {
        match self {
            Self::Known(bytes) | Self::Cut(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// The sources that are facts of a process.
pub const FACTS: [Source; 3] = [Source::Cmdline, Source::Exe, Source::Smaps];

/// Those of them that change while a process lives, and are read again for each row whose thread has run.
pub const TITLES: [Source; 2] = [Source::Cmdline, Source::Exe];

/// What tells that a thread has run: it grows whenever the thread is given a CPU, or has left one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Of `schedstat`.
    Slices {
        /// Time on a CPU.
        run_ns: u64,
        /// How often it was given one.
        timeslices: u64,
    },
    /// How often it was switched out, of its own will or not: of a walk's record, or of `status`.
    Switches(u64),
}

impl Runs {
    /// Whether the thread, on a CPU or waiting for one at both readings, was not switched in between them.
    fn is_same_slice(self, other: Self) -> bool {
        match (self, other) {
            (Self::Slices { timeslices: mine, .. }, Self::Slices { timeslices: theirs, .. }) => mine == theirs,
            _ => self == other,
        }
    }
}

/// A thread as a row shows it.
#[derive(Debug, Clone, Copy)]
pub struct Witness {
    /// The thread.
    pub tid: u32,
    /// Its count at the row's moment; none if that can not be told.
    pub runs: Option<Runs>,
    /// Whether it was neither on a CPU nor waiting for one.
    pub is_at_rest: bool,
}

/// What is known of a title for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is the row's: the thread has not run since it was read.
    Current,
    /// It is read again: the reading of this number will tell.
    Awaited(u64),
    /// It is of another moment, and is not read now.
    Stale,
}

/// What is known of one thread of the process.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// How often it had run when it was last looked at.
    runs: Runs,
    /// The first reading that began after that.
    reading: u64,
    /// The reading after which it still had not run.
    confirmed: u64,
}

/// What an exec changes: where the program and its arguments lie.
pub type Layout = [u64; 4];

#[derive(Debug, Default)]
struct Inner {
    facts: [Fact; FACTS.len()],
    /// Readings of the titles that were begun, and the last that was finished.
    begun: u64,
    finished: u64,
    /// For each fact, the last reading that found another than the one before it.
    changed: [u64; FACTS.len()],
    /// Whether the program was seen to change its title.
    rewrites: bool,
    /// Threads that ran at their row's moment and were shown to have run on, with the title of before.
    steady: u32,
    layout: Option<Layout>,
    is_queued: bool,
    threads: HashMap<u32, Known, RandomState>,
    /// The threads that the next reading is to confirm.
    witnesses: Vec<Witness>,
    /// A thread that was there a moment ago and is not the first, which may end before the others.
    other: Option<u32>,
    /// The process's name when all facts were last read.
    comm: Option<Box<[u8]>>,
}

/// The facts of one process.
#[derive(Debug, Default)]
pub struct ProcessFacts {
    inner: Mutex<Inner>,
    /// All of them are to be read again.
    is_stale: AtomicBool,
    /// All of them were asked for, and the reader has not come to the end of them.
    is_asked_for: AtomicBool,
    /// A limit met by its facts is accounted for.
    is_told: AtomicBool,
    budget: Arc<Budget>,
    readers: Option<Arc<SideReaders>>,
}

/// The bytes kept of all processes.
#[derive(Debug, Default)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// At most so many: a hundred thousand processes may have a title of 128 KiB each.
    pub const BYTES: usize = 128 << 20;

    /// Whether `more` is to be had in the place of `less`.
    fn swap(&self, less: usize, more: usize) -> bool {
        let swapped = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let used = used.saturating_sub(less).saturating_add(more);
            (used <= Self::BYTES || more <= less).then_some(used)
        });
        swapped.is_ok()
    }
}

fn place(source: Source) -> Option<usize> {
    FACTS.iter().position(|fact| *fact == source)
}

impl ProcessFacts {
    /// Threads that one reading confirms at most; the rest is `[stale]` if the title changes.
    const MAX_WITNESSES: usize = 1024;

    /// Rows of running threads that show a program to keep its title while it runs.
    const STEADY: u32 = 3;

    /// Facts that `readers` read, within their budget.
    #[must_use]
    pub fn of(readers: &Arc<SideReaders>) -> Self {
        let mut facts = Self::default();
        (facts.budget, facts.readers) = (readers.budget(), Some(Arc::clone(readers)));
        facts
    }

    /// The fact from `source`.
    #[must_use]
    pub fn fact(&self, source: Source) -> Fact {
        place(source).and_then(|place| lock(&self.inner).facts.get(place).cloned()).unwrap_or_default()
    }

    /// Who reads them.
    #[must_use]
    pub const fn readers(&self) -> Option<&Arc<SideReaders>> {
        self.readers.as_ref()
    }

    /// Whether the title last read is the row's of this thread, and if it may not be, has it read again.
    pub fn look(self: &Arc<Self>, tgid: u32, witness: Witness) -> Look {
        let mut inner = lock(&self.inner);
        if witness.tid != tgid {
            inner.other = Some(witness.tid);
        }
        let next = inner.begun + 1;
        let known =
            inner.threads.get(&witness.tid).filter(|known| witness.is_at_rest && witness.runs == Some(known.runs));
        let reading = known.map_or(next, |known| known.reading.min(next));
        if reading <= inner.finished {
            return Look::Current;
        }
        if inner.facts.contains(&Fact::Blocked) {
            return Look::Stale;
        }
        if reading == next {
            if let Some(runs) = witness.runs {
                inner.threads.insert(witness.tid, Known { runs, reading, confirmed: 0 });
            }
            if inner.witnesses.len() < Self::MAX_WITNESSES {
                inner.witnesses.push(witness);
            }
            if !inner.is_queued {
                inner.is_queued = self.readers.as_ref().is_some_and(|readers| readers.ask_for_title(tgid, self));
            }
            if !inner.is_queued {
                return Look::Stale;
            }
        }
        Look::Awaited(reading)
    }

    /// Whether what was last read from `source` is the row's of this thread, which was promised it by a [look](Self::look).
    #[must_use]
    pub fn holds(&self, source: Source, witness: Witness, reading: u64) -> bool {
        let inner = lock(&self.inner);
        if inner.finished < reading {
            return false;
        }
        let changed = place(source).and_then(|place| inner.changed.get(place)).copied().unwrap_or(u64::MAX);
        // Read before the row and after it, it was the same, and the program has not been seen to change it ever; an
        // executable is changed by no program, but by an exec.
        // But a thread that runs may be about to: of that, some rows have to have shown the contrary.
        let is_steady = !inner.rewrites && (witness.is_at_rest || inner.steady >= Self::STEADY);
        let is_steady = is_steady || source == Source::Exe;
        if is_steady && changed < reading && reading > 1 {
            return true;
        }
        let known = inner.threads.get(&witness.tid).filter(|known| witness.runs == Some(known.runs));
        known.is_some_and(|known| known.confirmed >= reading && changed <= known.confirmed)
    }

    /// Whether all facts are those of a program of this name, as far as is known: another may have been executed since.
    #[must_use]
    pub fn is_of(&self, comm: &[u8]) -> bool {
        lock(&self.inner).comm.as_deref().is_none_or(|known| known == comm)
    }

    /// Has all facts read again.
    pub fn refresh(self: &Arc<Self>, tgid: u32) -> bool {
        self.readers.as_ref().is_some_and(|readers| readers.request(tgid, self))
    }

    /// Notes a thread that is there and is not the first.
    pub fn note_other(&self, tid: u32) {
        lock(&self.inner).other = Some(tid);
    }

    /// Forgets threads that may have ended: a process has so many now.
    pub fn forget_threads_beyond(&self, threads: usize) {
        let mut inner = lock(&self.inner);
        if inner.threads.len() > 2 * threads + 64 {
            inner.threads.clear();
        }
    }

    /// Whether the facts were forgotten since the last call.
    pub fn take_stale(&self) -> bool {
        self.is_stale.swap(false, Ordering::Relaxed)
    }

    /// Whether a reader is still stuck in one of them.
    fn is_blocked(&self) -> bool {
        lock(&self.inner).facts.contains(&Fact::Blocked)
    }

    fn forget(&self) {
        for fact in FACTS {
            self.set(fact, Fact::Unread);
        }
        let mut inner = lock(&self.inner);
        inner.comm = None;
        inner.is_queued = false;
        inner.threads.clear();
        drop(inner);
        self.is_stale.store(true, Ordering::Relaxed);
    }

    /// The readers gave up: what was read and what was not is as it is.
    fn give_up(&self, source: Source) {
        for fact in FACTS {
            if self.fact(fact) == Fact::Unread || fact == source {
                self.set(fact, Fact::Blocked);
            }
        }
        self.stand_aside();
    }

    /// Whoever was to read them does not: they may be asked for again.
    fn stand_aside(&self) {
        lock(&self.inner).is_queued = false;
        self.is_asked_for.store(false, Ordering::Release);
    }

    /// Begins a reading of the titles: its number, and the threads that it is to confirm.
    fn begin(&self) -> (u64, Vec<Witness>) {
        let mut inner = lock(&self.inner);
        inner.begun += 1;
        inner.is_queued = false;
        (inner.begun, std::mem::take(&mut inner.witnesses))
    }

    /// Notes how often a thread had run when a reading began.
    fn note(&self, tid: u32, runs: Runs, reading: u64) {
        let mut inner = lock(&self.inner);
        // What is known of a thread that has not run since is no older.
        if inner.threads.get(&tid).is_none_or(|known| known.runs != runs) {
            inner.threads.insert(tid, Known { runs, reading, confirmed: 0 });
        }
    }

    /// Whether the titles read are others than those read before, and for which threads a witness is called for.
    fn compare(&self, titles: &[(Source, Fact)]) -> (bool, impl Fn(&Witness) -> bool + use<>) {
        let inner = lock(&self.inner);
        let is_same = |(source, fact): &(Source, Fact)| place(*source).and_then(|at| inner.facts.get(at)) == Some(fact);
        let differs = !titles.iter().all(is_same);
        let (of_all, of_running) = (differs || inner.rewrites, inner.steady < Self::STEADY);
        (differs, move |witness: &Witness| of_all || (of_running && !witness.is_at_rest))
    }

    /// Finishes a reading: what was read, and which threads had not run since they were looked at. `layout` is given if
    /// the titles are others than before, and says whether that is by an exec.
    /// False if there was no room for the titles.
    fn finish(
        &self,
        reading: u64,
        titles: Vec<(Source, Fact)>,
        confirmed: &[Witness],
        layout: Option<Option<Layout>>,
    ) -> bool {
        if lock(&self.inner).finished > reading {
            // Another reader was faster, with a later title.
            return true;
        }
        let mut fit = true;
        let is_first = titles.iter().any(|(source, _)| matches!(self.fact(*source), Fact::Unread | Fact::Blocked));
        for (source, fact) in titles {
            self.note_change(source, &fact, reading);
            fit &= self.set(source, fact);
        }
        let mut inner = lock(&self.inner);
        if layout.is_some() {
            inner.steady = 0;
        } else {
            let ran_on = confirmed.iter().filter(|witness| !witness.is_at_rest).count();
            inner.steady = inner.steady.saturating_add(u32::try_from(ran_on).unwrap_or(u32::MAX));
        }
        if let Some(layout) = layout {
            let is_exec = layout.is_some() && inner.layout.is_some() && layout != inner.layout;
            // Another program need not have the habits of the one before it.
            inner.rewrites = !is_first && !is_exec;
            inner.layout = layout;
            if is_exec {
                // Whatever the name of the other is, it is no longer that of the program of all facts.
                inner.comm = Some(Box::default());
                self.is_stale.store(true, Ordering::Relaxed);
            }
        }
        for witness in confirmed {
            if let Some(known) = inner.threads.get_mut(&witness.tid)
                && witness.runs == Some(known.runs)
            {
                known.confirmed = reading;
            }
        }
        inner.finished = reading;
        fit
    }

    /// Notes that a reading found another fact than the one before it, if it did.
    fn note_change(&self, source: Source, fact: &Fact, reading: u64) {
        let mut inner = lock(&self.inner);
        let Some(place) = place(source) else { return };
        if inner.facts.get(place) != Some(fact)
            && let Some(changed) = inner.changed.get_mut(place)
        {
            *changed = reading;
        }
    }

    /// Stores a fact, if there is room for it among those of all processes; false if there is not.
    fn set(&self, source: Source, fact: Fact) -> bool {
        let mut inner = lock(&self.inner);
        let Some(slot) = place(source).and_then(|place| inner.facts.get_mut(place)) else { return true };
        if *slot == fact {
            return true;
        }
        let fits = self.budget.swap(slot.bytes(), fact.bytes());
        if fits {
            *slot = fact;
        } else {
            self.budget.swap(slot.bytes(), 0);
            *slot = Fact::Failed(ReadError::Dropped(rustix::io::Errno::NOMEM));
        }
        fits
    }
}

impl Drop for ProcessFacts {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.budget.swap(inner.facts.iter().map(Fact::bytes).sum(), 0);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: usize) -> Fact {
        Fact::Known(vec![b'x'; bytes].into())
    }

    fn witness(timeslices: u64, is_at_rest: bool) -> Witness {
        Witness { tid: 7, runs: Some(Runs::Slices { run_ns: 10 * timeslices, timeslices }), is_at_rest }
    }

    /// Facts with readers that read nothing by themselves.
    fn facts() -> Arc<ProcessFacts> {
        let root = crate::proc::ProcRoot::open(&std::env::temp_dir()).unwrap();
        let sources = [Source::Cmdline].into_iter().collect();
        Arc::new(ProcessFacts::of(&SideReaders::idle(&root, sources)))
    }

    fn read(facts: &ProcessFacts, title: &str, confirmed: &[Witness], layout: Layout) {
        let (reading, _) = facts.begin();
        let titles = vec![(Source::Cmdline, Fact::Known(title.as_bytes().into()))];
        let (differs, _) = facts.compare(&titles);
        assert!(facts.finish(reading, titles, confirmed, differs.then_some(Some(layout))));
    }

    #[test]
    fn what_is_kept_of_all_processes_is_bounded() {
        let budget = Arc::<Budget>::default();
        let of = || {
            let mut facts = ProcessFacts::default();
            facts.budget = Arc::clone(&budget);
            facts
        };
        let (one, two) = (of(), of());
        assert!(one.set(Source::Smaps, known(Budget::BYTES - 100)) && two.set(Source::Cmdline, known(100)));
        assert!(!two.set(Source::Cmdline, known(101)));
        assert_eq!(two.fact(Source::Cmdline), Fact::Failed(ReadError::Dropped(rustix::io::Errno::NOMEM)));
        assert!(one.set(Source::Smaps, known(10)) && two.set(Source::Cmdline, known(Budget::BYTES - 10)));
        drop(two);
        assert!(one.set(Source::Smaps, known(Budget::BYTES)), "what ends gives back what it had");
    }

    #[test]
    fn a_title_is_current_while_its_thread_has_not_run_and_is_read_again_when_it_has() {
        let facts = facts();
        let Look::Awaited(1) = facts.look(7, witness(1, true)) else { panic!("never read") };
        assert!(!facts.holds(Source::Cmdline, witness(1, true), 1));
        read(&facts, "idle", &[witness(1, true)], [2; 4]);
        assert!(facts.holds(Source::Cmdline, witness(1, true), 1));
        assert_eq!(facts.look(7, witness(1, true)), Look::Current);
        assert_eq!(facts.look(7, witness(2, true)), Look::Awaited(2));
        assert_eq!(facts.look(7, witness(2, false)), Look::Awaited(2), "whoever runs may change it now");
    }

    #[test]
    fn a_title_that_changed_is_of_those_rows_whose_threads_have_not_run_since() {
        let facts = facts();
        facts.look(7, witness(1, true));
        read(&facts, "idle", &[witness(1, true)], [2; 4]);
        facts.look(7, witness(2, true));
        read(&facts, "SELECT", &[], [2; 4]);
        assert!(!facts.holds(Source::Cmdline, witness(2, true), 2), "it has run meanwhile");
        assert_eq!(facts.look(7, witness(2, true)), Look::Current, "it had not");
        // From now on the same title before and after proves nothing.
        facts.look(7, witness(3, false));
        read(&facts, "SELECT", &[], [2; 4]);
        assert!(!facts.holds(Source::Cmdline, witness(3, false), 3));
        facts.look(7, witness(4, false));
        read(&facts, "SELECT", &[witness(4, false)], [2; 4]);
        assert!(facts.holds(Source::Cmdline, witness(4, false), 4));
    }

    #[test]
    fn a_program_that_never_changed_its_title_has_it_and_an_exec_is_no_change() {
        let facts = facts();
        facts.look(7, witness(1, true));
        read(&facts, "wrapper", &[], [2; 4]);
        facts.look(7, witness(2, true));
        read(&facts, "wrapper", &[], [2; 4]);
        assert!(facts.holds(Source::Cmdline, witness(2, true), 2), "before the row and after");
        facts.look(7, witness(3, true));
        read(&facts, "program", &[], [3; 4]);
        assert!(!facts.holds(Source::Cmdline, witness(3, true), 3), "which of the two it was is not known");
        facts.look(7, witness(4, true));
        read(&facts, "program", &[], [3; 4]);
        assert!(facts.holds(Source::Cmdline, witness(4, true), 4));
    }

    #[test]
    fn a_program_that_runs_is_taken_to_keep_its_title_once_it_was_seen_to() {
        let facts = facts();
        facts.look(7, witness(1, false));
        read(&facts, "spinner", &[witness(1, false)], [2; 4]);
        for reading in 2..=5 {
            facts.look(7, witness(reading, false));
            read(&facts, "spinner", &[], [2; 4]);
            assert!(
                !facts.holds(Source::Cmdline, witness(reading, false), reading),
                "it may have had another meanwhile"
            );
        }
        for reading in 6..=8 {
            facts.look(7, witness(reading, false));
            read(&facts, "spinner", &[witness(reading, false)], [2; 4]);
            assert!(facts.holds(Source::Cmdline, witness(reading, false), reading));
        }
        facts.look(7, witness(9, false));
        read(&facts, "spinner", &[], [2; 4]);
        assert!(facts.holds(Source::Cmdline, witness(9, false), 9));
    }

    #[test]
    fn a_slice_is_the_same_while_the_thread_was_not_switched_in() {
        let runs = |run_ns, timeslices| Runs::Slices { run_ns, timeslices };
        assert!(runs(1, 5).is_same_slice(runs(9, 5)) && !runs(1, 5).is_same_slice(runs(1, 6)));
        assert!(Runs::Switches(3).is_same_slice(Runs::Switches(3)) && !Runs::Switches(3).is_same_slice(runs(3, 3)));
    }
}
