//! `psn diff`: two reports beside each other, by how much each group has changed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::report::{Align, Field, Report, ReportColumn, Row};
use crate::row::observation::Mark;
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

/// The places in the rows of the two reports, which are made with `-s ci95`.
const AVERAGE: usize = 1;
const CI95: usize = 2;
const DIMENSIONS: usize = 3;

/// One group on one side.
#[derive(Debug, Clone, Copy)]
struct Seen {
    average: f64,
    ci95: Option<f64>,
    /// Whether it may be one of those counted together as `[other]`.
    may_be_other: bool,
}

impl Seen {
    fn of(row: &Row) -> Self {
        let decimal = |place: usize| match row.fields.get(place) {
            Some(Field::Decimal(number)) => Some(*number),
            _ => None,
        };
        Self { average: decimal(AVERAGE).unwrap_or(0.0), ci95: decimal(CI95), may_be_other: false }
    }

    /// A group that is not in `report`: it was not seen in any of its ticks. It may have been there, in so few that all ticks missed it: with
    /// 95% confidence in fewer than three of as many ("rule of three").
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn nothing(report: &Report) -> Self {
        let (ticks, may_be_other) = (report.ticks.completed, report.other.is_some());
        let ci95 = (ticks > 1 && !may_be_other).then(|| 3.0 / ticks as f64);
        Self { average: 0.0, ci95, may_be_other }
    }

    fn field(&self) -> Field {
        if self.may_be_other { Field::Mark(Mark::Other) } else { Field::Decimal(self.average) }
    }
}

/// How a group has changed.
struct Change {
    before: Seen,
    after: Seen,
    group: Vec<Field>,
}

impl Change {
    fn change(&self) -> f64 {
        self.after.average - self.before.average
    }

    /// Whether either average is known.
    const fn is_known(&self) -> bool {
        !self.before.may_be_other && !self.after.may_be_other
    }

    /// Half-width of the 95% confidence interval of the change: the two are independent.
    fn ci95(&self) -> Option<f64> {
        self.before.ci95.zip(self.after.ci95).map(|(before, after)| before.hypot(after))
    }

    /// Whether it is more than noise.
    fn is_significant(&self) -> bool {
        self.ci95().is_some_and(|ci95| self.change().abs() > ci95)
    }
}

/// The groups of both reports, the most changed first; only those with more change than noise, if that is `significant`.
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
    let mut report = after.1.clone();
    report.title = "Change in Active Threads".to_owned();
    report.columns = columns(after.1);
    report.rows = changes.into_iter().map(row).collect();
    report.rows_left_out = left_out as u64;
    // Said of either side, in the notes.
    report.other = None;
    report.warnings = notes(before, after);
    report
}

/// What is compared, and what there is to know of either side.
#[must_use]
pub fn notes(before: (&Side, &Report), after: (&Side, &Report)) -> Vec<String> {
    let mut notes = vec![describe("before", before), describe("after", after)];
    for (name, (_, report)) in [("before", before), ("after", after)] {
        notes.extend(report.other.map(|other| format!("{name}: {other}")));
        notes.extend(report.warnings.iter().cloned());
    }
    let scans = [&before.1, &after.1].map(|report| report.meta.scan.as_str());
    if matches!(scans, ["kernel", "proc"] | ["proc", "kernel"]) {
        notes.push(
            "one side was taken by the kernel's own walk and one through /proc: only the walk tells Running (ON CPU) from \
             Runnable (waiting for CPU)"
                .to_owned(),
        );
    }
    notes.dedup();
    notes
}

fn changes(before: &Report, after: &Report) -> Vec<Change> {
    let mut earlier: HashMap<Group<'_>, &Row, RandomState> =
        before.rows.iter().map(|row| (Group::of(row), row)).collect();
    let mut changes: Vec<Change> = after
        .rows
        .iter()
        .map(|row| {
            let group = Group::of(row);
            let before = earlier.remove(&group).map_or_else(|| Seen::nothing(before), Seen::of);
            Change { before, after: Seen::of(row), group: group.0.to_vec() }
        })
        .collect();
    // In the order of the report, not of the map.
    let gone = before.rows.iter().filter(|row| earlier.contains_key(&Group::of(row)));
    changes.extend(gone.map(|row| Change {
        before: Seen::of(row),
        after: Seen::nothing(after),
        group: Group::of(row).0.to_vec(),
    }));
    changes
}

/// The fields that tell a row's group.
#[derive(PartialEq)]
struct Group<'a>(&'a [Field]);

impl<'a> Group<'a> {
    fn of(row: &'a Row) -> Self {
        Self(row.fields.get(DIMENSIONS..).unwrap_or_default())
    }
}

// Dimensions hold no floating-point numbers.
impl Eq for Group<'_> {}

impl Hash for Group<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for field in self.0 {
            match field {
                Field::Integer(number) | Field::Scaled(number, _) => number.hash(hasher),
                Field::Decimal(number) => number.to_bits().hash(hasher),
                Field::Text(text) => text.hash(hasher),
                Field::Mark(mark) => mark.hash(hasher),
            }
        }
    }
}

fn columns(report: &Report) -> Vec<ReportColumn> {
    let column = |name: &str, align| ReportColumn {
        name: name.to_owned(),
        align,
        is_dimension: false,
        in_parentheses: false,
        is_stack: false,
    };
    let mut columns = ["change", "ci95", "before", "after"].map(|name| column(name, Align::Right)).to_vec();
    columns.insert(2, column("significant", Align::Left));
    columns.extend(report.columns.get(DIMENSIONS..).unwrap_or_default().iter().cloned());
    columns
}

fn row(change: Change) -> Row {
    let sign = if change.is_significant() { "yes" } else { "no" };
    let significant: Arc<[u8]> = sign.as_bytes().into();
    let mut fields = vec![
        if change.is_known() { Field::Decimal(change.change()) } else { Field::Mark(Mark::Other) },
        change.ci95().map_or(Field::Mark(Mark::None), Field::Decimal),
        if change.ci95().is_some() { Field::Text(significant) } else { Field::Mark(Mark::None) },
        change.before.field(),
        change.after.field(),
    ];
    fields.extend(change.group);
    Row { fields }
}

/// What a side is, in words.
fn describe(name: &str, (side, report): (&Side, &Report)) -> String {
    let started = local(report.meta.started_ns);
    let ticks = report.ticks.completed;
    format!("{name}: {}, {:.0} s from {started} on, {ticks} ticks", shown(&side.path), report.meta.duration_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Other;

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

    const NONE: Field = Field::Mark(Mark::None);

    fn report(rows: &[(f64, Option<f64>, &str)], ticks: u64) -> Report {
        let mut report = crate::output::fixture::mysqld();
        report.ticks.completed = ticks;
        report.rows = rows
            .iter()
            .map(|(average, ci95, name)| Row {
                fields: vec![
                    Field::Integer(1),
                    Field::Decimal(*average),
                    ci95.map_or(Field::Mark(Mark::None), Field::Decimal),
                    Field::Text(name.as_bytes().into()),
                ],
            })
            .collect();
        report
    }

    #[test]
    fn groups_are_ordered_by_change_and_noise_is_told_from_change() {
        let side = Side { path: "x.db".into(), from: None, to: None };
        let before = report(&[(5.0, Some(0.1), "fsync"), (1.0, Some(0.5), "read"), (0.5, Some(0.01), "gone")], 100);
        let after = report(&[(9.0, Some(0.1), "fsync"), (1.2, Some(0.5), "read"), (0.02, Some(0.04), "rare")], 100);
        let table = table((&side, &before), (&side, &after), false, None);
        let names: Vec<_> = table.rows.iter().map(|row| row.fields[5].clone()).collect();
        assert_eq!(names, ["fsync", "gone", "read", "rare"].map(|name| Field::Text(name.as_bytes().into())));
        let significant: Vec<_> = table.rows.iter().map(|row| row.fields[2].clone()).collect();
        assert_eq!(significant, ["yes", "yes", "no", "no"].map(|word| Field::Text(word.as_bytes().into())));
        assert_eq!(table.rows[0].fields[0], Field::Decimal(4.0));
        assert_eq!(table.columns[0].name, "change");
    }

    #[test]
    fn what_may_be_among_the_others_has_not_changed_from_nothing() {
        let side = Side { path: "x.db".into(), from: None, to: None };
        let mut before = report(&[(1.0, Some(0.1), "read")], 100);
        before.other = Some(Other { groups: 7, samples: 9, max_memory: 1 << 20 });
        let after = report(&[(9.0, Some(0.1), "fsync"), (1.0, Some(0.1), "read")], 100);
        let table = table((&side, &before), (&side, &after), false, None);
        let other = Field::Mark(Mark::Other);
        assert_eq!(table.rows[0].fields[..5], [other.clone(), NONE, NONE, other, Field::Decimal(9.0)]);
        assert!(
            table.warnings.iter().any(|warning| warning.starts_with("before: there was no memory for about 7 more"))
        );
    }

    #[test]
    fn a_walk_and_a_listing_are_not_compared_without_a_word() {
        let of = |scan: &str| {
            let mut report = report(&[(6.0, None, "Running (ON CPU)")], 100);
            report.meta.scan = scan.to_owned();
            report
        };
        let side = Side::parse(OsStr::new("a.db")).unwrap();
        let told = |before: &str, after: &str| {
            let (before, after) = (of(before), of(after));
            let notes = notes((&side, &before), (&side, &after));
            notes.iter().any(|note| note.contains("only the walk tells Running (ON CPU) from Runnable"))
        };
        assert!(told("kernel", "proc") && told("proc", "kernel"));
        assert!(!told("kernel", "kernel") && !told("proc", "proc") && !told("replay", "proc"));
    }
}
