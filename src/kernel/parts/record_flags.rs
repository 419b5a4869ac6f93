//! Marks: bits that the program sets in a record, in one byte of it.
//!
//! A part that is a bit, or that needs one to be read back, takes one of the two that are free. Only parts of a wait may set
//! one, by `code.or(FLAG_BITS, …)`.

use super::state;
use crate::kernel::record_words::RecordWords;

/// The task was on a CPU.
pub const ON_CPU: i32 = 1;
/// The task's system call is of the 32-bit table.
pub const COMPAT: i32 = 2;
/// The task moved on while the program looked at it, so what it waits for is not known.
pub const MOVED: i32 = 8;
/// The record has the parts of the task's wait.
pub const TAKEN: i32 = 16;
/// The task is still in the wait whose parts an earlier record had.
pub const SAME: i32 = 32;

/// Where the marks are in a record.
pub const AT: i32 = state::END;
/// Where the next part of a record begins.
pub const END: i32 = AT + 1;

/// The marks of a record.
#[inline]
pub fn read(record: RecordWords<'_>) -> i32 {
    record.u8(AT).into()
}
