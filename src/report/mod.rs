//! From counts and accounting to the rows that are printed. Pure: no I/O, no clock, no global state.

mod facts;
mod sleepers;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::ask::column::Column;
use crate::ask::plan::{Aggregate, Latency, Plan, SortKey, StateGate, Statistic};
use crate::count::intern::Interner;
use crate::count::latency;
use crate::count::{Accumulator, Aggregator, Cell, Group};
use crate::proc::health::Counts;
use crate::row::memory::allocation;
use crate::row::observation::Mark;

pub use facts::{Cost, CoverageReport, Facts, Meta, Tasks, Ticks};
pub use sleepers::Sleepers;

/// Everything a run has to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was run, where and when.
    pub meta: Meta,
    /// What the rows are.
    pub title: String,
    /// Which states were let through.
    pub states: States,
    /// The ticks of the run.
    pub ticks: Ticks,
    /// What was seen.
    pub tasks: Tasks,
    /// What it cost.
    pub cost: Cost,
    /// The reads, by file, cheapest first.
    pub health: Vec<(String, Counts)>,
    /// The errors behind dropped reads: file, message, how many.
    pub dropped: Vec<(String, String, u64)>,
    /// What could be told of the rows' columns.
    pub coverage: CoverageReport,
    /// The columns, in order.
    pub columns: Vec<ReportColumn>,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Rows beyond `--limit`, and the samples in them.
    pub rows_left_out: u64,
    /// What was counted as one group `[other]` for want of memory.
    pub other: Option<Other>,
    /// Sentences that a reader of the report must not miss.
    pub warnings: Vec<String>,
    /// The names of columns that the kernel does not measure.
    pub unmeasured: Vec<String>,
    /// Where threads slept, if none was active.
    pub sleepers: Option<Sleepers>,
}

/// The states of which threads were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// All but the sleeping and the idle.
    Active,
    /// Every one.
    All,
    /// Those that were asked for by letter.
    Chosen,
}

impl States {
    fn of(gate: &StateGate) -> Self {
        if gate.is_open() {
            Self::All
        } else if *gate == StateGate::active() {
            Self::Active
        } else {
            Self::Chosen
        }
    }
}

/// Groups that were counted as one, `[other]`, because there was no memory for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// About how many.
    pub groups: u64,
    /// The samples of all of them.
    pub samples: u64,
    /// The memory that groups may take, bytes.
    pub max_memory: u64,
}

impl Other {
    /// The two as one: of the groups, the more.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            groups: self.groups.max(other.groups),
            samples: self.samples.saturating_add(other.samples),
            max_memory: self.max_memory.max(other.max_memory),
        }
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, samples, max_memory } = self;
        write!(
            f,
            "there was no memory for about {groups} more groups: their {samples} samples are counted together as [other]; \
             group by fewer columns, or allow more than --max-memory {}M",
            max_memory >> 20
        )
    }
}

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Numbers.
    Right,
    /// Texts.
    Left,
}

/// One column of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportColumn {
    /// The header.
    pub name: String,
    /// How it is laid out.
    pub align: Align,
    /// Whether it is one of the columns grouped by.
    pub is_dimension: bool,
    /// Whether the table shows it in parentheses.
    pub in_parentheses: bool,
    /// Whether its texts are kernel stacks, frames apart by `->`.
    pub is_stack: bool,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The fields, one for each column.
    pub fields: Vec<Field>,
}

impl Row {
    /// The memory that a row of `plan`'s report takes, with what it takes to order it.
    #[must_use]
    pub fn cost(plan: &Plan) -> usize {
        let fields = 2 + plan.selected.len() + plan.dimensions.len();
        2 * size_of::<Self>() + allocation(fields * size_of::<Field>())
    }
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A whole number.
    Integer(i128),
    /// A number in parts: the number times the divisor, and the divisor.
    Scaled(i128, u32),
    /// A number with two decimals.
    Decimal(f64),
    /// Bytes as the kernel gave them: not UTF-8, not escaped.
    Text(Arc<[u8]>),
    /// A mark in the place of a value.
    Mark(Mark),
}

impl Report {
    /// What the report says of the run that its rows do not.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            meta: self.meta.clone(),
            ticks: self.ticks,
            tasks: self.tasks,
            cost: self.cost,
            health: self.health.clone(),
            dropped: self.dropped.clone(),
            coverage: self.coverage.clone(),
            warnings: self.warnings.clone(),
            unmeasured: self.unmeasured.clone(),
            sleepers: self.sleepers.clone(),
        }
    }

    /// The report of `aggregator`'s counts, `limit` rows at most.
    #[must_use]
    pub fn new(plan: &Plan, aggregator: &Aggregator, limit: Option<usize>, facts: Facts) -> Self {
        let ticks = u32::try_from(facts.ticks.completed).unwrap_or(u32::MAX);
        // Most ticks are not twice as late, or as long, as half of them.
        let blind_ms = 2.0 * (facts.cost.late_p50_ms + facts.cost.pass_p50_ms);
        let sampling = Sampling { ticks, hz: facts.meta.hz, blind_ms };
        let texts = Texts(aggregator.interner());
        let mut rows: Vec<Row> = Vec::with_capacity(aggregator.len());
        aggregator.each_group(|key, group| rows.push(row(plan, key, group, sampling, texts)));
        mark_unmeasured(&mut rows, plan, &facts.unmeasured);
        sort(&mut rows, plan);
        let left_out = limit.map_or(0, |limit| rows.len().saturating_sub(limit));
        rows.truncate(rows.len() - left_out);
        Self {
            meta: facts.meta,
            title: "Active Threads".to_owned(),
            states: States::of(&plan.gate),
            ticks: facts.ticks,
            tasks: facts.tasks,
            cost: facts.cost,
            health: facts.health,
            dropped: facts.dropped,
            coverage: facts.coverage,
            columns: columns(plan),
            rows,
            rows_left_out: left_out as u64,
            other: aggregator.other(),
            warnings: facts.warnings,
            unmeasured: facts.unmeasured,
            sleepers: facts.sleepers,
        }
    }

    /// Samples taken a second, over the time sampled.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn achieved_hz(&self) -> f64 {
        // Of a run shorter than a period, one tick is all that was asked for.
        let rate = if self.meta.duration_s > 0.0 { self.ticks.completed as f64 / self.meta.duration_s } else { 0.0 };
        if self.ticks.completed == 1 { rate.min(self.meta.hz) } else { rate }
    }
}

/// The texts of symbols.
#[derive(Clone, Copy)]
struct Texts<'a>(&'a Interner);

impl Texts<'_> {
    fn field(self, cell: Cell, column: &Column) -> Field {
        match cell {
            Cell::Number(number) if column.divisor > 1 => Field::Scaled(number, column.divisor),
            Cell::Number(number) => Field::Integer(number),
            Cell::Text(symbol) => Field::Text(self.0.text(symbol)),
            Cell::Mark(mark) => Field::Mark(mark),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn row(plan: &Plan, key: &[Cell], group: &Group, sampling: Sampling, texts: Texts<'_>) -> Row {
    let ticks = sampling.ticks;
    let samples = group.samples();
    let average = if ticks == 0 { 0.0 } else { samples as f64 / f64::from(ticks) };
    let mut fields = vec![Field::Integer(samples.into()), Field::Decimal(average)];
    fields.extend(plan.selected.iter().map(|selected| match selected.statistic {
        Statistic::MaxThreads => Field::Integer(group.max_threads().into()),
        Statistic::Ci95 => group.ci95(ticks).map_or(Field::Mark(Mark::None), Field::Decimal),
        Statistic::Measure(index) => measure(plan, index, group, texts),
        Statistic::Latency { what, is_interval, measure } => latency(what, is_interval, measure, group, sampling),
    }));
    let dimension = |(slot, cell): (&usize, &Cell)| match plan.columns.get(*slot) {
        Some(column) => texts.field(*cell, column),
        None => Field::Mark(Mark::None),
    };
    fields.extend(plan.dimensions.iter().zip(key).map(dimension));
    Row { fields }
}

/// How a group was sampled.
#[derive(Clone, Copy)]
struct Sampling {
    /// Completed ticks.
    ticks: u32,
    hz: f64,
    /// How long after a tick was due its threads were seen, in most ticks.
    blind_ms: f64,
}

/// An estimate from the ages of a group's waits; `-` where there are too few for a claim.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn latency(what: Latency, is_interval: bool, measure: usize, group: &Group, sampling: Sampling) -> Field {
    let none = Field::Mark(Mark::None);
    let Some(Accumulator::Ages(ages)) = group.accumulators.get(measure) else { return none };
    let Sampling { ticks, hz, blind_ms } = sampling;
    let samples = group.samples() as f64;
    let average = samples / f64::from(ticks.max(1));
    // Without batches: that of as many independent samples, twice.
    let relative_ci95 = group.ci95(ticks).map_or(4.0 / samples.sqrt(), |half_width| half_width / average);
    let series = latency::TickSeries { count: ticks, period_s: 1.0 / hz, blind_ms, relative_ci95 };
    let Some(latency) = ages.latency(series) else {
        return none;
    };
    let estimate = match what {
        Latency::Rate => latency.waits_s(),
        Latency::Mean => latency.mean_ms(),
        Latency::Percentile(percent) => latency.percentile_ms(percent),
    };
    estimate.map_or(none, |estimate| {
        Field::Decimal(if is_interval { (estimate.high - estimate.low) / 2.0 } else { estimate.value })
    })
}

#[expect(clippy::cast_precision_loss, reason = "an average is shown with two decimals")]
fn measure(plan: &Plan, index: usize, group: &Group, texts: Texts<'_>) -> Field {
    let none = Field::Mark(Mark::None);
    let (Some(measure), Some(accumulator)) = (plan.measures.get(index), group.accumulators.get(index)) else {
        return none;
    };
    let Some(column) = plan.columns.get(measure.slot) else { return none };
    match accumulator {
        Accumulator::Max(None) | Accumulator::Sum { count: 0, .. } | Accumulator::Example(None) => none,
        Accumulator::Overflow => Field::Mark(Mark::Overflow),
        Accumulator::Max(Some(max)) => texts.field(Cell::Number(*max), column),
        Accumulator::Sum { sum, count } if measure.aggregate == Aggregate::Avg => {
            Field::Decimal(*sum as f64 / *count as f64 / f64::from(column.divisor))
        }
        Accumulator::Sum { sum, .. } => texts.field(Cell::Number(*sum), column),
        Accumulator::Example(Some((_, _, cell))) => texts.field(*cell, column),
        Accumulator::Quantiles(quantiles) => match (measure.aggregate, quantiles.is_incomplete()) {
            (Aggregate::Percentile(percent), false) => {
                quantiles.percentile(percent).map_or(none, |number| texts.field(Cell::Number(number), column))
            }
            _ => Field::Mark(Mark::Other),
        },
        // These are shown as estimates.
        Accumulator::Ages(_) => none,
        Accumulator::Distinct(different) => {
            different.number().map_or(Field::Mark(Mark::Other), |number| Field::Integer(number.into()))
        }
        Accumulator::Common(counts) => counts
            .iter()
            .map(|(cell, count)| (*count, texts.field(*cell, column)))
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(&b.1, &a.1)))
            .map_or(none, |(_, field)| field),
    }
}

/// Puts a mark where there is no value because the kernel measures none.
fn mark_unmeasured(rows: &mut [Row], plan: &Plan, unmeasured: &[String]) {
    for (place, selected) in plan.selected.iter().enumerate() {
        let Statistic::Measure(index) = selected.statistic else { continue };
        let column = plan.measures.get(index).and_then(|measure| plan.columns.get(measure.slot));
        if column.is_some_and(|column| unmeasured.iter().any(|name| name == column.name)) {
            let fields = rows.iter_mut().filter_map(|row| row.fields.get_mut(2 + place));
            fields.filter(|field| **field == Field::Mark(Mark::None)).for_each(|field| {
                *field = Field::Mark(Mark::Unsupported);
            });
        }
    }
}

fn columns(plan: &Plan) -> Vec<ReportColumn> {
    let number = |name: &str| ReportColumn {
        name: name.to_owned(),
        align: Align::Right,
        is_dimension: false,
        in_parentheses: false,
        is_stack: false,
    };
    let of = |header: &str, column: &Column, is_dimension: bool| ReportColumn {
        name: header.to_owned(),
        align: if column.kind.is_number() { Align::Right } else { Align::Left },
        is_dimension,
        in_parentheses: column.is_comm(),
        is_stack: column.extract == crate::ask::column::Extract::Stack,
    };
    let mut columns = vec![number("samples"), number("avg_threads")];
    columns.extend(plan.selected.iter().map(|selected| {
        let column = match selected.statistic {
            Statistic::MaxThreads | Statistic::Ci95 | Statistic::Latency { .. } => None,
            Statistic::Measure(index) => plan
                .measures
                .get(index)
                .filter(|measure| measure.aggregate != Aggregate::Distinct)
                .and_then(|measure| plan.columns.get(measure.slot)),
        };
        column.map_or_else(|| number(&selected.header), |column| of(&selected.header, column, false))
    }));
    columns.extend(plan.dimensions.iter().filter_map(|slot| plan.columns.get(*slot)).map(|c| of(c.name, c, true)));
    columns
}

/// Numbers descending, texts ascending by the asked column; then samples descending, then the
/// dimensions ascending, so that the order is the same from run to run.
fn sort(rows: &mut [Row], plan: &Plan) {
    let first_dimension = 2 + plan.selected.len();
    let place = match plan.sort {
        SortKey::Samples => 0,
        SortKey::Selected(index) => 2 + index,
        SortKey::Dimension(index) => first_dimension + index,
    };
    let field = |row: &Row, place: usize| row.fields.get(place).cloned().unwrap_or(Field::Mark(Mark::None));
    rows.sort_by(|a, b| {
        let (mine, theirs) = (field(a, place), field(b, place));
        let asked = match (&mine, &theirs) {
            (Field::Text(_), _) | (_, Field::Text(_)) => compare(&mine, &theirs),
            _ => compare(&theirs, &mine),
        };
        let samples = || compare(&field(b, 0), &field(a, 0));
        let dimensions =
            || a.fields.iter().zip(&b.fields).skip(first_dimension).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
        asked.then_with(samples).then_with(|| dimensions().unwrap_or(Ordering::Equal))
    });
}

/// Marks before numbers before texts; numbers by value, texts by bytes.
#[expect(clippy::cast_precision_loss, reason = "mixed fields are rare, and ordered to 53 bits")]
fn compare(a: &Field, b: &Field) -> Ordering {
    let number = |field: &Field| match field {
        Field::Integer(number) => Some(*number as f64),
        Field::Scaled(number, divisor) => Some(*number as f64 / f64::from(*divisor)),
        Field::Decimal(number) => Some(*number),
        Field::Text(_) | Field::Mark(_) => None,
    };
    let rank = |field: &Field| match field {
        Field::Mark(_) => 0,
        Field::Integer(_) | Field::Scaled(..) | Field::Decimal(_) => 1,
        Field::Text(_) => 2,
    };
    match (a, b) {
        (Field::Integer(a), Field::Integer(b)) => a.cmp(b),
        (Field::Scaled(a, x), Field::Scaled(b, y)) if x == y => a.cmp(b),
        (Field::Text(a), Field::Text(b)) => a.cmp(b),
        (Field::Mark(a), Field::Mark(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::plan::PlanRequest;
    use crate::row::last::LastValues;
    use crate::row::observation::{Observation, Value};

    fn report(sort: Option<&str>, limit: Option<usize>) -> Report {
        let split = |text: &str| text.split(',').map(str::to_owned).collect();
        let request = PlanRequest {
            group_by: split("comm,processor"),
            select: split("utime_sec:max,max_threads,ci95"),
            sort: sort.map(str::to_owned),
            ..PlanRequest::default()
        };
        let plan = Plan::new(&request, StateGate::all()).unwrap();
        let aggregator = Aggregator::new(&plan);
        let mut fold = aggregator.fold();
        let mut last = LastValues::default();
        let mut row = Observation::default();
        for (tick, comm, cpu, utime) in [(0, "b", 1, 250), (0, "a", 2, 50), (1, "b", 1, 275), (1, "a", 1, 75)] {
            row.clear();
            for column in &plan.columns {
                row.push(match column.name {
                    "comm" => Value::Text(comm.as_bytes()),
                    "processor" => Value::Number(cpu),
                    _ => Value::Number(utime),
                });
            }
            fold.add(&row, tick, &mut last);
            aggregator.commit(&mut fold, tick);
        }
        let ticks = Ticks { expected: 2, completed: 2, ..Ticks::default() };
        Report::new(&plan, &aggregator, limit, Facts { ticks, ..Facts::default() })
    }

    fn names(report: &Report) -> Vec<String> {
        let text = |field: &Field| match field {
            Field::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Field::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        report.rows.iter().map(|row| format!("{}{}", text(&row.fields[5]), text(&row.fields[6]))).collect()
    }

    #[test]
    fn rows_are_ordered_by_samples_then_dimensions() {
        let report = report(None, None);
        assert_eq!(names(&report), ["b1", "a1", "a2"]);
        assert_eq!(
            report.rows[0].fields[0..4],
            [Field::Integer(2), Field::Decimal(1.0), Field::Scaled(275, 100), Field::Integer(1)]
        );
    }

    #[test]
    fn another_order_and_a_limit() {
        assert_eq!(names(&report(Some("comm"), None)), ["a1", "a2", "b1"]);
        assert_eq!(names(&report(Some("utime_sec:max"), None)), ["b1", "a1", "a2"]);
        let limited = report(Some("comm"), Some(2));
        assert_eq!(names(&limited), ["a1", "a2"]);
        assert_eq!(limited.rows_left_out, 1);
    }
}
