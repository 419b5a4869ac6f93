//! The matrix, for people: a row a group, with its average in each slice and all of its course as a sparkline.

use std::sync::Arc;

use crate::output::Charset;
use crate::output::natural_width;
use crate::replay::slices::{AVERAGE, Slice, Survey};
use crate::report::{Align, Field, Report, ReportColumn, Row};
use crate::row::observation::Mark;
use crate::time::moment::{length, local, local_as};

/// Characters of a sparkline at most; more slices than that are put together, the largest of them shown.
const TREND_WIDTH: usize = 24;

/// Columns of slices at most, and at least where the terminal is narrow; more slices than that are put together.
const MAX_COLUMNS: usize = 24;
const MIN_COLUMNS: usize = 3;

/// Groups at most: each takes memory for its course.
const MAX_GROUPS: usize = 100_000;

/// The bars of a sparkline, from nothing to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A matrix in the making.
pub struct Matrix {
    per_ns: u64,
    /// Slices of a column, and of a bar.
    to_a_column: usize,
    to_a_bar: usize,
    columns: Vec<Column>,
    groups: Vec<Course>,
}

/// Some slices on end.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    from_ns: u64,
    due: u64,
    taken: u64,
    pass_p99_ms: f64,
    pass_max_ms: f64,
    late_p99_ms: f64,
    late_max_ms: f64,
}

/// A group's samples in each column, and its largest average in each bar.
#[derive(Debug, Clone, Default)]
struct Course {
    samples: Box<[u64]>,
    averages: Box<[f64]>,
}

impl Matrix {
    /// An empty one for the slices and groups of `survey`, as wide as the terminal if there is one.
    #[must_use]
    pub fn new(survey: &Survey, per_ns: u64, terminal: Option<usize>) -> Self {
        let slices = survey.len();
        let to_a_column = slices.div_ceil(columns_that_fit(survey, terminal)).max(1);
        let to_a_bar = slices.div_ceil(TREND_WIDTH).max(1);
        let starts: Vec<u64> = survey.starts().step_by(to_a_column).collect();
        let columns: Vec<Column> =
            starts.iter().map(|from_ns| Column { from_ns: *from_ns, ..Column::default() }).collect();
        let course = Course {
            samples: vec![0; columns.len()].into_boxed_slice(),
            averages: vec![0.0; slices.div_ceil(to_a_bar)].into_boxed_slice(),
        };
        let groups = vec![course; survey.whole.rows.len().min(MAX_GROUPS)];
        Self { per_ns, to_a_column, to_a_bar, columns, groups }
    }

    /// Counts a slice.
    pub fn add(&mut self, slice: &Slice) {
        let (column, bar) = (slice.place / self.to_a_column, slice.place / self.to_a_bar);
        if let Some(column) = self.columns.get_mut(column) {
            column.due = column.due.saturating_add(slice.ticks.expected);
            column.taken += slice.ticks.completed;
            column.pass_p99_ms = column.pass_p99_ms.max(slice.cost.pass_p99_ms);
            column.pass_max_ms = column.pass_max_ms.max(slice.cost.pass_max_ms);
            column.late_p99_ms = column.late_p99_ms.max(slice.cost.late_p99_ms);
            column.late_max_ms = column.late_max_ms.max(slice.cost.late_max_ms);
        }
        for (group, row) in &slice.rows {
            let Some(course) = self.groups.get_mut(*group) else { continue };
            if let (Some(sum), Some(Field::Integer(samples))) = (course.samples.get_mut(column), row.fields.first()) {
                *sum = sum.saturating_add(u64::try_from(*samples).unwrap_or(0));
            }
            if let (Some(most), Some(Field::Decimal(average))) = (course.averages.get_mut(bar), row.fields.get(AVERAGE))
            {
                *most = most.max(*average);
            }
        }
    }

    /// The matrix, and the account of its columns.
    #[must_use]
    pub fn finish(self, survey: &Survey) -> (Report, Report) {
        let whole = &survey.whole;
        let first_dimension = survey.first_dimension();
        let labels = self.labels();
        let mut report = Report { rows: Vec::new(), ..whole.clone() };
        report.title = self.title(survey);
        let (before, group) = whole.columns.split_at(first_dimension);
        report.columns = before.to_vec();
        report.columns.push(column("trend", Align::Left));
        report.columns.extend(labels.iter().map(|label| column(label, Align::Right)));
        report.columns.extend_from_slice(group);
        for (row, course) in whole.rows.iter().zip(&self.groups) {
            let mut fields: Vec<Field> = row.fields.iter().take(first_dimension).cloned().collect();
            fields.push(text(&sparkline(&course.averages)));
            fields.extend(
                self.columns.iter().zip(&course.samples).map(|(column, samples)| average(*samples, column.taken)),
            );
            fields.extend(row.fields.iter().skip(first_dimension).cloned());
            report.rows.push(Row { fields });
        }
        report.rows_left_out += (whole.rows.len() - report.rows.len()) as u64;
        let accounts = self.accounts(whole);
        (report, accounts)
    }

    fn title(&self, survey: &Survey) -> String {
        let from = survey.starts().next().map(local).unwrap_or_default();
        let per = length(self.per_ns);
        let together = match self.to_a_column {
            1 => String::new(),
            count => format!(", {count} of {} slices to a column", survey.len()),
        };
        format!("{} from {from} by {per}{together}", survey.whole.title)
    }

    /// The times at which columns begin, as short as tells them apart.
    fn labels(&self) -> Vec<String> {
        let days = |column: Option<&Column>| column.map(|column| local_as(column.from_ns, "%Y-%m-%d"));
        let is_of_days = days(self.columns.first()) != days(self.columns.last());
        let step = self.per_ns.saturating_mul(self.to_a_column as u64);
        let form = match step {
            _ if step.is_multiple_of(86_400_000_000_000) => "%m-%d",
            _ if is_of_days && step.is_multiple_of(60_000_000_000) => "%m-%d %H:%M",
            _ if is_of_days => "%m-%d %H:%M:%S",
            _ if step.is_multiple_of(60_000_000_000) => "%H:%M",
            _ if self.per_ns.is_multiple_of(1_000_000_000) => "%H:%M:%S",
            _ => "%H:%M:%S%.3f",
        };
        self.columns.iter().map(|column| local_as(column.from_ns, form)).collect()
    }

    /// What the columns' averages are worth.
    fn accounts(&self, whole: &Report) -> Report {
        let names = ["ticks_due", "ticks_taken", "pass_p99_ms", "pass_max_ms", "late_p99_ms", "late_max_ms"];
        let row = |column: &Column| {
            let time = |ms: f64| if column.taken == 0 { Field::Mark(Mark::None) } else { Field::Decimal(ms) };
            Row {
                fields: vec![
                    text(&local(column.from_ns)),
                    Field::Integer(column.due.into()),
                    Field::Integer(column.taken.into()),
                    time(column.pass_p99_ms),
                    time(column.pass_max_ms),
                    time(column.late_p99_ms),
                    time(column.late_max_ms),
                ],
            }
        };
        let names = names.iter().map(|name| column(name, Align::Right));
        Report {
            title: "Ticks".to_owned(),
            columns: std::iter::once(column("from", Align::Left)).chain(names).collect(),
            rows: self.columns.iter().map(row).collect(),
            ..whole.clone()
        }
    }
}

/// The slices' columns that fit beside the others, which may be made a little narrower for them.
fn columns_that_fit(survey: &Survey, terminal: Option<usize>) -> usize {
    /// A time or an average, and what is between two of them.
    const WIDTH: usize = "00:00:00".len() + " | ".len();
    let Some(terminal) = terminal else { return MAX_COLUMNS };
    let others = natural_width(&survey.whole, Charset::Utf8) + TREND_WIDTH.min(survey.len()) + " | ".len();
    (terminal.saturating_sub(others) / WIDTH).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

fn column(name: &str, align: Align) -> ReportColumn {
    ReportColumn { name: name.to_owned(), align, is_dimension: false, in_parentheses: false, is_stack: false }
}

fn text(text: &str) -> Field {
    let bytes: Arc<[u8]> = text.as_bytes().into();
    Field::Text(bytes)
}

#[expect(clippy::cast_precision_loss, reason = "an average is shown with two decimals")]
fn average(samples: u64, ticks: u64) -> Field {
    if ticks == 0 { Field::Mark(Mark::None) } else { Field::Decimal(samples as f64 / ticks as f64) }
}

/// `values` as bars, the largest as high as can be.
#[must_use]
pub fn sparkline(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let together = values.len().div_ceil(TREND_WIDTH).max(1);
    let bar = |chunk: &[f64]| {
        let value = chunk.iter().copied().fold(0.0, f64::max);
        // What is there at all is seen.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 8")]
        let height = if most > 0.0 { (value / most * 8.0).ceil() as usize } else { 0 };
        BARS.get(height).copied().unwrap_or('█')
    };
    values.chunks(together).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_shape_and_fits() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        assert_eq!(sparkline(&[0.001, 100.0]), "▁█");
        assert_eq!(sparkline(&[0.0; 3]), "   ");
        let long: Vec<f64> = (0..1000).map(f64::from).collect();
        assert!(sparkline(&long).chars().count() <= TREND_WIDTH);
        assert_eq!(sparkline(&[]), "");
    }
}
