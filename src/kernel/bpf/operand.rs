//! The operands of BPF instructions: registers, places in memory, and constants.

use crate::kernel::bpf::field::StructField;

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    /// The result of a call, and of the program.
    R0 = 0,
    /// First argument of a call, or of the program.
    R1,
    /// Second argument of a call.
    R2,
    /// Third argument of a call.
    R3,
    /// Fourth argument of a call.
    R4,
    /// Preserved by calls.
    R6 = 6,
    /// Preserved by calls.
    R7,
    /// Preserved by calls.
    R8,
    /// Preserved by calls.
    R9,
    /// The end of the frame. The frame is at lower addresses.
    Frame,
}

/// The number of bytes that a load or store moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Width {
    /// Four bytes. Loads set the upper bytes of the register to zero.
    U32 = 0x00,
    /// Two bytes.
    U16 = 0x08,
    /// One byte at an offset.
    U8 = 0x10,
    /// Eight bytes.
    U64 = 0x18,
}

/// A memory operand: `*(width *)(base + offset)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryOperand {
    pub(super) base: Register,
    pub(super) offset: i64,
    pub(super) width: Option<Width>,
}

impl Register {
    /// One byte at an offset.
    #[must_use]
    pub(crate) const fn u8(self, offset: i32) -> MemoryOperand {
        MemoryOperand { base: self, offset: offset as i64, width: Some(Width::U8) }
    }

    /// Two bytes at an offset.
    #[must_use]
    pub(crate) const fn u16(self, offset: i32) -> MemoryOperand {
        MemoryOperand { base: self, offset: offset as i64, width: Some(Width::U16) }
    }

    /// Four bytes at an offset.
    #[must_use]
    pub(crate) const fn u32(self, offset: i32) -> MemoryOperand {
        MemoryOperand { base: self, offset: offset as i64, width: Some(Width::U32) }
    }

    /// Eight bytes at an offset.
    #[must_use]
    pub(crate) const fn u64(self, offset: i32) -> MemoryOperand {
        MemoryOperand { base: self, offset: offset as i64, width: Some(Width::U64) }
    }

    /// A field of the structure that the register points to.
    #[must_use]
    pub(crate) const fn field(self, field: StructField) -> MemoryOperand {
        let width = match field.size {
            1 => Some(Width::U8),
            2 => Some(Width::U16),
            4 => Some(Width::U32),
            8 => Some(Width::U64),
            _ => None,
        };
        MemoryOperand { base: self, offset: field.offset as i64, width }
    }
}

/// The second operand of arithmetic and of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueOperand {
    /// The 64 bits of a register.
    Register(Register),
    /// A constant, sign-extended to 64 bits.
    Constant(i32),
}

impl From<Register> for ValueOperand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for ValueOperand {
    fn from(constant: i32) -> Self {
        Self::Constant(constant)
    }
}
