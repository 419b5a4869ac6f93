//! `/proc/PID/task/TID/stat`: one line of 42 to 52 fields (proc(5); `do_task_stat` in the kernel's `fs/proc/array.c`).
//!
//! The second field is the thread's name in parentheses, raw: it may hold spaces, parentheses, newlines and bytes that are no
//! text. Nothing after it can hold a `)`, so the name ends at the *last* one; a thread named `a) R 1 2` forges nothing.

pub use crate::proc::parse::whole;
use crate::proc::parse::{Malformed, Number, cut_last, split_digits};

/// The bit of [`flags`](Stat::flags) that marks a kernel thread (`include/linux/sched.h`). A name proves nothing: any process
/// may call itself `kworker/0:0`.
pub const PF_KTHREAD: u64 = 0x0020_0000;

/// The flag of io_uring's workers, in field 9: since Linux 5.12 threads of the program that uses it.
pub const PF_IO_WORKER: u64 = 0x0000_0010;

/// The numbers of the fields, counted from 1 as in proc(5), under the kernel's names.
///
/// Kernels print 42 fields since 2.6.18, 44 since 2.6.24, 47 since 3.3 and 52 since 3.5.
#[allow(missing_docs)]
pub mod field {
    pub const PPID: usize = 4;
    pub const PGRP: usize = 5;
    pub const SESSION: usize = 6;
    pub const TTY_NR: usize = 7;
    pub const TPGID: usize = 8;
    pub const FLAGS: usize = 9;
    pub const MINFLT: usize = 10;
    pub const CMINFLT: usize = 11;
    pub const MAJFLT: usize = 12;
    pub const CMAJFLT: usize = 13;
    /// Clock ticks.
    pub const UTIME: usize = 14;
    /// Clock ticks.
    pub const STIME: usize = 15;
    /// Clock ticks.
    pub const CUTIME: usize = 16;
    /// Clock ticks.
    pub const CSTIME: usize = 17;
    pub const PRIORITY: usize = 18;
    pub const NICE: usize = 19;
    pub const NUM_THREADS: usize = 20;
    pub const ITREALVALUE: usize = 21;
    /// Clock ticks after boot.
    pub const STARTTIME: usize = 22;
    /// Bytes.
    pub const VSIZE: usize = 23;
    /// Pages.
    pub const RSS: usize = 24;
    /// Bytes.
    pub const RSSLIM: usize = 25;
    pub const STARTCODE: usize = 26;
    pub const ENDCODE: usize = 27;
    pub const STARTSTACK: usize = 28;
    pub const KSTKESP: usize = 29;
    pub const KSTKEIP: usize = 30;
    pub const SIGNAL: usize = 31;
    pub const BLOCKED: usize = 32;
    pub const SIGIGNORE: usize = 33;
    pub const SIGCATCH: usize = 34;
    pub const WCHAN: usize = 35;
    pub const NSWAP: usize = 36;
    pub const CNSWAP: usize = 37;
    pub const EXIT_SIGNAL: usize = 38;
    pub const PROCESSOR: usize = 39;
    pub const RT_PRIORITY: usize = 40;
    pub const POLICY: usize = 41;
    /// Clock ticks.
    pub const DELAYACCT_BLKIO_TICKS: usize = 42;
    /// Clock ticks.
    pub const GUEST_TIME: usize = 43;
    /// Clock ticks.
    pub const CGUEST_TIME: usize = 44;
    pub const START_DATA: usize = 45;
    pub const END_DATA: usize = 46;
    pub const START_BRK: usize = 47;
    pub const ARG_START: usize = 48;
    pub const ARG_END: usize = 49;
    pub const ENV_START: usize = 50;
    pub const ENV_END: usize = 51;
    /// As waitpid(2) encodes it.
    pub const EXIT_CODE: usize = 52;
}

/// The last field that is not a number: the state letter.
const LAST_BEFORE_NUMBERS: usize = 3;

/// How many numbers follow the letter on the newest kernels.
const NUMBERS: usize = field::EXIT_CODE - LAST_BEFORE_NUMBERS;

/// The state letter (field 3), and nothing else: what a tick reads of an idle thread.
///
/// Letters that this version has never heard of are kept; kernels have added and dropped several.
///
/// # Errors
/// [`Malformed`] where no `) X ` is found.
#[inline]
pub fn state(line: &[u8]) -> Result<u8, Malformed> {
    let (_, after) = cut_last(line, b')').ok_or(Malformed)?;
    split_letter(after).map(|(letter, _)| letter)
}

/// The letter of `" X …"`, and what follows it: nothing, the end of the line, or ` ` and numbers.
#[inline]
fn split_letter(after_comm: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    match after_comm {
        [b' ', letter, rest @ ..] if letter.is_ascii_alphabetic() && matches!(rest, [] | [b' ' | b'\n', ..]) => {
            Ok((*letter, rest))
        }
        _ => Err(Malformed),
    }
}

/// The line, split as far as was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Stat<'a> {
    /// Field 2 without its parentheses: 0 to 63 bytes of anything but NUL.
    pub comm: &'a [u8],
    /// Field 3, an ASCII letter.
    pub state: u8,
    /// Field 1: the thread id in the reader's PID namespace.
    pub tid: u32,
    /// How many of `magnitudes` are set.
    len: usize,
    /// Bit `n` is set when number `n` is negative.
    negatives: u64,
    /// Field 4 onwards.
    magnitudes: [u64; NUMBERS],
}

impl<'a> Stat<'a> {
    /// Splits `line` up to field `last_field`, by the numbers in [`mod@field`]; 3 stops at the letter. Fields after that are not
    /// looked at, and fields after 52, which no kernel prints yet, never are.
    ///
    /// # Errors
    /// [`Malformed`] unless the line is `TID (comm) X` followed by decimal numbers between single spaces. A line that ends
    /// before `last_field` is not malformed: older kernels print fewer fields.
    #[inline]
    pub fn parse(line: &'a [u8], last_field: usize) -> Result<Self, Malformed> {
        let (head, after) = cut_last(line, b')').ok_or(Malformed)?;
        let (tid, comm) = split_tid(head).ok_or(Malformed)?;
        let (state, rest) = split_letter(after)?;
        let mut stat = Stat::without_numbers(tid, comm, state);
        stat.split_numbers(rest, last_field.saturating_sub(LAST_BEFORE_NUMBERS))?;
        Ok(stat)
    }

    #[inline]
    const fn without_numbers(tid: u32, comm: &'a [u8], state: u8) -> Self {
        Self { comm, state, tid, len: 0, negatives: 0, magnitudes: [0; NUMBERS] }
    }

    #[inline]
    fn split_numbers(&mut self, mut rest: &[u8], wanted: usize) -> Result<(), Malformed> {
        let mut sign = 1_u64;
        let mut len = 0_usize;
        for slot in self.magnitudes.iter_mut().take(wanted) {
            let number;
            (number, rest) = match rest {
                // The 2.6 kernels put a space before the newline.
                [] | [b'\n'] | [b' ', b'\n'] => break,
                [b' ', digits @ ..] => Number::split_from(digits).ok_or(Malformed)?,
                _ => return Err(Malformed),
            };
            *slot = number.magnitude;
            if number.negative {
                self.negatives |= sign;
            }
            sign <<= 1;
            len = len.wrapping_add(1);
        }
        self.len = len;
        match rest {
            [] | [b' ' | b'\n', ..] => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// The number in field `field`, 4 to 52; `None` where this kernel's line has no such field, or it was not split.
    #[inline]
    #[must_use]
    pub fn number(&self, field: usize) -> Option<i128> {
        let index = self.index(field)?;
        let magnitude = *self.magnitudes.get(index)?;
        Some(Number { negative: (self.negatives >> index) & 1 == 1, magnitude }.value())
    }

    /// Field 22: when the thread started, in clock ticks after boot. Together with the tid it tells a thread from a later one
    /// that was given the same id.
    #[inline]
    #[must_use]
    pub fn starttime(&self) -> Option<u64> {
        self.unsigned(field::STARTTIME)
    }

    /// Field 9: the `PF_*` bits of `include/linux/sched.h`, among them [`PF_KTHREAD`].
    #[inline]
    #[must_use]
    pub fn flags(&self) -> Option<u64> {
        self.unsigned(field::FLAGS)
    }

    #[inline]
    fn unsigned(&self, field: usize) -> Option<u64> {
        let index = self.index(field)?;
        let negative = (self.negatives >> index) & 1 == 1;
        self.magnitudes.get(index).copied().filter(|magnitude| !negative || *magnitude == 0)
    }

    /// Where `field` is kept, if it was split.
    #[inline]
    fn index(&self, field: usize) -> Option<usize> {
        let index = field.checked_sub(field::PPID)?;
        (index < self.len).then_some(index)
    }
}

/// `TID (comm` → the id and the name.
#[inline]
fn split_tid(head: &[u8]) -> Option<(u32, &[u8])> {
    let (tid, rest) = split_digits(head)?;
    match rest {
        [b' ', b'(', comm @ ..] => Some((u32::try_from(tid).ok()?, comm)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `cat`, on Linux 6.18.
    const CAT: &[u8] = b"4610 (cat) R 4608 4608 3845 0 -1 4194304 103 0 0 0 0 0 0 0 20 0 1 0 73221 3133440 358 \
        18446744073709551615 94104260743168 94104260763049 140725380244784 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 94104260779056 \
        94104260780672 94104620515328 140725380250251 140725380250357 140725380250357 140725380251627 0\n";
    const KTHREADD: &[u8] =
        b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 30 0 0 18446744073709551615 0 0 0 0 0 0 \
        0 2147483647 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    const HOSTILE_COMMS: &[&[u8]] = &[
        b"",
        b" ",
        b"a b",
        b")",
        b"(((",
        b")))",
        b"a) R 1 2",
        b") R 1 2",
        b"a\nb) R 1 (x",
        b"tab\there",
        b"\x1b[31mred",
        b"\x9b31m",
        b"\xff\xfe",
        b"caf\xc3",
        b"123",
        b"kworker/u256:12+flush-253:0-with-a-name-of-up-to-63-bytes-of-it",
    ];

    /// A sleeping thread's line in which field `n` holds `n * 10`.
    fn line(comm: &[u8], fields: usize) -> Vec<u8> {
        let mut line = b"77 (".to_vec();
        line.extend_from_slice(comm);
        line.extend_from_slice(b") S");
        for field in 4..=fields {
            line.extend_from_slice(format!(" {}", field * 10).as_bytes());
        }
        line.push(b'\n');
        line
    }

    #[test]
    fn a_real_line_is_split_into_the_kernels_numbers() {
        let stat = Stat::parse(CAT, 52).unwrap();
        assert_eq!((stat.tid, stat.comm, stat.state), (4610, b"cat".as_slice(), b'R'));
        assert_eq!(stat.number(field::PPID), Some(4608));
        assert_eq!(stat.number(field::TPGID), Some(-1));
        assert_eq!(stat.number(field::PRIORITY), Some(20));
        assert_eq!(stat.number(field::NUM_THREADS), Some(1));
        assert_eq!(stat.number(field::VSIZE), Some(3_133_440));
        assert_eq!(stat.number(field::RSSLIM), Some(i128::from(u64::MAX)));
        assert_eq!(stat.number(field::EXIT_SIGNAL), Some(17));
        assert_eq!(stat.number(field::ENV_END), Some(140_725_380_251_627));
        assert_eq!(stat.number(field::EXIT_CODE), Some(0));
        assert_eq!(stat.starttime(), Some(73_221));
    }

    #[test]
    fn a_kernel_thread_is_told_by_its_flags() {
        let flags = |line| Stat::parse(line, field::FLAGS).unwrap().flags().unwrap();
        assert_eq!(flags(KTHREADD) & PF_KTHREAD, PF_KTHREAD);
        assert_eq!(flags(CAT) & PF_KTHREAD, 0);
    }

    #[test]
    fn hostile_names_forge_neither_state_nor_numbers() {
        for comm in HOSTILE_COMMS {
            let line = line(comm, 52);
            assert_eq!(state(&line), Ok(b'S'), "{}", comm.escape_ascii());
            let stat = Stat::parse(&line, 52).unwrap();
            assert_eq!((stat.comm, stat.state, stat.tid), (*comm, b'S', 77));
            assert_eq!(stat.number(field::PPID), Some(40));
            assert_eq!(stat.starttime(), Some(220));
        }
    }

    #[test]
    fn fields_that_a_kernel_lacks_are_none() {
        for fields in 42..=52 {
            let line = line(b"x", fields);
            let stat = Stat::parse(&line, 52).unwrap();
            for field in 4..=52 {
                let expected = (field <= fields).then(|| i128::try_from(field * 10).unwrap());
                assert_eq!(stat.number(field), expected, "field {field} of {fields}");
            }
        }
    }

    #[test]
    fn fields_after_the_last_asked_for_are_not_split() {
        let line = line(b"x", 52);
        for last_field in 0..60 {
            let stat = Stat::parse(&line, last_field).unwrap();
            for field in 0..60 {
                let split = (4..=last_field.min(52)).contains(&field);
                assert_eq!(stat.number(field).is_some(), split, "field {field} up to {last_field}");
            }
        }
    }

    #[test]
    fn fields_that_no_kernel_prints_yet_are_passed_over() {
        let line = line(b"x", 60);
        assert_eq!(Stat::parse(&line, usize::MAX).unwrap().number(52), Some(520));
        assert_eq!(state(&line), Ok(b'S'));
    }

    #[test]
    fn letters_old_new_and_unknown_are_kept() {
        for letter in (b'A'..=b'Z').chain(b'a'..=b'z') {
            let mut line = line(b"x", 52);
            line[7] = letter;
            assert_eq!(state(&line), Ok(letter));
            assert_eq!(Stat::parse(&line, 3).unwrap().state, letter);
        }
    }

    #[test]
    fn lines_that_no_kernel_prints_are_malformed() {
        let lines: &[&[u8]] = &[
            b"",
            b"\n",
            b")",
            b"1 (a)",
            b"1 (a) ",
            b"1 (a)S",
            b"1 (a)  S 1",
            b"1 (a) 5 1",
            b"1 (a) SS 1",
            b"1 (a) \xff 1",
        ];
        for line in lines {
            assert_eq!(state(line), Err(Malformed), "{}", line.escape_ascii());
            assert_eq!(Stat::parse(line, 52).unwrap_err(), Malformed, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn numbers_that_no_kernel_prints_are_malformed() {
        let lines: &[&[u8]] = &[
            b"(a) S 1",
            b"1(a) S 1",
            b"-1 (a) S 1",
            b"4294967296 (a) S 1",
            b"1 a) S 1",
            b"1 (a) S  1",
            b"1 (a) S 1x",
            b"1 (a) S x",
            b"1 (a) S -",
            b"1 (a) S 1\t2",
            b"1 (a) S 18446744073709551616",
            b"1 (a) S -9223372036854775809",
            b"1 (a) S 1 2 3 0x4",
        ];
        for line in lines {
            assert_eq!(Stat::parse(line, 52).unwrap_err(), Malformed, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_line_may_end_in_a_space_or_in_nothing() {
        for line in [b"1 (a) S 5 -6".as_slice(), b"1 (a) S 5 -6\n", b"1 (a) S 5 -6 \n"] {
            let stat = Stat::parse(line, 52).unwrap();
            assert_eq!((stat.number(4), stat.number(5), stat.number(6)), (Some(5), Some(-6), None));
        }
        assert_eq!(Stat::parse(b"1 (a) S", 52).unwrap().state, b'S');
        assert_eq!(state(b"1 (a) S"), Ok(b'S'));
    }

    #[test]
    fn a_negative_value_is_no_starttime() {
        let mut line = b"1 (a) S".to_vec();
        line.extend_from_slice(&b" -5".repeat(20));
        let stat = Stat::parse(&line, 22).unwrap();
        assert_eq!((stat.number(22), stat.starttime(), stat.flags()), (Some(-5), None, None));
    }

    #[test]
    fn a_negative_zero_is_zero_however_it_is_asked_for() {
        let stat = Stat::parse(b"1 (a) S 0 0 0 0 0 -0", 22).unwrap();
        assert_eq!((stat.number(9), stat.flags()), (Some(0), Some(0)));
    }

    #[test]
    fn field_numbers_are_those_of_the_manual() {
        assert_eq!([field::PPID, field::FLAGS, field::UTIME, field::STARTTIME], [4, 9, 14, 22]);
        assert_eq!([field::WCHAN, field::PROCESSOR, field::DELAYACCT_BLKIO_TICKS], [35, 39, 42]);
        assert_eq!([field::CGUEST_TIME, field::START_BRK, field::EXIT_CODE], [44, 47, 52]);
    }

    fn value() -> impl Strategy<Value = i128> {
        prop_oneof![any::<u64>().prop_map(i128::from), any::<i64>().prop_map(i128::from), Just(0)]
    }

    proptest! {
        #[test]
        fn any_line_parses_back_to_what_it_was_built_from(
            tid: u32,
            comm in proptest::collection::vec(any::<u8>(), 0..64),
            letter in proptest::char::ranges(vec!['A'..='Z', 'a'..='z'].into()),
            values in proptest::collection::vec(value(), 39..50),
            last_field in 3_usize..60,
        ) {
            let mut line = format!("{tid} (").into_bytes();
            line.extend_from_slice(&comm);
            line.extend_from_slice(format!(") {letter}").as_bytes());
            for value in &values {
                line.extend_from_slice(format!(" {value}").as_bytes());
            }
            line.push(b'\n');
            let letter = u8::try_from(letter).unwrap();
            prop_assert_eq!(state(&line), Ok(letter));
            let stat = Stat::parse(&line, last_field).unwrap();
            prop_assert_eq!((stat.tid, stat.comm, stat.state), (tid, comm.as_slice(), letter));
            for field in 4..60 {
                let expected = values.get(field - 4).copied().filter(|_| field <= last_field);
                prop_assert_eq!(stat.number(field), expected);
            }
        }

        #[test]
        fn the_two_ways_to_the_letter_agree(line: Vec<u8>, last_field in 0_usize..60) {
            if let Ok(stat) = Stat::parse(&line, last_field) {
                prop_assert_eq!(state(&line), Ok(stat.state));
            }
        }
    }
}
