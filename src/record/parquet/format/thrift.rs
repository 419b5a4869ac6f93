//! Reads Thrift's compact protocol, as far as Parquet's metadata use it.
//!
//! Anyone may have written the bytes: reading allocates nothing, and goes no deeper than [`MAX_DEPTH`].

use crate::record::parquet::format::damage::Damage;

/// The deepest nesting that is skipped; Parquet's own is less deep.
const MAX_DEPTH: u32 = 16;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const INT_16: u8 = 4;
const INT_32: u8 = 5;
const INT_64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

const MALFORMED: Damage = Damage::Form("its metadata are malformed");

/// A field of a structure. The reader is at its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThriftField {
    /// The number of the field.
    pub id: i64,
    kind: u8,
}

/// The bytes that have not been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThriftReader<'a>(&'a [u8]);

impl<'a> ThriftReader<'a> {
    /// Reads all of `bytes`.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub(crate) const fn left(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let (taken, left) = self.0.split_at_checked(len).ok_or(MALFORMED)?;
        self.0 = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        let (first, left) = self.0.split_first().ok_or(MALFORMED)?;
        self.0 = left;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, Damage> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MALFORMED)
    }

    fn zigzag(&mut self) -> Result<i64, Damage> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The next field of a structure; none at its end. `previous` is the number of the field before, 0 at first.
    pub(crate) fn field(&mut self, previous: &mut i64) -> Result<Option<ThriftField>, Damage> {
        let first = self.byte()?;
        if first == 0 {
            return Ok(None);
        }
        let id = match first >> 4 {
            0 => self.zigzag()?,
            difference => previous.checked_add(difference.into()).ok_or(MALFORMED)?,
        };
        *previous = id;
        Ok(Some(ThriftField { id, kind: first & 0x0f }))
    }

    /// Reads the value of an integer field.
    pub(crate) fn integer(&mut self, field: ThriftField) -> Result<i64, Damage> {
        match field.kind {
            INT_16 | INT_32 | INT_64 => self.zigzag(),
            _ => Err(MALFORMED),
        }
    }

    /// Reads the value of a field that is a size or an offset.
    pub(crate) fn size(&mut self, field: ThriftField) -> Result<u64, Damage> {
        u64::try_from(self.integer(field)?).map_err(|_| MALFORMED)
    }

    /// Reads the value of a binary field.
    pub(crate) fn bytes(&mut self, field: ThriftField) -> Result<&'a [u8], Damage> {
        if field.kind != BINARY {
            return Err(MALFORMED);
        }
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| MALFORMED)?)
    }

    /// Checks that the field is a structure. Its fields come next.
    pub(crate) const fn structure(field: ThriftField) -> Result<(), Damage> {
        if field.kind == STRUCT { Ok(()) } else { Err(MALFORMED) }
    }

    /// How many structures are in a list. Their fields come next.
    pub(crate) fn structures(&mut self, field: ThriftField) -> Result<usize, Damage> {
        if field.kind != LIST {
            return Err(MALFORMED);
        }
        match self.list()? {
            (STRUCT, count) => Ok(count),
            _ => Err(MALFORMED),
        }
    }

    /// The type of a list's elements, and how many there are. Each takes at least one byte.
    fn list(&mut self) -> Result<(u8, usize), Damage> {
        let first = self.byte()?;
        let count = match first >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| MALFORMED)?,
            count => count.into(),
        };
        if count > self.0.len() { Err(MALFORMED) } else { Ok((first & 0x0f, count)) }
    }

    /// Skips the value of `field`.
    pub(crate) fn skip(&mut self, field: ThriftField) -> Result<(), Damage> {
        match field.kind {
            // The field's type is the value.
            TRUE | FALSE => Ok(()),
            kind => self.skip_value(kind, MAX_DEPTH),
        }
    }

    fn skip_value(&mut self, kind: u8, depth: u32) -> Result<(), Damage> {
        let depth = depth.checked_sub(1).ok_or(MALFORMED)?;
        match kind {
            TRUE | FALSE | BYTE => self.byte().map(drop),
            INT_16 | INT_32 | INT_64 => self.varint().map(drop),
            DOUBLE => self.take(8).map(drop),
            BINARY => {
                let len = self.varint()?;
                self.take(usize::try_from(len).map_err(|_| MALFORMED)?).map(drop)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_value(kind, depth))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip_value(kinds >> 4, depth)?;
                    self.skip_value(kinds & 0x0f, depth)
                })
            }
            STRUCT => {
                let mut previous = 0;
                while let Some(field) = self.field(&mut previous)? {
                    match field.kind {
                        TRUE | FALSE => {}
                        kind => self.skip_value(kind, depth)?,
                    }
                }
                Ok(())
            }
            _ => Err(MALFORMED),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A structure: 1 = -3 (i32), 2 = "ab", 3 = true, 20 = a list of two empty structures.
    const SAMPLE: [u8; 12] = [0x15, 5, 0x18, 2, b'a', b'b', 0x11, 0x09, 40, 0x2c, 0, 0];

    #[test]
    fn fields_have_their_numbers_and_values() {
        let bytes: Vec<u8> = SAMPLE.into_iter().chain([0]).collect();
        let mut reader = ThriftReader::new(&bytes);
        let mut id = 0;
        let field = reader.field(&mut id).unwrap().unwrap();
        assert_eq!((field.id, reader.integer(field).unwrap()), (1, -3));
        let field = reader.field(&mut id).unwrap().unwrap();
        assert_eq!((field.id, reader.bytes(field).unwrap()), (2, &b"ab"[..]));
        let field = reader.field(&mut id).unwrap().unwrap();
        assert_eq!(field.id, 3);
        reader.skip(field).unwrap();
        let field = reader.field(&mut id).unwrap().unwrap();
        assert_eq!((field.id, reader.structures(field).unwrap()), (20, 2));
        assert!(reader.field(&mut 0).unwrap().is_none() && reader.field(&mut 0).unwrap().is_none());
        assert!(reader.field(&mut id).unwrap().is_none());
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn deep_nesting_ends() {
        let lists = [0x19; 1 << 16];
        let mut reader = ThriftReader::new(&lists);
        let field = reader.field(&mut 0).unwrap().unwrap();
        assert!(reader.skip(field).is_err());
    }

    proptest! {
        #[test]
        fn anything_can_be_skipped(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = ThriftReader::new(&bytes);
            let mut id = 0;
            while let Ok(Some(field)) = reader.field(&mut id) {
                if reader.skip(field).is_err() {
                    break;
                }
            }
        }
    }
}
