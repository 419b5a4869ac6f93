//! A part of a record, and its offset.

use crate::kernel::bpf::asm::Code;
use crate::kernel::record_words::RecordWords;
use crate::kernel::types::{TypeNames, Types};

/// An optional part of a record. The type that implements this has the kernel's fields for it.
pub trait RecordPart: Copy {
    /// The value that psn reads. The default stands for a part that a record does not have.
    type Value: Copy + Default;

    /// The names of types to look up, besides `task_struct`.
    const NAMES: TypeNames;
    /// The size in bytes: 1, 2, 4 or a multiple of 8.
    const SIZE: i32;

    /// Finds the fields; `None` if this kernel does not have them.
    fn find(types: &Types<'_>) -> Option<Self>;

    /// Writes the instructions that fill the part, at the offset `at` of [`RECORD`](crate::kernel::registers::RECORD). They may use
    /// `R0` to `R4`. They must fill all of the part on every path, because the memory has the content of an earlier record.
    fn write(&self, code: &mut Code, at: i32);

    /// Reads the part.
    fn read(record: RecordWords<'_>, at: i32) -> Self::Value;
}

/// A part with its offset in the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedPart<P> {
    part: P,
    at: i32,
}

impl<P: RecordPart> PlacedPart<P> {
    /// Places the part at the end of a record, if it is requested and this kernel has it.
    pub(crate) fn new(part: Option<P>, wanted: bool, end: &mut i32) -> Option<Self> {
        let part = part.filter(|_| wanted)?;
        let at = align(*end, P::SIZE.min(8));
        *end = at + P::SIZE;
        Some(Self { part, at })
    }

    /// Writes the instructions that fill the part.
    pub(crate) fn write(&self, code: &mut Code) {
        self.part.write(code, self.at);
    }
}

/// The value of a part, or the default if the record does not have it.
#[inline]
pub(crate) fn read<P: RecordPart>(placed: Option<PlacedPart<P>>, record: RecordWords<'_>) -> P::Value {
    placed.map_or_else(P::Value::default, |placed| P::read(record, placed.at))
}

/// The next multiple of a power of two.
pub(crate) const fn align(offset: i32, to: i32) -> i32 {
    (offset + to - 1) & -to
}
