//! The records of a CSV file, cell by cell, in bounded memory.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use csv_core::{ReadRecordResult, Reader};

use crate::record::input_file::{InputFile, ReadShare};

/// The most bytes in a record. psn's longest are the header and the facts.
pub(super) const MAX_RECORD: usize = 8 << 20;

/// The most cells in a record; there are far fewer columns.
const MAX_CELLS: usize = 4096;

/// Why there is no next record.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The record is longer than any that psn writes.
    #[error("a line is longer than {} MiB, and so than any that psn writes", MAX_RECORD >> 20)]
    TooLong,
    /// The record has more cells than any that psn writes.
    #[error("a line has more than {MAX_CELLS} cells, and so more than any that psn writes")]
    TooManyCells,
    /// The user asked for the end.
    #[error("stopped")]
    Stopped,
}

/// Reads one record after another.
pub(super) struct CsvRecords {
    bytes: Box<dyn Read>,
    taken: ReadShare,
    stop: Arc<AtomicBool>,
    reader: Reader,
    /// A block of the file, and the range of it that has not been parsed yet.
    piece: Box<[u8]>,
    unparsed: std::ops::Range<usize>,
    cells: Vec<u8>,
    /// The end of each cell.
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct CsvRecord<'a> {
    cells: &'a [u8],
    ends: &'a [usize],
}

impl<'a> CsvRecord<'a> {
    pub(super) const fn len(self) -> usize {
        self.ends.len()
    }

    /// The cell at `index`; empty if there is none.
    pub(super) fn cell(self, index: usize) -> &'a [u8] {
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.cells.get(start..*end).unwrap_or_default()
    }
}

impl CsvRecords {
    /// Reads `source` until `stop` is set.
    pub(super) fn new(source: &InputFile, stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let (bytes, taken) = source.bytes()?;
        Ok(Self {
            bytes,
            taken,
            stop: Arc::clone(stop),
            reader: Reader::new(),
            piece: vec![0; 1 << 16].into_boxed_slice(),
            unparsed: 0..0,
            cells: vec![0; 1 << 10],
            ends: vec![0; 1 << 5],
        })
    }

    /// The next record; none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<CsvRecord<'_>>, LineError> {
        let (mut len, mut count) = (0, 0);
        let mut has_ended = false;
        loop {
            if self.unparsed.is_empty() && !has_ended {
                self.fill()?;
                has_ended = self.unparsed.is_empty();
            }
            let input = self.piece.get(self.unparsed.clone()).unwrap_or_default();
            let cells = self.cells.get_mut(len..).unwrap_or_default();
            let ends = self.ends.get_mut(count..).unwrap_or_default();
            let (result, taken, written, ended) = self.reader.read_record(input, cells, ends);
            self.unparsed.start += taken;
            len += written;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => grow(&mut self.cells, MAX_RECORD, LineError::TooLong)?,
                ReadRecordResult::OutputEndsFull => grow(&mut self.ends, MAX_CELLS, LineError::TooManyCells)?,
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        Ok(Some(CsvRecord {
            cells: self.cells.get(..len).unwrap_or_default(),
            ends: self.ends.get(..count).unwrap_or_default(),
        }))
    }

    fn fill(&mut self) -> Result<(), LineError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(LineError::Stopped);
        }
        self.unparsed = 0..self.bytes.read(&mut self.piece)?;
        Ok(())
    }

    /// The share of the file that has been read, from 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        self.taken.share()
    }
}

/// Doubles the buffer, up to `max`.
fn grow<T: Copy + Default>(buffer: &mut Vec<T>, max: usize, beyond: LineError) -> Result<(), LineError> {
    if buffer.len() >= max {
        return Err(beyond);
    }
    buffer.resize((buffer.len() * 2).min(max), T::default());
    Ok(())
}
