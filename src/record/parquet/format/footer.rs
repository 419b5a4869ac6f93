//! The metadata at the end of a Parquet file, as far as psn needs them.
//!
//! psn parses them itself. The `parquet` crate's `ParquetMetaDataReader` allocates what the file claims, takes up to a hundred
//! times the memory that the metadata have in the file, and knows no limit on it; here 32 MiB of metadata take four times as much
//! at most, and nothing is taken for rows and pages that cannot be there. The crate's reader is used only for parts that passed
//! this one, to copy their row groups.

use std::collections::HashSet;

use crate::record::parquet::format::checksum;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::format::thrift::ThriftReader;
use crate::text::escape::printable;

const MAGIC: [u8; 4] = *b"PAR1";

/// The most bytes of metadata: ten times those of a file for a day with a hundred columns. In memory they take four times as
/// much at most.
const MAX_LENGTH: u64 = 32 << 20;

/// The most columns; psn has fewer.
const MAX_LEAVES: usize = 4096;

/// The most rows for each byte of a file, so that a small file cannot ask for hours of work. Threads differ in their ids, so
/// psn's files have some hundred.
const MAX_ROWS_PER_BYTE: u64 = 1024;

/// The prefix of `created_by` in psn's files.
pub(crate) const BY: &[u8] = b"psn version ";

/// The most characters of another program's name that are shown.
const MAX_BY: usize = 80;

/// The metadata of a file: its schema, where the columns' values are, and psn's notes.
#[derive(Debug, Default)]
pub(crate) struct Footer {
    pub leaves: Vec<SchemaColumn>,
    pub groups: Vec<RowGroup>,
    /// Whether there is a checksum, which then is right. If so, each page has one, too.
    pub has_sums: bool,
    /// The length of the metadata in the file, in bytes.
    pub len: usize,
    notes: Vec<(String, String)>,
}

/// A column of the schema.
#[derive(Debug)]
pub(crate) struct SchemaColumn {
    pub name: String,
    pub physical: PhysicalType,
    /// Whether there is a value in each row.
    pub is_required: bool,
}

/// The physical type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PhysicalType {
    /// Eight bytes: an integer or a floating-point number.
    Eight,
    /// A byte string.
    Bytes,
    /// A type that psn does not write.
    Other,
}

/// A row group.
#[derive(Debug)]
pub(crate) struct RowGroup {
    /// How many rows there are.
    pub rows: u64,
    /// Where the values of each column are.
    pub chunks: Vec<ColumnChunk>,
}

/// Where the values of a column in a row group are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnChunk {
    /// The offset of the first page.
    pub start: u64,
    /// The offset behind the last page.
    pub end: u64,
    pub codec: Codec,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Zstd,
    /// A codec that psn does not use.
    Other,
}

impl Footer {
    /// Reads the metadata of `file`.
    pub(crate) fn read(file: &FileRange) -> Result<Self, Damage> {
        Self::read_within(file, MAX_LENGTH)
    }

    /// Reads the metadata of `file`, unless they are longer than `max` bytes.
    pub(crate) fn read_within(file: &FileRange, max: u64) -> Result<Self, Damage> {
        const TORN: Damage = Damage::Form("it is not a Parquet file, or its end is missing");
        let mut bytes = Vec::new();
        let body = file.len().checked_sub(8).ok_or(TORN)?;
        file.read(body, 8, &mut bytes)?;
        let [a, b, c, d, magic @ ..] = *bytes.first_chunk::<8>().ok_or(TORN)?;
        file.read(0, MAGIC.len(), &mut bytes)?;
        if magic != MAGIC || bytes != MAGIC {
            return Err(TORN);
        }
        let len = u64::from(u32::from_le_bytes([a, b, c, d]));
        let body = body.checked_sub(len).ok_or(TORN)?;
        if len > max {
            return Err(Damage::Long);
        }
        file.read(body, usize::try_from(len).map_err(|_| TORN)?, &mut bytes)?;
        Self::parse(&bytes, body)
    }

    /// Parses the metadata in `bytes`. `body` bytes of the file precede them.
    fn parse(bytes: &[u8], body: u64) -> Result<Self, Damage> {
        let mut reader = ThriftReader::new(bytes);
        let mut footer = Self { len: bytes.len(), ..Self::default() };
        let (mut id, mut sum, mut by) = (0, None, &b""[..]);
        while let Some(field) = reader.field(&mut id)? {
            match field.id {
                2 => {
                    let count = reader.structures(field)?;
                    footer.leaves = leaves(&mut reader, count)?;
                }
                4 => {
                    for _ in 0..reader.structures(field)? {
                        footer.groups.push(group(&mut reader, footer.leaves.len(), body)?);
                    }
                }
                5 => {
                    for _ in 0..reader.structures(field)? {
                        let Some((key, value, end)) = note(&mut reader)? else { continue };
                        if key == checksum::NOTE {
                            sum = Some((bytes.len() - end, value));
                        } else {
                            footer.notes.push((key.to_owned(), value.to_owned()));
                        }
                    }
                }
                6 => by = reader.bytes(field)?,
                _ => reader.skip(field)?,
            }
        }
        if by.is_empty() {
            return Err(Damage::Form("it is damaged: it does not say which program wrote it"));
        }
        if !by.starts_with(BY) {
            return Err(Damage::Foreign(printable(by).chars().take(MAX_BY).collect()));
        }
        if let Some((end, sum)) = sum {
            checksum::check(bytes, end, sum, body)?;
            footer.has_sums = true;
        }
        let plausible = body.saturating_mul(MAX_ROWS_PER_BYTE).saturating_add(1 << 20);
        if footer.rows() > plausible {
            return Err(Damage::Form("it claims more rows than can be in it"));
        }
        Ok(footer)
    }

    /// How many rows there are in all row groups.
    pub(crate) fn rows(&self) -> u64 {
        self.groups.iter().fold(0, |rows, group| rows.saturating_add(group.rows))
    }

    /// The memory that this takes, in bytes, approximately.
    pub(crate) fn size(&self) -> usize {
        let notes: usize = self.notes.iter().map(|(key, value)| key.len() + value.len()).sum();
        let leaves: usize = self.leaves.iter().map(|leaf| size_of::<SchemaColumn>() + leaf.name.len()).sum();
        let chunks: usize = self.groups.iter().map(|group| group.chunks.len()).sum();
        notes + leaves + self.groups.len() * size_of::<RowGroup>() + chunks * size_of::<ColumnChunk>()
    }

    /// The note with this key.
    pub(crate) fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The index of the column `name`.
    pub(crate) fn leaf(&self, name: &str) -> Option<usize> {
        self.leaves.iter().position(|leaf| leaf.name == name)
    }
}

/// Parses the columns of a schema without nesting.
fn leaves(reader: &mut ThriftReader<'_>, count: usize) -> Result<Vec<SchemaColumn>, Damage> {
    const NOT_FLAT: Damage = Damage::Form("its columns are not those of a recording");
    let mut leaves = Vec::new();
    let mut names = HashSet::new();
    for element in 0..count {
        let (mut physical, mut repetition, mut children, mut name) = (None, None, 0, "");
        let mut id = 0;
        while let Some(field) = reader.field(&mut id)? {
            match field.id {
                1 => physical = Some(reader.integer(field)?),
                3 => repetition = Some(reader.integer(field)?),
                4 => name = std::str::from_utf8(reader.bytes(field)?).map_err(|_| NOT_FLAT)?,
                5 => children = reader.size(field)?,
                _ => reader.skip(field)?,
            }
        }
        let is_root = element == 0;
        if is_root != (children > 0) || (is_root && children + 1 != count as u64) || element > MAX_LEAVES {
            return Err(NOT_FLAT);
        }
        if !is_root {
            if !names.insert(name) {
                return Err(Damage::Form("two of its columns have one name"));
            }
            leaves.push(SchemaColumn {
                name: name.to_owned(),
                physical: match physical {
                    Some(2 | 5) => PhysicalType::Eight,
                    Some(6) => PhysicalType::Bytes,
                    _ => PhysicalType::Other,
                },
                is_required: match repetition {
                    Some(0) => true,
                    Some(1) => false,
                    _ => return Err(NOT_FLAT),
                },
            });
        }
    }
    Ok(leaves)
}

fn group(reader: &mut ThriftReader<'_>, leaves: usize, body: u64) -> Result<RowGroup, Damage> {
    let mut group = RowGroup { rows: 0, chunks: Vec::new() };
    let mut values = Vec::new();
    let mut id = 0;
    while let Some(field) = reader.field(&mut id)? {
        match field.id {
            1 => {
                for _ in 0..reader.structures(field)? {
                    let (chunk, count) = chunk(reader, body)?;
                    group.chunks.push(chunk);
                    values.push(count);
                }
            }
            3 => group.rows = reader.size(field)?,
            _ => reader.skip(field)?,
        }
    }
    if leaves == 0 || group.chunks.len() != leaves || values.iter().any(|count| *count != group.rows) {
        return Err(Damage::Form("a row group lacks a column, or some of its values"));
    }
    group.chunks.shrink_to_fit();
    Ok(group)
}

/// Parses where a column's values are, and how many there are.
fn chunk(reader: &mut ThriftReader<'_>, body: u64) -> Result<(ColumnChunk, u64), Damage> {
    const MISSING: Damage = Damage::Form("the values of a column cannot be found");
    let mut id = 0;
    let mut found = None;
    while let Some(field) = reader.field(&mut id)? {
        match field.id {
            // Columns may be in other files; psn's are not.
            1 => return Err(MISSING),
            3 => {
                ThriftReader::structure(field)?;
                found = Some(chunk_metadata(reader)?);
            }
            _ => reader.skip(field)?,
        }
    }
    match found {
        Some((chunk, values)) if chunk.start < chunk.end && chunk.end <= body => Ok((chunk, values)),
        _ => Err(MISSING),
    }
}

fn chunk_metadata(reader: &mut ThriftReader<'_>) -> Result<(ColumnChunk, u64), Damage> {
    let mut codec = Codec::Other;
    let (mut values, mut len, mut data, mut dictionary) = (0, 0, 0, None);
    let mut id = 0;
    while let Some(field) = reader.field(&mut id)? {
        match field.id {
            4 => {
                codec = match reader.integer(field)? {
                    0 => Codec::None,
                    6 => Codec::Zstd,
                    _ => Codec::Other,
                }
            }
            5 => values = reader.size(field)?,
            7 => len = reader.size(field)?,
            9 => data = reader.size(field)?,
            11 => dictionary = Some(reader.size(field)?),
            _ => reader.skip(field)?,
        }
    }
    let start = dictionary.filter(|offset| *offset > 0).unwrap_or(data);
    Ok((ColumnChunk { start, end: start.saturating_add(len), codec }, values))
}

/// Parses a note: its key, its value, and how many bytes are left behind the value. None if it is not psn's.
fn note<'a>(reader: &mut ThriftReader<'a>) -> Result<Option<(&'a str, &'a str, usize)>, Damage> {
    let (mut key, mut value, mut end) = (&b""[..], &b""[..], 0);
    let mut id = 0;
    while let Some(field) = reader.field(&mut id)? {
        match field.id {
            1 => key = reader.bytes(field)?,
            2 => {
                value = reader.bytes(field)?;
                end = reader.left();
            }
            _ => reader.skip(field)?,
        }
    }
    let (Ok(key), Ok(value)) = (std::str::from_utf8(key), std::str::from_utf8(value)) else { return Ok(None) };
    Ok(key.starts_with(schema::NOTES).then_some((key, value, end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn anything_can_be_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Footer::parse(&bytes, 1000);
        }
    }

    #[test]
    fn nested_columns_are_none_of_psns() {
        // A group within a group, and no column.
        let root = [0x48, 1, b'r', 0x15, 2, 0];
        let bytes: Vec<u8> = [0x29, 0x2c].into_iter().chain(root).chain(root).chain([0]).collect();
        assert!(Footer::parse(&bytes, 1000).is_err());
    }
}
