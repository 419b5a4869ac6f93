//! Values of reports as texts, which tests can compare easily.

use std::collections::BTreeMap;

use psn::proc::health::Counts;
use psn::report::{Field, Report, Row};
use psn::text::decimal::decimal;

/// A field as text: a mark as it is printed, bytes that are not printable ASCII escaped.
pub fn text(field: &Field) -> String {
    match field {
        Field::Integer(number) => number.to_string(),
        Field::Scaled(number, divisor) => decimal(*number, *divisor),
        Field::Decimal(number) => format!("{number:.4}"),
        Field::Text(bytes) => bytes
            .iter()
            .map(|byte| {
                if *byte == b'\'' || *byte == b'"' {
                    char::from(*byte).to_string()
                } else {
                    byte.escape_ascii().to_string()
                }
            })
            .collect(),
        Field::Mark(mark) => mark.text().to_owned(),
    }
}

/// Whether a field holds a mark, rather than a text that looks like one (a thread may be named `[denied]`).
pub const fn is_mark(field: &Field) -> bool {
    matches!(field, Field::Mark(_))
}

/// The field of `row` under the header `name`.
#[track_caller]
pub fn field<'a>(report: &Report, row: &'a Row, name: &str) -> &'a Field {
    let place = report.columns.iter().position(|column| column.name == name);
    &row.fields[place.unwrap_or_else(|| panic!("the report has no column {name}"))]
}

/// The text of the field of `row` under the header `name`.
#[track_caller]
pub fn value(report: &Report, row: &Row, name: &str) -> String {
    text(field(report, row, name))
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
    let dimensions: Vec<usize> =
        (0..report.columns.len()).filter(|place| report.columns[*place].is_dimension).collect();
    let mut groups = BTreeMap::new();
    for row in &report.rows {
        let key: Vec<String> = dimensions.iter().map(|place| text(&row.fields[*place])).collect();
        let before = groups.insert(key.join(" | "), value(report, row, name));
        assert_eq!(before, None, "two rows of one group: {key:?}");
    }
    groups
}

/// The account of one file; all zero if no read was attempted.
pub fn counts(report: &Report, file: &str) -> Counts {
    let found = report.health.iter().find(|(name, _)| name == file);
    found.map(|(_, counts)| *counts).unwrap_or_default()
}
