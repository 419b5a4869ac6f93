//! Rows that wait for a title of their own moment.
//!
//! A row is complete up to the columns that come of facts of its process. If those may be of another moment, they are read
//! again by a side reader, and the row is put by until the pass is over; then it is finished with what is known, and counted
//! in the same tick.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Time};

use crate::observe::extract::Walked;
use crate::observe::{Context, Instant, Observer, Reading, Subject, held};
use crate::proc::parse::stat::Stat;
use crate::proc::source::Source;
use crate::row::observation::Mark;
use crate::row::rows::Rows;
use crate::tasks::TaskMemory;
use crate::tasks::facts::{Fact, ProcessFacts, RunCount, SideReaders, TITLES, TitleStatus, Witness};

/// How long rows wait for their titles at most, once the pass is over. A title that took longer is hardly of the row's moment.
const PATIENCE: Duration = Duration::from_millis(100);

/// Until when rows may wait whose pass began at `start_ns` and is over `now`: not beyond the next tick, and with time left to
/// count them; but a pass that is late itself leaves them a quarter of its time all the same.
#[must_use]
pub fn deadline(start_ns: u64, now_ns: u64, next_due_ns: u64) -> Time {
    let left = next_due_ns.saturating_sub(now_ns) / 4 * 3;
    let least = next_due_ns.saturating_sub(start_ns) / 4;
    Time::now() + Duration::from_nanos(left.max(least)).min(PATIENCE)
}

/// What is known of a process's mappings.
#[derive(Debug)]
pub struct Mappings {
    /// Their text.
    pub text: Arc<[u8]>,
    /// Whether there are more.
    pub is_cut: bool,
}

/// Rows that wait, each as far as it is complete.
#[derive(Debug, Default)]
pub struct Deferred {
    rows: Rows,
    waiting: Vec<Waiting>,
}

impl Deferred {
    /// Memory that a lane's rows may take; beyond, they do not wait.
    const MAX_BYTES: usize = 32 << 20;

    /// None yet, of rows that are complete up to column `columns`.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { rows: Rows::new(columns), waiting: Vec::new() }
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.waiting.clear();
    }

    /// Whether one waits for mappings.
    #[must_use]
    pub fn wait_for_mappings(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.comm.is_some())
    }

    /// Who reads what they wait for; none if no row waits.
    #[must_use]
    pub fn readers(&self) -> Option<&Arc<SideReaders>> {
        self.waiting.first().map(|waiting| waiting.facts.readers())
    }
}

/// A row's identity, and what it waits for.
#[derive(Debug)]
struct Waiting {
    tid: u32,
    tgid: u32,
    starttime_ticks: u64,
    state: u8,
    facts: Arc<ProcessFacts>,
    title: Title,
    /// Its name, if its mappings are being read because it has another than the program of those that are known.
    comm: Option<Box<[u8]>>,
    memory: Option<Arc<Mutex<TaskMemory>>>,
}

/// What a row is to know of its process's title.
#[derive(Debug, Clone, Copy)]
enum Title {
    /// What is known is true of its moment.
    Current,
    /// It is being read.
    Awaited(Witness, u64),
    /// It can not be had.
    Stale,
}

impl Observer {
    /// Makes the answers of facts of the process current, or puts the row by until they are. False if it was put by.
    pub(super) fn read_titles(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>) -> bool {
        let Some(facts) = &reading.process.facts else { return true };
        let wants = |source| context.plan.sources.contains(source);
        let wants_title = TITLES.into_iter().any(wants);
        // A thread of the kernel's own has no title, and a new name with each work it is given.
        let is_user = !subject.is_kernel_thread();
        let title = if wants_title && is_user { self.look(context, reading, subject) } else { Title::Current };
        let needs_mappings = wants(Source::Smaps) && is_user && self.asks_for_mappings(reading, subject);
        let comm = needs_mappings.then_some(subject.stat.comm);
        let waits = needs_mappings || matches!(title, Title::Awaited(..));
        if !waits || self.deferred.rows.size() >= Deferred::MAX_BYTES {
            let title = if waits { Title::Stale } else { title };
            self.answer(context, facts, title, comm);
            return true;
        }
        self.deferred.rows.push_row(&self.row);
        self.deferred.waiting.push(Waiting {
            tid: self.row.tid,
            tgid: self.row.tgid,
            starttime_ticks: self.row.starttime_ticks,
            state: self.row.state,
            facts: Arc::clone(facts),
            title,
            comm: comm.map(Into::into),
            memory: reading.task.kept_memory(),
        });
        false
    }

    fn look(&mut self, context: &Context, reading: &mut Reading<'_>, subject: Subject<'_>) -> Title {
        let Some(facts) = reading.process.facts.as_ref().map(Arc::clone) else { return Title::Current };
        let (runs, is_at_rest) = match subject.walked {
            Some(Walked { record, .. }) => (Some(RunCount::Switches(record.switches)), record.is_at_rest()),
            None => (self.runs(context, reading), !crate::observe::is_running(subject.stat.state)),
        };
        // Who has ended runs no more.
        let is_at_rest = is_at_rest || crate::observe::has_ended(subject.stat.state);
        let witness = Witness { tid: subject.stat.tid, runs, is_at_rest };
        match facts.look(reading.process.tgid, witness) {
            TitleStatus::Current => Title::Current,
            TitleStatus::Awaited(reading) => Title::Awaited(witness, reading),
            TitleStatus::Stale => Title::Stale,
        }
    }

    /// How often the thread had run at the row's moment; none if it moved on since, or if that can not be told.
    fn runs(&mut self, context: &Context, reading: &mut Reading<'_>) -> Option<RunCount> {
        match self.bracket {
            crate::observe::Bracket::None => self.read_switches(context, reading),
            crate::observe::Bracket::Held => reading.memory.switches,
            crate::observe::Bracket::Torn => None,
        }
    }

    /// Whether the mappings are not known, or are those of another program by its name, and are being read.
    fn asks_for_mappings(&self, reading: &Reading<'_>, subject: Subject<'_>) -> bool {
        let Some(facts) = &reading.process.facts else { return false };
        let tid = subject.stat.tid;
        let is_of_another = tid == reading.process.tgid && !facts.is_of(subject.stat.comm);
        (is_of_another || facts.fact(Source::Smaps) == Fact::Unread) && facts.refresh(reading.process.tgid)
    }

    /// Fills in the answers with what is known of the process.
    fn answer(&mut self, context: &Context, facts: &ProcessFacts, title: Title, comm: Option<&[u8]>) {
        let is_current = |source| match title {
            Title::Current => true,
            Title::Awaited(witness, reading) => facts.holds(source, witness, reading),
            Title::Stale => false,
        };
        for source in TITLES.into_iter().filter(|title| context.plan.sources.contains(*title)) {
            match facts.fact(source) {
                Fact::Known(_) | Fact::Cut(_) if !is_current(source) => self.answers.set(source, Err(Mark::Stale)),
                Fact::Known(bytes) | Fact::Cut(bytes) => self.answers.store(source, &bytes),
                fact => self.answers.set(source, Err(mark(&fact))),
            }
        }
        if context.plan.sources.contains(Source::Smaps) {
            self.mappings = match facts.fact(Source::Smaps) {
                Fact::Known(_) | Fact::Cut(_) if comm.is_some_and(|comm| !facts.is_of(comm)) => Err(Mark::Stale),
                Fact::Known(text) => Ok(Mappings { text, is_cut: false }),
                Fact::Cut(text) => Ok(Mappings { text, is_cut: true }),
                fact => Err(mark(&fact)),
            };
        }
    }

    /// Finishes and counts the rows that were put by.
    pub fn finish_deferred(&mut self, at: Instant) {
        let context = Arc::clone(&self.context);
        let mut deferred = std::mem::take(&mut self.deferred);
        for (place, waiting) in deferred.waiting.drain(..).enumerate() {
            deferred.rows.load(place, &mut self.row);
            let Waiting { tid, tgid, starttime_ticks, state, facts, title, comm, memory } = waiting;
            (self.row.tid, self.row.tgid) = (tid, tgid);
            (self.row.starttime_ticks, self.row.state) = (starttime_ticks, state);
            self.forget_answers();
            self.answer(&context, &facts, title, comm.as_deref());
            let stat = Stat::without_numbers(tid, b"", state);
            let subject = Subject { stat: &stat, walked: None, blocked: false };
            let mut spare = std::mem::take(&mut self.spare);
            {
                let mut lock = memory.as_ref().map(|memory| memory.try_lock());
                let kept = lock.as_mut().and_then(held).unwrap_or(&mut spare);
                if self.fill(&context, subject, self.title_slot..self.smaps_slot) {
                    self.count(&context, subject, &mut kept.last_values, at);
                }
            }
            self.spare = spare;
        }
        deferred.rows.clear();
        self.deferred = deferred;
    }
}

/// What stands in the place of a fact that is not known.
fn mark(fact: &Fact) -> Mark {
    match fact {
        Fact::Unread | Fact::Known(_) | Fact::Cut(_) => Mark::Unread,
        Fact::Blocked => Mark::Blocked,
        Fact::Failed(error) => (*error).into(),
    }
}
