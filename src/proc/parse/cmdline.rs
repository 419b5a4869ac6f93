//! `/proc/PID/cmdline`: the arguments, each ended by a NUL (proc(5); `get_mm_cmdline` in the kernel's `fs/proc/base.c`).
//!
//! It is the process's own memory, so it can hold anything: no NUL at all, padding after a changed title, nothing (a kernel
//! thread, a zombie, an `execve` with no arguments).

use crate::proc::parse::{cut, trim};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn join(b: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        joined(b, &mut out);
        out
    }

    #[test]
    fn the_first_argument_ends_at_a_nul() {
        assert_eq!(first_argument(b"/bin/sh\0-c\0true\0"), b"/bin/sh");
        assert_eq!(first_argument(b"postgres: writer process   \0\0\0"), b"postgres: writer process");
        assert_eq!(first_argument(b"nginx: master"), b"nginx: master");
        assert_eq!(first_argument(b"\0"), b"");
        assert_eq!(first_argument(b""), b"");
    }

    #[test]
    fn arguments_are_joined_by_one_space() {
        assert_eq!(join(b"/bin/sh\0-c\0echo  a\0"), b"/bin/sh -c echo  a");
        assert_eq!(join(b"sshd: user\0\0\0\0"), b"sshd: user");
        assert_eq!(join(b"a\0\0b\0"), b"a b");
        assert_eq!(join(b"no end"), b"no end");
        assert_eq!(join(b"\xff\0\x1b[0m\0"), b"\xff \x1b[0m");
    }

    #[test]
    fn no_arguments_are_nothing() {
        assert_eq!(join(b"\0"), b"");
        assert_eq!(join(b""), b"");
    }

    #[test]
    fn joined_arguments_are_appended() {
        let mut out = b"> ".to_vec();
        joined(b"a\0b\0", &mut out);
        assert_eq!(out, b"> a b");
    }
}
