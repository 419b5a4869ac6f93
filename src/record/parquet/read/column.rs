//! Decodes the values of a column in a row group: its pages are decompressed one after another.
//!
//! The texts of a dictionary are decoded once. Rows have indices into it.

use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::{Codec, ColumnChunk, PhysicalType, SchemaColumn};
use crate::record::parquet::format::page::PageHeader;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::rle::{PADDING, RleReader};
use crate::record::parquet::read::memory::ReadMemory;
use crate::record::parquet::read::texts::{DecodedText, DecodedTexts, plain_text};
use crate::row::observation::Value;

const MALFORMED: Damage = Damage::Form("a page is damaged");

/// The index of a row without a text.
pub(crate) const NO_TEXT: u32 = u32::MAX;

/// The numbers of some rows.
#[derive(Debug, Default)]
pub(crate) struct DecodedNumbers {
    /// A number for each row, 0 where there is none.
    pub values: Vec<i64>,
    /// Whether each row has a number; empty if all do.
    pub present: Vec<bool>,
}

impl DecodedNumbers {
    /// The number of the row with this index.
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        if self.present.get(row) == Some(&false) { None } else { self.values.get(row).copied() }
    }
}

/// The values of a page that have not been decoded.
#[derive(Debug, Clone, Copy)]
enum PageValues {
    Plain { at: usize },
    Dictionary(RleReader),
}

/// Reads a column, from the first row of a row group to the last.
#[derive(Debug)]
pub(crate) struct ColumnReader {
    file: FileRange,
    /// The offset of the next page.
    next: u64,
    end: u64,
    codec: Codec,
    is_required: bool,
    has_sums: bool,
    physical: PhysicalType,
    /// The bytes accounted for the page and for the dictionary.
    held: [usize; 2],
    /// How many rows of the page have not been read.
    left: usize,
    levels: RleReader,
    values: PageValues,
    /// The page, followed by zeros.
    page: Vec<u8>,
    page_len: usize,
    /// The dictionary of a column of numbers.
    numbers: Vec<i64>,
    /// The dictionary of a column of texts.
    dictionary: DecodedTexts,
    /// The texts of the last call that are in no dictionary. Their indices follow those of the dictionary.
    others: DecodedTexts,
}

impl ColumnReader {
    /// For the column `leaf`. `has_sums` tells whether its pages have checksums, `are_numbers` whether its texts may stand
    /// for numbers.
    pub(crate) fn new(file: &FileRange, leaf: &SchemaColumn, has_sums: bool, are_numbers: bool) -> Self {
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
            levels: RleReader::default(),
            values: PageValues::Plain { at: 0 },
            page: Vec::new(),
            page_len: 0,
            numbers: Vec::new(),
            dictionary: DecodedTexts { are_numbers, ..DecodedTexts::default() },
            others: DecodedTexts { are_numbers, ..DecodedTexts::default() },
        }
    }

    /// Begins with the values in `chunk`.
    pub(crate) fn start(&mut self, chunk: &ColumnChunk) {
        (self.next, self.end, self.codec, self.left) = (chunk.start, chunk.end, chunk.codec, 0);
        self.numbers.clear();
        self.dictionary.clear();
        self.others.clear();
    }

    /// The text with an index that the last call of [`Self::read_texts`] gave.
    pub(crate) fn text(&self, place: u32) -> Option<Value<'_>> {
        let place = place as usize;
        match place.checked_sub(self.dictionary.cells.len()) {
            None => self.dictionary.get(place),
            Some(place) => self.others.get(place),
        }
    }

    /// Skips `count` rows.
    pub(crate) fn skip(&mut self, mut count: usize, scratch: &mut ReadMemory) -> Result<(), Damage> {
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
            // The rest of a page is decoded all the same: it is not much.
            let now = count.min(self.left).min(8192);
            match self.physical {
                PhysicalType::Eight => self.read_numbers(now, &mut DecodedNumbers::default(), scratch)?,
                _ => self.read_texts(now, &mut Vec::new(), scratch)?,
            }
            count -= now;
        }
        Ok(())
    }

    /// Reads `count` numbers into `out`, and replaces what is there.
    pub(crate) fn read_numbers(
        &mut self,
        count: usize,
        out: &mut DecodedNumbers,
        scratch: &mut ReadMemory,
    ) -> Result<(), Damage> {
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

    /// Reads the indices of `count` texts into `out`, and replaces what is there.
    pub(crate) fn read_texts(
        &mut self,
        count: usize,
        out: &mut Vec<u32>,
        scratch: &mut ReadMemory,
    ) -> Result<(), Damage> {
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

    /// Loads a page if none has rows left. Returns how many of `wanted` rows it has.
    fn ensure(&mut self, wanted: usize, scratch: &mut ReadMemory) -> Result<usize, Damage> {
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

    /// Loads the page after `header`, or takes it as the dictionary.
    fn load(&mut self, header: &PageHeader, scratch: &mut ReadMemory) -> Result<(), Damage> {
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

    /// Accounts for the memory of the page after `header`, before it is taken.
    fn hold(&mut self, header: &PageHeader, scratch: &mut ReadMemory) -> Result<(), Damage> {
        let texts = match self.physical {
            // A text takes four bytes of its page at least.
            PhysicalType::Bytes => {
                header.uncompressed + header.values.min(header.uncompressed / 4) * size_of::<DecodedText>()
            }
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
            PhysicalType::Eight => {
                self.numbers.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)));
                if self.numbers.len() == header.values { Ok(()) } else { Err(MALFORMED) }
            }
            PhysicalType::Bytes => {
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
            PhysicalType::Other => Err(MALFORMED),
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
            self.levels = RleReader::new(4, end, 1)?;
            at = end;
        }
        self.values = if header.is_plain {
            PageValues::Plain { at }
        } else if at == self.page_len {
            // A page without values need not tell their width.
            PageValues::Dictionary(RleReader::new(at, at, 0)?)
        } else {
            let width = self.page.get(at).ok_or(MALFORMED)?;
            PageValues::Dictionary(RleReader::new(at + 1, self.page_len, *width)?)
        };
        self.left = header.values;
        Ok(())
    }

    /// Decodes which of the next `count` rows have a value. Returns how many do.
    fn read_levels(&mut self, count: usize, scratch: &mut ReadMemory) -> Result<usize, Damage> {
        if self.is_required {
            return Ok(count);
        }
        scratch.levels.clear();
        scratch.levels.resize(count, 0);
        self.levels.read(&self.page, &mut scratch.levels)?;
        Ok(scratch.levels.iter().filter(|level| **level != 0).count())
    }

    fn decode_numbers(&mut self, count: usize, out: &mut Vec<i64>, scratch: &mut ReadMemory) -> Result<(), Damage> {
        match &mut self.values {
            PageValues::Plain { at } => {
                let end = *at + 8 * count;
                let bytes = self.page.get(..self.page_len).and_then(|page| page.get(*at..end)).ok_or(MALFORMED)?;
                out.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)));
                *at = end;
            }
            PageValues::Dictionary(hybrid) => {
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

    /// Decodes the indices of `count` texts into `scratch`.
    fn decode_places(&mut self, count: usize, scratch: &mut ReadMemory) -> Result<(), Damage> {
        scratch.places.clear();
        let known = self.dictionary.cells.len();
        match &mut self.values {
            PageValues::Plain { at } => {
                let bytes = self.page.get(..self.page_len).ok_or(MALFORMED)?;
                for _ in 0..count {
                    let place = u32::try_from(known + self.others.cells.len()).map_err(|_| MALFORMED)?;
                    self.others.push(plain_text(bytes, at)?)?;
                    scratch.places.push(place);
                }
            }
            PageValues::Dictionary(hybrid) => {
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
