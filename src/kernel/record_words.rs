//! Reads values from a record, which is a sequence of 64-bit words.

/// The words of a record, possibly followed by others.
#[derive(Debug, Clone, Copy)]
pub struct RecordWords<'a>(pub(crate) &'a [u64]);

impl<'a> RecordWords<'a> {
    /// The eight bytes at an offset that is a multiple of 8; 0 past the end.
    #[inline]
    pub(crate) fn u64(self, at: i32) -> u64 {
        usize::try_from(at / 8).ok().and_then(|word| self.0.get(word)).copied().unwrap_or(0)
    }

    /// The four bytes at an offset that is a multiple of 4; 0 past the end.
    #[inline]
    pub(crate) fn u32(self, at: i32) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.u64(at).to_ne_bytes();
        if at % 8 == 0 { u32::from_ne_bytes([a, b, c, d]) } else { u32::from_ne_bytes([e, f, g, h]) }
    }

    /// The sixteen bytes at an offset that is a multiple of 8; 0 past the end.
    #[inline]
    pub(crate) fn name(self, at: i32) -> [u8; 16] {
        let (first, last) = (self.u64(at).to_le(), self.u64(at + 8).to_le());
        (u128::from(last) << 64 | u128::from(first)).to_le_bytes()
    }

    /// The byte at an offset; 0 past the end.
    #[inline]
    pub(crate) fn u8(self, at: i32) -> u8 {
        let bytes = self.u64(at).to_ne_bytes();
        usize::try_from(at % 8).ok().and_then(|byte| bytes.get(byte)).copied().unwrap_or(0)
    }

    /// The words from an offset on.
    #[inline]
    pub(crate) fn from(self, at: i32) -> &'a [u64] {
        usize::try_from(at / 8).ok().and_then(|word| self.0.get(word..)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_as_they_do_in_memory() {
        let words = [u64::from_ne_bytes(*b"\x01\0\0\0\x02\0\0\0"), 3];
        let words = RecordWords(&words);
        assert_eq!([words.u8(0), words.u8(4), words.u8(16), words.u8(-1)], [1, 2, 0, 0]);
        assert_eq!([words.u32(0), words.u32(4)], [1_u32.to_le(), 2_u32.to_le()]);
        assert_eq!(words.u32(16), 0);
        assert_eq!([words.u64(8), words.u64(16), words.u64(-8)], [3, 0, 0]);
        assert_eq!((words.from(8), words.from(16), words.from(24)), (&[3][..], &[][..], &[][..]));
    }
}
