//! Parsers of the files of `/proc`, one file for each format.
//!
//! Pure functions over `&[u8]`: nothing here opens, reads, allocates or panics, whatever the bytes are. Text is appended to a
//! buffer that the caller owns and reuses. Names stay bytes: a thread may have any name without a NUL, in any encoding or none
//! (`prctl(PR_SET_NAME)`), and so may a file.
//!
//! A value that this kernel does not print is `None`; bytes that no kernel prints are [`Malformed`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::arithmetic_side_effects
)]

pub mod cgroup;
pub mod cmdline;
pub mod fd_link;
pub mod fdinfo;
pub mod io;
pub mod mountinfo;
pub mod net;
pub mod schedstat;
pub mod smaps;
pub mod stack;
pub mod stat;
pub mod status;
pub mod syscall;
pub mod system;

/// The bytes are not what any kernel prints in this file: a torn read, or not that file at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the kernel's format")]
pub struct Malformed;

/// The most digits a 64-bit number takes in decimal.
const MAX_DIGITS: usize = 20;

/// The text, if it ends in a newline. The last number of a text that was cut short could be wrong.
///
/// # Errors
/// [`Malformed`] without the newline that the kernel ends every line with.
#[inline]
pub fn whole(text: &[u8]) -> Result<&[u8], Malformed> {
    if text.ends_with(b"\n") { Ok(text) } else { Err(Malformed) }
}

/// A decimal integer and nothing else: an optional `-` and 1 to 20 digits.
///
/// `None` for anything else, and for numbers outside `i64::MIN..=u64::MAX`, the range of what the kernel prints with `%lld` and
/// `%llu`.
#[inline]
#[must_use]
pub fn integer(b: &[u8]) -> Option<i128> {
    let (number, rest) = Number::split_from(b)?;
    rest.is_empty().then(|| number.value())
}

/// A decimal integer without a sign, and nothing else: 1 to 20 digits, at most `u64::MAX`.
#[inline]
#[must_use]
pub fn unsigned(b: &[u8]) -> Option<u64> {
    let (value, rest) = split_digits(b)?;
    rest.is_empty().then_some(value)
}

/// A hexadecimal integer and nothing else: an optional `0x`, then 1 to 16 digits of either case.
#[inline]
#[must_use]
pub fn hex(b: &[u8]) -> Option<u64> {
    let (value, rest) = split_hex(b.strip_prefix(b"0x").unwrap_or(b))?;
    rest.is_empty().then_some(value)
}

/// `b` without the ASCII white space at both ends.
#[inline]
#[must_use]
pub fn trim(b: &[u8]) -> &[u8] {
    b.trim_ascii()
}

/// Appends `b` with each run of ASCII digits as one `*`, so that `kworker/12:3` and `kworker/7:0` become one name.
#[inline]
pub fn star_digits(b: &[u8], out: &mut Vec<u8>) {
    let mut in_run = false;
    for &c in b {
        let digit = c.is_ascii_digit();
        if !digit {
            out.push(c);
        } else if !in_run {
            out.push(b'*');
        }
        in_run = digit;
    }
}

/// A 64-bit number of either signedness, as the kernel prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number {
    negative: bool,
    magnitude: u64,
}

impl Number {
    /// The number at the start of `b`, and what follows it.
    #[inline(always)]
    fn split_from(b: &[u8]) -> Option<(Self, &[u8])> {
        let (negative, digits) = match b {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (magnitude, rest) = split_digits(digits)?;
        if negative && magnitude > i64::MIN.unsigned_abs() {
            return None;
        }
        Some((Self { negative, magnitude }, rest))
    }

    #[inline]
    fn value(self) -> i128 {
        let magnitude = i128::from(self.magnitude);
        if self.negative { magnitude.wrapping_neg() } else { magnitude }
    }
}

/// The run of 1 to 20 digits at the start of `b` as a number, and what follows the run.
///
/// Inlined by force, like its caller: the inner loop of splitting a `stat` line.
#[inline(always)]
fn split_digits(b: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = b;
    while let [c @ b'0'..=b'9', after @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u64::from(c.wrapping_sub(b'0')));
        rest = after;
    }
    match b.len().wrapping_sub(rest.len()) {
        0 => None,
        // 19 digits always fit.
        1..MAX_DIGITS => Some((value, rest)),
        MAX_DIGITS => Some((fold_checked(b)?, rest)),
        _ => None,
    }
}

/// The run of 1 to 16 hexadecimal digits at the start of `b` as a number, and what follows the run.
#[inline]
fn split_hex(b: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = b;
    while let [c, after @ ..] = rest {
        let digit = match c {
            b'0'..=b'9' => c.wrapping_sub(b'0'),
            b'a'..=b'f' => c.wrapping_sub(b'a').wrapping_add(10),
            b'A'..=b'F' => c.wrapping_sub(b'A').wrapping_add(10),
            _ => break,
        };
        value = (value << 4) | u64::from(digit);
        rest = after;
    }
    match b.len().wrapping_sub(rest.len()) {
        1..=16 => Some((value, rest)),
        _ => None,
    }
}

/// The 20 digits at the start of `b`, if their value fits.
#[cold]
fn fold_checked(b: &[u8]) -> Option<u64> {
    b.iter()
        .take(MAX_DIGITS)
        .try_fold(0_u64, |value, &c| value.checked_mul(10)?.checked_add(u64::from(c.wrapping_sub(b'0'))))
}

/// The lines of `text`, without their ends; a last line needs no end.
#[inline]
fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = cut(self.rest, b'\n').unwrap_or((self.rest, &[]));
        self.rest = rest;
        Some(line)
    }
}

/// What is before and after the first `at`.
#[inline]
fn cut(b: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, from) = b.split_at_checked(memchr::memchr(at, b)?)?;
    Some((before, from.get(1..)?))
}

/// What is before and after the last `at`.
#[inline]
fn cut_last(b: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, from) = b.split_at_checked(memchr::memrchr(at, b)?)?;
    Some((before, from.get(1..)?))
}

/// The words of `b` between single or repeated spaces and tabs.
#[inline]
fn words(b: &[u8]) -> impl Iterator<Item = &[u8]> {
    b.split(|c| matches!(c, b' ' | b'\t')).filter(|word| !word.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starred(b: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        star_digits(b, &mut out);
        out
    }

    #[test]
    fn integers_span_both_signednesses_and_no_more() {
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"-1"), Some(-1));
        assert_eq!(integer(b"007"), Some(7));
        assert_eq!(integer(b"9223372036854775808"), Some(1 << 63));
        assert_eq!(integer(b"-9223372036854775808"), Some(i128::from(i64::MIN)));
        assert_eq!(integer(b"-9223372036854775809"), None);
        assert_eq!(integer(b"18446744073709551615"), Some(i128::from(u64::MAX)));
        assert_eq!(integer(b"18446744073709551616"), None);
        assert_eq!(integer(b"99999999999999999999"), None);
        assert_eq!(integer(b"00000000000000000001"), Some(1));
        assert_eq!(integer(b"000000000000000000001"), None, "21 digits");
    }

    #[test]
    fn integers_stand_alone() {
        for b in ["", "-", "--1", "+1", " 1", "1 ", "1\n", "0x1", "1.0", "\u{ff11}", "-18446744073709551615"] {
            assert_eq!(integer(b.as_bytes()), None, "{b:?}");
        }
        assert_eq!(unsigned(b"-1"), None);
        assert_eq!(unsigned(b"-0"), None);
        assert_eq!(unsigned(b"12"), Some(12));
    }

    #[test]
    fn hexadecimal_has_up_to_16_digits() {
        assert_eq!(hex(b"0x0"), Some(0));
        assert_eq!(hex(b"7ffd2E4ce288"), Some(0x7ffd_2e4c_e288));
        assert_eq!(hex(b"0xffffffffffffffff"), Some(u64::MAX));
        for b in ["", "0x", "0x0x1", "0X1", "-0x1", "0xg", "0x10000000000000000", "1 "] {
            assert_eq!(hex(b.as_bytes()), None, "{b:?}");
        }
    }

    #[test]
    fn runs_of_digits_become_one_star() {
        assert_eq!(starred(b"kworker/12:3-events"), b"kworker/*:*-events");
        assert_eq!(starred(b"2024"), b"*");
        assert_eq!(starred(b""), b"");
        assert_eq!(starred(b"\xff1\xff"), b"\xff*\xff");
    }

    #[test]
    fn starred_names_are_appended() {
        let mut out = b"1".to_vec();
        star_digits(b"2", &mut out);
        assert_eq!(out, b"1*");
    }

    #[test]
    fn lines_end_with_or_without_a_newline() {
        assert_eq!(lines(b"a\n\nb").collect::<Vec<_>>(), [b"a".as_slice(), b"", b"b"]);
        assert_eq!(lines(b"a\n").collect::<Vec<_>>(), [b"a"]);
        assert_eq!(lines(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn integers_round_trip(n in i128::from(i64::MIN)..=i128::from(u64::MAX)) {
            prop_assert_eq!(integer(n.to_string().as_bytes()), Some(n));
            prop_assert_eq!(unsigned(n.to_string().as_bytes()), u64::try_from(n).ok());
        }

        #[test]
        fn integers_agree_with_the_standard_library(text in "-?[0-9]{0,22}") {
            let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
            let digits = text.trim_start_matches('-').len();
            let expected = text.parse().ok().filter(|n| range.contains(n) && digits <= MAX_DIGITS);
            prop_assert_eq!(integer(text.as_bytes()), expected);
        }

        #[test]
        fn hexadecimal_round_trips(n: u64) {
            prop_assert_eq!(hex(format!("{n:#x}").as_bytes()), Some(n));
            prop_assert_eq!(hex(format!("{n:016x}").as_bytes()), Some(n));
        }

        #[test]
        fn starring_twice_is_starring_once(b: Vec<u8>) {
            let once = starred(&b);
            prop_assert!(!once.iter().any(u8::is_ascii_digit));
            prop_assert!(once.len() <= b.len());
            prop_assert_eq!(starred(&once), once);
        }

        #[test]
        fn no_bytes_make_a_number_panic(b: Vec<u8>) {
            let _ = (integer(&b), unsigned(&b), hex(&b), trim(&b));
        }

        #[test]
        fn no_bytes_make_a_parser_panic(b in proptest::collection::vec(hostile_byte(), 0..400)) {
            exercise(&b);
        }
    }

    /// Any byte, though mostly those that the formats are made of.
    fn hostile_byte() -> impl Strategy<Value = u8> {
        let syntax = b" \t\n\0:/()[]<>-+.*x0123456789abcdefABRSVm\\".to_vec();
        prop_oneof![3 => proptest::sample::select(syntax), 1 => any::<u8>()]
    }

    fn exercise(b: &[u8]) {
        let mut out = Vec::new();
        let _ = stat::state(b);
        for last_field in [0, 3, 22, 52, usize::MAX] {
            if let Ok(stat) = stat::Stat::parse(b, last_field) {
                let _ = (stat.number(0), stat.number(52), stat.number(usize::MAX), stat.starttime(), stat.flags());
            }
        }
        let _ = (status::value(b, b"State"), status::value(b, b""), status::state(b), status::first_number(b));
        let _ = status::lines(b).count();
        status::unescape_name(b, &mut out);
        let _ = syscall::parse(b).map(|line| line.is_all_zero());
        let _ = (stack::frames(b).count(), stack::wait_channel(b));
        let _ = (stack::is_entry_frame(b), stack::is_scheduler_frame(b));
        stack::render(b, &mut out);
        let _ = (schedstat::parse(b), io::value(b, b"rchar"));
        let _ = cmdline::first_argument(b);
        cmdline::joined(b, &mut out);
        let _ = (cgroup::path(b), cgroup::container(b));
        for mapping in smaps::mappings(b) {
            let _ = (mapping.kb(b"Rss"), mapping.vm_flags());
        }
        let _ = (system::load_averages(b), system::HostStat::parse(b));
        let _ = (system::Loadavg::parse(b), system::mem_available_kb(b), system::ns_id(b), system::pid_name(b));
        fd_link::filename(b, &mut out);
        fd_link::filename_sum(b, &mut out);
        fd_link::basename(b, &mut out);
        fd_link::dirname(b, &mut out);
    }
}
