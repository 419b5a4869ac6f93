//! `/proc/PID/task/TID/stat`: one line of 42 to 52 fields (proc(5); `do_task_stat` in the kernel's `fs/proc/array.c`).
//!
//! The second field is the thread's name in parentheses, raw: it may hold spaces, parentheses, newlines and bytes that are no
//! text. Nothing after it can hold a `)`, so the name ends at the *last* one; a thread named `a) R 1 2` forges nothing.

use super::{Malformed, Number, cut_last, split_digits};

/// The bit of [`flags`](Stat::flags) that marks a kernel thread (`include/linux/sched.h`). A name proves nothing: any process
/// may call itself `kworker/0:0`.
pub const PF_KTHREAD: u64 = 0x0020_0000;

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
        [b' ', letter, rest @ ..]
            if letter.is_ascii_alphabetic() && matches!(rest, [] | [b' ' | b'\n', ..]) =>
        {
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
        let mut stat = Stat {
            comm,
            state,
            tid,
            len: 0,
            negatives: 0,
            magnitudes: [0; NUMBERS],
        };
        stat.split_numbers(rest, last_field.saturating_sub(LAST_BEFORE_NUMBERS))?;
        Ok(stat)
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
        Some(
            Number {
                negative: (self.negatives >> index) & 1 == 1,
                magnitude,
            }
            .value(),
        )
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
        let positive = (self.negatives >> index) & 1 == 0;
        self.magnitudes.get(index).copied().filter(|_| positive)
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
