//! Values of reports as texts, which tests can compare easily.

use std::collections::BTreeMap;

use psn::proc::health::Counts;
use psn::report::{Datum, Report, ReportColumn, Row};
use psn::row::value::Value;
use psn::text::decimal::decimal;

/// What a report shows in one place, as text: a mark as it is printed, bytes that are not printable ASCII escaped.
fn text(column: &ReportColumn, datum: Datum<&[u8]>) -> String {
    match datum {
        Datum::Decimal(number) => format!("{number:.4}"),
        Datum::Value(Value::Number(number)) => decimal(number, column.divisor),
        Datum::Value(Value::Text(bytes)) => bytes
            .iter()
            .map(|byte| {
                if *byte == b'\'' || *byte == b'"' {
                    char::from(*byte).to_string()
                } else {
                    byte.escape_ascii().to_string()
                }
            })
            .collect(),
        Datum::Value(Value::Mark(mark)) => mark.text().to_owned(),
    }
}

/// Whether a field holds a mark, rather than a text that looks like one (a thread may be named `[denied]`).
pub const fn is_mark(datum: Datum<&[u8]>) -> bool {
    matches!(datum, Datum::Value(Value::Mark(_)))
}

/// What `row` has under the header `name`.
#[track_caller]
pub fn datum<'a>(report: &'a Report, row: &'a Row, name: &str) -> Datum<&'a [u8]> {
    found(report, row, name).1
}

#[track_caller]
fn found<'a>(report: &'a Report, row: &'a Row, name: &str) -> (&'a ReportColumn, Datum<&'a [u8]>) {
    let found = report.columns.data(row).find(|(column, _)| column.name == name);
    let (column, datum) = found.unwrap_or_else(|| panic!("the report has no column {name}"));
    (column, datum.unwrap())
}

/// The text that `row` has under the header `name`.
#[track_caller]
pub fn value(report: &Report, row: &Row, name: &str) -> String {
    let (column, datum) = found(report, row, name);
    text(column, datum)
}

/// The texts of `row`, statistics first.
pub fn values(report: &Report, row: &Row) -> Vec<String> {
    report.columns.data(row).map(|(column, datum)| text(column, datum.unwrap())).collect()
}

/// The values under the header `name`, from the first row to the last.
#[track_caller]
pub fn column(report: &Report, name: &str) -> Vec<String> {
    report.rows.iter().map(|row| value(report, row, name)).collect()
}

/// The only row of a report; panics if there are several.
#[track_caller]
pub fn only(report: &Report) -> &Row {
    assert_eq!(report.rows.len(), 1, "{:#?}", samples(report));
    &report.rows[0]
}

/// Samples by the values of the dimensions, joined by ` | `.
#[track_caller]
pub fn samples(report: &Report) -> BTreeMap<String, u64> {
    by_group(report, "samples").into_iter().map(|(key, samples)| (key, samples.parse().unwrap())).collect()
}

/// Average threads by the values of the dimensions, with four decimals.
#[track_caller]
pub fn averages(report: &Report) -> BTreeMap<String, String> {
    by_group(report, "avg_threads")
}

#[track_caller]
fn by_group(report: &Report, name: &str) -> BTreeMap<String, String> {
    let mut groups = BTreeMap::new();
    for row in &report.rows {
        let key = values(report, row).split_off(report.columns.statistics.len());
        let before = groups.insert(key.join(" | "), value(report, row, name));
        assert_eq!(before, None, "two rows of one group: {key:?}");
    }
    groups
}

/// The account of one file; all zero if no read was attempted.
pub fn counts(report: &Report, file: &str) -> Counts {
    let found = report.facts.health.iter().find(|(name, _)| name == file);
    found.map(|(_, counts)| *counts).unwrap_or_default()
}
