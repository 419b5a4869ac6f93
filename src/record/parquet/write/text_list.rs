//! The texts of a column, laid out as Parquet stores them.

use parquet::data_type::ByteArray;
use parquet::file::statistics::Statistics;

/// Longer texts are not stored as bounds.
const MAX_BOUND: usize = 64;

/// Texts in their stored form, each once, laid out as the page of a dictionary.
#[derive(Debug, Default)]
pub(crate) struct TextList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl TextList {
    /// The bytes of the length before each text.
    const PREFIX: usize = 4;

    /// How many texts there are.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// The memory that the texts take, in bytes.
    pub(crate) const fn size(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    /// The page of a dictionary of these texts.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a text.
    pub(crate) fn push(&mut self, text: &str) {
        // No text of /proc is longer than 32 bits can tell.
        self.bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// The text with the index `place`, with its length before it.
    pub(super) fn prefixed(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(place).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// The bounds, for a column with so many nulls.
    pub(super) fn statistics(&self, nulls: usize) -> Statistics {
        let texts = || (0..self.len()).map(|place| self.prefixed(place).get(Self::PREFIX..).unwrap_or_default());
        let bound = |text: Option<&[u8]>| text.filter(|text| text.len() <= MAX_BOUND).map(ByteArray::from);
        Statistics::byte_array(bound(texts().min()), bound(texts().max()), None, Some(nulls as u64), false)
    }
}
