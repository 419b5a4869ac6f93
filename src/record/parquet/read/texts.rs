//! Texts decoded from their stored form.

use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::schema;
use crate::record::text;
use crate::row::observation::{Mark, Value};

pub(super) const MALFORMED: Damage = Damage::Form("a page is damaged");

/// Decoded texts, numbers and marks.
#[derive(Debug, Default)]
pub(super) struct DecodedTexts {
    pub(super) cells: Vec<DecodedText>,
    pub(super) bytes: Vec<u8>,
    /// The numbers that do not fit into 64 bits.
    pub(super) large: Vec<i128>,
    /// Whether the texts may stand for numbers.
    pub(super) are_numbers: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum DecodedText {
    Text { start: u32, end: u32 },
    Mark(Mark),
    Large(u32),
}

impl DecodedTexts {
    pub(super) fn clear(&mut self) {
        self.cells.clear();
        self.bytes.clear();
        self.large.clear();
    }

    pub(super) fn push(&mut self, stored: &[u8]) -> Result<(), Damage> {
        let place = |len: usize| u32::try_from(len).map_err(|_| MALFORMED);
        if let Some(number) = schema::stored_number(stored).filter(|_| self.are_numbers) {
            self.cells.push(DecodedText::Large(place(self.large.len())?));
            self.large.push(number);
            return Ok(());
        }
        let start = place(self.bytes.len())?;
        let mut buffer = Vec::new();
        let cell = match text::load(stored, &mut buffer) {
            Value::Mark(mark) => DecodedText::Mark(mark),
            Value::Text(text) => {
                self.bytes.extend_from_slice(text);
                DecodedText::Text { start, end: place(self.bytes.len())? }
            }
            Value::Number(_) => DecodedText::Mark(Mark::Malformed),
        };
        self.cells.push(cell);
        Ok(())
    }

    pub(super) fn get(&self, place: usize) -> Option<Value<'_>> {
        Some(match *self.cells.get(place)? {
            DecodedText::Text { start, end } => Value::Text(self.bytes.get(start as usize..end as usize)?),
            DecodedText::Mark(mark) => Value::Mark(mark),
            DecodedText::Large(place) => Value::Number(*self.large.get(place as usize)?),
        })
    }
}

/// Reads the text at the offset `at`, with its length before it, and moves `at` behind it.
pub(super) fn plain_text<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], Damage> {
    let rest = bytes.get(*at..).ok_or(MALFORMED)?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
    let len = u32::from_le_bytes(*len) as usize;
    *at += 4 + len;
    rest.get(..len).ok_or(MALFORMED)
}
