//! The time at which a waiting task left its CPU, by the scheduler's clock.
//!
//! `sched_info.last_arrival` is the time at which the task last got a CPU. Its run time has grown since then by the time that it stayed
//! there; the sum is the time at which it left. (`se.exec_start` looks like this time and is not: its clock leaves out all interrupts
//! since boot.) Only the fair class keeps the run time at arrival. Of a task of another class psn knows when it got the CPU, not when it left.

use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Label, MemoryOperand, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The lowest priority of the fair class (`MAX_RT_PRIO`); the real-time classes are below.
const FAIR: i32 = 100;
/// The bit that marks a time as the earliest possible one.
const EARLIEST: i32 = 1;

/// An instant of the scheduler's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    /// Nanoseconds; 0 if it is unknown.
    pub ns: u64,
    /// Whether `ns` is the earliest possible time, and the real one may be later.
    pub is_earliest: bool,
}

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct LeftFields {
    last_arrival: StructField,
    run: StructField,
    run_at_arrival: StructField,
    prio: StructField,
}

impl LeftFields {
    /// `R2` = when the task left its CPU, with [`EARLIEST`] as its lowest bit. Uses `R1` and `R3`.
    pub(super) fn load(&self, code: &mut Code, realtime: Label, done: Label) {
        code.load(R2, TASK.field(self.last_arrival)); //           left = task->sched_info.last_arrival;
        code.load(R3, TASK.field(self.prio));
        code.set(R1, FAIR);
        code.jump_if(R1, When::Above, R3, realtime); //            if (task->prio >= MAX_RT_PRIO) {
        code.load(R1, TASK.field(self.run));
        code.add(R2, R1);
        code.load(R1, TASK.field(self.run_at_arrival));
        code.subtract(R2, R1); //                                      left += se->sum_exec_runtime - se->prev_sum_exec_runtime;
        code.and(R2, -1 - EARLIEST);
        code.jump(done); //                                        } else
        code.label(realtime);
        code.or(R2, EARLIEST); //                                      left |= EARLIEST;
        code.label(done);
    }
}

/// Reads an instant from a record.
pub(super) fn since(record: RecordWords<'_>, at: i32) -> Since {
    let word = record.u64(at);
    let earliest = u64::from(EARLIEST.cast_unsigned());
    Since { ns: word & !earliest, is_earliest: word & earliest != 0 }
}

/// The place of an instant in the record.
pub(super) const fn place(at: i32) -> MemoryOperand {
    RECORD.u64(at)
}

impl RecordPart for LeftFields {
    type Value = Since;

    const NAMES: TypeNames = TypeNames::NONE;
    const SIZE: i32 = 8;

    /// `None` on a kernel without `CONFIG_SCHED_INFO`.
    fn find(types: &Types<'_>) -> Option<Self> {
        Some(Self {
            last_arrival: types.task(&["sched_info", "last_arrival"])?,
            run: types.task(&["se", "sum_exec_runtime"])?,
            run_at_arrival: types.task(&["se", "prev_sum_exec_runtime"])?,
            prio: types.task(&["prio"])?,
        })
    }

    fn write(&self, code: &mut Code, at: i32) {
        self.load(code, "left: realtime", "left: known");
        code.store(place(at), R2); //                              record->left = left;
    }

    fn read(record: RecordWords<'_>, at: i32) -> Since {
        since(record, at)
    }
}
