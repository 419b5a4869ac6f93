//! What the registers hold while a program looks at a task.
//!
//! `R6` to `R9` keep their contents across calls and belong to the names below. `R0` to `R4` are free: whoever needs a value
//! in one of them loads it first. Labels are unique in a program, so a part's labels name the part.

use crate::kernel::bpf::asm::Register;

/// `struct control *control`: see [`control`](crate::kernel::control).
pub const CONTROL: Register = Register::R6;
/// `struct task_struct *task`
pub const TASK: Register = Register::R7;
/// `unsigned int index`: the number of the task's state, until [`FLAG_BITS`] takes the register.
pub const INDEX: Register = Register::R8;
/// `unsigned int record_flags`: see [`record_flags`](crate::kernel::parts::record_flags).
pub const FLAG_BITS: Register = Register::R8;
/// `unsigned int state`: the bits of `task->__state`, until [`RECORD`] takes the register.
pub const STATE: Register = Register::R9;
/// `struct record *record`
pub const RECORD: Register = Register::R9;
