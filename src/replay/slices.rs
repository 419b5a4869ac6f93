//! `--per`: the course of each group, slice by slice of the time.
//!
//! Recordings are read twice. The first reading ([`survey`]) makes the report on the whole time, whose rows `--limit` bounds, and
//! counts the ticks that were due in each slice. The second one ([`each`]) hands the slices on one by one: only those that are
//! being counted are in memory.

mod due;
mod long;
mod matrix;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

pub use long::LongForm;
pub use matrix::{Matrix, sparkline};

use self::due::Due;
pub use self::due::MAX_SLICES;
use crate::count::memory::Memory;
use crate::record::{RecordError, Recording};
use crate::replay::pieces::each_piece;
use crate::replay::question::{Question, Watch};
use crate::replay::reports::report_with;
use crate::replay::tally::Tally;
use crate::report::{Cost, GroupKey, Report, Row, Ticks};

/// Slices that are counted at once if ticks are not read in the order of time.
const AT_ONCE: usize = 64;

/// The result of the first reading.
#[derive(Debug)]
pub struct Survey {
    /// The report on the whole time, of `--limit` rows.
    pub whole: Report,
    /// For the start of each slice in which a tick was due, its ticks.
    due: BTreeMap<u64, Ticks>,
    /// Whether ticks are read in the order of their slices.
    is_ordered: bool,
    /// For each group of the whole report, the index of its row there.
    groups: HashMap<GroupKey, usize, RandomState>,
}

/// A stretch of time, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its start, nanoseconds since 1970.
    pub from_ns: u64,
    /// Its index among all slices.
    pub index: usize,
    /// The ticks that were due in it.
    pub ticks: Ticks,
    /// The rows of those groups that are in the whole report, with the index of the group's row there.
    pub rows: Vec<(usize, Row)>,
    /// The durations and latenesses of its passes.
    pub cost: Cost,
}

impl Survey {
    /// The starts of all slices, in order.
    pub fn starts(&self) -> impl Iterator<Item = u64> {
        self.due.keys().copied()
    }

    /// The number of slices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

/// Reads `recordings` for the first time.
///
/// # Errors
/// When a recording cannot be read, or lacks a column, and when there are more than [`MAX_SLICES`].
pub fn survey(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    per_ns: u64,
    watch: &mut Watch<'_>,
) -> Result<Survey, RecordError> {
    let mut due = Due::new(per_ns, question.from_ns);
    let whole = report_with(recordings, question, watch, &mut |header, tick| due.add(header, tick))?;
    let (due, is_ordered) = due.finish();
    let groups = whole.rows.iter().enumerate().map(|(index, row)| (Arc::clone(&row.group), index)).collect();
    Ok(Survey { whole, due, is_ordered, groups })
}

/// Reads `recordings` again, and calls `take` with each slice, in order.
///
/// # Errors
/// When a recording cannot be read, and those of `take`.
pub fn each(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    survey: &Survey,
    per_ns: u64,
    watch: &mut Watch<'_>,
    take: &mut dyn FnMut(Slice) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let starts: Vec<u64> = survey.starts().collect();
    let question = Question { limit: None, ..question.clone() };
    let mut counters = Vec::new();
    // All slices that are counted at once share it.
    let memory = Memory::new(question.max_memory);
    let windows = if survey.is_ordered { starts.len().max(1) } else { AT_ONCE };
    let count = starts.len().div_ceil(windows).max(1);
    for (number, window) in starts.chunks(windows).enumerate() {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { continue };
        let within = Question {
            from_ns: Some(question.from_ns.unwrap_or(0).max(*first)),
            to_ns: Some(question.to_ns.unwrap_or(u64::MAX).min(last.saturating_add(per_ns))),
            ..question.clone()
        };
        #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
        let mut watch = |done: f64| watch((number as f64 + done) / count as f64);
        let mut open = OpenSlices { survey, tallies: BTreeMap::new(), next: number * windows, starts: &starts };
        each_piece(recordings, &within, &mut counters, &mut watch, &mut |source, piece| {
            let from_ns = piece.tick.time_ns / per_ns.max(1) * per_ns.max(1);
            if survey.is_ordered {
                open.close(from_ns, take)?;
            }
            open.tallies.entry(from_ns).or_insert_with(|| Tally::new(&question, &memory)).add(source, piece);
            Ok(())
        })?;
        open.close(last.saturating_add(per_ns), take)?;
    }
    Ok(())
}

/// The slices that are being counted.
struct OpenSlices<'a> {
    survey: &'a Survey,
    tallies: BTreeMap<u64, Tally<'a>>,
    /// The index of the next slice to hand on.
    next: usize,
    starts: &'a [u64],
}

impl OpenSlices<'_> {
    /// Hands on the slices that begin before `from_ns`, also those in which no tick was taken.
    fn close(
        &mut self,
        from_ns: u64,
        take: &mut dyn FnMut(Slice) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        while let Some(start) = self.starts.get(self.next).copied().filter(|start| *start < from_ns) {
            let report = self.tallies.remove(&start).map(|tally| tally.report(None, Vec::new()));
            let (rows, cost) = report.map_or_else(Default::default, |report| (report.rows, report.facts.cost));
            let ticks = self.survey.due.get(&start).copied().unwrap_or_default();
            let index = self.next;
            self.next += 1;
            take(Slice { from_ns: start, index, ticks, rows: self.rows(rows), cost })?;
        }
        Ok(())
    }

    fn rows(&self, rows: Vec<Row>) -> Vec<(usize, Row)> {
        let known = |row: Row| Some((*self.survey.groups.get(&row.group)?, row));
        rows.into_iter().filter_map(known).collect()
    }
}
