//! `psn diff`: two reports side by side, and how much each group has changed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::report::{Bounds, Columns, Datum, Facts, GroupKey, Report, ReportColumn, Row};
use crate::row::value::{Mark, OwnedValue};
use crate::text::escape::printable;
use crate::text::sentence::shown;
use crate::time::moment::{TimePoint, local};

/// One side of a comparison: a recording, or a window of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The recording.
    pub path: PathBuf,
    /// From when on.
    pub from: Option<TimePoint>,
    /// Before when.
    pub to: Option<TimePoint>,
}

impl Side {
    /// Understands `PATH` and `PATH@FROM..TO`, of which either time may be left out.
    ///
    /// # Errors
    /// What is wrong with the times.
    pub fn parse(given: &OsStr) -> Result<Self, String> {
        let bytes = given.as_bytes();
        let whole = || Self { path: given.into(), from: None, to: None };
        let Some(at) = memchr::memrchr(b'@', bytes) else { return Ok(whole()) };
        let (path, window) = (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
        let Some((from, to)) = std::str::from_utf8(window).ok().and_then(|window| window.split_once("..")) else {
            return Ok(whole());
        };
        let moment = |text: &str| (!text.is_empty()).then(|| TimePoint::parse(text)).transpose();
        let context = |error: String| format!("{}: {error}", printable(bytes));
        let path = OsStr::from_bytes(path).into();
        Ok(Self { path, from: moment(from).map_err(context)?, to: moment(to).map_err(context)? })
    }
}

/// The average threads of one group on one side.
#[derive(Debug, Clone, Copy)]
struct Average {
    average: f64,
    ci95: Option<f64>,
    /// Whether the group may have been counted as `[other]`, so that its average is not known.
    may_be_other: bool,
}

impl Average {
    /// That of `row`, which has its `ci95` in this statistic.
    fn of(row: &Row, ci95: Option<usize>) -> Self {
        let ci95 = match ci95.and_then(|index| row.statistics.get(index)) {
            Some(Datum::Decimal(ci95)) => Some(*ci95),
            _ => None,
        };
        Self { average: row.average(), ci95, may_be_other: false }
    }

    /// That of a group which is not in `report`. It may have been there and have been missed by every tick: with 95%
    /// confidence, its average is below three divided by the number of ticks ("rule of three").
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn of_absent(report: &Report) -> Self {
        let (ticks, may_be_other) = (report.facts.ticks.completed, report.other.is_some());
        let ci95 = (ticks > 1 && !may_be_other).then(|| 3.0 / ticks as f64);
        Self { average: 0.0, ci95, may_be_other }
    }

    fn datum(&self) -> Datum {
        if self.may_be_other { OwnedValue::Mark(Mark::Other).into() } else { self.average.into() }
    }
}

/// How a group has changed.
struct Change {
    before: Average,
    after: Average,
    group: GroupKey,
    bounds: Bounds,
}

impl Change {
    fn change(&self) -> f64 {
        self.after.average - self.before.average
    }

    /// Whether both averages are known.
    const fn is_known(&self) -> bool {
        !self.before.may_be_other && !self.after.may_be_other
    }

    /// Half-width of the 95% confidence interval of the change; the two sides are independent samples.
    fn ci95(&self) -> Option<f64> {
        self.before.ci95.zip(self.after.ci95).map(|(before, after)| before.hypot(after))
    }

    /// Whether the change is larger than its confidence interval.
    fn is_significant(&self) -> bool {
        self.ci95().is_some_and(|ci95| self.change().abs() > ci95)
    }
}

/// The groups of both reports, the largest change first; if `significant`, only those whose change is larger than its
/// confidence interval.
#[must_use]
pub fn table(before: (&Side, &Report), after: (&Side, &Report), significant: bool, limit: Option<usize>) -> Report {
    let mut changes = changes(before.1, after.1);
    changes.retain(|change| !significant || change.is_significant());
    changes.sort_by(|a, b| {
        let by_change = b.change().abs().total_cmp(&a.change().abs());
        by_change.then_with(|| if a.change() < b.change() { Ordering::Greater } else { Ordering::Less })
    });
    let left_out = limit.map_or(0, |limit| changes.len().saturating_sub(limit));
    changes.truncate(changes.len() - left_out);
    Report {
        facts: Facts { warnings: notes(before, after), ..after.1.facts.clone() },
        title: "Change in Active Threads".to_owned(),
        states: after.1.states,
        columns: columns(after.1),
        rows: changes.into_iter().map(row).collect(),
        rows_left_out: left_out as u64,
        // The notes tell what either side has of them.
        other: None,
    }
}

/// What each side is, and the warnings of both reports.
#[must_use]
pub fn notes(before: (&Side, &Report), after: (&Side, &Report)) -> Vec<String> {
    let mut notes = vec![describe("before", before), describe("after", after)];
    for (name, (_, report)) in [("before", before), ("after", after)] {
        notes.extend(report.other.map(|other| format!("{name}: {other}")));
        for warning in &report.facts.warnings {
            if !notes.contains(warning) {
                notes.push(warning.clone());
            }
        }
    }
    let scans = [&before.1, &after.1].map(|report| report.facts.meta.scan.as_str());
    if matches!(scans, ["kernel", "proc"] | ["proc", "kernel"]) {
        notes.push(
            "one side was sampled by kernel walks and the other from /proc: only walks tell Running (ON CPU) from Runnable \
             (waiting for CPU)"
                .to_owned(),
        );
    }
    notes.dedup();
    notes
}

fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let ci95 = |report: &Report| report.columns.statistics.iter().position(|column| column.name == "ci95");
    let (ci95_before, ci95_after) = (ci95(before), ci95(after));
    let mut earlier: HashMap<&GroupKey, &Row, RandomState> = before.rows.iter().map(|row| (&row.group, row)).collect();
    let mut changes: Vec<Change> = after
        .rows
        .iter()
        .map(|row| {
            let earlier = earlier.remove(&row.group);
            Change {
                before: earlier.map_or_else(|| Average::of_absent(before), |row| Average::of(row, ci95_before)),
                after: Average::of(row, ci95_after),
                group: Arc::clone(&row.group),
                bounds: row.bounds.and(earlier.map(|row| row.bounds).unwrap_or_default()),
            }
        })
        .collect();
    // In the order of the report, not of the map.
    let gone = before.rows.iter().filter(|row| earlier.contains_key(&row.group));
    changes.extend(gone.map(|row| Change {
        before: Average::of(row, ci95_before),
        after: Average::of_absent(after),
        group: Arc::clone(&row.group),
        bounds: row.bounds,
    }));
    changes
}

fn columns(report: &Report) -> Columns {
    let statistics = [
        ReportColumn::of_numbers("change"),
        ReportColumn::of_numbers("ci95"),
        ReportColumn::of_texts("significant"),
        ReportColumn::of_numbers("before"),
        ReportColumn::of_numbers("after"),
    ];
    Columns { statistics: statistics.into(), dimensions: report.columns.dimensions.clone() }
}

fn row(change: Change) -> Row {
    let mark = |mark| Datum::Value(OwnedValue::Mark(mark));
    let significant = if change.is_significant() { "yes" } else { "no" };
    let statistics = [
        if change.is_known() { change.change().into() } else { mark(Mark::Other) },
        change.ci95().map_or(mark(Mark::None), Datum::Decimal),
        if change.ci95().is_some() { significant.into() } else { mark(Mark::None) },
        change.before.datum(),
        change.after.datum(),
    ];
    Row { statistics: statistics.into(), group: change.group, bounds: change.bounds }
}

/// What a side is, in words.
fn describe(name: &str, (side, report): (&Side, &Report)) -> String {
    let started = local(report.facts.meta.started_ns);
    let ticks = report.facts.ticks.completed;
    format!("{name}: {}, {:.0} s from {started} on, {ticks} ticks", shown(&side.path), report.facts.meta.duration_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Other;
    use crate::output::fixture::{self, group, text};

    #[test]
    fn a_side_may_be_a_window() {
        let parse = |given: &str| Side::parse(OsStr::new(given));
        let side = parse("night.db@-30m..-15m").unwrap();
        assert_eq!(side.path, PathBuf::from("night.db"));
        assert_eq!((side.from, side.to), (TimePoint::parse("-30m").ok(), TimePoint::parse("-15m").ok()));
        assert_eq!(parse("a@b.db").unwrap().path, PathBuf::from("a@b.db"));
        let open = parse("x/@2026-11-23T03:00:00Z..").unwrap();
        assert!(open.from.is_some() && open.to.is_none());
        assert!(parse("a.db@noon..").unwrap_err().contains("a.db@noon..: give a time"));
    }

    const NONE: Datum = Datum::Value(OwnedValue::Mark(Mark::None));

    fn report(rows: &[(f64, Option<f64>, &str)], ticks: u64) -> Report {
        let mut report = fixture::mysqld();
        report.facts.ticks.completed = ticks;
        report.columns = fixture::columns(&["samples", "avg_threads", "ci95"], &["syscall"]);
        let row = |(average, ci95, name): &(f64, Option<f64>, &str)| {
            group([1_u64.into(), (*average).into(), ci95.map_or(NONE, Datum::Decimal)], [text(name)])
        };
        report.rows = rows.iter().map(row).collect();
        report
    }

    #[test]
    fn groups_are_ordered_by_change_and_noise_is_told_from_change() {
        let side = Side { path: "x.db".into(), from: None, to: None };
        let before = report(&[(5.0, Some(0.1), "fsync"), (1.0, Some(0.5), "read"), (0.5, Some(0.01), "gone")], 100);
        let after = report(&[(9.0, Some(0.1), "fsync"), (1.2, Some(0.5), "read"), (0.02, Some(0.04), "rare")], 100);
        let table = table((&side, &before), (&side, &after), false, None);
        let names: Vec<_> = table.rows.iter().map(|row| row.group[0].clone()).collect();
        assert_eq!(names, ["fsync", "gone", "read", "rare"].map(text));
        let significant: Vec<_> = table.rows.iter().map(|row| row.statistics[2].clone()).collect();
        assert_eq!(significant, ["yes", "yes", "no", "no"].map(Datum::from));
        assert_eq!(table.rows[0].statistics[0], Datum::Decimal(4.0));
        assert_eq!(table.columns.statistics[0].name, "change");
    }

    #[test]
    fn what_may_be_among_the_others_has_not_changed_from_nothing() {
        let side = Side { path: "x.db".into(), from: None, to: None };
        let mut before = report(&[(1.0, Some(0.1), "read")], 100);
        before.other = Some(Other { groups: 7, samples: 9, max_memory: 1 << 20 });
        let after = report(&[(9.0, Some(0.1), "fsync"), (1.0, Some(0.1), "read")], 100);
        let table = table((&side, &before), (&side, &after), false, None);
        let other = Datum::from(OwnedValue::Mark(Mark::Other));
        assert_eq!(table.rows[0].statistics[..], [other.clone(), NONE, NONE, other, Datum::Decimal(9.0)]);
        assert!(
            table
                .facts
                .warnings
                .iter()
                .any(|warning| warning.starts_with("before: there was no memory for about 7 more"))
        );
    }

    #[test]
    fn a_walk_and_a_listing_are_not_compared_without_a_word() {
        let of = |scan: &str| {
            let mut report = report(&[(6.0, None, "Running (ON CPU)")], 100);
            report.facts.meta.scan = scan.to_owned();
            report
        };
        let side = Side::parse(OsStr::new("a.db")).unwrap();
        let told = |before: &str, after: &str| {
            let (before, after) = (of(before), of(after));
            let notes = notes((&side, &before), (&side, &after));
            notes.iter().any(|note| note.contains("only walks tell Running (ON CPU) from Runnable"))
        };
        assert!(told("kernel", "proc") && told("proc", "kernel"));
        assert!(!told("kernel", "kernel") && !told("proc", "proc") && !told("replay", "proc"));
    }
}
