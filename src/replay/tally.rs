//! Counts recorded rows as a live run counts its own.

use std::collections::HashSet;

use crate::ask::select::ProcessSelection;
use crate::count::memory::Memory;
use crate::count::{Aggregator, Fold, TickStart};
use crate::record::{Header, Piece, TickInfo};
use crate::replay::counters::ThreadCounters;
use crate::replay::pieces::{ExtraColumns, PieceSource};
use crate::replay::question::Question;
use crate::replay::warnings::distinct;
use crate::report::{Cost, Facts, Meta, Report, Tasks, Ticks};
use crate::row::observation::Observation;
use crate::row::value::Value;
use crate::time::clock::period_ns;
use crate::time::histogram::Histogram;

/// The counts of one report.
pub(super) struct Tally<'q> {
    question: &'q Question,
    aggregator: Aggregator,
    fold: Fold,
    row: Observation,
    ticks: u32,
    passes: Histogram,
    lateness: Histogram,
    runs: Vec<RunTicks>,
    /// Rows that did not meet the conditions.
    rejected: u64,
}

/// The ticks of one run that are in the report.
struct RunTicks {
    header: Header,
    first: TickInfo,
    last: TickInfo,
    completed: u64,
}

impl<'q> Tally<'q> {
    pub(super) fn new(question: &'q Question, memory: &Memory) -> Self {
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

    /// Adds the rows of a piece, and commits the tick if the piece is its last one.
    pub(super) fn add(&mut self, source: PieceSource<'_>, piece: Piece<'_>) {
        let PieceSource { header, extra, counters } = source;
        let is_of_run = self.runs.last().is_some_and(|run| run.header.run == header.run);
        self.aggregator.begin_tick(TickStart {
            now_ns: piece.tick.time_ns,
            late_ns: piece.tick.late_ns,
            period_ns: period_ns(header.hz),
            begins_run: !is_of_run,
        });
        for row in 0..piece.rows.len() {
            piece.rows.load(row, &mut self.row);
            self.count(extra, counters);
        }
        if piece.is_last {
            self.aggregator.commit(&mut self.fold, self.ticks);
            self.aggregator.end_tick(piece.tick.pass_ns);
            self.ticks = self.ticks.saturating_add(1);
            self.passes.record(piece.tick.pass_ns);
            self.lateness.record(piece.tick.late_ns);
            match self.runs.last_mut() {
                Some(run) if run.header.run == header.run => {
                    run.last = piece.tick.clone();
                    run.completed += 1;
                }
                _ => self.runs.push(RunTicks {
                    header: header.clone(),
                    first: piece.tick.clone(),
                    last: piece.tick.clone(),
                    completed: 1,
                }),
            }
        }
    }

    /// Counts the current row, if the question asks for it.
    fn count(&mut self, extra: ExtraColumns, counters: &mut ThreadCounters) {
        let plan = &self.question.plan;
        let number = |index: Option<usize>| match index.map(|index| self.row.value(index)) {
            Some(Value::Number(number)) => number,
            _ => 0,
        };
        let (pid, task, starttime) = (number(extra.pid), number(extra.task), number(extra.starttime));
        let passes = match extra.state_id.map(|index| self.row.value(index)) {
            Some(Value::Text([letter])) => plan.gate.passes(*letter),
            _ => true,
        };
        if !passes || !self.is_selected(pid, task, extra) {
            return;
        }
        let holds = (0..plan.filters.len()).all(|slot| plan.may_hold(&self.row, slot));
        self.rejected += u64::from(!holds);
        if holds {
            self.row.tid = u32::try_from(task).unwrap_or(0);
            self.row.tgid = u32::try_from(pid).unwrap_or(0);
            self.fold.add(&self.row, self.ticks, counters.last_values((task, starttime)));
        }
    }

    fn is_selected(&self, pid: i128, task: i128, extra: ExtraColumns) -> bool {
        if self.question.selects_everything() {
            return true;
        }
        let is_process = match &self.question.processes {
            ProcessSelection::All => true,
            ProcessSelection::Pids(pids) => pids.iter().any(|wanted| i128::from(*wanted) == pid),
            ProcessSelection::Name(regex) => match extra.name.map(|index| self.row.value(index)) {
                Some(Value::Text(name)) => regex.is_match(name),
                _ => false,
            },
        };
        let is_thread = |tids: &HashSet<u32>| u32::try_from(task).is_ok_and(|task| tids.contains(&task));
        is_process && self.question.threads.as_ref().is_none_or(is_thread)
    }

    /// The report. `facts` are those that the run itself recorded: they are used if all ticks of the run were counted.
    pub(super) fn report(self, facts: Option<&Facts>, warnings: Vec<String>) -> Report {
        let is_of = |facts: &&Facts| facts.ticks.completed == u64::from(self.ticks);
        let mut facts = match facts.filter(is_of) {
            Some(facts) => Facts { warnings: [facts.warnings.clone(), warnings].concat(), ..facts.clone() },
            None => self.facts(warnings),
        };
        facts.coverage.rejected += self.rejected;
        Report::new(&self.question.plan, &self.aggregator, self.question.limit, facts)
    }

    /// The facts, as far as the recorded ticks tell them.
    fn facts(&self, warnings: Vec<String>) -> Facts {
        let (ticks, duration_s) = self.ticks();
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
            cost: Cost::of_passes(&self.passes, &self.lateness),
            warnings,
            ..Facts::default()
        }
    }

    /// The ticks of all runs, and the seconds that they cover.
    #[expect(clippy::cast_precision_loss, reason = "times to be shown")]
    fn ticks(&self) -> (Ticks, f64) {
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
        (ticks, duration_s)
    }
}
