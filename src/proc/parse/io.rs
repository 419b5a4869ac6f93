//! `/proc/PID/task/TID/io`: counters of input and output (proc(5); `do_io_accounting` in the kernel's `fs/proc/base.c`).

use crate::proc::parse::{status, unsigned};

/// The counter named `key`: `rchar`, `wchar`, `read_bytes`, `write_bytes` and `cancelled_write_bytes` in bytes, `syscr` and
/// `syscw` in calls. `None` where the kernel has no such line.
#[inline]
#[must_use]
pub fn value(text: &[u8], key: &[u8]) -> Option<u64> {
    unsigned(status::value(text, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &[u8] = b"rchar: 7369\nwchar: 393\nsyscr: 16\nsyscw: 3\nread_bytes: 0\nwrite_bytes: 4096\n\
        cancelled_write_bytes: 12\n";

    #[test]
    fn counters_are_found_by_their_whole_name() {
        assert_eq!(value(CAT, b"rchar"), Some(7369));
        assert_eq!(value(CAT, b"write_bytes"), Some(4096));
        assert_eq!(value(CAT, b"cancelled_write_bytes"), Some(12));
        assert_eq!(value(CAT, b"bytes"), None);
        assert_eq!(value(b"rchar: x\n", b"rchar"), None);
        assert_eq!(value(b"", b"rchar"), None);
    }
}
