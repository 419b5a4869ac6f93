//! `--per`: the course of each group, slice by slice of the time.
//!
//! Recordings are read twice. The first time tells the groups of the whole time, of which `--limit` picks the first ones, and
//! how many ticks were due in each slice; the second one gives the slices away one after another, so that no more of
//! them are in memory than are being counted, however many there are.

mod due;
mod long;
mod matrix;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

pub use long::Long;
pub use matrix::{Matrix, sparkline};

use self::due::Due;
pub use self::due::MAX_SLICES;
use crate::count::memory::Memory;
use crate::record::{RecordError, Recording};
use crate::replay::{self, LastCounters, Question, Tally, Watch};
use crate::report::{Cost, Field, Report, Row, Ticks};

/// Slices that are counted at a time where recordings do not come in the order of time.
const AT_ONCE: usize = 64;

/// The place of `avg_threads` in a report's rows.
const AVERAGE: usize = 1;

/// What a first reading tells.
#[derive(Debug)]
pub struct Survey {
    /// The report on the whole time, of the rows that `--limit` leaves.
    pub whole: Report,
    /// The ticks of each slice in which any was due, by its start.
    due: BTreeMap<u64, Ticks>,
    /// Whether slices follow each other in the order in which they are read.
    is_ordered: bool,
    /// The places of the groups in the whole report, by hash.
    groups: HashMap<u64, usize, RandomState>,
    hasher: RandomState,
}

/// A part of the time.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Its start, nanoseconds since 1970.
    pub from_ns: u64,
    /// Its place among all slices.
    pub place: usize,
    /// The ticks that were due in it.
    pub ticks: Ticks,
    /// What was seen in it, as a report has it, of groups that the whole report has: the group's place there, and the row.
    pub rows: Vec<(usize, Row)>,
    /// How long passes took, and how late they were.
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

    /// Where in rows the group begins.
    fn first_dimension(&self) -> usize {
        let columns = &self.whole.columns;
        columns.iter().position(|column| column.is_dimension).unwrap_or(columns.len())
    }

    /// The row's group, as a number that no other group is likely to have.
    fn group(&self, row: &Row) -> u64 {
        let group = row.fields.get(self.first_dimension()..).unwrap_or_default();
        let mut hasher = self.hasher.build_hasher();
        group.iter().for_each(|field| hash(field, &mut hasher));
        std::hash::Hasher::finish(&hasher)
    }
}

/// Fields hold floating-point numbers, but not where groups are told apart.
fn hash(field: &Field, hasher: &mut impl std::hash::Hasher) {
    use std::hash::Hash as _;
    std::mem::discriminant(field).hash(hasher);
    match field {
        Field::Integer(number) => number.hash(hasher),
        Field::Scaled(number, divisor) => (number, divisor).hash(hasher),
        Field::Decimal(number) => number.to_bits().hash(hasher),
        Field::Text(text) => text.hash(hasher),
        Field::Mark(mark) => mark.hash(hasher),
    }
}

/// Reads `recordings` for the first time.
///
/// # Errors
/// When a recording can not be read, or lacks a column, and when there are more than [`MAX_SLICES`].
pub fn survey(
    recordings: &mut [Box<dyn Recording>],
    question: &Question,
    per_ns: u64,
    watch: &mut Watch<'_>,
) -> Result<Survey, RecordError> {
    let mut due = Due::new(per_ns, question.from_ns);
    let whole = replay::report_with(recordings, question, watch, &mut |header, tick| due.add(header, tick))?;
    let (due, is_ordered) = due.finish();
    let mut survey = Survey { whole, due, is_ordered, groups: HashMap::default(), hasher: RandomState::default() };
    survey.groups = survey.whole.rows.iter().enumerate().map(|(place, row)| (survey.group(row), place)).collect();
    Ok(survey)
}

/// Reads `recordings` again, and gives each slice to `take`, in order.
///
/// # Errors
/// When a recording can not be read, and those of `take`.
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
    let mut counters = LastCounters::default();
    // One for all slices that are counted at a time.
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
        let mut open = Open { survey, tallies: BTreeMap::new(), next: number * windows, starts: &starts };
        replay::each_piece(recordings, &within, &mut counters, &mut watch, &mut |origin, piece| {
            let from_ns = piece.tick.time_ns / per_ns.max(1) * per_ns.max(1);
            if survey.is_ordered {
                open.close(from_ns, take)?;
            }
            open.tallies.entry(from_ns).or_insert_with(|| Tally::new(&question, &memory)).add(origin, piece);
            Ok(())
        })?;
        open.close(last.saturating_add(per_ns), take)?;
    }
    Ok(())
}

/// The slices that are being counted.
struct Open<'a> {
    survey: &'a Survey,
    tallies: BTreeMap<u64, Tally<'a>>,
    /// The place of the next one to be given away.
    next: usize,
    starts: &'a [u64],
}

impl Open<'_> {
    /// Gives away those that begin before `from_ns`, also those in which no tick was taken.
    fn close(
        &mut self,
        from_ns: u64,
        take: &mut dyn FnMut(Slice) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        while let Some(start) = self.starts.get(self.next).copied().filter(|start| *start < from_ns) {
            let report = self.tallies.remove(&start).map(|tally| tally.report(None, Vec::new()));
            let ticks = self.survey.due.get(&start).copied().unwrap_or_default();
            let place = self.next;
            self.next += 1;
            take(match report {
                Some(report) => Slice { from_ns: start, place, ticks, rows: self.rows(report.rows), cost: report.cost },
                None => Slice { from_ns: start, place, ticks, rows: Vec::new(), cost: Cost::default() },
            })?;
        }
        Ok(())
    }

    fn rows(&self, rows: Vec<Row>) -> Vec<(usize, Row)> {
        let known = |row: Row| Some((*self.survey.groups.get(&self.survey.group(&row))?, row));
        rows.into_iter().filter_map(known).collect()
    }
}
