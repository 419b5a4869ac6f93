//! Recordings as one file of comma-separated values, for whatever reads nothing else.
//!
//! A first line of column names, then a row a line. What is no row begins with `#` in its first cell, as comments do:
//! `#recording` with the header, `#tick` before the rows of each tick, `#facts` at the end, each with JSON in its second
//! cell. Texts are in their stored form ([`text`]), and harmless to terminals and spreadsheets; scaled numbers are
//! decimals.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use serde::{Deserialize, Serialize};

use super::{
    Header, PIECE_ROWS, Piece, Query, RecordError, RecordedColumn, Recording, Sink, TickInfo, Visit, create, text,
};
use crate::moment::timestamp;
use crate::observation::Value;
use crate::report::{Facts, decimal};
use crate::rows::Rows;

const RECORDING: &str = "#recording";
const TICK: &str = "#tick";
const FACTS: &str = "#facts";

/// Cells before the recorded columns: `tick` and `time`.
const LEADING: usize = 2;

/// A line longer than this is none of psn's: it bounds the memory that a file can ask for.
const MAX_LINE: usize = 64 << 20;

/// A file in the making.
#[derive(Debug)]
pub struct CsvSink {
    path: PathBuf,
    out: BufWriter<File>,
    columns: Vec<RecordedColumn>,
    tick: u64,
}

/// A tick, and how many rows follow it.
#[derive(Debug, Serialize, Deserialize)]
struct TickLine {
    #[serde(flatten)]
    tick: TickInfo,
    rows: usize,
}

impl CsvSink {
    /// Makes a file for rows as `header` says. What is there is replaced if `force` says so.
    ///
    /// # Errors
    /// When there is something at the path, when another psn writes it, and when it can not be made.
    pub fn create(path: &Path, header: &Header, force: bool) -> Result<Self, RecordError> {
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

    /// A line that is no row. Not by the writer of rows, which would quote the `#`.
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

/// Writes rows; a first cell that begins as what is no row is quoted.
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
pub struct CsvRecording {
    path: PathBuf,
    header: Header,
    facts: Option<Facts>,
    warnings: Vec<String>,
}

/// What a line is.
enum Line {
    Recording(Box<Header>),
    Names,
    Tick(Box<TickLine>),
    Facts(Box<Facts>),
    Row,
    Unknown,
}

impl Line {
    fn of(record: &ByteRecord) -> Self {
        let json = record.get(1).unwrap_or_default();
        match record.get(0).unwrap_or_default() {
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
    /// Opens the recording at `path`.
    ///
    /// # Errors
    /// When it can not be read, or is none.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let mut lines = Lines::open(path)?;
        let header = match lines.next()? {
            Some(record) => match Line::of(record) {
                Line::Recording(header) => *header,
                _ => return Err(RecordError::not_recording(path, "its first line is not '#recording' with a header")),
            },
            None => return Err(RecordError::not_recording(path, "it is empty")),
        };
        header.check(path)?;
        Ok(Self { path: path.to_owned(), header, facts: None, warnings: Vec::new() })
    }
}

/// The lines of a file, cell by cell.
struct Lines {
    path: PathBuf,
    reader: csv::Reader<Bounded>,
    record: ByteRecord,
    len: u64,
}

/// A file that ends where a line goes on for ever.
struct Bounded {
    file: BufReader<File>,
    line: usize,
}

impl std::io::Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.file.read(buffer)?;
        let read = buffer.get(..len).unwrap_or_default();
        self.line = match memchr::memrchr(b'\n', read) {
            Some(at) => len - at,
            None => self.line + len,
        };
        if self.line > MAX_LINE {
            return Err(std::io::Error::other("a line is longer than any that psn writes"));
        }
        Ok(len)
    }
}

impl Lines {
    fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |error| RecordError::io(path, error);
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let reader = csv::ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .from_reader(Bounded { file: BufReader::with_capacity(1 << 16, file), line: 0 });
        Ok(Self { path: path.to_owned(), reader, record: ByteRecord::new(), len })
    }

    fn next(&mut self) -> Result<Option<&ByteRecord>, RecordError> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(error) => Err(RecordError::engine(&self.path, error)),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
    fn progress(&self) -> f64 {
        self.reader.position().byte() as f64 / (self.len as f64).max(1.0)
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

/// The number that is written as `cell`, times `divisor`.
fn number(cell: &[u8], divisor: u32) -> Option<i128> {
    let cell = std::str::from_utf8(cell).ok()?;
    let (sign, digits) = cell.strip_prefix('-').map_or((1, cell), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = usize::try_from(divisor.ilog10()).ok()?;
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
        self.path.clone()
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
        let mut lines = Lines::open(&self.path)?;
        let mut span: Option<(u64, u64)> = None;
        while let Some(record) = lines.next()? {
            if record.get(0) == Some(TICK.as_bytes())
                && let Line::Tick(line) = Line::of(record)
            {
                let time = line.tick.time_ns;
                let (first, last) = span.unwrap_or((time, time));
                span = Some((first.min(time), last.max(time)));
            }
        }
        Ok(span)
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        let mut lines = Lines::open(&self.path)?;
        let places: Vec<Option<usize>> = query.columns.iter().map(|column| self.header.place(column)).collect();
        let wanted: Vec<(usize, &RecordedColumn)> =
            places.into_iter().flatten().filter_map(|place| Some((place, self.header.columns.get(place)?))).collect();
        let mut rows = Rows::new(query.columns.len());
        let mut buffer = Vec::new();
        // The tick whose rows come, and how many are still to come.
        let mut open: Option<(Box<TickLine>, usize)> = None;
        let mut is_torn = false;
        loop {
            let progress = lines.progress();
            let record = match lines.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    self.warnings.push(format!("not all of it can be read: {error}"));
                    break;
                }
            };
            match Line::of(record) {
                Line::Tick(line) => {
                    is_torn |= open.as_ref().is_some_and(|(_, left)| *left > 0);
                    rows.clear();
                    let count = line.rows;
                    open = Some((line, count));
                }
                Line::Row => match &mut open {
                    Some((line, left)) if *left > 0 && record.len() == LEADING + self.header.columns.len() => {
                        *left -= 1;
                        let is_wanted = (query.from_ns..query.to_ns).contains(&line.tick.time_ns);
                        for (place, column) in wanted.iter().filter(|_| is_wanted) {
                            rows.push(value(record.get(LEADING + place).unwrap_or_default(), column, &mut buffer));
                        }
                        if rows.len() >= PIECE_ROWS && *left > 0 {
                            visit(Piece { tick: &line.tick, rows: &rows, is_last: false, progress })?;
                            rows.clear();
                        }
                    }
                    _ => is_torn = true,
                },
                Line::Facts(facts) => self.facts = Some(*facts),
                Line::Recording(_) | Line::Names => {}
                Line::Unknown => is_torn = true,
            }
            if let Some((line, 0)) = &open {
                if (query.from_ns..query.to_ns).contains(&line.tick.time_ns) {
                    visit(Piece { tick: &line.tick, rows: &rows, is_last: true, progress })?;
                }
                rows.clear();
                open = None;
            }
        }
        if is_torn || open.is_some() {
            self.warnings.push(format!(
                "{}: a tick was not written to its end, or was changed since; it is left out",
                self.path.display()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Mark;

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
