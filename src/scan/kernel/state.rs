//! State letters, derived from a task's state bits as the kernel does it (`task_state_index` in `include/linux/sched.h`).
//!
//! The kernel has the state in two words: `__state`, which the task sets when it is about to sleep, and `exit_state`. It keeps
//! the seven bits of both that it reports and shows the highest of them; two combinations and two bits are special. Since
//! Linux 4.14 the bits have kept their meaning, and new ones took numbers that were never used before.

/// Bits that /proc tells apart: S D T t X Z P (`TASK_REPORT`).
pub const REPORTED: i32 = 0x7f;
/// A sleep that is not counted as load (`TASK_IDLE`): uninterruptible, and the bit that says so.
pub const IDLE: i32 = 0x402;
/// What stands for [`IDLE`] among the reported bits (`TASK_REPORT_IDLE`).
pub const REPORTED_IDLE: i32 = 0x80;
/// Waits for a lock of a PREEMPT_RT kernel (0x1000), or frozen (0x8000): shown as D.
pub const SHOWN_UNINTERRUPTIBLE: i32 = 0x9000;
/// D among the reported bits.
pub const UNINTERRUPTIBLE: i32 = 0x2;

/// A task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State(u8);

impl State {
    /// Letters in the order of the bits; R is none of them.
    const LETTERS: [u8; 9] = *b"RSDTtXZPI";

    /// On a CPU or waiting for one.
    pub const RUNNING: Self = Self(0);

    /// Every state.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..9).map(Self)
    }

    /// The state with this number: one more than its bit's.
    #[must_use]
    pub const fn from_index(index: u8) -> Self {
        Self(index)
    }

    /// Its number.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// Its letter in /proc; `?` for a number that is none.
    #[must_use]
    pub fn letter(self) -> u8 {
        Self::LETTERS.get(usize::from(self.0)).copied().unwrap_or(b'?')
    }

    /// The state that the highest of these bits stands for.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        Self((u8::BITS - bits.leading_zeros()) as u8)
    }

    /// Whether a task in it has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self.letter(), b'X' | b'Z')
    }
}

/// The first number of a state that has ended (X), and the last (Z).
pub const ENDED: std::ops::RangeInclusive<i32> = 5..=6;
