//! `/proc/PID/task/TID/io`: counters of input and output (proc(5); `do_io_accounting` in the kernel's `fs/proc/base.c`).

use super::{status, unsigned};

/// The counter named `key`: `rchar`, `wchar`, `read_bytes`, `write_bytes` and `cancelled_write_bytes` in bytes, `syscr` and
/// `syscw` in calls. `None` where the kernel has no such line.
#[inline]
#[must_use]
pub fn value(text: &[u8], key: &[u8]) -> Option<u64> {
    unsigned(status::value(text, key)?)
}
