//! The flags of a record: bits that the program sets in one byte of it.
//!
//! The other bits are free for parts that are a single bit, or that need one. Only parts of a wait may set one, by
//! `code.or(FLAG_BITS, …)`.

use super::state;
use crate::kernel::record_words::RecordWords;

/// The task was on a CPU.
pub(crate) const ON_CPU: i32 = 1;
/// The task's system call is of the 32-bit table.
pub(crate) const COMPAT: i32 = 2;
/// The task ran while the program looked at it, so what it waits for is not known.
pub(crate) const MOVED: i32 = 8;
/// The record has the parts of a wait.
pub(crate) const TAKEN: i32 = 16;
/// The task is still in the wait that an earlier record described.
pub(crate) const SAME: i32 = 32;

/// The offset of the flags in a record.
pub(crate) const AT: i32 = state::END;
/// The offset of the next part of a record.
pub(crate) const END: i32 = AT + 1;

/// The flags of a record.
#[inline]
pub(crate) fn read(record: RecordWords<'_>) -> i32 {
    record.u8(AT).into()
}
