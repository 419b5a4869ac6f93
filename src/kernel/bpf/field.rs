//! The offset and size of a member of a structure.

/// The offset and size of a member, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The offset from the start of the outermost structure.
    pub bit_offset: u32,
    /// 0 if the type has no size.
    pub bit_size: u32,
}

impl Member {
    /// The offset and size in bytes; `None` for a bit field, and for a type without a size.
    #[must_use]
    pub const fn bytes(self) -> Option<StructField> {
        if self.bit_offset.is_multiple_of(8) && self.bit_size.is_multiple_of(8) && self.bit_size > 0 {
            Some(StructField { offset: self.bit_offset / 8, size: self.bit_size / 8 })
        } else {
            None
        }
    }
}

/// The offset and size of a member, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructField {
    /// The offset from the start of the structure.
    pub offset: u32,
    /// The size; of an array, that of all its elements.
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
