//! The meaning of the registers while a program looks at a task.
//!
//! `R6` to `R9` keep their contents across calls and have the names below. `R0` to `R4` are free for any use, and hold nothing
//! between the instructions of two parts. Labels are unique in a program, so the labels of a part name the part.

use crate::kernel::bpf::asm::Register;

/// `struct control *control`: see [`control`](crate::kernel::control).
pub(crate) const CONTROL: Register = Register::R6;
/// `struct task_struct *task`
pub(crate) const TASK: Register = Register::R7;
/// `unsigned int index`: the number of the task's state, until [`FLAG_BITS`] takes the register.
pub(crate) const INDEX: Register = Register::R8;
/// `unsigned int flag_bits`: see [`record_flags`](crate::kernel::parts::record_flags).
pub(crate) const FLAG_BITS: Register = Register::R8;
/// `unsigned int state`: the bits of `task->__state`, until [`RECORD`] takes the register.
pub(crate) const STATE: Register = Register::R9;
/// `struct record *record`
pub(crate) const RECORD: Register = Register::R9;
