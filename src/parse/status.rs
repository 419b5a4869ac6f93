//! `/proc/PID/task/TID/status`: a `Key:\tvalue` a line (proc(5); `proc_pid_status` in the kernel's `fs/proc/array.c`).
//!
//! The first line is the thread's name. The kernel prints its newlines and backslashes as `\n` and `\\`, so a name cannot forge
//! a line.

use super::{Number, cut, trim};

/// The value of the first line whose key is `key`, trimmed; keys are matched as the kernel prints them (`VmRSS`, `Uid`).
#[inline]
#[must_use]
pub fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    super::lines(text).find_map(|line| match line.strip_prefix(key) {
        Some([b':', value @ ..]) => Some(trim(value)),
        _ => None,
    })
}

/// Every line as its key and its trimmed value, in the kernel's order; a line without a `:` is left out.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    super::lines(text).filter_map(|line| {
        let (key, value) = cut(line, b':')?;
        Some((key, trim(value)))
    })
}

/// The integer a value starts with: `0` of `0 0 0 0` (Uid), `123` of `123 kB` (VmRSS), `5` of `5/96365` (SigQ).
///
/// It has to end there, before white space or a `/`: masks (`00000000,00000001`, `7f`) and ranges (`0-3`) are no numbers.
#[inline]
#[must_use]
pub fn first_number(value: &[u8]) -> Option<i128> {
    let (number, rest) = Number::split_from(value)?;
    match rest {
        [] | [b' ' | b'\t' | b'\n' | b'/', ..] => Some(number.value()),
        _ => None,
    }
}

/// The state letter of `State:\tS (sleeping)`; any ASCII letter is kept.
#[inline]
#[must_use]
pub fn state(text: &[u8]) -> Option<u8> {
    match value(text, b"State")? {
        [letter] | [letter, b' ', ..] if letter.is_ascii_alphabetic() => Some(*letter),
        _ => None,
    }
}

/// Appends the value of `Name` as the thread set it: `\n` is a newline again and `\\` a backslash.
///
/// Other escapes, which kernels do not print, stay as they are.
pub fn unescape_name(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((plain, escaped)) = cut(rest, b'\\') {
        out.extend_from_slice(plain);
        let (c, after) = match escaped {
            [b'n', after @ ..] => (b'\n', after),
            [b'\\', after @ ..] => (b'\\', after),
            _ => (b'\\', escaped),
        };
        out.push(c);
        rest = after;
    }
    out.extend_from_slice(rest);
}
