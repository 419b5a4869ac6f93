//! The long form, for machines: a row for each slice and group, written as the slices come.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::output::{self, Format, Layout};
use crate::replay::slices::{Slice, Survey};
use crate::report::{Align, Field, Report, ReportColumn, Row, Ticks};
use crate::time::moment::timestamp;

/// The columns before those of a report: of the slice, its ticks, how long passes took, and how late they were.
const LEADING: [&str; 5] = ["time", "ticks_due", "ticks_taken", "pass_p99_ms", "late_p99_ms"];

/// A report in the making.
pub struct Long<'a> {
    /// Without rows.
    report: Report,
    format: Format,
    layout: Layout,
    is_empty: bool,
    slices: Vec<Account>,
    out: &'a mut dyn Write,
}

/// What is told of a slice beside its rows.
struct Account {
    from_ns: u64,
    ticks: Ticks,
    /// Median, 99th percentile and the longest.
    pass_ms: [f32; 3],
    late_ms: [f32; 3],
}

impl<'a> Long<'a> {
    /// Writes what comes before the rows.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(survey: &Survey, format: Format, layout: Layout, out: &'a mut dyn Write) -> io::Result<Self> {
        let mut report = Report { rows: Vec::new(), ..survey.whole.clone() };
        let column = |name: &&str| ReportColumn {
            name: (*name).to_owned(),
            align: if *name == "time" { Align::Left } else { Align::Right },
            is_dimension: *name == "time",
            in_parentheses: false,
            is_stack: false,
        };
        report.columns = LEADING.iter().map(column).chain(report.columns).collect();
        match format {
            Format::Json => output::begin_json(&report, out)?,
            _ => output::more_rows(&report, format, &layout, true, out)?,
        }
        Ok(Self { report, format, layout, is_empty: true, slices: Vec::new(), out })
    }

    /// Writes the rows of a slice.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn add(&mut self, slice: &Slice) -> io::Result<()> {
        let Slice { from_ns, ticks, cost, .. } = slice;
        let time: Arc<[u8]> = timestamp(*from_ns).unwrap_or_default().into_bytes().into();
        let row = |(_, row): &(usize, Row)| {
            let leading = [
                Field::Text(Arc::clone(&time)),
                Field::Integer(ticks.expected.into()),
                Field::Integer(ticks.completed.into()),
                Field::Decimal(cost.pass_p99_ms),
                Field::Decimal(cost.late_p99_ms),
            ];
            Row { fields: leading.into_iter().chain(row.fields.iter().cloned()).collect() }
        };
        self.report.rows = slice.rows.iter().map(row).collect();
        if !self.report.rows.is_empty() {
            let is_first = self.is_empty && self.format == Format::Json;
            output::more_rows(&self.report, self.format, &self.layout, is_first, self.out)?;
            self.is_empty = false;
        }
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds to be shown")]
        let [pass_ms, late_ms] = [
            [cost.pass_p50_ms, cost.pass_p99_ms, cost.pass_max_ms],
            [cost.late_p50_ms, cost.late_p99_ms, cost.late_max_ms],
        ]
        .map(|times| times.map(|ms| ms as f32));
        if self.format == Format::Json {
            self.slices.push(Account { from_ns: *from_ns, ticks: *ticks, pass_ms, late_ms });
        }
        Ok(())
    }

    /// Writes what comes after the rows.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(self) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let mut slices = self.slices.iter().map(Account::json);
                output::end_json(self.is_empty, Some(("slices", &mut slices)), self.out)
            }
            _ => Ok(()),
        }
    }
}

impl Account {
    fn json(&self) -> Value {
        let Ticks { expected, completed, missed, throttled, abandoned } = self.ticks;
        let times = |[p50, p99, max]: [f32; 3]| {
            let of = |ms: f32| if completed == 0 { Value::Null } else { json!(round(ms)) };
            json!({ "p50": of(p50), "p99": of(p99), "max": of(max) })
        };
        json!({
            "time": timestamp(self.from_ns),
            "ticks": {
                "expected": expected,
                "completed": completed,
                "missed": missed,
                "throttled": throttled,
                "abandoned": abandoned,
            },
            "pass_ms": times(self.pass_ms),
            "late_ms": times(self.late_ms),
        })
    }
}

/// To the microsecond.
fn round(ms: f32) -> f64 {
    (f64::from(ms) * 1000.0).round() / 1000.0
}
