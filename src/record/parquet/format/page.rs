//! Page headers, and the checksums that reveal damaged pages.
//!
//! The bytes of a page have Parquet's own checksum (`PageHeader.crc`), which other engines check, too. It does not cover the
//! header: how many values there are, and how they are encoded. The header's own checksum is in the field that Parquet reserves
//! for extensions, which engines skip.
//!
//! That is why psn writes headers itself: `SerializedPageWriter` of the `parquet` crate writes neither this field nor a page's
//! checksum. It reads them itself for their bounds ([`MAX_BYTES`]), which are checked before memory is taken.

use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::rle;
use crate::record::parquet::format::thrift::ThriftReader;

const MALFORMED: Damage = Damage::Form("a page is damaged");
const CHANGED: Damage = Damage::Form("it is damaged: the checksum of a page is wrong");

/// The most bytes of a page's header; psn's have some fifty.
const MAX_LENGTH: u64 = 256;

/// The most rows of a page; psn's have an eighth of it.
const MAX_ROWS: u64 = 1 << 20;

/// The most bytes of a page, before and after it is decompressed. psn's have a thirtieth of it, unless a single text is
/// larger.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// The type of a page with values of rows.
pub(crate) const DATA: i64 = 0;
/// The type of a page with the values of a dictionary.
pub(crate) const DICTIONARY: i64 = 2;

/// The encoding of values one after another.
pub(crate) const PLAIN: i64 = 0;
/// The encoding of definition levels.
const RLE: i64 = 3;
/// An older name of [`RLE_DICTIONARY`].
const PLAIN_DICTIONARY: i64 = 2;
/// The encoding of indices into a dictionary.
pub(crate) const RLE_DICTIONARY: i64 = 8;

/// The field of a Thrift structure that is reserved for extensions.
const EXTENSION: i64 = 32_767;

/// The header of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageHeader {
    /// Whether the page is a dictionary.
    pub is_dictionary: bool,
    /// Whether the values are stored themselves, and not as indices into a dictionary.
    pub is_plain: bool,
    /// How many values there are, nulls included.
    pub values: usize,
    /// The length of the page in bytes after it is decompressed.
    pub uncompressed: usize,
    /// The length of the page in the file.
    pub compressed: usize,
    /// The length of the header.
    pub len: u64,
    /// The checksum of the page as it is in the file.
    crc: Option<u32>,
}

/// Appends the header of `page` to `out`. The page is `uncompressed` bytes long before it is compressed.
pub(crate) fn write_header(out: &mut Vec<u8>, kind: i64, encoding: i64, rows: usize, uncompressed: usize, page: &[u8]) {
    let start = out.len();
    // No page is longer.
    let size = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    field(out, 1, INTEGER);
    integer(out, kind);
    for number in [size(uncompressed), size(page.len()), crc32fast::hash(page).cast_signed().into()] {
        field(out, 1, INTEGER);
        integer(out, number);
    }
    let is_dictionary = kind == DICTIONARY;
    field(out, if is_dictionary { 3 } else { 1 }, STRUCTURE);
    field(out, 1, INTEGER);
    integer(out, size(rows));
    field(out, 1, INTEGER);
    integer(out, encoding);
    if !is_dictionary {
        for _levels in 0..2 {
            field(out, 1, INTEGER);
            integer(out, RLE);
        }
    }
    out.push(0);
    let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
    field(out, 0, BINARY);
    integer(out, EXTENSION);
    out.push(4);
    out.extend(sum.to_le_bytes());
    out.push(0);
}

const INTEGER: u8 = 5;
const BINARY: u8 = 8;
const STRUCTURE: u8 = 12;

/// Begins a field of a structure in Thrift's compact protocol. `step` is the difference to the previous field's number, or 0
/// if the number follows.
fn field(out: &mut Vec<u8>, step: u8, kind: u8) {
    out.push(step << 4 | kind);
}

fn integer(out: &mut Vec<u8>, number: i64) {
    rle::write_varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

impl PageHeader {
    /// Reads the header at the offset `start` of a page that ends before `end`. If `has_sums` is set, it must have a
    /// checksum.
    pub(crate) fn read(file: &FileRange, start: u64, end: u64, has_sums: bool) -> Result<Self, Damage> {
        let len = end.saturating_sub(start).min(MAX_LENGTH);
        let mut bytes = Vec::new();
        file.read(start, usize::try_from(len).map_err(|_| MALFORMED)?, &mut bytes)?;
        let header = Self::parse(&bytes, has_sums)?;
        match end.checked_sub(start + header.len) {
            Some(left) if header.compressed as u64 <= left => Ok(header),
            _ => Err(MALFORMED),
        }
    }

    /// Parses the header at the start of `bytes`: that of a dictionary, or of a data page of version 1.
    fn parse(bytes: &[u8], has_sums: bool) -> Result<Self, Damage> {
        let mut reader = ThriftReader::new(bytes);
        let (mut kind, mut uncompressed, mut compressed, mut values, mut encoding) = (None, 0, 0, None, None);
        let (mut crc, mut sum, mut id) = (None, None, 0);
        loop {
            let before = bytes.len() - reader.left();
            let Some(field) = reader.field(&mut id)? else { break };
            match field.id {
                1 => kind = Some(reader.integer(field)?),
                2 => uncompressed = reader.size(field)?,
                3 => compressed = reader.size(field)?,
                4 => crc = Some(i32::try_from(reader.integer(field)?).map_err(|_| MALFORMED)?.cast_unsigned()),
                5 | 7 => {
                    ThriftReader::structure(field)?;
                    (values, encoding) = values_of(&mut reader)?;
                }
                EXTENSION => sum = Some((before, reader.bytes(field)?)),
                _ => reader.skip(field)?,
            }
        }
        check_sum(bytes, sum, has_sums)?;
        let size = |size: u64| usize::try_from(size).map_err(|_| MALFORMED);
        Ok(Self {
            is_dictionary: match kind {
                Some(DATA) => false,
                Some(DICTIONARY) => true,
                _ => return Err(Damage::Form("it has pages of a type that psn does not know")),
            },
            is_plain: match encoding {
                Some(PLAIN) => true,
                Some(PLAIN_DICTIONARY | RLE_DICTIONARY) => false,
                _ => return Err(Damage::Form("it has values in an encoding that psn does not know")),
            },
            values: size(values.filter(|values| *values <= MAX_ROWS).ok_or(MALFORMED)?)?,
            uncompressed: size(uncompressed)?,
            compressed: size(compressed)?,
            len: (bytes.len() - reader.left()) as u64,
            crc: match crc {
                None if has_sums => return Err(CHANGED),
                crc => crc,
            },
        })
    }

    /// Fails if the page is too large.
    pub(crate) const fn check_size(&self) -> Result<(), Damage> {
        if self.uncompressed > MAX_BYTES || self.compressed > MAX_BYTES {
            return Err(Damage::Form("a page is larger than those of any recording"));
        }
        Ok(())
    }

    /// Checks `page` against its checksum.
    pub(crate) fn check(&self, page: &[u8]) -> Result<(), Damage> {
        if self.crc.is_none_or(|crc| crc == crc32fast::hash(page)) { Ok(()) } else { Err(CHANGED) }
    }
}

/// How many values a page has, and their encoding.
fn values_of(reader: &mut ThriftReader<'_>) -> Result<(Option<u64>, Option<i64>), Damage> {
    let (mut values, mut encoding, mut id) = (None, None, 0);
    while let Some(field) = reader.field(&mut id)? {
        match field.id {
            1 => values = Some(reader.size(field)?),
            2 => encoding = Some(reader.integer(field)?),
            _ => reader.skip(field)?,
        }
    }
    Ok((values, encoding))
}

/// Checks a header against its checksum: `sum` is the offset at which that begins, and its bytes. There must be one if, and
/// only if, the file says that its pages have checksums.
fn check_sum(bytes: &[u8], sum: Option<(usize, &[u8])>, has_sums: bool) -> Result<(), Damage> {
    let is_right = match sum {
        None => !has_sums,
        Some((len, sum)) => {
            let header = bytes.get(..len).unwrap_or_default();
            has_sums && sum == crc32fast::hash(header).to_le_bytes()
        }
    };
    if is_right { Ok(()) } else { Err(CHANGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_of_a_header_flips_unnoticed() {
        for kind in [DATA, DICTIONARY] {
            let mut bytes = Vec::new();
            write_header(&mut bytes, kind, PLAIN, 1000, 5000, b"the page");
            let len = bytes.len();
            bytes.extend([0x15; 300]);
            let header = PageHeader::parse(&bytes, true).unwrap();
            assert_eq!(
                (header.len, header.values, header.uncompressed, header.compressed),
                (len as u64, 1000, 5000, 8)
            );
            assert!(header.check(b"the page").is_ok() && header.check(b"the pagf").is_err());
            for bit in 0..len * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(PageHeader::parse(&bytes, true).is_err(), "bit {bit}");
            }
            assert!(PageHeader::parse(&bytes, false).is_err(), "the file says that there are no checksums");
        }
    }
}
