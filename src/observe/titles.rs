//! Facts of the process for a row: command line and executable as they were when the row was made, and mappings.
//!
//! What is known of a process may be older than the row. Then a side reader reads it again, and the row is deferred to the end
//! of the pass: see [`deferred`](super::deferred).

use std::time::{Duration, Instant};

use super::contents::SmapsText;
use super::plan::ObservePlan;
use super::reader::{ReadTarget, SwitchCheck, ThreadReader};
use super::thread::Thread;
use crate::proc::source::Source;
use crate::row::observation::Mark;
use crate::tasks::facts::{Fact, ProcessFacts, RunCount, TITLES, TitleStatus, Witness};

/// The longest time that rows wait for their titles after the end of the pass. A title that takes longer to read hardly
/// belongs to the row.
const PATIENCE: Duration = Duration::from_millis(100);

/// Until when deferred rows may wait, if their pass began at `start_ns` and ended at `now_ns`. It is three quarters of the time
/// to the next tick, so that there is time left to count them; after a late pass it is at least a quarter of a period.
#[must_use]
pub(crate) fn deadline(start_ns: u64, now_ns: u64, next_due_ns: u64) -> Instant {
    let left = next_due_ns.saturating_sub(now_ns) / 4 * 3;
    let least = next_due_ns.saturating_sub(start_ns) / 4;
    Instant::now() + Duration::from_nanos(left.max(least)).min(PATIENCE)
}

/// Whether the known title of a process belongs to a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Title {
    /// It does.
    Current,
    /// It is being read again: what the thread's counters were, and the number of the reading.
    Awaited(Witness, u64),
    /// It does not, and is not read again in time.
    Stale,
}

/// What a row shows of the facts of its process, and what it has to wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactsWanted {
    pub(super) title: Title,
    /// Whether the mappings are being read, because they are not known or belong to a program of another name.
    pub(super) awaits_mappings: bool,
}

impl FactsWanted {
    /// Whether anything is being read.
    pub(super) const fn must_wait(self) -> bool {
        self.awaits_mappings || matches!(self.title, Title::Awaited(..))
    }
}

impl ThreadReader {
    /// Finds out which facts of the process belong to the row, and has the others read.
    pub(super) fn request_facts(
        &mut self,
        plan: &ObservePlan,
        target: &mut ReadTarget<'_>,
        thread: &Thread<'_>,
    ) -> FactsWanted {
        // A kernel thread has no title, and a new name with each work item that it runs.
        let is_user = !thread.is_kernel_thread();
        let wants_title = TITLES.into_iter().any(|title| plan.wants(title));
        let title = if wants_title && is_user { self.check_title(target, thread) } else { Title::Current };
        let awaits_mappings = plan.wants(Source::Smaps) && is_user && asks_for_mappings(target, thread);
        FactsWanted { title, awaits_mappings }
    }

    fn check_title(&mut self, target: &mut ReadTarget<'_>, thread: &Thread<'_>) -> Title {
        let process = target.process;
        let Some(facts) = &process.facts else { return Title::Current };
        let (runs, is_at_rest) = match thread.record {
            Some(record) => (Some(RunCount::Switches(record.switches)), record.is_at_rest()),
            None => (self.switches_of_row(target), !thread.is_running()),
        };
        // A thread that has ended does not run any more.
        let is_at_rest = is_at_rest || thread.has_ended();
        let witness = Witness { tid: thread.tid, runs, is_at_rest };
        match facts.look(process.tgid, witness) {
            TitleStatus::Current => Title::Current,
            TitleStatus::Awaited(reading) => Title::Awaited(witness, reading),
            TitleStatus::Stale => Title::Stale,
        }
    }

    /// The thread's switch counters at the time of the row; `None` if it has run since, or if they are not known.
    pub(super) fn switches_of_row(&mut self, target: &mut ReadTarget<'_>) -> Option<RunCount> {
        match self.switch_check {
            SwitchCheck::NotMade => self.read_switches(target),
            SwitchCheck::Unchanged => target.memory.switches,
            SwitchCheck::Changed => None,
        }
    }

    /// Puts what is known of the process into the contents. `comm` is the name that the program must have for its mappings to
    /// belong to the row, if that matters.
    pub(super) fn load_facts(&mut self, plan: &ObservePlan, facts: &ProcessFacts, title: Title, comm: Option<&[u8]>) {
        let is_current = |source| match title {
            Title::Current => true,
            Title::Awaited(witness, reading) => facts.holds(source, witness, reading),
            Title::Stale => false,
        };
        let contents = &mut self.contents;
        for source in TITLES.into_iter().filter(|title| plan.wants(*title)) {
            match facts.fact(source) {
                Fact::Known(_) | Fact::Cut(_) if !is_current(source) => contents.set(source, Err(Mark::Stale)),
                Fact::Known(bytes) | Fact::Cut(bytes) => contents.store(source, &bytes),
                fact => contents.set(source, Err(mark(&fact))),
            }
        }
        if plan.wants(Source::Smaps) {
            contents.mappings = match facts.fact(Source::Smaps) {
                Fact::Known(_) | Fact::Cut(_) if comm.is_some_and(|comm| !facts.is_of(comm)) => Err(Mark::Stale),
                Fact::Known(text) => Ok(SmapsText { text, is_cut: false }),
                Fact::Cut(text) => Ok(SmapsText { text, is_cut: true }),
                fact => Err(mark(&fact)),
            };
        }
    }
}

/// Whether the mappings are not known or belong to a program of another name, and a side reader reads them now.
fn asks_for_mappings(target: &ReadTarget<'_>, thread: &Thread<'_>) -> bool {
    let Some(facts) = &target.process.facts else { return false };
    let tgid = target.process.tgid;
    let is_of_another = thread.tid == tgid && !facts.is_of(thread.comm);
    (is_of_another || facts.fact(Source::Smaps) == Fact::Unread) && facts.refresh(tgid)
}

/// The mark that stands for a fact that is not known.
fn mark(fact: &Fact) -> Mark {
    match fact {
        Fact::Unread | Fact::Known(_) | Fact::Cut(_) => Mark::Unread,
        Fact::Blocked => Mark::Blocked,
        Fact::Failed(error) => (*error).into(),
    }
}
