//! When a task that waits left its CPU, by the scheduler's clock.
//!
//! `sched_info.last_arrival` is when the task was last put on a CPU, and what its run time grew by since then is how long it stayed.
//! (`se.exec_start` looks like the time at which a task went to sleep. It is not: it leaves out the time that interrupts took, since
//! boot.) Only the fair class keeps the run time at arrival, so of a task of another class no more is known than when it arrived.

use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Label, MemoryOperand, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The lowest priority of the fair class (`MAX_RT_PRIO`); the real-time classes are below.
const FAIR: i32 = 100;
/// Set in a time that is no more than the earliest that it can have been.
const EARLIEST: i32 = 1;

/// An instant of the scheduler's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    /// Nanoseconds; 0 if it is not known.
    pub ns: u64,
    /// Whether it may have been later.
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

/// Reads such an instant back.
pub(super) fn since(record: RecordWords<'_>, at: i32) -> Since {
    let word = record.u64(at);
    let earliest = u64::from(EARLIEST.cast_unsigned());
    Since { ns: word & !earliest, is_earliest: word & earliest != 0 }
}

/// Where the record has such an instant.
pub(super) const fn place(at: i32) -> MemoryOperand {
    RECORD.u64(at)
}

impl RecordPart for LeftFields {
    type Value = Since;

    const NAMES: TypeNames = TypeNames::NONE;
    const SIZE: i32 = 8;

    /// A kernel without `CONFIG_SCHED_INFO` keeps none of it.
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
