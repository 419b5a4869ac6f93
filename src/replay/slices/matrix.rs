//! The table of `--per`: one row a group, with a sparkline and the average of each slice.

use std::sync::Arc;

use crate::output::Charset;
use crate::output::natural_width;
use crate::replay::slices::{Slice, Survey};
use crate::report::{Columns, Datum, GroupKey, Report, ReportColumn, Row};
use crate::row::value::{Mark, OwnedValue};
use crate::time::moment::{length, local, local_as};

/// Characters of a sparkline at most. If there are more slices, a bar shows the largest average of several.
const TREND_WIDTH: usize = 24;

/// Columns of slices, at most and (in a narrow terminal) at least. If there are more slices, a column covers several.
const MAX_COLUMNS: usize = 24;
const MIN_COLUMNS: usize = 3;

/// Groups at most, to bound memory.
const MAX_GROUPS: usize = 100_000;

/// The bars of a sparkline, from 0 to the largest value.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The table while slices are added.
pub struct Matrix {
    per_ns: u64,
    /// Slices that a column covers, and a bar.
    per_column: usize,
    per_bar: usize,
    columns: Vec<TimeColumn>,
    groups: Vec<Course>,
}

/// The slices of one column.
#[derive(Debug, Clone, Copy, Default)]
struct TimeColumn {
    from_ns: u64,
    due: u64,
    taken: u64,
    pass_p99_ms: f64,
    pass_max_ms: f64,
    late_p99_ms: f64,
    late_max_ms: f64,
}

/// For one group: its samples in each column, and its largest average in each bar.
#[derive(Debug, Clone, Default)]
struct Course {
    samples: Box<[u64]>,
    averages: Box<[f64]>,
}

impl Matrix {
    /// An empty table for the slices and groups of `survey`, to fit `terminal` columns if there is a terminal.
    #[must_use]
    pub fn new(survey: &Survey, per_ns: u64, terminal: Option<usize>) -> Self {
        let slices = survey.len();
        let per_column = slices.div_ceil(columns_that_fit(survey, terminal)).max(1);
        let per_bar = slices.div_ceil(TREND_WIDTH).max(1);
        let starts: Vec<u64> = survey.starts().step_by(per_column).collect();
        let columns: Vec<TimeColumn> =
            starts.iter().map(|from_ns| TimeColumn { from_ns: *from_ns, ..TimeColumn::default() }).collect();
        let course = Course {
            samples: vec![0; columns.len()].into_boxed_slice(),
            averages: vec![0.0; slices.div_ceil(per_bar)].into_boxed_slice(),
        };
        let groups = vec![course; survey.whole.rows.len().min(MAX_GROUPS)];
        Self { per_ns, per_column, per_bar, columns, groups }
    }

    /// Adds a slice.
    pub fn add(&mut self, slice: &Slice) {
        let (column, bar) = (slice.index / self.per_column, slice.index / self.per_bar);
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
            if let Some(sum) = course.samples.get_mut(column) {
                *sum = sum.saturating_add(row.samples());
            }
            if let Some(largest) = course.averages.get_mut(bar) {
                *largest = largest.max(row.average());
            }
        }
    }

    /// The table, and a table of the ticks in its columns.
    #[must_use]
    pub fn finish(self, survey: &Survey) -> (Report, Report) {
        let whole = &survey.whole;
        let labels = self.labels();
        let mut columns = whole.columns.clone();
        columns.statistics.push(ReportColumn::of_texts("trend"));
        columns.statistics.extend(labels.iter().map(|label| ReportColumn::of_numbers(label)));
        let rows: Vec<Row> = whole.rows.iter().zip(&self.groups).map(|(row, course)| self.row(row, course)).collect();
        let report = Report {
            title: self.title(survey),
            columns,
            rows_left_out: whole.rows_left_out + (whole.rows.len() - rows.len()) as u64,
            rows,
            facts: whole.facts.clone(),
            ..*whole
        };
        let ticks = self.ticks(whole);
        (report, ticks)
    }

    /// `row` of the whole time, with its course.
    fn row(&self, row: &Row, course: &Course) -> Row {
        let trend = Datum::from(&*sparkline(&course.averages));
        let averages = self.columns.iter().zip(&course.samples);
        let averages = averages.map(|(column, samples)| average(*samples, column.taken));
        let whole = row.statistics.iter().cloned();
        Row { statistics: whole.chain([trend]).chain(averages).collect(), group: Arc::clone(&row.group), ..*row }
    }

    fn title(&self, survey: &Survey) -> String {
        let from = survey.starts().next().map(local).unwrap_or_default();
        let per = length(self.per_ns);
        let together = match self.per_column {
            1 => String::new(),
            count => format!(", {count} of {} slices to a column", survey.len()),
        };
        format!("{} from {from} by {per}{together}", survey.whole.title)
    }

    /// The times at which columns begin, in the shortest form that tells them apart.
    fn labels(&self) -> Vec<String> {
        let days = |column: Option<&TimeColumn>| column.map(|column| local_as(column.from_ns, "%Y-%m-%d"));
        let is_of_days = days(self.columns.first()) != days(self.columns.last());
        let step = self.per_ns.saturating_mul(self.per_column as u64);
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

    /// The table of the ticks in each column, and of their passes.
    fn ticks(&self, whole: &Report) -> Report {
        let names = ["ticks_due", "ticks_taken", "pass_p99_ms", "pass_max_ms", "late_p99_ms", "late_max_ms"];
        let row = |column: &TimeColumn| {
            let time = |ms: f64| if column.taken == 0 { NONE } else { Datum::Decimal(ms) };
            let statistics = [
                local(column.from_ns).as_str().into(),
                column.due.into(),
                column.taken.into(),
                time(column.pass_p99_ms),
                time(column.pass_max_ms),
                time(column.late_p99_ms),
                time(column.late_max_ms),
            ];
            Row { statistics: statistics.into(), group: GroupKey::default(), ..Row::default() }
        };
        let names = names.into_iter().map(ReportColumn::of_numbers);
        Report {
            facts: whole.facts.clone(),
            title: "Ticks".to_owned(),
            columns: Columns {
                statistics: std::iter::once(ReportColumn::of_texts("from")).chain(names).collect(),
                dimensions: Vec::new(),
            },
            rows: self.columns.iter().map(row).collect(),
            ..*whole
        }
    }
}

/// The number of columns of slices that fit beside the other columns.
fn columns_that_fit(survey: &Survey, terminal: Option<usize>) -> usize {
    /// The width of a time or an average, and of a separator.
    const WIDTH: usize = "00:00:00".len() + " | ".len();
    let Some(terminal) = terminal else { return MAX_COLUMNS };
    let others = natural_width(&survey.whole, Charset::Utf8) + TREND_WIDTH.min(survey.len()) + " | ".len();
    (terminal.saturating_sub(others) / WIDTH).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

const NONE: Datum = Datum::Value(OwnedValue::Mark(Mark::None));

#[expect(clippy::cast_precision_loss, reason = "an average is shown with two decimals")]
fn average(samples: u64, ticks: u64) -> Datum {
    if ticks == 0 { NONE } else { Datum::Decimal(samples as f64 / ticks as f64) }
}

/// `values` as bars; the largest value has the highest bar.
#[must_use]
pub fn sparkline(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let together = values.len().div_ceil(TREND_WIDTH).max(1);
    let bar = |chunk: &[f64]| {
        let value = chunk.iter().copied().fold(0.0, f64::max);
        // Rounded up: a value above 0 has a bar.
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
