//! The state of the task, derived from its state bits in the same way as the kernel does (`task_state_index` in
//! `include/linux/sched.h`).
//!
//! The kernel has the state in two words: `__state`, which the task sets before it sleeps, and `exit_state`. Of the seven bits
//! that /proc reports, the highest one that is set in either word decides; two combinations of bits and two further bits are
//! special. Since Linux 4.14 no bit has changed its meaning, and new bits have numbers that were never used before.

use crate::kernel::bpf::asm::Register::{self, R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Label, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::control;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{CONTROL, INDEX, RECORD, STATE, TASK};
use crate::kernel::types::Types;

/// The bits that /proc reports: S D T t X Z P (`TASK_REPORT`).
const REPORTED: i32 = 0x7f;
/// The bits of an uninterruptible sleep that does not count as load (`TASK_IDLE`).
const IDLE: i32 = 0x402;
/// Stands for [`IDLE`] among the reported bits (`TASK_REPORT_IDLE`).
const REPORTED_IDLE: i32 = 0x80;
/// The bits of a task that waits for a lock of a PREEMPT_RT kernel (0x1000), or is frozen (0x8000). /proc shows D.
const SHOWN_UNINTERRUPTIBLE: i32 = 0x9000;
/// The bit of D among the reported bits.
const UNINTERRUPTIBLE: i32 = 0x2;

/// `u16`, the bits of `__state`
const RAW: i32 = 0;
/// `u8`, the number of the state
const NUMBER: i32 = RAW + 2;
/// The offset of the next part of a record.
pub(crate) const END: i32 = NUMBER + 1;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateFields {
    /// `__state`; before Linux 5.14, `state`.
    pub(in super::super) state: StructField,
    pub(in super::super) exit_state: StructField,
}

impl StateFields {
    /// Finds the fields.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub(crate) fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        let state = types.required("__state").or_else(|_| types.required("state"))?;
        Ok(Self { state, exit_state: types.required("exit_state")? })
    }

    /// `INDEX` = the number of the state, `STATE` = the bits it was derived from
    pub(crate) fn derive(&self, code: &mut Code) {
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
        code.and(INDEX, control::STATES_LEN - 1); //               // for the verifier, which does not know
        code.add(INDEX, CONTROL);
        code.load(INDEX, INDEX.u8(control::STATES)); //            index = control->states[bits];   // fls(bits)
        code.and(INDEX, control::COUNTS_LEN - 1);
    }

    /// Jumps to `moved` if the state is no longer the one in the record.
    pub(crate) fn check(&self, code: &mut Code, moved: Label) {
        code.load(R2, TASK.field(self.state));
        code.and(R2, 0xffff); //                                   // the 16 bits that are used
        code.load(R3, RECORD.u16(RAW));
        code.jump_if(R2, When::NotEqual, R3, moved); //            if (task->__state != record->raw) goto moved;
    }
}

/// Writes the bits in `STATE` into a record. After that the register is free for `RECORD`.
pub(crate) fn write_raw(code: &mut Code, record: Register) {
    code.store(record.u16(RAW), STATE); //                         record->raw = state;
}

/// Writes the number in `INDEX` into the record.
pub(crate) fn write_number(code: &mut Code) {
    code.store(RECORD.u8(NUMBER), INDEX); //                       record->state = index;
}

/// Jumps to `label` if `number` is that of a state in which tasks do not wait: R, X or Z.
pub(crate) fn jump_if_no_wait(code: &mut Code, number: Register, label: Label) {
    code.jump_if(number, When::Equal, 0, label); //                if (index == R) goto label;
    for ended in ENDED {
        code.jump_if(number, When::Equal, ended, label); //        if (index == X || index == Z) goto label;
    }
}

/// The state in a record.
#[inline]
pub(crate) fn read(record: RecordWords<'_>) -> TaskState {
    TaskState::from_index(record.u8(NUMBER))
}

/// A task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskState(u8);

impl TaskState {
    /// The letters in the order of the bits, after R, which has no bit.
    const LETTERS: [u8; 9] = *b"RSDTtXZPI";

    /// On a CPU or waiting for one.
    pub(crate) const RUNNING: Self = Self(0);

    /// Every state.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..9).map(Self)
    }

    /// The state with this number, which is one more than the number of its bit.
    #[must_use]
    pub(crate) const fn from_index(index: u8) -> Self {
        Self(index)
    }

    /// The number of the state.
    #[must_use]
    pub const fn index(self) -> u8 {
        self.0
    }

    /// The letter of the state in /proc; `?` if there is no such state.
    #[must_use]
    pub fn letter(self) -> u8 {
        Self::LETTERS.get(usize::from(self.0)).copied().unwrap_or(b'?')
    }

    /// The state of the highest of these bits.
    #[must_use]
    pub(crate) const fn of_bits(bits: u8) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        Self((u8::BITS - bits.leading_zeros()) as u8)
    }

    /// Whether tasks in this state have ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        crate::proc::state::has_ended(self.letter())
    }
}

/// The numbers of the states in which tasks have ended: X and Z.
const ENDED: std::ops::RangeInclusive<i32> = 5..=6;

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter, derived in the same way as in the program.
    fn letter(state: i32, exit_state: i32) -> char {
        let mut bits = (state | exit_state) & REPORTED;
        if state & IDLE == IDLE {
            bits = REPORTED_IDLE;
        }
        if state & SHOWN_UNINTERRUPTIBLE != 0 {
            bits = UNINTERRUPTIBLE;
        }
        TaskState::of_bits(u8::try_from(bits).unwrap()).letter().into()
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
        let letters: Vec<u8> = TaskState::all().map(TaskState::letter).collect();
        assert_eq!(letters, b"RSDTtXZPI");
        assert!(TaskState::all().zip(0..).all(|(state, index)| state.index() == index));
        assert_eq!(TaskState::from_index(9).letter(), b'?');
        let ended: Vec<i32> =
            TaskState::all().filter(|state| state.has_ended()).map(|state| state.index().into()).collect();
        assert_eq!(ended, ENDED.collect::<Vec<_>>());
    }
}
