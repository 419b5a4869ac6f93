//! Recordings as one file of comma-separated values, which everything can read.
//!
//! The first line after the header has the names of the columns; then each line is a row. Lines that are not rows begin with
//! `#`: `#recording` with the header, `#tick` before the rows of each tick, and `#facts` at the end, each with JSON in the
//! second cell. Texts are in their stored form ([`text`]), safe for terminals and spreadsheets. Scaled numbers are decimals.

mod records;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use self::records::{CsvRecord, CsvRecords, LineError};
use super::input_file::InputFile;
use super::{
    Header, PIECE_ROWS, Piece, Query, RecordError, RecordedColumn, Recording, Sink, TickInfo, Visit, create, text,
};
use crate::report::Facts;
use crate::row::observation::Value;
use crate::row::rows::Rows;
use crate::text::decimal::decimal;
use crate::text::sentence::shown;
use crate::time::moment::timestamp;

const RECORDING: &str = "#recording";
const TICK: &str = "#tick";
const FACTS: &str = "#facts";

/// How many cells precede the recorded columns: `tick` and `time`.
const LEADING: usize = 2;

/// Writes a file.
#[derive(Debug)]
pub(super) struct CsvSink {
    path: PathBuf,
    out: BufWriter<File>,
    columns: Vec<RecordedColumn>,
    tick: u64,
}

/// The JSON of a `#tick` line: the tick, and how many rows follow.
#[derive(Debug, Serialize, Deserialize)]
struct TickLine {
    #[serde(flatten)]
    tick: TickInfo,
    rows: usize,
}

impl CsvSink {
    /// Creates a file for rows with the columns of `header`. An existing one is replaced if `force` is set.
    pub(super) fn create(path: &Path, header: &Header, force: bool) -> Result<Self, RecordError> {
        let out = BufWriter::with_capacity(1 << 16, create::file(path, force)?);
        let mut sink = Self { path: path.to_owned(), out, columns: header.columns.clone(), tick: 0 };
        sink.line(RECORDING, header)?;
        let names = ["tick", "time"].into_iter().map(str::to_owned).chain(header.names());
        let named = rows_writer(&mut sink.out).write_record(names);
        named.map_err(|error| sink.failed(error))?;
        Ok(sink)
    }

    fn failed(&self, error: csv::Error) -> RecordError {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => RecordError::io(&self.path, error),
            other => RecordError::engine(&self.path, format!("{other:?}")),
        }
    }

    /// Writes a line that is not a row. The `csv` crate would quote the `#`.
    fn line(&mut self, label: &str, content: &impl Serialize) -> Result<(), RecordError> {
        let json = serde_json::to_string(content).unwrap_or_default().replace('"', "\"\"");
        writeln!(self.out, "{label},\"{json}\"").map_err(|error| RecordError::io(&self.path, error))
    }

    fn write_rows(&mut self, tick: &TickInfo, rows: &Rows) -> csv::Result<()> {
        let (number, time) = (self.tick.to_string(), timestamp(tick.time_ns).unwrap_or_default());
        let mut out = rows_writer(&mut self.out);
        for row in 0..rows.len() {
            out.write_field(&number)?;
            out.write_field(&time)?;
            for (place, column) in self.columns.iter().enumerate() {
                match rows.value(row, place) {
                    Value::Number(number) => out.write_field(decimal(number, column.divisor))?,
                    Value::Text(bytes) => out.write_field(text::store_harmless(bytes).as_bytes())?,
                    Value::Mark(mark) => out.write_field(mark.text())?,
                }
            }
            out.write_record(None::<&[u8]>)?;
        }
        Ok(out.flush()?)
    }
}

/// A writer for rows: a first cell that begins with `#` is quoted.
fn rows_writer(out: &mut BufWriter<File>) -> csv::Writer<&mut BufWriter<File>> {
    csv::WriterBuilder::new().flexible(true).comment(Some(b'#')).from_writer(out)
}

impl Sink for CsvSink {
    fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError> {
        let count = rows.iter().map(Rows::len).sum();
        self.line(TICK, &TickLine { tick: tick.clone(), rows: count })?;
        for rows in &*rows {
            self.write_rows(tick, rows).map_err(|error| self.failed(error))?;
        }
        self.tick += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        let failed = |error| RecordError::io(&self.path, error);
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_data().map_err(failed)
    }

    fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError> {
        if let Some(facts) = facts {
            self.line(FACTS, facts)?;
        }
        self.flush()
    }
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct CsvRecording {
    source: InputFile,
    stop: Arc<AtomicBool>,
    header: Header,
    facts: Option<Facts>,
    warnings: Vec<String>,
}

/// A parsed line.
enum CsvLine {
    Recording(Box<Header>),
    Names,
    Tick(Box<TickLine>),
    Facts(Box<Facts>),
    Row,
    Unknown,
}

impl CsvLine {
    fn of(record: CsvRecord<'_>) -> Self {
        let json = record.cell(1);
        match record.cell(0) {
            label if label == RECORDING.as_bytes() => {
                serde_json::from_slice(json).map_or(Self::Unknown, |header| Self::Recording(Box::new(header)))
            }
            label if label == TICK.as_bytes() => {
                serde_json::from_slice(json).map_or(Self::Unknown, |tick| Self::Tick(Box::new(tick)))
            }
            label if label == FACTS.as_bytes() => {
                serde_json::from_slice(json).map_or(Self::Unknown, |facts| Self::Facts(Box::new(facts)))
            }
            b"tick" => Self::Names,
            label if label.first() == Some(&b'#') => Self::Unknown,
            _ => Self::Row,
        }
    }
}

impl CsvRecording {
    /// Opens the recording in `source`. Setting `stop` ends all reading.
    pub(super) fn open(source: InputFile, stop: &Arc<AtomicBool>) -> Result<Self, RecordError> {
        let path = source.path.clone();
        let mut lines = CsvRecords::new(&source, stop).map_err(|error| RecordError::io(&path, error))?;
        let header = match lines.next() {
            Ok(Some(record)) => match CsvLine::of(record) {
                CsvLine::Recording(header) => *header,
                _ => return Err(RecordError::not_recording(&path, "its first line is not '#recording' with a header")),
            },
            Ok(None) => return Err(RecordError::not_recording(&path, "it is empty")),
            Err(LineError::Stopped) => return Err(RecordError::Stopped),
            Err(LineError::Io(error)) => return Err(RecordError::io(&path, error)),
            Err(error) => return Err(RecordError::not_recording(&path, error)),
        };
        header.check(&path)?;
        Ok(Self { source, stop: Arc::clone(stop), header, facts: None, warnings: Vec::new() })
    }

    fn lines(&self) -> Result<CsvRecords, RecordError> {
        CsvRecords::new(&self.source, &self.stop).map_err(|error| RecordError::io(&self.source.path, error))
    }

    /// Calls `see` with the time of each tick, as far as the file can be read.
    fn each_time(&self, see: &mut dyn FnMut(u64)) -> Result<(), RecordError> {
        let mut lines = self.lines()?;
        loop {
            match lines.next() {
                Ok(Some(record)) if record.cell(0) == TICK.as_bytes() => {
                    if let CsvLine::Tick(line) = CsvLine::of(record) {
                        see(line.tick.time_ns);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(LineError::Stopped) => return Err(RecordError::Stopped),
                // `read` warns about it.
                Err(_) => return Ok(()),
            }
        }
    }
}

/// The value of a cell.
fn value<'a>(cell: &'a [u8], column: &RecordedColumn, buffer: &'a mut Vec<u8>) -> Value<'a> {
    if column.is_number()
        && let Some(number) = number(cell, column.divisor)
    {
        return Value::Number(number);
    }
    text::load(cell, buffer)
}

/// The number in `cell`, multiplied by `divisor`; none if it has another form or too many decimals.
fn number(cell: &[u8], divisor: u32) -> Option<i128> {
    let cell = std::str::from_utf8(cell).ok()?;
    let (sign, digits) = cell.strip_prefix('-').map_or((1, cell), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = usize::try_from(divisor.checked_ilog10()?).ok()?;
    if whole.is_empty() || part.len() > decimals || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let part: i128 = format!("{part:0<decimals$}").parse().unwrap_or(0);
    whole.checked_mul(divisor.into())?.checked_add(part).map(|number| sign * number)
}

impl Recording for CsvRecording {
    fn path(&self) -> PathBuf {
        self.source.path.clone()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        let mut span: Option<(u64, u64)> = None;
        self.each_time(&mut |time| {
            let (first, last) = span.unwrap_or((time, time));
            span = Some((first.min(time), last.max(time)));
        })?;
        Ok(span)
    }

    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        let mut last = None;
        self.each_time(&mut |time| last = Some(time))?;
        Ok(last)
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        self.warnings.clear();
        let mut lines = self.lines()?;
        let header = self.header.clone();
        let mut reading = OpenTick::new(&header, query);
        loop {
            let progress = lines.progress();
            let record = match lines.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(LineError::Stopped) => return Err(RecordError::Stopped),
                Err(error) => {
                    let path = shown(&self.source.path);
                    self.warnings.push(format!("{path}: not all of it can be read: {error}"));
                    break;
                }
            };
            match CsvLine::of(record) {
                CsvLine::Tick(line) => reading.begin(line),
                CsvLine::Row => reading.row(record, progress, visit)?,
                CsvLine::Facts(facts) => self.facts = Some(*facts),
                CsvLine::Recording(_) | CsvLine::Names => {}
                CsvLine::Unknown => reading.is_torn = true,
            }
            reading.end(progress, visit)?;
        }
        if reading.is_torn || reading.open.is_some() {
            self.warnings.push(format!(
                "{}: a tick was not written to its end, or was changed since; it is skipped",
                shown(&self.source.path)
            ));
        }
        Ok(())
    }
}

/// The size in bytes after which a piece ends.
const PIECE_BYTES: usize = 8 << 20;

/// The tick that is being read.
struct OpenTick<'a> {
    /// How many cells a row has.
    cells: usize,
    query: &'a Query,
    wanted: Vec<(usize, &'a RecordedColumn)>,
    rows: Rows,
    buffer: Vec<u8>,
    /// The tick whose rows follow, and how many are still missing.
    open: Option<(Box<TickLine>, usize)>,
    is_torn: bool,
}

impl<'a> OpenTick<'a> {
    fn new(header: &'a Header, query: &'a Query) -> Self {
        let places = query.columns.iter().filter_map(|column| header.place(column));
        Self {
            cells: LEADING + header.columns.len(),
            query,
            wanted: places.filter_map(|place| Some((place, header.columns.get(place)?))).collect(),
            rows: Rows::new(query.columns.len()),
            buffer: Vec::new(),
            open: None,
            is_torn: false,
        }
    }

    fn is_wanted(&self, line: &TickLine) -> bool {
        (self.query.from_ns..self.query.to_ns).contains(&line.tick.time_ns)
    }

    fn begin(&mut self, line: Box<TickLine>) {
        self.is_torn |= self.open.as_ref().is_some_and(|(_, left)| *left > 0);
        self.rows.clear();
        let count = line.rows;
        self.open = Some((line, count));
    }

    fn row(&mut self, record: CsvRecord<'_>, progress: f64, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        let is_whole = record.len() == self.cells;
        let Some((line, left)) = self.open.as_mut().filter(|(_, left)| *left > 0 && is_whole) else {
            self.is_torn = true;
            return Ok(());
        };
        *left -= 1;
        if (self.query.from_ns..self.query.to_ns).contains(&line.tick.time_ns) {
            for (place, column) in &self.wanted {
                self.rows.push(value(record.cell(LEADING + place), column, &mut self.buffer));
            }
            if (self.rows.len() >= PIECE_ROWS || self.rows.size() >= PIECE_BYTES) && *left > 0 {
                visit(Piece { tick: &line.tick, rows: &self.rows, is_last: false, progress })?;
                self.rows.clear();
            }
        }
        Ok(())
    }

    /// Hands on the tick if it is complete.
    fn end(&mut self, progress: f64, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        let Some((line, _)) = self.open.take_if(|(_, left)| *left == 0) else { return Ok(()) };
        if self.is_wanted(&line) {
            visit(Piece { tick: &line.tick, rows: &self.rows, is_last: true, progress })?;
        }
        self.rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::observation::Mark;

    #[test]
    fn decimals_come_back_to_the_last_digit() {
        for number_ in [0, 5, -5, 151, i128::from(u64::MAX), -100] {
            for divisor in [1, 100, 1000, 1_000_000_000] {
                assert_eq!(number(decimal(number_, divisor).as_bytes(), divisor), Some(number_));
            }
        }
        for wrong in ["", "-", "1.", "x", "1.234", "[denied]", "0x10", "+1"] {
            assert!(number(wrong.as_bytes(), 100).is_none() || wrong == "1.", "{wrong}");
        }
    }

    #[test]
    fn marks_and_numbers_share_a_column() {
        let column = RecordedColumn { name: "utime".to_owned(), kind: "counter".to_owned(), divisor: 1 };
        let mut buffer = Vec::new();
        assert_eq!(value(b"[denied]", &column, &mut buffer), Value::Mark(Mark::Denied));
        assert_eq!(value(b"-17", &column, &mut buffer), Value::Number(-17));
        let text = RecordedColumn { kind: "text".to_owned(), ..column };
        assert_eq!(value(b"-17", &text, &mut buffer), Value::Text(b"-17"));
    }
}
