//! What a part is, and its place in a record.

use crate::kernel::bpf::asm::Code;
use crate::kernel::record_words::RecordWords;
use crate::kernel::types::{TypeNames, Types};

/// A fact of a task that is taken if a column needs it. The value that implements this holds the kernel's fields.
pub trait RecordPart: Copy {
    /// What psn reads back. The default stands for a part that was not taken.
    type Value: Copy + Default;

    /// What has to be looked for in the kernel's types, beside `task_struct`.
    const NAMES: TypeNames;
    /// Bytes in the record: 1, 2, 4 or a multiple of 8.
    const SIZE: i32;

    /// Finds the fields; `None` if this kernel cannot give the part.
    fn find(types: &Types<'_>) -> Option<Self>;

    /// Writes the instructions that fill the part, which is at the offset `at` of [`RECORD`](crate::kernel::registers::RECORD). They may
    /// use `R0` to `R4`, and must fill all of it on every path: the memory holds what an earlier record left.
    fn write(&self, code: &mut Code, at: i32);

    /// Reads the part back.
    fn read(record: RecordWords<'_>, at: i32) -> Self::Value;
}

/// A part with its place in the record.
#[derive(Debug, Clone, Copy)]
pub struct PlacedPart<P> {
    part: P,
    at: i32,
}

impl<P: RecordPart> PlacedPart<P> {
    /// Places the part at the end of a record, if it is wanted and this kernel can give it.
    pub fn new(part: Option<P>, wanted: bool, end: &mut i32) -> Option<Self> {
        let part = part.filter(|_| wanted)?;
        let at = align(*end, P::SIZE.min(8));
        *end = at + P::SIZE;
        Some(Self { part, at })
    }

    /// Writes the instructions that fill the part.
    pub fn write(&self, code: &mut Code) {
        self.part.write(code, self.at);
    }
}

/// The value of a part, or the default if it was not taken.
#[inline]
pub fn read<P: RecordPart>(placed: Option<PlacedPart<P>>, record: RecordWords<'_>) -> P::Value {
    placed.map_or_else(P::Value::default, |placed| P::read(record, placed.at))
}

/// The next multiple of a power of two.
pub const fn align(offset: i32, to: i32) -> i32 {
    (offset + to - 1) & -to
}
