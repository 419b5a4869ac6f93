//! `--per`: reports of consecutive parts of the time as one table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::moment::timestamp;
use crate::replay::Slice;
use crate::report::{Align, Facts, Field, Report, ReportColumn, Row, Ticks};

/// Characters of a sparkline at most; more slices than that are put together, the largest of them shown.
const TREND_WIDTH: usize = 24;

/// The bars of a sparkline, from nothing to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The place of `avg_threads` in a report's rows.
const AVERAGE: usize = 1;

/// One report of `slices`, with a column `time`; with one that shows each group's course, if it is `with_trend`.
#[must_use]
pub fn table(slices: Vec<Slice>, with_trend: bool) -> Report {
    let trends = if with_trend { trends(&slices) } else { HashMap::new() };
    let mut facts = Facts::default();
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    let mut states = None;
    let mut left_out = 0;
    for Slice { from_ns, report } in slices {
        add(&mut facts, &report);
        let time: Arc<[u8]> = timestamp(from_ns).unwrap_or_default().into_bytes().into();
        let first_dimension = first_dimension(&report);
        for Row { mut fields } in report.rows {
            if with_trend {
                let trend = fields.get(first_dimension..).and_then(|group| trends.get(&key(group)));
                fields.insert(AVERAGE + 1, Field::Text(trend.map_or_else(|| [].into(), Arc::clone)));
            }
            fields.insert(0, Field::Text(Arc::clone(&time)));
            rows.push(Row { fields });
        }
        left_out += report.rows_left_out;
        states.get_or_insert(report.states);
        columns = report.columns;
    }
    if with_trend && !columns.is_empty() {
        columns.insert(AVERAGE + 1, text_column("trend"));
    }
    columns.insert(0, text_column("time"));
    Report {
        unmeasured: Vec::new(),
        sleepers: None,
        meta: facts.meta,
        title: "Active Threads".to_owned(),
        states: states.unwrap_or(crate::report::States::Active),
        ticks: facts.ticks,
        tasks: facts.tasks,
        cost: facts.cost,
        health: Vec::new(),
        dropped: Vec::new(),
        coverage: facts.coverage,
        columns,
        rows,
        rows_left_out: left_out,
        warnings: facts.warnings,
    }
}

/// Adds what `report` says of its part of the time.
fn add(facts: &mut Facts, report: &Report) {
    let ticks = &mut facts.ticks;
    *ticks = Ticks {
        expected: ticks.expected + report.ticks.expected,
        completed: ticks.completed + report.ticks.completed,
        missed: ticks.missed + report.ticks.missed,
        throttled: ticks.throttled + report.ticks.throttled,
        abandoned: ticks.abandoned + report.ticks.abandoned,
    };
    facts.warnings.extend(report.warnings.iter().cloned());
    facts.tasks = report.tasks;
    let duration_s = facts.meta.duration_s + report.meta.duration_s;
    if facts.meta.hz <= 0.0 {
        facts.meta = report.meta.clone();
    }
    facts.meta.duration_s = duration_s;
}

fn text_column(name: &str) -> ReportColumn {
    ReportColumn {
        name: name.to_owned(),
        align: Align::Left,
        is_dimension: true,
        in_parentheses: false,
        is_stack: false,
    }
}

fn first_dimension(report: &Report) -> usize {
    report.columns.iter().position(|column| column.is_dimension).unwrap_or(report.columns.len())
}

/// A group's values as a key: fields hold floating-point numbers, but not where groups are told apart.
fn key(group: &[Field]) -> String {
    format!("{group:?}")
}

/// Each group's course over the slices.
fn trends(slices: &[Slice]) -> HashMap<String, Arc<[u8]>> {
    let mut courses: HashMap<String, Vec<f64>> = HashMap::new();
    // Time without any tick is time in which nothing was seen, too.
    for (place, slice) in slices.iter().enumerate() {
        let first_dimension = first_dimension(&slice.report);
        for row in &slice.report.rows {
            let Some(group) = row.fields.get(first_dimension..) else { continue };
            let course = courses.entry(key(group)).or_insert_with(|| vec![0.0; slices.len()]);
            if let (Some(value), Some(Field::Decimal(average))) = (course.get_mut(place), row.fields.get(AVERAGE)) {
                *value = *average;
            }
        }
    }
    courses.into_iter().map(|(group, course)| (group, sparkline(&course).into_bytes().into())).collect()
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
