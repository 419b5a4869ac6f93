//! Where a member lies in its structure.

/// The place of a member, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From the start of the outermost structure.
    pub bit_offset: u32,
    /// 0 where the type has no size.
    pub bit_size: u32,
}

impl Member {
    /// The place in bytes; `None` for a bit field.
    #[must_use]
    pub const fn bytes(self) -> Option<StructField> {
        if self.bit_offset.is_multiple_of(8) && self.bit_size.is_multiple_of(8) && self.bit_size > 0 {
            Some(StructField { offset: self.bit_offset / 8, size: self.bit_size / 8 })
        } else {
            None
        }
    }
}

/// The place of a member, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructField {
    /// From the start of the structure.
    pub offset: u32,
    /// Of the whole field: all elements of an array.
    pub size: u32,
}

impl StructField {
    /// The element at `index` of an array of elements of `size` bytes; `None` past the end of the array.
    #[must_use]
    pub const fn element(self, index: u32, size: u32) -> Option<Self> {
        let Some(offset) = index.checked_mul(size) else { return None };
        match offset.checked_add(size) {
            Some(end) if end <= self.size => Some(Self { offset: self.offset + offset, size }),
            _ => None,
        }
    }
}
