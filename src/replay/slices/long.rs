//! The long form of `--per`, for programs: one row for each slice and group, written slice by slice.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::output::{self, Format, RenderOptions};
use crate::replay::slices::{Slice, Survey};
use crate::report::{Datum, Report, ReportColumn, Row, Ticks};
use crate::row::value::OwnedValue;
use crate::time::moment::timestamp;

/// The columns of the slice, before those of its report; the first is its time.
const SLICE: [&str; 4] = ["ticks_due", "ticks_taken", "pass_p99_ms", "late_p99_ms"];

/// The writer of the long form.
pub struct LongForm<'a> {
    /// Its rows are those of the current slice.
    report: Report,
    format: Format,
    options: RenderOptions,
    is_empty: bool,
    /// For JSON, which has them after the rows.
    slices: Vec<SliceAccount>,
    out: &'a mut dyn Write,
}

/// What JSON tells of a slice.
struct SliceAccount {
    from_ns: u64,
    ticks: Ticks,
    /// Median, 99th percentile and maximum.
    pass_ms: [f32; 3],
    late_ms: [f32; 3],
}

impl<'a> LongForm<'a> {
    /// Writes what comes before the rows.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(survey: &Survey, format: Format, options: RenderOptions, out: &'a mut dyn Write) -> io::Result<Self> {
        let Report { ref facts, ref title, ref columns, .. } = survey.whole;
        let mut columns = columns.clone();
        let slice = SLICE.into_iter().map(ReportColumn::of_numbers);
        columns.statistics.splice(0..0, slice);
        // In a stack, the time is the first frame.
        let time = ReportColumn::of_texts("time");
        if format == Format::Folded { &mut columns.dimensions } else { &mut columns.statistics }.insert(0, time);
        let report = Report { facts: facts.clone(), title: title.clone(), columns, rows: Vec::new(), ..survey.whole };
        match format {
            Format::Json => output::begin_json(&report, out)?,
            _ => output::more_rows(&report, format, &options, true, out)?,
        }
        Ok(Self { report, format, options, is_empty: true, slices: Vec::new(), out })
    }

    /// Writes the rows of a slice.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn add(&mut self, slice: &Slice) -> io::Result<()> {
        let Slice { from_ns, ticks, cost, .. } = slice;
        let time = OwnedValue::Text(timestamp(*from_ns).unwrap_or_default().into_bytes().into());
        let row = |(_, row): &(usize, Row)| self.row(row, &time, slice);
        self.report.rows = slice.rows.iter().map(row).collect();
        if !self.report.rows.is_empty() {
            let is_first = self.is_empty && self.format == Format::Json;
            output::more_rows(&self.report, self.format, &self.options, is_first, self.out)?;
            self.is_empty = false;
        }
        if self.format == Format::Json {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds to be shown")]
            let [pass_ms, late_ms] = [cost.pass_ms(), cost.late_ms()].map(|times| times.map(|ms| ms as f32));
            self.slices.push(SliceAccount { from_ns: *from_ns, ticks: *ticks, pass_ms, late_ms });
        }
        Ok(())
    }

    /// A row of the slice that begins at `time`, with the columns of the slice.
    fn row(&self, row: &Row, time: &OwnedValue, slice: &Slice) -> Row {
        let Slice { ticks, cost, .. } = slice;
        let leading: [Datum; SLICE.len()] =
            [ticks.expected.into(), ticks.completed.into(), cost.pass_p99_ms.into(), cost.late_p99_ms.into()];
        let statistics = leading.into_iter().chain(row.statistics.iter().cloned());
        let time = std::iter::once(time.clone());
        if self.format == Format::Folded {
            Row { statistics: statistics.collect(), group: time.chain(row.group.iter().cloned()).collect(), ..*row }
        } else {
            Row {
                statistics: time.map(Datum::Value).chain(statistics).collect(),
                group: Arc::clone(&row.group),
                ..*row
            }
        }
    }

    /// Writes what comes after the rows.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(self) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let mut slices = self.slices.iter().map(SliceAccount::json);
                output::end_json(self.is_empty, Some(("slices", &mut slices)), self.out)
            }
            _ => Ok(()),
        }
    }
}

impl SliceAccount {
    fn json(&self) -> Json {
        let Ticks { expected, completed, missed, throttled, abandoned } = self.ticks;
        let times = |[p50, p99, max]: [f32; 3]| {
            let of = |ms: f32| if completed == 0 { Json::Null } else { json!(round(ms)) };
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

/// Milliseconds, rounded to microseconds.
fn round(ms: f32) -> f64 {
    (f64::from(ms) * 1000.0).round() / 1000.0
}
