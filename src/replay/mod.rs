//! Recordings through the same counting as live samples: questions of later.
//!
//! A replay gives a recording's rows to the same [`Fold`] and [`Aggregator`] as a live run does, tick by tick, so that
//! the same question gives the same report, to the digit.

mod clocks;
pub mod diff;
pub mod export;
pub mod slices;

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use self::clocks::Clocks;
use crate::ask::column::Column;
use crate::ask::plan::{Aggregate, Plan};
use crate::ask::select::ProcessSelection;
use crate::count::memory::Memory;
use crate::count::{Aggregator, Fold};
use crate::record::header::IDENTITY;
use crate::record::unrecorded;
use crate::record::{Header, Piece, Query, RecordError, Recording, TickInfo};
use crate::report::{Facts, Meta, Report, Tasks, Ticks};
use crate::row::last::LastValues;
use crate::row::memory::table_entry;
use crate::row::observation::{Observation, Value};
use crate::text::sentence::shown;
use crate::time::histogram::Histogram;
use crate::time::moment::local;

/// What is asked of recordings.
#[derive(Debug, Clone)]
pub struct Question {
    /// What to count.
    pub plan: Plan,
    /// The conditions of the plan as they were given, to know which of them already held when it was recorded.
    pub filters: Vec<String>,
    /// Rows to report at most.
    pub limit: Option<usize>,
    /// Only these processes.
    pub processes: ProcessSelection,
    /// Only these threads.
    pub threads: Option<HashSet<u32>>,
    /// From this time on, nanoseconds since 1970.
    pub from_ns: Option<u64>,
    /// Before this time.
    pub to_ns: Option<u64>,
    /// Memory that groups and their texts may take, bytes.
    pub max_memory: u64,
}

impl Question {
    /// Whether it is about whole recordings.
    const fn is_of_all(&self) -> bool {
        self.from_ns.is_none() && self.to_ns.is_none()
    }

    /// Its start and its end, nanoseconds since 1970.
    fn window(&self) -> (u64, u64) {
        (self.from_ns.unwrap_or(0), self.to_ns.unwrap_or(u64::MAX))
    }

    fn selects_everything(&self) -> bool {
        matches!(self.processes, ProcessSelection::All) && self.threads.is_none()
    }
}

/// Is told how much of all recordings was read, from 0 to 1; an error ends the replay.
pub type Watch<'a> = dyn FnMut(f64) -> Result<(), RecordError> + 'a;

/// The report on `recordings`, all together. Of several hosts, averages are those of one host.
///
/// # Errors
/// When a recording can not be read, or lacks a column.
pub fn report(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut Watch<'_>,
) -> Result<Report, RecordError> {
    report_with(recordings, question, watch, &mut |_, _| Ok(()))
}

/// The same; every tick is given to `see` as well.
pub(crate) fn report_with(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    watch: &mut Watch<'_>,
    see: &mut dyn FnMut(&Header, &TickInfo) -> Result<(), RecordError>,
) -> Result<Report, RecordError> {
    let mut tally = Tally::new(question, &Memory::new(question.max_memory));
    let mut clocks = Clocks::default();
    let mut threads = LastCounters::default();
    let has_forgotten = each_piece(recordings, question, &mut threads, watch, &mut |origin, piece| {
        if piece.is_last {
            clocks.see(origin.header, piece.tick);
            see(origin.header, piece.tick)?;
        }
        tally.add(origin, piece);
        Ok(())
    })?;
    let warnings = [warnings(recordings, question)?, clocks.warnings(), forgotten(has_forgotten)].concat();
    Ok(match &*recordings {
        [recording] => tally.report(recording.facts().filter(|_| question.is_of_all()), warnings),
        _ => tally.report(None, warnings),
    })
}

/// A thread, by its id and start time.
type Identity = (i128, i128);

type Last = HashMap<Identity, LastValues, RandomState>;

/// The last values of each thread's counters. A recording can have any number of threads, most of which are never seen again:
/// so those not seen for the longest time are forgotten, half of all at a time.
#[derive(Debug)]
pub(crate) struct Threads {
    recent: Last,
    older: Last,
    /// Threads of either at most.
    max: usize,
    /// Whether any was forgotten.
    has_forgotten: bool,
    /// For plans that ask for no increase.
    none: LastValues,
    is_needed: bool,
}

impl Threads {
    /// The share of the memory for counts that may be taken beside it.
    const SHARE: usize = 8;

    fn new(plan: &Plan, max_memory: u64) -> Self {
        let cost = table_entry(size_of::<(Identity, LastValues)>()) + LastValues::cost(plan.measures.len());
        let bytes = usize::try_from(max_memory).unwrap_or(usize::MAX) / Self::SHARE / 2;
        Self {
            recent: Last::default(),
            older: Last::default(),
            max: (bytes / cost).max(1),
            has_forgotten: false,
            none: LastValues::default(),
            is_needed: plan.measures.iter().any(|measure| measure.aggregate == Aggregate::Delta),
        }
    }

    fn last_values(&mut self, identity: Identity) -> &mut LastValues {
        if !self.is_needed {
            return &mut self.none;
        }
        if self.recent.len() >= self.max && !self.recent.contains_key(&identity) {
            let forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
            self.has_forgotten |= !forgotten.is_empty();
        }
        let older = &mut self.older;
        self.recent.entry(identity).or_insert_with(|| older.remove(&identity).unwrap_or_default())
    }
}

/// Those of each recording.
pub(crate) type LastCounters = Vec<Threads>;

/// What a piece is of.
pub(crate) struct Origin<'a> {
    pub(crate) header: &'a Header,
    further: Further,
    threads: &'a mut Threads,
}

type Add<'a> = dyn FnMut(Origin<'_>, Piece<'_>) -> Result<(), RecordError> + 'a;

/// What to say if counters' last values were forgotten.
fn forgotten(has_forgotten: bool) -> Vec<String> {
    let warning = "of more threads than there is memory for, those not seen for the longest time were forgotten: what their \
                   counters grew by meanwhile is in no :delta; allow more than --max-memory";
    if has_forgotten { vec![warning.to_owned()] } else { Vec::new() }
}

/// Gives every piece of every recording to `add`. Whether the counters of any thread were forgotten on the way.
pub(crate) fn each_piece(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    counters: &mut LastCounters,
    watch: &mut Watch<'_>,
    add: &mut Add<'_>,
) -> Result<bool, RecordError> {
    let mut has_forgotten = false;
    #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
    let count = recordings.len().max(1) as f64;
    unrecorded::check(recordings, &question.plan.columns)?;
    check_names(recordings, question)?;
    counters.resize_with(recordings.len(), || Threads::new(&question.plan, question.max_memory));
    for (index, (recording, threads)) in recordings.iter_mut().zip(counters).enumerate() {
        let header = recording.header().clone();
        let query = query(question, &header);
        let further = Further::of(&query, &question.plan);
        unrecorded::read(recording.as_mut(), &query, &mut |piece| {
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            watch((index as f64 + piece.progress) / count)?;
            add(Origin { header: &header, further, threads: &mut *threads }, piece)
        })?;
        has_forgotten |= threads.has_forgotten;
    }
    Ok(has_forgotten)
}

/// Checks that `-p REGEX` can be answered: older recordings do not have the names of processes.
fn check_names(recordings: &[Box<dyn Recording>], question: &Question) -> Result<(), RecordError> {
    if !matches!(question.processes, ProcessSelection::Name(_)) {
        return Ok(());
    }
    let has_name =
        |recording: &dyn Recording| Column::find(NAME).is_some_and(|name| recording.header().place(name).is_some());
    match recordings.iter().find(|recording| !has_name(recording.as_ref())) {
        Some(recording) => Err(RecordError::NoProcessNames { path: recording.path() }),
        None => Ok(()),
    }
}

/// The plan's columns, and behind them those by which rows are selected and threads told apart.
fn query(question: &Question, header: &Header) -> Query {
    let mut columns = question.plan.columns.clone();
    let further = IDENTITY.into_iter().chain([NAME]).filter_map(Column::find);
    columns.extend(further.filter(|column| header.place(column).is_some()));
    let (from_ns, to_ns) = question.window();
    Query { columns, from_ns, to_ns }
}

/// The column that `-p REGEX` is searched in.
const NAME: &str = "pcomm";

/// Where in a row the columns are that a query adds to the plan's. The original's recordings lack some of them.
#[derive(Debug, Clone, Copy, Default)]
struct Further {
    pid: Option<usize>,
    task: Option<usize>,
    starttime: Option<usize>,
    state_id: Option<usize>,
    name: Option<usize>,
}

impl Further {
    fn of(query: &Query, plan: &Plan) -> Self {
        let first = plan.columns.len();
        let further = query.columns.get(first..).unwrap_or_default();
        let place = |name: &str| further.iter().position(|column| column.name == name).map(|place| first + place);
        let [pid, task, starttime, state_id] = IDENTITY.map(place);
        Self { pid, task, starttime, state_id, name: place(NAME) }
    }
}

/// The counts of one report.
pub(crate) struct Tally<'q> {
    question: &'q Question,
    aggregator: Aggregator,
    fold: Fold,
    row: Observation,
    ticks: u32,
    passes: Histogram,
    lateness: Histogram,
    runs: Vec<Run>,
    /// Rows that the conditions left out.
    rejected: u64,
}

/// What is known of one run's ticks in a report.
struct Run {
    header: Header,
    first: TickInfo,
    last: TickInfo,
    completed: u64,
}

impl<'q> Tally<'q> {
    pub(crate) fn new(question: &'q Question, memory: &Memory) -> Self {
        let aggregator = Aggregator::within(&question.plan, memory);
        Self {
            fold: aggregator.fold(),
            question,
            aggregator,
            row: Observation::default(),
            ticks: 0,
            passes: Histogram::default(),
            lateness: Histogram::default(),
            runs: Vec::new(),
            rejected: 0,
        }
    }

    pub(crate) fn add(&mut self, origin: Origin<'_>, piece: Piece<'_>) {
        let Origin { header, further, threads } = origin;
        for row in 0..piece.rows.len() {
            piece.rows.load(row, &mut self.row);
            self.count(further, threads);
        }
        if piece.is_last {
            self.aggregator.commit(&mut self.fold, self.ticks);
            self.ticks = self.ticks.saturating_add(1);
            self.passes.record(piece.tick.pass_ns);
            self.lateness.record(piece.tick.late_ns);
            match self.runs.last_mut() {
                Some(run) if run.header.run == header.run => {
                    run.last = piece.tick.clone();
                    run.completed += 1;
                }
                _ => self.runs.push(Run {
                    header: header.clone(),
                    first: piece.tick.clone(),
                    last: piece.tick.clone(),
                    completed: 1,
                }),
            }
        }
    }

    /// Counts the row, if it is one of those that are asked for.
    fn count(&mut self, further: Further, threads: &mut Threads) {
        let plan = &self.question.plan;
        let number = |place: Option<usize>| match place.map(|place| self.row.value(place)) {
            Some(Value::Number(number)) => number,
            _ => 0,
        };
        let (pid, task, starttime) = (number(further.pid), number(further.task), number(further.starttime));
        let passes = match further.state_id.map(|place| self.row.value(place)) {
            Some(Value::Text([letter])) => plan.gate.passes(*letter),
            _ => true,
        };
        if !passes || !self.is_selected(pid, task, further) {
            return;
        }
        let holds = (0..plan.filters.len()).all(|slot| plan.may_hold(&self.row, slot));
        self.rejected += u64::from(!holds);
        if holds {
            self.row.tid = u32::try_from(task).unwrap_or(0);
            self.row.tgid = u32::try_from(pid).unwrap_or(0);
            self.fold.add(&self.row, self.ticks, threads.last_values((task, starttime)));
        }
    }

    fn is_selected(&self, pid: i128, task: i128, further: Further) -> bool {
        if self.question.selects_everything() {
            return true;
        }
        let is_process = match &self.question.processes {
            ProcessSelection::All => true,
            ProcessSelection::Pids(pids) => pids.iter().any(|wanted| i128::from(*wanted) == pid),
            ProcessSelection::Name(regex) => match further.name.map(|place| self.row.value(place)) {
                Some(Value::Text(name)) => regex.is_match(name),
                _ => false,
            },
        };
        let is_thread = |tids: &HashSet<u32>| u32::try_from(task).is_ok_and(|task| tids.contains(&task));
        is_process && self.question.threads.as_ref().is_none_or(is_thread)
    }

    /// The report; with the facts of the run if they are of the very ticks that were counted.
    pub(crate) fn report(self, facts: Option<&Facts>, warnings: Vec<String>) -> Report {
        let is_of = |facts: &&Facts| facts.ticks.completed == u64::from(self.ticks);
        let mut facts = match facts.filter(is_of) {
            Some(facts) => Facts { warnings: [facts.warnings.clone(), warnings].concat(), ..facts.clone() },
            None => self.facts(warnings),
        };
        facts.coverage.rejected += self.rejected;
        Report::new(&self.question.plan, &self.aggregator, self.question.limit, facts)
    }

    /// What the ticks themselves tell.
    #[expect(clippy::cast_precision_loss, reason = "times to be shown")]
    fn facts(&self, warnings: Vec<String>) -> Facts {
        let ms = |ns: u64| ns as f64 / 1e6;
        let mut ticks = Ticks::default();
        let mut duration_s = 0.0;
        for run in &self.runs {
            let before = |of: fn(&TickInfo) -> u64, first: u64| {
                if self.question.from_ns.is_some() { first } else { 0 }.min(of(&run.last))
            };
            let expected = run.last.due.saturating_sub(before(|tick| tick.due, run.first.due.saturating_sub(1)));
            let throttled = run.last.throttled.saturating_sub(before(|tick| tick.throttled, run.first.throttled));
            let abandoned = run.last.abandoned.saturating_sub(before(|tick| tick.abandoned, run.first.abandoned));
            ticks.expected = ticks.expected.saturating_add(expected);
            ticks.completed = ticks.completed.saturating_add(run.completed);
            ticks.throttled = ticks.throttled.saturating_add(throttled);
            ticks.abandoned = ticks.abandoned.saturating_add(abandoned);
            duration_s += expected as f64 / run.header.hz;
        }
        ticks.missed = ticks.expected.saturating_sub(ticks.completed);
        let hosts: Vec<&str> = distinct(self.runs.iter().map(|run| run.header.host.as_str()));
        let kernels: Vec<&str> = distinct(self.runs.iter().map(|run| run.header.kernel.as_str()));
        let last = self.runs.last();
        Facts {
            meta: Meta {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                host: hosts.join(", "),
                kernel: kernels.join(", "),
                started_ns: self.runs.iter().map(|run| run.first.time_ns).min().unwrap_or(0),
                duration_s,
                hz: last.map_or(0.0, |run| run.header.hz),
                scan: "replay".to_owned(),
                ..Meta::default()
            },
            ticks,
            tasks: Tasks {
                processes: last.map_or(0, |run| run.last.processes),
                threads: last.map_or(0, |run| run.last.threads),
                ..Tasks::default()
            },
            cost: crate::report::Cost {
                pass_p50_ms: ms(self.passes.quantile_ns(0.5)),
                pass_p99_ms: ms(self.passes.quantile_ns(0.99)),
                pass_max_ms: ms(self.passes.max_ns()),
                late_p50_ms: ms(self.lateness.quantile_ns(0.5)),
                late_p99_ms: ms(self.lateness.quantile_ns(0.99)),
                late_max_ms: ms(self.lateness.max_ns()),
                ..crate::report::Cost::default()
            },
            warnings,
            ..Facts::default()
        }
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    texts.for_each(|text| {
        if !seen.contains(&text) {
            seen.push(text);
        }
    });
    seen
}

/// What a reader of the report must know of the recordings.
fn warnings(recordings: &mut [Box<dyn Recording>], question: &Question) -> Result<Vec<String>, RecordError> {
    let mut warnings = unrecorded::sentences(recordings, &question.plan.columns, question.window())?;
    for recording in &*recordings {
        let (header, path) = (recording.header(), recording.path());
        let path = shown(&path);
        warnings.extend(recording.warnings());
        if recording.facts().is_none() && question.is_of_all() && !recording.is_of_original() {
            warnings
                .push(format!("{path}: the run was cut off, or still goes on; what it had written by then is here"));
        }
        let missing: String = (b'A'..=b'z')
            .filter(|letter| crate::ask::column::state_name(*letter).is_some())
            .filter(|letter| question.plan.gate.passes(*letter) && !header.states.contains(char::from(*letter)))
            .map(char::from)
            .collect();
        if !missing.is_empty() {
            warnings.push(format!("{path}: threads in the states {missing} were not recorded"));
        }
        let narrower: Vec<&String> =
            header.filters.iter().filter(|filter| !question.filters.contains(filter)).collect();
        for filter in narrower {
            warnings.push(format!("{path}: it has only rows for which --where '{filter}' held"));
        }
    }
    let hosts = distinct(recordings.iter().map(|recording| recording.header().host.as_str())).len();
    if hosts > 1 {
        warnings.push(format!("{hosts} hosts are counted together: averages are those of one host"));
    }
    Ok(warnings)
}

/// When `recordings` begin and end: the times of their first and last ticks.
///
/// # Errors
/// When a recording can not be read.
pub fn span(recordings: &mut [Box<dyn Recording>]) -> Result<Option<(u64, u64)>, RecordError> {
    let mut span: Option<(u64, u64)> = None;
    for recording in recordings {
        if let Some((first, last)) = recording.span()? {
            let (from, to) = span.unwrap_or((first, last));
            span = Some((from.min(first), to.max(last)));
        }
    }
    Ok(span)
}

/// The time of the last tick of all of them, from which times may count back.
///
/// # Errors
/// When a recording can not be read.
pub fn last_time(recordings: &mut [Box<dyn Recording>]) -> Result<Option<u64>, RecordError> {
    let mut last = None;
    for recording in recordings {
        last = last.max(recording.last_time()?);
    }
    Ok(last)
}

/// The span in words, for messages.
#[must_use]
pub fn span_text(span: Option<(u64, u64)>) -> String {
    match span {
        Some((from, to)) => format!("from {} to {}", local(from), local(to)),
        None => "without a tick".to_owned(),
    }
}
