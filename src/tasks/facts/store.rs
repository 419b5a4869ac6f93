//! The facts of one process, and to which rows its titles belong.
//!
//! # Titles belong to an instant
//! A program may overwrite its command line whenever it runs, and may execute another program. So for each row whose thread has
//! run since the title was read, or is running, the title is read again ([`FactStore::look`]), and the row waits for it, at most
//! until the end of its tick. The title belongs to the row if the thread has not been switched in since the row was taken, by the
//! thread's own counts of switches; or, if the program has never changed its title, if the title is the same as before the row.
//! Otherwise the row shows `[stale]` ([`FactStore::holds`]).
//!
//! All threads of a process share the title. What is proved is that the thread of the row did not change it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::proc::ReadError;
use crate::proc::source::Source;
use crate::tasks::facts::fact::{FACTS, Fact, FactBudget, index};
use crate::tasks::facts::witness::{RunCount, Witness};

/// Whether the title that was last read belongs to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TitleStatus {
    /// It does: the thread has not run since before it was read.
    Current,
    /// It is being read again. The reading of this number will tell.
    Awaited(u64),
    /// It may not, and it cannot be read now.
    Stale,
}

/// How often a thread of the process had run, and which readings followed.
#[derive(Debug, Clone, Copy)]
struct SeenThread {
    /// How often it had run when it was last seen.
    runs: RunCount,
    /// The first reading that began after that.
    reading: u64,
    /// The last reading after which it still had not run again; 0 for none.
    confirmed: u64,
}

/// Where the program and its arguments lie in memory. An exec changes these addresses.
pub(super) type ProgramAddresses = [u64; 4];

/// What the lock guards.
#[derive(Debug, Default)]
struct Inner {
    facts: [Fact; FACTS.len()],
    /// The numbers of the last reading of the titles that was begun, and of the last that was finished.
    begun: u64,
    finished: u64,
    /// For each fact, the last reading that found a different value.
    changed: [u64; FACTS.len()],
    /// Whether the program has changed its title without an exec.
    rewrites: bool,
    /// How many rows of running threads were confirmed with an unchanged title.
    steady: u32,
    addresses: Option<ProgramAddresses>,
    /// Whether a reading of the titles was asked for and has not begun.
    is_queued: bool,
    threads: HashMap<u32, SeenThread, RandomState>,
    /// The threads that the next reading has to confirm.
    witnesses: Vec<Witness>,
    /// A thread that is not the leader, for a leader that ends before it.
    other: Option<u32>,
    /// The name of the process when all facts were last read.
    comm: Option<Box<[u8]>>,
}

/// The facts of one process.
#[derive(Debug, Default)]
pub(super) struct FactStore {
    inner: Mutex<Inner>,
    /// Whether all facts have to be read again.
    is_stale: AtomicBool,
    /// Whether all facts were asked for and have not all been read.
    is_asked_for: AtomicBool,
    /// Whether a limit that its facts met was counted.
    is_limited: AtomicBool,
    budget: Arc<FactBudget>,
}

impl FactStore {
    /// The most threads that one reading confirms. The rows of the others show `[stale]` if the title changes.
    const MAX_WITNESSES: usize = 1024;

    /// After so many confirmed rows of running threads a program is assumed to keep its title while it runs.
    const STEADY: u32 = 3;

    /// Facts that take their bytes from `budget`.
    pub(super) fn new(budget: &Arc<FactBudget>) -> Self {
        let mut facts = Self::default();
        facts.budget = Arc::clone(budget);
        facts
    }

    /// The fact from `source`.
    pub(super) fn fact(&self, source: Source) -> Fact {
        index(source).and_then(|index| lock(&self.inner).facts.get(index).cloned()).unwrap_or_default()
    }

    /// Whether the title that was last read belongs to the row of this thread. If it may not, `ask` is called to have it read
    /// again, and returns whether it will be.
    pub(super) fn look(&self, tgid: u32, witness: Witness, ask: impl FnOnce() -> bool) -> TitleStatus {
        let mut inner = lock(&self.inner);
        if witness.tid != tgid {
            inner.other = Some(witness.tid);
        }
        let next = inner.begun + 1;
        let known =
            inner.threads.get(&witness.tid).filter(|known| witness.is_at_rest && witness.runs == Some(known.runs));
        let reading = known.map_or(next, |known| known.reading.min(next));
        if reading <= inner.finished {
            return TitleStatus::Current;
        }
        if inner.facts.contains(&Fact::Blocked) {
            return TitleStatus::Stale;
        }
        if reading == next {
            if let Some(runs) = witness.runs {
                inner.threads.insert(witness.tid, SeenThread { runs, reading, confirmed: 0 });
            }
            if inner.witnesses.len() < Self::MAX_WITNESSES {
                inner.witnesses.push(witness);
            }
            if !inner.is_queued {
                inner.is_queued = ask();
            }
            if !inner.is_queued {
                return TitleStatus::Stale;
            }
        }
        TitleStatus::Awaited(reading)
    }

    /// Whether the fact that was last read from `source` belongs to the row of this thread, which awaits this reading.
    pub(super) fn holds(&self, source: Source, witness: Witness, reading: u64) -> bool {
        let inner = lock(&self.inner);
        if inner.finished < reading {
            return false;
        }
        let changed = index(source).and_then(|index| inner.changed.get(index)).copied().unwrap_or(u64::MAX);
        // The title was the same before the row and after it, and the program has never changed it. If the thread was running,
        // it may just be changing it: that counts as excluded once some rows have shown an unchanged title. Only an exec changes
        // the executable.
        let is_steady = !inner.rewrites && (witness.is_at_rest || inner.steady >= Self::STEADY);
        let is_steady = is_steady || source == Source::Exe;
        if is_steady && changed < reading && reading > 1 {
            return true;
        }
        let known = inner.threads.get(&witness.tid).filter(|known| witness.runs == Some(known.runs));
        known.is_some_and(|known| known.confirmed >= reading && changed <= known.confirmed)
    }

    /// Whether all facts were read while the process had this name, as far as is known. If not, it has executed another program.
    pub(super) fn is_of(&self, comm: &[u8]) -> bool {
        lock(&self.inner).comm.as_deref().is_none_or(|known| known == comm)
    }

    /// Notes a thread that exists and is not the leader.
    pub(super) fn note_other(&self, tid: u32) {
        lock(&self.inner).other = Some(tid);
    }

    /// Forgets the threads if many of them must have ended, because the process has only so many now.
    pub(super) fn forget_threads_beyond(&self, threads: usize) {
        let mut inner = lock(&self.inner);
        if inner.threads.len() > 2 * threads + 64 {
            inner.threads.clear();
        }
    }

    /// Whether the facts became invalid since the last call.
    pub(super) fn take_stale(&self) -> bool {
        self.is_stale.swap(false, Ordering::Relaxed)
    }

    /// Whether a reader is stuck in one of the files.
    pub(super) fn is_blocked(&self) -> bool {
        lock(&self.inner).facts.contains(&Fact::Blocked)
    }

    /// Forgets everything, so that it is read again.
    pub(super) fn forget(&self) {
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

    /// Notes that a reader is stuck in `source`: this fact, and those not read yet, are [`Fact::Blocked`].
    pub(super) fn give_up(&self, source: Source) {
        for fact in FACTS {
            if self.fact(fact) == Fact::Unread || fact == source {
                self.set(fact, Fact::Blocked);
            }
        }
        self.stand_aside();
    }

    /// Notes that nothing was read, so that the facts may be asked for again.
    pub(super) fn stand_aside(&self) {
        lock(&self.inner).is_queued = false;
        self.is_asked_for.store(false, Ordering::Release);
    }

    /// Notes that all facts are asked for; false if they were already.
    pub(super) fn mark_asked(&self) -> bool {
        !self.is_asked_for.swap(true, Ordering::AcqRel)
    }

    /// Finishes a reading of all facts, made while the process had the name `comm`.
    pub(super) fn finish_all(&self, comm: Option<Box<[u8]>>) {
        lock(&self.inner).comm = comm;
        self.is_asked_for.store(false, Ordering::Release);
    }

    /// Notes that a limit was met; false if that is known already.
    pub(super) fn mark_limited(&self) -> bool {
        !self.is_limited.swap(true, Ordering::Relaxed)
    }

    /// A thread of the process that is not the leader, if one is known.
    pub(super) fn other(&self) -> Option<u32> {
        lock(&self.inner).other
    }

    /// Begins a reading of the titles. Returns its number and the threads that it has to confirm.
    pub(super) fn begin(&self) -> (u64, Vec<Witness>) {
        let mut inner = lock(&self.inner);
        inner.begun += 1;
        inner.is_queued = false;
        (inner.begun, std::mem::take(&mut inner.witnesses))
    }

    /// Notes how often a thread had run when a reading began.
    pub(super) fn note(&self, tid: u32, runs: RunCount, reading: u64) {
        let mut inner = lock(&self.inner);
        // If the thread has not run since it was seen before, the earlier entry says more.
        if inner.threads.get(&tid).is_none_or(|known| known.runs != runs) {
            inner.threads.insert(tid, SeenThread { runs, reading, confirmed: 0 });
        }
    }

    /// Whether these titles differ from the last ones, and a predicate that says which threads have to be confirmed.
    pub(super) fn compare(&self, titles: &[(Source, Fact)]) -> (bool, impl Fn(&Witness) -> bool + use<>) {
        let inner = lock(&self.inner);
        let is_same = |(source, fact): &(Source, Fact)| index(*source).and_then(|at| inner.facts.get(at)) == Some(fact);
        let differs = !titles.iter().all(is_same);
        let (of_all, of_running) = (differs || inner.rewrites, inner.steady < Self::STEADY);
        (differs, move |witness: &Witness| of_all || (of_running && !witness.is_at_rest))
    }

    /// Finishes a reading of `titles`, after which the `confirmed` threads had not run since their rows. `addresses` is given if the
    /// titles have changed, and tells an exec from a program that rewrote its title. False if the budget has no room for the titles.
    pub(super) fn finish(
        &self,
        reading: u64,
        titles: Vec<(Source, Fact)>,
        confirmed: &[Witness],
        addresses: Option<Option<ProgramAddresses>>,
    ) -> bool {
        if lock(&self.inner).finished > reading {
            // Another reader was faster, and has read a later title.
            return true;
        }
        let mut fit = true;
        let is_first = titles.iter().any(|(source, _)| matches!(self.fact(*source), Fact::Unread | Fact::Blocked));
        for (source, fact) in titles {
            self.note_change(source, &fact, reading);
            fit &= self.set(source, fact);
        }
        let mut inner = lock(&self.inner);
        if addresses.is_some() {
            inner.steady = 0;
        } else {
            let ran_on = confirmed.iter().filter(|witness| !witness.is_at_rest).count();
            inner.steady = inner.steady.saturating_add(u32::try_from(ran_on).unwrap_or(u32::MAX));
        }
        if let Some(addresses) = addresses {
            let is_exec = addresses.is_some() && inner.addresses.is_some() && addresses != inner.addresses;
            // After an exec nothing is known of the new program's habits.
            inner.rewrites = !is_first && !is_exec;
            inner.addresses = addresses;
            if is_exec {
                // No process has an empty name: so `is_of` is false until all facts are read again.
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

    /// Notes the number of the reading if it found a different value.
    fn note_change(&self, source: Source, fact: &Fact, reading: u64) {
        let mut inner = lock(&self.inner);
        let Some(index) = index(source) else { return };
        if inner.facts.get(index) != Some(fact)
            && let Some(changed) = inner.changed.get_mut(index)
        {
            *changed = reading;
        }
    }

    /// Stores a fact; false if the budget has no room for it.
    pub(super) fn set(&self, source: Source, fact: Fact) -> bool {
        let mut inner = lock(&self.inner);
        let Some(slot) = index(source).and_then(|index| inner.facts.get_mut(index)) else { return true };
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

impl Drop for FactStore {
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
        Witness { tid: 7, runs: Some(RunCount::Slices { run_ns: 10 * timeslices, timeslices }), is_at_rest }
    }

    /// Facts that are read as soon as they are asked for.
    struct Asked(FactStore);

    impl Asked {
        fn look(&self, tgid: u32, witness: Witness) -> TitleStatus {
            self.0.look(tgid, witness, || true)
        }

        fn holds(&self, source: Source, witness: Witness, reading: u64) -> bool {
            self.0.holds(source, witness, reading)
        }
    }

    fn facts() -> Asked {
        Asked(FactStore::default())
    }

    fn read(Asked(facts): &Asked, title: &str, confirmed: &[Witness], addresses: ProgramAddresses) {
        let (reading, _) = facts.begin();
        let titles = vec![(Source::Cmdline, Fact::Known(title.as_bytes().into()))];
        let (differs, _) = facts.compare(&titles);
        assert!(facts.finish(reading, titles, confirmed, differs.then_some(Some(addresses))));
    }

    #[test]
    fn what_is_kept_of_all_processes_is_bounded() {
        let budget = Arc::<FactBudget>::default();
        let of = || FactStore::new(&budget);
        let (one, two) = (of(), of());
        assert!(one.set(Source::Smaps, known(FactBudget::BYTES - 100)) && two.set(Source::Cmdline, known(100)));
        assert!(!two.set(Source::Cmdline, known(101)));
        assert_eq!(two.fact(Source::Cmdline), Fact::Failed(ReadError::Dropped(rustix::io::Errno::NOMEM)));
        assert!(one.set(Source::Smaps, known(10)) && two.set(Source::Cmdline, known(FactBudget::BYTES - 10)));
        drop(two);
        assert!(one.set(Source::Smaps, known(FactBudget::BYTES)), "what ends gives back what it had");
    }

    #[test]
    fn a_title_is_current_while_its_thread_has_not_run_and_is_read_again_when_it_has() {
        let facts = facts();
        let TitleStatus::Awaited(1) = facts.look(7, witness(1, true)) else { panic!("never read") };
        assert!(!facts.holds(Source::Cmdline, witness(1, true), 1));
        read(&facts, "idle", &[witness(1, true)], [2; 4]);
        assert!(facts.holds(Source::Cmdline, witness(1, true), 1));
        assert_eq!(facts.look(7, witness(1, true)), TitleStatus::Current);
        assert_eq!(facts.look(7, witness(2, true)), TitleStatus::Awaited(2));
        assert_eq!(facts.look(7, witness(2, false)), TitleStatus::Awaited(2), "whoever runs may change it now");
    }

    #[test]
    fn a_title_that_changed_is_of_those_rows_whose_threads_have_not_run_since() {
        let facts = facts();
        facts.look(7, witness(1, true));
        read(&facts, "idle", &[witness(1, true)], [2; 4]);
        facts.look(7, witness(2, true));
        read(&facts, "SELECT", &[], [2; 4]);
        assert!(!facts.holds(Source::Cmdline, witness(2, true), 2), "it has run meanwhile");
        assert_eq!(facts.look(7, witness(2, true)), TitleStatus::Current, "it had not");
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
}
