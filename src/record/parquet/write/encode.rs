//! Encodes the values of a column in a row group: to pages, each compressed on its own.
//!
//! The column writers of the `parquet` crate take each value as new: they look it up in a dictionary, and compare it with the
//! bounds. Here a text is looked up once, when it is first recorded, and a row that did not change is not looked at again.
//! `cargo bench --bench record` justifies this: `parquet/psn` is all of recording, `parquet/crate` the crate's writers alone, with
//! the same rows, and the bytes that both take are printed first.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;

use crate::record::parquet::format::{page, rle};
use crate::record::parquet::write::text_list::TextList;

/// The most rows of a page. Large pages compress better, because the same threads come again.
const PAGE_ROWS: usize = 1 << 17;

/// The approximate size of a page or a dictionary, in bytes, before it is compressed.
const PAGE_BYTES: usize = 1 << 19;

/// Level 6 would save a fifteenth of the bytes and take a tenth more time for all of recording.
const ZSTD_LEVEL: i32 = 3;

/// The values of a column in a row group, encoded.
pub(crate) struct EncodedChunk {
    /// The pages with their headers.
    pub bytes: Vec<u8>,
    /// The length of the first page with its header, if it is a dictionary.
    pub dictionary: Option<usize>,
    /// The length of the pages with their headers before they were compressed.
    pub uncompressed: usize,
    /// How many rows there are, nulls included.
    pub rows: usize,
    /// The bounds and the number of nulls.
    pub statistics: Option<Statistics>,
}

impl EncodedChunk {
    /// The encodings that the pages use.
    pub(crate) fn encodings(&self) -> Vec<Encoding> {
        match self.dictionary {
            Some(_) => vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY],
            None => vec![Encoding::PLAIN, Encoding::RLE],
        }
    }
}

/// Which rows have a value, as runs of rows that do or do not. `None` for a required column.
pub(crate) type Presence = Option<Vec<(bool, usize)>>;

/// What the eight bytes of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eight {
    /// An integer.
    Integer,
    /// Something that is not ordered as integers are. Its bounds are not stored.
    Other,
}

impl Eight {
    fn statistics(self, min: i64, max: i64, nulls: usize) -> Option<Statistics> {
        let bound = |number: i64| (min <= max).then_some(number);
        let statistics = || Statistics::int64(bound(min), bound(max), None, Some(nulls as u64), false);
        (self == Self::Integer).then(statistics)
    }
}

/// Encodes one column after another, with the same buffers.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    /// The page before and after it is compressed.
    page: Vec<u8>,
    compressed: Vec<u8>,
    levels: Vec<u8>,
    scratch: Vec<u32>,
    /// The numbers of the dictionary so far, and their indices.
    known: HashMap<i64, u32, RandomState>,
    entries: Vec<i64>,
    places: Vec<u32>,
}

/// The values that are not null.
#[derive(Clone, Copy)]
enum ValuesToEncode<'a> {
    Eights(&'a [i64]),
    Texts(&'a [u32], &'a TextList),
    /// Indices into a dictionary, and the bits that each takes.
    Places(&'a [u32], u8),
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, ParquetError> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            page: Vec::new(),
            compressed: Vec::new(),
            levels: Vec::new(),
            scratch: Vec::new(),
            known: HashMap::default(),
            entries: Vec::new(),
            places: Vec::new(),
        })
    }

    /// Encodes numbers, each given with how often it is repeated; with a dictionary if there are few.
    pub(crate) fn runs(
        &mut self,
        runs: impl Iterator<Item = (i64, usize)> + Clone,
        kind: Eight,
        presence: Presence,
    ) -> Result<EncodedChunk, ParquetError> {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let chunk = if self.intern(runs.clone(), &mut places) {
            let dictionary: Vec<u8> = self.entries.iter().flat_map(|number| number.to_le_bytes()).collect();
            let bounds = self
                .entries
                .iter()
                .fold((i64::MAX, i64::MIN), |(min, max), number| (min.min(*number), max.max(*number)));
            let nulls = nulls(presence.as_ref());
            let mut chunk = EncodedChunk::new(kind.statistics(bounds.0, bounds.1, nulls));
            self.dictionary(&mut chunk, &dictionary, self.entries.len())?;
            let values = ValuesToEncode::Places(&places, width(self.entries.len()));
            self.pages(&mut chunk, values, presence).map(|()| chunk)
        } else {
            let numbers: Vec<i64> = runs.flat_map(|(number, count)| std::iter::repeat_n(number, count)).collect();
            self.numbers(&numbers, kind, presence)
        };
        self.places = places;
        chunk
    }

    /// Makes a dictionary of numbers and appends their indices to `places`. Returns whether it is small enough, and not
    /// empty.
    fn intern(&mut self, runs: impl Iterator<Item = (i64, usize)>, places: &mut Vec<u32>) -> bool {
        const MAX: usize = PAGE_BYTES / size_of::<i64>();
        self.known.clear();
        self.entries.clear();
        let mut last = None;
        for (number, count) in runs {
            let place = match last {
                Some((known, place)) if known == number => place,
                _ => {
                    let entries = &mut self.entries;
                    let next = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    let place = *self.known.entry(number).or_insert_with(|| {
                        entries.push(number);
                        next
                    });
                    if entries.len() > MAX {
                        return false;
                    }
                    last = Some((number, place));
                    place
                }
            };
            places.extend(std::iter::repeat_n(place, count));
        }
        !self.entries.is_empty()
    }

    /// Encodes numbers without a dictionary.
    pub(crate) fn numbers(
        &mut self,
        numbers: &[i64],
        kind: Eight,
        presence: Presence,
    ) -> Result<EncodedChunk, ParquetError> {
        let (min, max) =
            numbers.iter().fold((i64::MAX, i64::MIN), |(min, max), number| (min.min(*number), max.max(*number)));
        let mut chunk = EncodedChunk::new(kind.statistics(min, max, nulls(presence.as_ref())));
        self.pages(&mut chunk, ValuesToEncode::Eights(numbers), presence)?;
        Ok(chunk)
    }

    /// Encodes the texts of `list` with the indices `places`; with a dictionary if there are few.
    pub(crate) fn texts(
        &mut self,
        places: &[u32],
        list: &TextList,
        presence: Presence,
    ) -> Result<EncodedChunk, ParquetError> {
        let mut chunk = EncodedChunk::new(Some(list.statistics(nulls(presence.as_ref()))));
        let values = if list.bytes().len() > PAGE_BYTES || list.len() == 0 {
            ValuesToEncode::Texts(places, list)
        } else {
            self.dictionary(&mut chunk, list.bytes(), list.len())?;
            ValuesToEncode::Places(places, width(list.len()))
        };
        self.pages(&mut chunk, values, presence)?;
        Ok(chunk)
    }

    fn dictionary(&mut self, chunk: &mut EncodedChunk, entries: &[u8], count: usize) -> Result<(), ParquetError> {
        self.page.clear();
        self.page.extend_from_slice(entries);
        self.finish_page(chunk, count, page::DICTIONARY, page::PLAIN)?;
        chunk.dictionary = Some(chunk.bytes.len());
        Ok(())
    }

    fn pages(
        &mut self,
        chunk: &mut EncodedChunk,
        values: ValuesToEncode<'_>,
        presence: Presence,
    ) -> Result<(), ParquetError> {
        let mut presence = presence.map(VecDeque::from);
        let mut left = values;
        let mut rows_left = presence.as_ref().map_or(values.len(), |runs| runs.iter().map(|(_, count)| count).sum());
        chunk.rows = rows_left;
        while rows_left > 0 {
            let rows = rows_left.min(left.page_rows());
            self.page.clear();
            let count = match &mut presence {
                None => rows,
                Some(runs) => {
                    let present = self.write_levels(rows, runs);
                    self.page.extend_from_slice(&u32::try_from(self.levels.len()).unwrap_or(0).to_le_bytes());
                    self.page.extend_from_slice(&self.levels);
                    present
                }
            };
            let (now, later) = left.split_at(count);
            now.write(&mut self.page);
            self.finish_page(chunk, rows, page::DATA, now.encoding())?;
            left = later;
            rows_left -= rows;
        }
        Ok(())
    }

    /// Encodes which of the next `rows` rows have a value, as definition levels. Returns how many do.
    fn write_levels(&mut self, rows: usize, runs: &mut VecDeque<(bool, usize)>) -> usize {
        self.levels.clear();
        self.scratch.clear();
        let (mut left, mut present) = (rows, 0);
        while left > 0 {
            let Some((is_present, count)) = runs.front_mut() else { break };
            let now = left.min(*count);
            let level = u32::from(*is_present);
            present += if *is_present { now } else { 0 };
            *count -= now;
            left -= now;
            if *count == 0 {
                runs.pop_front();
            }
            if now == rows {
                rle::write_run(level, rows, 1, &mut self.levels);
                return present;
            }
            self.scratch.extend(std::iter::repeat_n(level, now));
        }
        rle::write(&self.scratch, 1, &mut self.levels);
        present
    }

    /// Compresses the page and appends it with its header.
    fn finish_page(
        &mut self,
        chunk: &mut EncodedChunk,
        rows: usize,
        kind: i64,
        encoding: i64,
    ) -> Result<(), ParquetError> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(self.page.len()));
        self.compressor.compress_to_buffer(&self.page, &mut self.compressed)?;
        let start = chunk.bytes.len();
        page::write_header(&mut chunk.bytes, kind, encoding, rows, self.page.len(), &self.compressed);
        chunk.uncompressed += chunk.bytes.len() - start + self.page.len();
        chunk.bytes.extend_from_slice(&self.compressed);
        Ok(())
    }
}

impl EncodedChunk {
    const fn new(statistics: Option<Statistics>) -> Self {
        Self { bytes: Vec::new(), dictionary: None, uncompressed: 0, rows: 0, statistics }
    }
}

impl<'a> ValuesToEncode<'a> {
    const fn len(&self) -> usize {
        match self {
            Self::Eights(numbers) => numbers.len(),
            Self::Texts(places, _) | Self::Places(places, _) => places.len(),
        }
    }

    /// How many rows the next page should have.
    fn page_rows(&self) -> usize {
        match self {
            Self::Eights(_) => PAGE_BYTES / size_of::<i64>(),
            Self::Places(..) => PAGE_ROWS,
            Self::Texts(places, list) => {
                let mut bytes = 0;
                let fits = |place: &&u32| {
                    bytes += list.prefixed(**place as usize).len();
                    bytes <= PAGE_BYTES
                };
                // A text that is larger than a page gets a page of its own. If texts are so many that they need pages, few
                // rows have none.
                let texts = places.iter().take_while(fits).count();
                if texts == places.len() { PAGE_ROWS } else { texts.clamp(1, PAGE_ROWS) }
            }
        }
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        match self {
            Self::Eights(numbers) => {
                let (now, later) = numbers.split_at_checked(count).unwrap_or((numbers, &[]));
                (Self::Eights(now), Self::Eights(later))
            }
            Self::Texts(places, list) => {
                let (now, later) = places.split_at_checked(count).unwrap_or((places, &[]));
                (Self::Texts(now, list), Self::Texts(later, list))
            }
            Self::Places(places, width) => {
                let (now, later) = places.split_at_checked(count).unwrap_or((places, &[]));
                (Self::Places(now, width), Self::Places(later, width))
            }
        }
    }

    const fn encoding(&self) -> i64 {
        if matches!(self, Self::Places(..)) { page::RLE_DICTIONARY } else { page::PLAIN }
    }

    fn write(&self, page: &mut Vec<u8>) {
        match self {
            Self::Eights(numbers) => numbers.iter().for_each(|number| page.extend_from_slice(&number.to_le_bytes())),
            Self::Texts(places, list) => {
                places.iter().for_each(|place| page.extend_from_slice(list.prefixed(*place as usize)));
            }
            Self::Places(places, width) => {
                page.push(*width);
                rle::write(places, *width, page);
            }
        }
    }
}

fn nulls(presence: Option<&Vec<(bool, usize)>>) -> usize {
    let absent = presence.into_iter().flatten().filter(|(is_present, _)| !is_present);
    absent.map(|(_, count)| count).sum()
}

/// The bits of an index into a dictionary of `entries`. Whole bytes, so that zstd finds repetitions: 2.4 bytes a row rather
/// than 3.3.
fn width(entries: usize) -> u8 {
    match usize::BITS - entries.saturating_sub(1).leading_zeros() {
        0 | 1 => 1,
        bits => u8::try_from(bits.next_multiple_of(8)).unwrap_or(32),
    }
}
