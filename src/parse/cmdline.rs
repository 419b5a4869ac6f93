//! `/proc/PID/cmdline`: the arguments, each ended by a NUL (proc(5); `get_mm_cmdline` in the kernel's `fs/proc/base.c`).
//!
//! It is the process's own memory, so it can hold anything: no NUL at all, padding after a changed title, nothing (a kernel
//! thread, a zombie, an `execve` with no arguments).

use super::{cut, trim};

/// The bytes before the first NUL, without the white space around them, which programs that rewrite their title leave.
#[inline]
#[must_use]
pub fn first_argument(b: &[u8]) -> &[u8] {
    trim(cut(b, 0).map_or(b, |(first, _)| first))
}

/// Appends all arguments with one space between them: NULs at the end are dropped, and each run of NULs elsewhere is one space.
pub fn joined(b: &[u8], out: &mut Vec<u8>) {
    let mut arguments = b.split(|&c| c == 0).filter(|argument| !argument.is_empty());
    if let Some(first) = arguments.next() {
        out.extend_from_slice(first);
    }
    for argument in arguments {
        out.push(b' ');
        out.extend_from_slice(argument);
    }
}
