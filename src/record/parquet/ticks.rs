//! The ticks of a part, including those without rows: a second Parquet file within the body of the part, where other engines
//! do not look.
//!
//! It has the columns of the table `ticks` of the SQLite format, and a row for each tick. The note `psn.ticks` of the part
//! ([`TickSummary`]) says where it is.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use crate::record::TickInfo;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::Footer;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::read::rows::{RowReader, WantedColumn};
use crate::record::parquet::write::encode::Eight;
use crate::record::parquet::write::table::TableWriter;
use crate::record::parquet::write::text_list::TextList;
use crate::record::tick::StateTotals;
use crate::row::observation::Value;
use crate::row::rows::Rows;

/// How many ticks are written and read at once.
const BATCH: usize = 8192;

/// The most ticks of a part: a week at 100 Hz. With more, the metadata would take too much memory in a merge.
const MAX_TICKS: u64 = 1 << 26;

/// The most bytes of the inner file's metadata.
const MAX_FOOTER: u64 = 16 << 20;

/// The note on the ticks of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TickSummary {
    /// The offset of the inner file in the part.
    pub offset: u64,
    /// The length of the inner file in bytes.
    pub length: u64,
    /// How many ticks there are.
    pub count: u64,
    /// How many rows the ticks have.
    pub rows: u64,
    /// The number of the first tick, counted from the start of the run.
    pub first: u64,
    /// The number of the last tick.
    pub last: u64,
    /// The least time of a tick, nanoseconds since 1970.
    pub from_ns: u64,
    /// The greatest time of a tick.
    pub to_ns: u64,
    /// How many ticks of the run were due up to the tick before the first one here. The first one stands for those due
    /// since.
    pub due_before: u64,
}

impl TickSummary {
    /// Whether the ticks of `other` are all among these, by their numbers.
    pub(super) const fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// A tick of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PartTick {
    /// The number, counted from the start of the run.
    pub number: u64,
    pub info: TickInfo,
    /// How many rows the tick has.
    pub rows: u64,
}

/// The columns of numbers: the tick's number, those of [`TickInfo`], and how many rows it has.
const NUMBERS: [&str; TickInfo::NAMES.len() + 2] = {
    let mut names = ["tick"; TickInfo::NAMES.len() + 2];
    let (_, rest) = names.split_at_mut(1);
    let (info, rest) = rest.split_at_mut(TickInfo::NAMES.len());
    info.copy_from_slice(&TickInfo::NAMES);
    rest.copy_from_slice(&["row_count"]);
    names
};

/// The column of [`TickInfo::states`].
const STATES: &str = "states";

impl PartTick {
    /// The number in the column with the index `place` of [`NUMBERS`].
    fn number(&self, place: usize) -> u64 {
        match place.checked_sub(1) {
            None => self.number,
            Some(place) => self.info.numbers().get(place).copied().unwrap_or(self.rows),
        }
    }
}

/// Writes the ticks of a part.
pub(super) struct TickWriter {
    file: TableWriter<Vec<u8>>,
    waiting: Vec<PartTick>,
    note: TickSummary,
}

impl TickWriter {
    /// Begins a part; `due_before` ticks of the run were due up to the tick before the first one here.
    pub(super) fn new(due_before: u64) -> Result<Self, ParquetError> {
        let schema = schema::numbers_and_texts(&NUMBERS, &[STATES])?;
        let file = TableWriter::new(Vec::new(), &schema)?;
        Ok(Self {
            file,
            waiting: Vec::new(),
            note: TickSummary { due_before, from_ns: u64::MAX, ..TickSummary::default() },
        })
    }

    /// The note on the ticks so far.
    pub(super) const fn note(&self) -> &TickSummary {
        &self.note
    }

    /// Adds the next tick.
    pub(super) fn add(&mut self, tick: PartTick) -> Result<(), ParquetError> {
        let note = &mut self.note;
        if note.count == 0 {
            note.first = tick.number;
        }
        note.last = tick.number;
        note.count += 1;
        note.rows = note.rows.saturating_add(tick.rows);
        note.from_ns = note.from_ns.min(tick.info.time_ns);
        note.to_ns = note.to_ns.max(tick.info.time_ns);
        self.waiting.push(tick);
        if self.waiting.len() < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.row_group()?;
        let mut numbers = Vec::with_capacity(self.waiting.len());
        for place in 0..NUMBERS.len() {
            numbers.clear();
            let number = |tick: &PartTick| tick.number(place).cast_signed();
            numbers.extend(self.waiting.iter().map(number));
            let column = group.encoder.numbers(&numbers, Eight::Other, None)?;
            group.column(column)?;
        }
        let mut states = TextList::default();
        self.waiting.iter().for_each(|tick| states.push(&tick.info.states.to_string()));
        let places: Vec<u32> = (0..).take(self.waiting.len()).collect();
        let column = group.encoder.texts(&places, &states, None)?;
        group.column(column)?;
        group.finish()?;
        self.waiting.clear();
        Ok(())
    }

    /// The inner file, and the note on it, which lacks only the offset.
    pub(super) fn finish(&mut self) -> Result<(&[u8], TickSummary), ParquetError> {
        if !self.waiting.is_empty() {
            self.write()?;
        }
        self.file.finish(Vec::new())?;
        let from_ns = if self.note.count == 0 { 0 } else { self.note.from_ns };
        Ok((self.file.inner(), TickSummary { from_ns, ..self.note }))
    }
}

/// Reads the ticks of a part, one after another.
pub(super) struct TickReader {
    rows: RowReader,
    /// How many ticks have not been decoded.
    left: u64,
    decoded: Rows,
    used: usize,
}

impl TickReader {
    /// Reads the ticks of `part`, which has this note on them, until `stop` is set.
    pub(super) fn new(part: &FileRange, note: &TickSummary, stop: &Arc<AtomicBool>) -> Result<Self, Damage> {
        let file = part.part(note.offset, note.length)?;
        let footer = Footer::read_within(&file, MAX_FOOTER)?;
        if note.count > MAX_TICKS {
            return Err(Damage::Form("it claims more ticks than any recording has"));
        }
        if footer.rows() != note.count {
            return Err(Damage::Form("it lacks some of its ticks"));
        }
        let wanted = |name: &&str| WantedColumn { name: (*name).to_owned(), is_number: **name != *STATES };
        let wanted: Vec<WantedColumn> = NUMBERS.iter().chain(&[STATES]).map(wanted).collect();
        let left = footer.rows();
        Ok(Self {
            rows: RowReader::new(&file, footer, &wanted, stop)?,
            left,
            decoded: Rows::new(wanted.len()),
            used: 0,
        })
    }

    /// The next tick; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<PartTick>, Damage> {
        if self.used == self.decoded.len() {
            let count = usize::try_from(self.left).unwrap_or(BATCH).min(BATCH / 8);
            if count == 0 {
                return Ok(None);
            }
            self.decoded.clear();
            self.used = 0;
            self.left -= self.rows.read(count, &mut self.decoded)? as u64;
        }
        let number = |column: usize| match self.decoded.value(self.used, column) {
            Value::Number(number) => i64::try_from(number).unwrap_or(0).cast_unsigned(),
            _ => 0,
        };
        let states = match self.decoded.value(self.used, NUMBERS.len()) {
            Value::Text(text) => StateTotals::parse(&String::from_utf8_lossy(text)),
            _ => StateTotals::default(),
        };
        let info = TickInfo::of(std::array::from_fn(|place| number(place + 1)), states);
        let tick = PartTick { number: number(0), info, rows: number(NUMBERS.len() - 1) };
        self.used += 1;
        Ok(Some(tick))
    }
}
