//! The task's state: its letter, derived from the state bits as the kernel does it (`task_state_index` in
//! `include/linux/sched.h`).
//!
//! The kernel keeps the state in two words: `__state`, which the task sets when it is about to sleep, and `exit_state`. The
//! kernel keeps the seven bits of both that it reports and shows the highest of them; two combinations and two bits are special.
//! Since Linux 4.14 the bits have kept their meaning, and new ones took numbers that were never used before.

use crate::kernel::bpf::asm::Register::{self, R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Label, When};
use crate::kernel::bpf::field::Field;
use crate::kernel::control;
use crate::kernel::registers::{CONTROL, INDEX, RECORD, STATE, TASK};
use crate::kernel::types::Types;
use crate::kernel::words::Words;

/// Bits that /proc tells apart: S D T t X Z P (`TASK_REPORT`).
const REPORTED: i32 = 0x7f;
/// A sleep that is not counted as load (`TASK_IDLE`): uninterruptible, and the bit that says so.
const IDLE: i32 = 0x402;
/// Stands for [`IDLE`] among the reported bits (`TASK_REPORT_IDLE`).
const REPORTED_IDLE: i32 = 0x80;
/// Waits for a lock of a PREEMPT_RT kernel (0x1000), or is frozen (0x8000): shown as D.
const SHOWN_UNINTERRUPTIBLE: i32 = 0x9000;
/// D among the reported bits.
const UNINTERRUPTIBLE: i32 = 0x2;

/// `u16`, the bits of `__state`
const RAW: i32 = 0;
/// `u8`, the state's number
const NUMBER: i32 = RAW + 2;
/// Where the next part of a record begins.
pub const END: i32 = NUMBER + 1;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// `__state`; before Linux 5.14, `state`.
    pub(in super::super) state: Field,
    pub(in super::super) exit_state: Field,
}

impl Fields {
    /// Finds them.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        let state = types.required("__state").or_else(|_| types.required("state"))?;
        Ok(Self { state, exit_state: types.required("exit_state")? })
    }

    /// `INDEX` = the number of the state, `STATE` = the bits it was derived from
    pub fn derive(&self, code: &mut Code) {
        code.load(R1, TASK.field(self.state)); //                  state = task->__state;
        code.set(STATE, R1);
        code.load(INDEX, TASK.field(self.exit_state));
        code.or(INDEX, R1);
        code.and(INDEX, REPORTED); //                              bits = (state | task->exit_state) & TASK_REPORT;
        code.set(R2, R1);
        code.and(R2, IDLE);
        code.jump_if(R2, When::NotEqual, IDLE, "not idle"); //     if ((state & TASK_IDLE) == TASK_IDLE)
        code.set(INDEX, REPORTED_IDLE); //                             bits = TASK_REPORT_IDLE;
        code.label("not idle");
        code.and(R1, SHOWN_UNINTERRUPTIBLE);
        code.jump_if(R1, When::Equal, 0, "plain"); //              if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
        code.set(INDEX, UNINTERRUPTIBLE); //                           bits = TASK_UNINTERRUPTIBLE;
        code.label("plain");
        code.and(INDEX, control::STATES_LEN - 1); //               // which the verifier does not know
        code.add(INDEX, CONTROL);
        code.load(INDEX, INDEX.u8(control::STATES)); //            index = control->states[bits];   // fls(bits)
        code.and(INDEX, control::COUNTS_LEN - 1);
    }

    /// Jumps to `moved` if the state is no longer the one in the record.
    pub fn check(&self, code: &mut Code, moved: Label) {
        code.load(R2, TASK.field(self.state));
        code.and(R2, 0xffff); //                                   // all the bits there are
        code.load(R3, RECORD.u16(RAW));
        code.jump_if(R2, When::NotEqual, R3, moved); //            if (task->__state != record->raw) goto moved;
    }
}

/// Writes the bits in `STATE` into a record. The register is then free for `RECORD`.
pub fn write_raw(code: &mut Code, record: Register) {
    code.store(record.u16(RAW), STATE); //                         record->raw = state;
}

/// Writes the number in `INDEX`.
pub fn write_number(code: &mut Code) {
    code.store(RECORD.u8(NUMBER), INDEX); //                       record->state = index;
}

/// Jumps to `label` if this is the number of a state in which a task waits for nothing: R, X or Z.
pub fn jump_if_no_wait(code: &mut Code, number: Register, label: Label) {
    code.jump_if(number, When::Equal, 0, label); //                if (index == R) goto label;
    for ended in ENDED {
        code.jump_if(number, When::Equal, ended, label); //        if (index == X || index == Z) goto label;
    }
}

/// The state in a record.
#[inline]
pub fn read(record: Words<'_>) -> State {
    State::from_index(record.u8(NUMBER))
}

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
        crate::proc::state::has_ended(self.letter())
    }
}

/// The first number of a state that has ended (X), and the last (Z).
const ENDED: std::ops::RangeInclusive<i32> = 5..=6;

#[cfg(test)]
mod tests {
    use super::*;

    /// As the program does it.
    fn letter(state: i32, exit_state: i32) -> char {
        let mut bits = (state | exit_state) & REPORTED;
        if state & IDLE == IDLE {
            bits = REPORTED_IDLE;
        }
        if state & SHOWN_UNINTERRUPTIBLE != 0 {
            bits = UNINTERRUPTIBLE;
        }
        State::of_bits(u8::try_from(bits).unwrap()).letter().into()
    }

    /// The names are those of `include/linux/sched.h`.
    #[test]
    fn every_combination_that_the_kernel_sets_has_its_letter() {
        assert_eq!(letter(0x0, 0), 'R', "TASK_RUNNING");
        assert_eq!(letter(0x1, 0), 'S', "TASK_INTERRUPTIBLE");
        assert_eq!(letter(0x2, 0), 'D', "TASK_UNINTERRUPTIBLE");
        assert_eq!(letter(0x102, 0), 'D', "TASK_KILLABLE");
        assert_eq!(letter(0x104, 0), 'T', "TASK_STOPPED");
        assert_eq!(letter(0x8, 0), 't', "TASK_TRACED");
        assert_eq!(letter(0x80, 0x10), 'X', "TASK_DEAD, EXIT_DEAD");
        assert_eq!(letter(0x80, 0x20), 'Z', "TASK_DEAD, EXIT_ZOMBIE");
        assert_eq!(letter(0x0, 0x20), 'Z', "a zombie that has not stopped running yet");
        assert_eq!(letter(0x80, 0x30), 'Z', "EXIT_TRACE");
        assert_eq!(letter(0x40, 0), 'P', "TASK_PARKED");
        assert_eq!(letter(0x402, 0), 'I', "TASK_IDLE");
        assert_eq!(letter(0x2402, 0), 'I', "TASK_IDLE | TASK_FREEZABLE");
        assert_eq!(letter(0x200, 0), 'R', "TASK_WAKING");
        assert_eq!(letter(0x800, 0), 'R', "TASK_NEW");
        assert_eq!(letter(0x1000, 0), 'D', "TASK_RTLOCK_WAIT");
        assert_eq!(letter(0x2001, 0), 'S', "TASK_INTERRUPTIBLE | TASK_FREEZABLE");
        assert_eq!(letter(0x8000, 0), 'D', "TASK_FROZEN");
    }

    #[test]
    fn numbers_and_letters_are_one_to_one() {
        let letters: Vec<u8> = State::all().map(State::letter).collect();
        assert_eq!(letters, b"RSDTtXZPI");
        assert!(State::all().zip(0..).all(|(state, index)| state.index() == index));
        assert_eq!(State::from_index(9).letter(), b'?');
        let ended: Vec<i32> =
            State::all().filter(|state| state.has_ended()).map(|state| state.index().into()).collect();
        assert_eq!(ended, ENDED.collect::<Vec<_>>());
    }
}
