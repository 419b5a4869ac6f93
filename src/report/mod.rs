//! From counts and accounts to the rows that are printed. Pure: no I/O, no clock, no global state.

mod column;
mod facts;
mod host_load;
mod row;
mod rows;
mod sleepers;

use crate::ask::plan::{Plan, StateGate};
use crate::count::{Aggregator, Other};

pub use crate::row::bounds::Bounds;
pub use column::{Align, Columns, ReportColumn};
pub use facts::{Cost, CoverageReport, Facts, Meta, Tasks, Ticks};
pub use host_load::{HostLoad, SeenLoad};
pub use row::{Datum, GroupKey, Row};
pub use sleepers::Sleepers;

/// The result of a run, or of a question about recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How the numbers came about, and what is to be known of them.
    pub facts: Facts,
    /// What the rows are.
    pub title: String,
    /// The states of the threads that were counted.
    pub states: States,
    /// The columns of the rows.
    pub columns: Columns,
    /// The groups, in the order in which they are printed.
    pub rows: Vec<Row>,
    /// The number of groups left out by `--limit`.
    pub rows_left_out: u64,
    /// What was counted as `[other]` for want of memory.
    pub other: Option<Other>,
}

/// The states of the threads that were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// All but sleeping and idle.
    Active,
    /// All.
    All,
    /// The active ones, and those sleeping threads that met the condition of `--waits`.
    Waiting,
    /// Those that were asked for by letter.
    Chosen,
}

impl States {
    fn of(gate: &StateGate) -> Self {
        if gate.is_open() {
            Self::All
        } else if *gate == StateGate::active() {
            Self::Active
        } else if *gate == StateGate::waiting() {
            Self::Waiting
        } else {
            Self::Chosen
        }
    }
}

impl Report {
    /// The report of `aggregator`'s counts, of `limit` rows at most.
    #[must_use]
    pub fn new(plan: &Plan, aggregator: &Aggregator, limit: Option<usize>, facts: Facts) -> Self {
        let mut rows = rows::rows(plan, aggregator, &facts);
        let left_out = limit.map_or(0, |limit| rows.len().saturating_sub(limit));
        rows.truncate(rows.len() - left_out);
        Self {
            facts,
            title: "Active Threads".to_owned(),
            states: States::of(&plan.gate),
            columns: Columns::of(plan),
            rows,
            rows_left_out: left_out as u64,
            other: aggregator.other(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::plan::PlanRequest;
    use crate::row::last::LastValues;
    use crate::row::observation::Observation;
    use crate::row::value::{Mark, OwnedValue, Value};

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
        let text = |value: &OwnedValue| match value {
            OwnedValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
            OwnedValue::Number(number) => number.to_string(),
            OwnedValue::Mark(mark) => mark.to_string(),
        };
        report.rows.iter().map(|row| row.group.iter().map(text).collect()).collect()
    }

    #[test]
    fn rows_are_ordered_by_samples_then_dimensions() {
        let report = report(None, None);
        assert_eq!(names(&report), ["b1", "a1", "a2"]);
        let number = |number| Datum::Value(OwnedValue::Number(number));
        assert_eq!(report.rows[0].statistics[0..4], [number(2), Datum::Decimal(1.0), number(275), number(1)]);
        assert_eq!(report.columns.statistics[2].divisor, 100);
        assert_eq!((report.rows[0].samples(), report.rows[0].average()), (2, 1.0));
    }

    #[test]
    fn one_bound_among_the_ages_of_a_group_makes_a_bound_of_all() {
        let request = PlanRequest {
            group_by: vec!["comm".to_owned()],
            select: vec!["wait_ms:avg".to_owned(), "wait_ms:distinct".to_owned()],
            ..PlanRequest::default()
        };
        let plan = Plan::new(&request, StateGate::all()).unwrap();
        let aggregator = Aggregator::new(&plan);
        let (mut fold, mut other_lane) = (aggregator.fold(), aggregator.fold());
        let mut row = Observation::default();
        for (comm, exactness) in [("exact", 1), ("exact", 1), ("mixed", 1), ("mixed", 0), ("most", 1), ("most", -1)] {
            row.clear();
            for column in &plan.columns {
                row.push(match column.name {
                    "comm" => Value::Text(comm.as_bytes()),
                    "wait_exact" => Value::Number(exactness),
                    _ => Value::Number(5000),
                });
            }
            let fold = if exactness == 1 { &mut fold } else { &mut other_lane };
            fold.add(&row, 0, &mut LastValues::default());
        }
        aggregator.commit(&mut other_lane, 0);
        aggregator.commit(&mut fold, 0);
        let report = Report::new(&plan, &aggregator, None, Facts::default());
        let bounds = report.rows.iter().map(|row| (row.bounds.has_at_least, row.bounds.has_at_most));
        assert_eq!(bounds.collect::<Vec<_>>(), [(false, false), (true, false), (false, true)]);
        assert_eq!(names(&report), ["exact", "mixed", "most"]);
        let marked = report.columns.iter().filter(|column| column.has_bounds).map(|column| column.name.as_str());
        assert_eq!(marked.collect::<Vec<_>>(), ["wait_ms:avg"]);
    }

    #[test]
    fn another_order_and_a_limit() {
        assert_eq!(names(&report(Some("comm"), None)), ["a1", "a2", "b1"]);
        assert_eq!(names(&report(Some("utime_sec:max"), None)), ["b1", "a1", "a2"]);
        let limited = report(Some("comm"), Some(2));
        assert_eq!(names(&limited), ["a1", "a2"]);
        assert_eq!(limited.rows_left_out, 1);
    }

    #[test]
    fn marks_are_before_numbers_and_numbers_before_texts() {
        let ordered: [Datum; 5] =
            [OwnedValue::Mark(Mark::None).into(), 0.5.into(), 1.5.into(), 1_u64.into(), "a".into()];
        for (index, mine) in ordered.iter().enumerate() {
            for (other, theirs) in ordered.iter().enumerate() {
                assert_eq!(mine.compare(theirs), index.cmp(&other), "{mine:?} {theirs:?}");
            }
        }
    }
}
