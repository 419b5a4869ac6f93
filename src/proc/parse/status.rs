//! `/proc/PID/task/TID/status`: a `Key:\tvalue` a line (proc(5); `proc_pid_status` in the kernel's `fs/proc/array.c`).
//!
//! The first line is the thread's name. The kernel prints its newlines and backslashes as `\n` and `\\`, so a name cannot forge
//! a line.

use crate::proc::parse::{Number, cut, trim};

/// The value of the first line whose key is `key`, trimmed; keys are matched as the kernel prints them (`VmRSS`, `Uid`).
#[inline]
#[must_use]
pub fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    raw_value(text, key).map(trim)
}

/// The value of `Name`, for [`unescape_name`]: with the spaces that it may begin and end with.
#[must_use]
pub fn name(text: &[u8]) -> Option<&[u8]> {
    raw_value(text, b"Name")?.strip_prefix(b"\t")
}

#[inline]
fn raw_value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    whole_lines(text).find_map(|line| match line.strip_prefix(key) {
        Some([b':', value @ ..]) => Some(value),
        _ => None,
    })
}

/// Every line as its key and its trimmed value, in the kernel's order; a line without a `:` is left out.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    whole_lines(text).filter_map(|line| {
        let (key, value) = cut(line, b':')?;
        Some((key, trim(value)))
    })
}

/// The lines that end in a newline. A number on a line that was cut short could be wrong.
#[inline]
fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (line, after) = cut(rest, b'\n')?;
        rest = after;
        Some(line)
    })
}

/// The integer a value starts with: `0` of `0 0 0 0` (Uid), `123` of `123 kB` (VmRSS), `5` of `5/96365` (SigQ).
///
/// White space or a `/` must follow it: masks (`00000000,00000001`, `7f`) and ranges (`0-3`) are not numbers.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `cat`, on Linux 6.18, shortened.
    const CAT: &[u8] = b"Name:\tcat\nUmask:\t0022\nState:\tR (running)\nTgid:\t4612\nNgid:\t0\nPid:\t4612\nPPid:\t4608\n\
        TracerPid:\t0\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t256\nGroups:\t \nNStgid:\t4612\nVmPeak:\t    3060 kB\n\
        VmRSS:\t    1692 kB\nRssAnon:\t     108 kB\nThreads:\t1\nSigQ:\t0/96365\nSigPnd:\t0000000000000000\n\
        Cpus_allowed:\t3\nCpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t1\n";

    fn unescaped(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        unescape_name(value, &mut out);
        out
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        assert_eq!(value(CAT, b"Name"), Some(b"cat".as_slice()));
        assert_eq!(value(CAT, b"Pid"), Some(b"4612".as_slice()));
        assert_eq!(value(CAT, b"VmRSS"), Some(b"1692 kB".as_slice()));
        assert_eq!(value(CAT, b"Groups"), Some(b"".as_slice()));
        assert_eq!(value(CAT, b"Cpus_allowed"), Some(b"3".as_slice()));
        assert_eq!(value(CAT, b"nonvoluntary_ctxt_switches"), Some(b"1".as_slice()));
        for key in [b"pid".as_slice(), b"VmSwap", b"d", b""] {
            assert_eq!(value(CAT, key), None, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_name_forges_no_line() {
        let text = b"Name:\tx\\nState:\tR (running)\nState:\tS (sleeping)\nUid:\t0\n";
        assert_eq!(state(text), Some(b'S'));
        assert_eq!(unescaped(name(text).unwrap()), b"x\nState:\tR (running)");
    }

    #[test]
    fn lines_are_keys_and_values() {
        let found: Vec<_> = lines(b"A:\t1\nno colon\nB:  x:y \nC:\nD: 1").collect();
        assert_eq!(found, [(b"A".as_slice(), b"1".as_slice()), (b"B", b"x:y"), (b"C", b"")]);
        assert_eq!(lines(CAT).count(), 23);
    }

    #[test]
    fn a_line_that_was_cut_short_has_no_value() {
        assert_eq!(value(b"VmSize:\t12 kB\nVmRSS:\t16", b"VmRSS"), None);
        assert_eq!(value(b"VmSize:\t12 kB\nVmRSS:\t16", b"VmSize"), Some(b"12 kB".as_slice()));
        assert_eq!(state(b"State:\tS"), None);
    }

    #[test]
    fn a_name_keeps_its_spaces() {
        assert_eq!(name(b"Name:\t \ta \nUmask:\t0022\n"), Some(b" \ta ".as_slice()));
        assert_eq!(name(b"Name:\t\n"), Some(b"".as_slice()));
        assert_eq!(name(b"Umask:\t0022\n"), None);
    }

    #[test]
    fn numbers_end_at_white_space_or_a_slash() {
        assert_eq!(value(CAT, b"Uid").and_then(first_number), Some(1000));
        assert_eq!(value(CAT, b"VmRSS").and_then(first_number), Some(1692));
        assert_eq!(value(CAT, b"SigQ").and_then(first_number), Some(0));
        assert_eq!(first_number(b"-1"), Some(-1));
        for other in ["", "kB", "R (running)", "0-3", "00000000,00000001", "7f", "0xff", "99999999999999999999"] {
            assert_eq!(first_number(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn the_state_is_a_letter() {
        assert_eq!(state(CAT), Some(b'R'));
        assert_eq!(state(b"State:\tt (tracing stop)\n"), Some(b't'));
        assert_eq!(state(b"State:\tI\n"), Some(b'I'));
        assert_eq!(state(b"State:\t\n"), None);
        assert_eq!(state(b"State:\trunning\n"), None);
        assert_eq!(state(b"Name:\tx\n"), None);
    }

    #[test]
    fn escapes_that_kernels_do_not_print_stay() {
        assert_eq!(unescaped(br"a\\nb"), br"a\nb".as_slice());
        assert_eq!(unescaped(br"\t\x\"), br"\t\x\".as_slice());
        assert_eq!(unescaped(b""), b"");
    }

    proptest! {
        #[test]
        fn any_name_comes_back_from_its_escapes(name: Vec<u8>) {
            let mut escaped = Vec::new();
            for &c in &name {
                match c {
                    b'\n' => escaped.extend_from_slice(br"\n"),
                    b'\\' => escaped.extend_from_slice(br"\\"),
                    c => escaped.push(c),
                }
            }
            prop_assert_eq!(unescaped(&escaped), name);
        }
    }
}
