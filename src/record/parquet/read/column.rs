//! The values of one column in one row group: pages, decompressed one after another.
//!
//! Texts are decoded once for each dictionary; rows have their places in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::record::parquet::file::{Damage, Slice};
use crate::record::parquet::page::PageHeader;
use crate::record::parquet::read::footer::{Chunk, Codec, Leaf, Physical};
use crate::record::parquet::rle::{Hybrid, PADDING};
use crate::record::parquet::schema;
use crate::record::text;
use crate::row::observation::{Mark, Value};

const MALFORMED: Damage = Damage::Form("a page is damaged");

/// The place of a text that a row does not have.
pub const NO_TEXT: u32 = u32::MAX;

/// Memory in bytes that all columns of a reading may take together, and what their file says of itself. Columns that psn
/// writes take two MiB each at most, and most of them a tenth.
const MAX_HELD: usize = 112 << 20;

/// What all columns of a reading use in turn.
pub struct Scratch {
    decompressor: zstd::bulk::Decompressor<'static>,
    compressed: Vec<u8>,
    levels: Vec<u32>,
    places: Vec<u32>,
    numbers: Vec<i64>,
    /// Bytes that the pages and dictionaries of all columns take.
    held: usize,
    /// Whether nobody waits for the rest.
    stop: Arc<AtomicBool>,
}

impl Scratch {
    /// For a reading that ends early once `stop` is set. Beside it, `held` bytes are taken.
    pub fn new(held: usize, stop: Arc<AtomicBool>) -> Result<Self, Damage> {
        Ok(Self {
            decompressor: zstd::bulk::Decompressor::new()?,
            compressed: Vec::new(),
            levels: Vec::new(),
            places: Vec::new(),
            numbers: Vec::new(),
            held,
            stop,
        })
    }

    /// What ends the reading.
    #[cfg(test)]
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether the reading is to go on.
    pub fn go_on(&self) -> Result<(), Damage> {
        if self.stop.load(Ordering::Relaxed) { Err(Damage::Stopped) } else { Ok(()) }
    }

    /// Takes account of what was `before` and is `now`.
    fn hold(&mut self, before: &mut usize, now: usize) -> Result<(), Damage> {
        let more = now.saturating_sub(*before);
        if self.held.saturating_add(more) > MAX_HELD {
            return Err(Damage::Form("its columns take more memory than those of any recording"));
        }
        self.held += more;
        // Buffers are emptied, and never given back.
        *before += more;
        Ok(())
    }
}

/// Numbers of some rows.
#[derive(Debug, Default)]
pub struct Numbers {
    /// A number for each row.
    pub values: Vec<i64>,
    /// Whether each row has one; empty if all do.
    pub present: Vec<bool>,
}

impl Numbers {
    /// The number of `row`.
    pub fn get(&self, row: usize) -> Option<i64> {
        if self.present.get(row) == Some(&false) { None } else { self.values.get(row).copied() }
    }
}

/// Texts as they were before they were stored.
#[derive(Debug, Default)]
pub struct Texts {
    cells: Vec<Cell>,
    bytes: Vec<u8>,
    /// Numbers that 64 bits do not hold.
    large: Vec<i128>,
    /// Whether they stand in for numbers.
    are_numbers: bool,
}

#[derive(Debug, Clone, Copy)]
enum Cell {
    Text { start: u32, end: u32 },
    Mark(Mark),
    Large(u32),
}

impl Texts {
    fn clear(&mut self) {
        self.cells.clear();
        self.bytes.clear();
        self.large.clear();
    }

    fn push(&mut self, stored: &[u8]) -> Result<(), Damage> {
        let place = |len: usize| u32::try_from(len).map_err(|_| MALFORMED);
        if let Some(number) = schema::stored_number(stored).filter(|_| self.are_numbers) {
            self.cells.push(Cell::Large(place(self.large.len())?));
            self.large.push(number);
            return Ok(());
        }
        let start = place(self.bytes.len())?;
        let mut buffer = Vec::new();
        let cell = match text::load(stored, &mut buffer) {
            Value::Mark(mark) => Cell::Mark(mark),
            Value::Text(text) => {
                self.bytes.extend_from_slice(text);
                Cell::Text { start, end: place(self.bytes.len())? }
            }
            Value::Number(_) => Cell::Mark(Mark::Malformed),
        };
        self.cells.push(cell);
        Ok(())
    }

    fn get(&self, place: usize) -> Option<Value<'_>> {
        Some(match *self.cells.get(place)? {
            Cell::Text { start, end } => Value::Text(self.bytes.get(start as usize..end as usize)?),
            Cell::Mark(mark) => Value::Mark(mark),
            Cell::Large(place) => Value::Number(*self.large.get(place as usize)?),
        })
    }
}

/// Where a reading of a page's values stands.
#[derive(Debug, Clone, Copy)]
enum Values {
    Plain { at: usize },
    Dictionary(Hybrid),
}

/// A column of a row group that is being read, from its first row to its last.
#[derive(Debug)]
pub struct ColumnReader {
    file: Slice,
    /// The offset of the next page.
    next: u64,
    end: u64,
    codec: Codec,
    is_required: bool,
    has_sums: bool,
    physical: Physical,
    /// Bytes that its page takes, and its dictionary.
    held: [usize; 2],
    /// Rows of the page that have not been read.
    left: usize,
    levels: Hybrid,
    values: Values,
    /// The page, and zeros behind it.
    page: Vec<u8>,
    page_len: usize,
    /// The dictionary, if the column is of numbers.
    numbers: Vec<i64>,
    /// The dictionary, if it is of texts.
    dictionary: Texts,
    /// Texts of the last reading that are in no dictionary.
    others: Texts,
}

impl ColumnReader {
    /// A column of no row group yet, whose pages have checksums, or have not, and whose texts may stand in for numbers.
    pub fn new(file: &Slice, leaf: &Leaf, has_sums: bool, are_numbers: bool) -> Self {
        Self {
            file: file.clone(),
            next: 0,
            end: 0,
            codec: Codec::None,
            is_required: leaf.is_required,
            has_sums,
            held: [0; 2],
            physical: leaf.physical,
            left: 0,
            levels: Hybrid::default(),
            values: Values::Plain { at: 0 },
            page: Vec::new(),
            page_len: 0,
            numbers: Vec::new(),
            dictionary: Texts { are_numbers, ..Texts::default() },
            others: Texts { are_numbers, ..Texts::default() },
        }
    }

    /// Begins with the values in `chunk`.
    pub fn start(&mut self, chunk: &Chunk) {
        (self.next, self.end, self.codec, self.left) = (chunk.start, chunk.end, chunk.codec, 0);
        self.numbers.clear();
        self.dictionary.clear();
        self.others.clear();
    }

    /// The text at `place`, which the last reading gave.
    pub fn text(&self, place: u32) -> Option<Value<'_>> {
        let place = place as usize;
        match place.checked_sub(self.dictionary.cells.len()) {
            None => self.dictionary.get(place),
            Some(place) => self.others.get(place),
        }
    }

    /// Passes over `count` rows.
    pub fn skip(&mut self, mut count: usize, scratch: &mut Scratch) -> Result<(), Damage> {
        while count > 0 {
            scratch.go_on()?;
            if self.left == 0 {
                let header = self.page_header()?;
                if header.values <= count && !header.is_dictionary {
                    self.next += header.len + header.compressed as u64;
                    count -= header.values;
                } else {
                    self.load(&header, scratch)?;
                }
                continue;
            }
            // What is left of a page is decoded for nothing: it is not much.
            let now = count.min(self.left).min(8192);
            match self.physical {
                Physical::Eight => self.read_numbers(now, &mut Numbers::default(), scratch)?,
                _ => self.read_texts(now, &mut Vec::new(), scratch)?,
            }
            count -= now;
        }
        Ok(())
    }

    /// Reads `count` numbers into `out`, in the place of what is there.
    pub fn read_numbers(&mut self, count: usize, out: &mut Numbers, scratch: &mut Scratch) -> Result<(), Damage> {
        out.values.clear();
        out.present.clear();
        let mut done = 0;
        while done < count {
            let now = self.ensure(count - done, scratch)?;
            let present = self.read_levels(now, scratch)?;
            if present == now {
                self.decode_numbers(now, &mut out.values, scratch)?;
                if !out.present.is_empty() {
                    out.present.resize(done + now, true);
                }
            } else {
                let mut numbers = std::mem::take(&mut scratch.numbers);
                numbers.clear();
                self.decode_numbers(present, &mut numbers, scratch)?;
                out.present.resize(done, true);
                let mut numbers_left = numbers.iter();
                for level in &scratch.levels {
                    let number = if *level == 0 { None } else { numbers_left.next() };
                    out.present.push(number.is_some());
                    out.values.push(number.copied().unwrap_or(0));
                }
                scratch.numbers = numbers;
            }
            self.left -= now;
            done += now;
        }
        Ok(())
    }

    /// Reads the places of `count` texts into `out`, in the place of what is there.
    pub fn read_texts(&mut self, count: usize, out: &mut Vec<u32>, scratch: &mut Scratch) -> Result<(), Damage> {
        out.clear();
        self.others.clear();
        while out.len() < count {
            let now = self.ensure(count - out.len(), scratch)?;
            let present = self.read_levels(now, scratch)?;
            self.decode_places(present, scratch)?;
            if present == now {
                out.extend_from_slice(&scratch.places);
            } else {
                let mut places = scratch.places.iter();
                let of_level = |level: &u32| if *level == 0 { None } else { places.next() };
                out.extend(scratch.levels.iter().map(of_level).map(|place| place.copied().unwrap_or(NO_TEXT)));
            }
            self.left -= now;
        }
        Ok(())
    }

    /// Has a page with rows to be read; how many of `wanted` it has.
    fn ensure(&mut self, wanted: usize, scratch: &mut Scratch) -> Result<usize, Damage> {
        while self.left == 0 {
            scratch.go_on()?;
            let header = self.page_header()?;
            self.load(&header, scratch)?;
        }
        Ok(wanted.min(self.left))
    }

    fn page_header(&self) -> Result<PageHeader, Damage> {
        PageHeader::read(&self.file, self.next, self.end, self.has_sums)
    }

    /// Makes the page after `header` the one that is read, or takes it as the dictionary.
    fn load(&mut self, header: &PageHeader, scratch: &mut Scratch) -> Result<(), Damage> {
        header.check_size()?;
        self.hold(header, scratch)?;
        let start = self.next + header.len;
        self.next = start + header.compressed as u64;
        self.page.clear();
        match self.codec {
            Codec::None => {
                self.file.read(start, header.compressed, &mut self.page)?;
                header.check(&self.page)?;
            }
            Codec::Zstd => {
                self.file.read(start, header.compressed, &mut scratch.compressed)?;
                header.check(&scratch.compressed)?;
                self.page.reserve_exact(header.uncompressed + PADDING);
                if header.uncompressed > 0 {
                    scratch.decompressor.decompress_to_buffer(&scratch.compressed, &mut self.page)?;
                }
            }
            Codec::Other => return Err(Damage::Form("it is compressed in a way that psn does not know")),
        }
        if self.page.len() != header.uncompressed {
            return Err(MALFORMED);
        }
        self.page_len = self.page.len();
        self.page.extend([0; PADDING]);
        if header.is_dictionary { self.load_dictionary(header) } else { self.load_values(header) }
    }

    /// Takes account of the memory for the page after `header`, before it is taken.
    fn hold(&mut self, header: &PageHeader, scratch: &mut Scratch) -> Result<(), Damage> {
        let texts = match self.physical {
            // A text takes four bytes of its page at least.
            Physical::Bytes => header.uncompressed + header.values.min(header.uncompressed / 4) * size_of::<Cell>(),
            _ => header.uncompressed,
        };
        let [page, dictionary] = &mut self.held;
        scratch.hold(page, header.uncompressed + if header.is_plain && !header.is_dictionary { texts } else { 0 })?;
        if header.is_dictionary { scratch.hold(dictionary, texts) } else { Ok(()) }
    }

    fn load_dictionary(&mut self, header: &PageHeader) -> Result<(), Damage> {
        if !header.is_plain {
            return Err(MALFORMED);
        }
        self.numbers.clear();
        self.dictionary.clear();
        let bytes = self.page.get(..self.page_len).ok_or(MALFORMED)?;
        match self.physical {
            Physical::Eight => {
                self.numbers.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)));
                if self.numbers.len() == header.values { Ok(()) } else { Err(MALFORMED) }
            }
            Physical::Bytes => {
                if header.values > bytes.len() / 4 {
                    return Err(MALFORMED);
                }
                self.dictionary.cells.reserve_exact(header.values);
                self.dictionary.bytes.reserve_exact(bytes.len());
                let mut at = 0;
                for _ in 0..header.values {
                    self.dictionary.push(plain_text(bytes, &mut at)?)?;
                }
                Ok(())
            }
            Physical::Other => Err(MALFORMED),
        }
    }

    fn load_values(&mut self, header: &PageHeader) -> Result<(), Damage> {
        let mut at = 0;
        if !self.is_required {
            let len = self.page.first_chunk::<4>().ok_or(MALFORMED)?;
            let end = 4 + u32::from_le_bytes(*len) as usize;
            if end > self.page_len {
                return Err(MALFORMED);
            }
            self.levels = Hybrid::new(4, end, 1)?;
            at = end;
        }
        self.values = if header.is_plain {
            Values::Plain { at }
        } else if at == self.page_len {
            // A page without a single value need not say how wide they are.
            Values::Dictionary(Hybrid::new(at, at, 0)?)
        } else {
            let width = self.page.get(at).ok_or(MALFORMED)?;
            Values::Dictionary(Hybrid::new(at + 1, self.page_len, *width)?)
        };
        self.left = header.values;
        Ok(())
    }

    /// Finds which of the next `count` rows have a value; how many do.
    fn read_levels(&mut self, count: usize, scratch: &mut Scratch) -> Result<usize, Damage> {
        if self.is_required {
            return Ok(count);
        }
        scratch.levels.clear();
        scratch.levels.resize(count, 0);
        self.levels.read(&self.page, &mut scratch.levels)?;
        Ok(scratch.levels.iter().filter(|level| **level != 0).count())
    }

    fn decode_numbers(&mut self, count: usize, out: &mut Vec<i64>, scratch: &mut Scratch) -> Result<(), Damage> {
        match &mut self.values {
            Values::Plain { at } => {
                let end = *at + 8 * count;
                let bytes = self.page.get(..self.page_len).and_then(|page| page.get(*at..end)).ok_or(MALFORMED)?;
                out.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)));
                *at = end;
            }
            Values::Dictionary(hybrid) => {
                scratch.places.clear();
                scratch.places.resize(count, 0);
                hybrid.read(&self.page, &mut scratch.places)?;
                for place in &scratch.places {
                    out.push(*self.numbers.get(*place as usize).ok_or(MALFORMED)?);
                }
            }
        }
        Ok(())
    }

    /// Reads the places of `count` texts into the scratch.
    fn decode_places(&mut self, count: usize, scratch: &mut Scratch) -> Result<(), Damage> {
        scratch.places.clear();
        let known = self.dictionary.cells.len();
        match &mut self.values {
            Values::Plain { at } => {
                let bytes = self.page.get(..self.page_len).ok_or(MALFORMED)?;
                for _ in 0..count {
                    let place = u32::try_from(known + self.others.cells.len()).map_err(|_| MALFORMED)?;
                    self.others.push(plain_text(bytes, at)?)?;
                    scratch.places.push(place);
                }
            }
            Values::Dictionary(hybrid) => {
                scratch.places.resize(count, 0);
                hybrid.read(&self.page, &mut scratch.places)?;
                if scratch.places.iter().any(|place| *place as usize >= known) {
                    return Err(MALFORMED);
                }
            }
        }
        Ok(())
    }
}

/// The text at `at`, behind its length.
fn plain_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Damage> {
    let rest = bytes.get(*at..).ok_or(MALFORMED)?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
    let len = u32::from_le_bytes(*len) as usize;
    *at += 4 + len;
    rest.get(..len).ok_or(MALFORMED)
}
