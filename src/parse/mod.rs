//! Bytes of `/proc` → fields.
//!
//! Pure functions over `&[u8]`: nothing here opens, reads, allocates or panics, whatever the bytes are. Text that goes out is
//! appended to a buffer the caller owns and reuses. Names stay bytes: a thread may call itself anything but a NUL, in any
//! encoding or none (`prctl(PR_SET_NAME)`), and so may a file.
//!
//! One file a format. A value that this kernel does not print is `None`; bytes that no kernel prints are [`Malformed`].
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
pub mod io;
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
    let digits = b.strip_prefix(b"0x").unwrap_or(b);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &c| {
        let digit = char::from(c).to_digit(16)?;
        Some((value << 4) | u64::from(digit))
    })
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
    #[inline]
    fn split_from(b: &[u8]) -> Option<(Self, &[u8])> {
        let (negative, digits) = match b {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let (magnitude, rest) = split_digits(digits)?;
        if negative && magnitude > i64::MIN.unsigned_abs() {
            return None;
        }
        Some((
            Self {
                negative,
                magnitude,
            },
            rest,
        ))
    }

    #[inline]
    fn value(self) -> i128 {
        let magnitude = i128::from(self.magnitude);
        if self.negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        }
    }
}

/// The run of 1 to 20 digits at the start of `b` as a number, and what follows the run.
#[inline]
fn split_digits(b: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = b;
    while let [c @ b'0'..=b'9', after @ ..] = rest {
        value = value
            .wrapping_mul(10)
            .wrapping_add(u64::from(c.wrapping_sub(b'0')));
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

/// The 20 digits at the start of `b`, if their value fits.
#[cold]
fn fold_checked(b: &[u8]) -> Option<u64> {
    b.iter().take(MAX_DIGITS).try_fold(0_u64, |value, &c| {
        value
            .checked_mul(10)?
            .checked_add(u64::from(c.wrapping_sub(b'0')))
    })
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
    b.split(|c| matches!(c, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}
