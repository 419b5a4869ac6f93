//! Whether the control group of a task in state R has used up its CPU time (`cpu.max`), so that the task may not run.

use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{R1, R2};
use crate::kernel::bpf::asm::{Code, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{INDEX, RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The field that tells it.
#[derive(Debug, Clone, Copy)]
pub enum ThrottledFields {
    /// `task_struct.throttled`: a task is taken from its queue when it would return to its program (Linux 6.18 on).
    Task(StructField),
    /// The run queue of the task's group is stopped as a whole.
    Queue {
        /// `task_struct.se.cfs_rq`
        queue: StructField,
        /// `cfs_rq.throttle_count`
        count: StructField,
    },
}

impl RecordPart for ThrottledFields {
    type Value = bool;

    const NAMES: TypeNames = TypeNames { structures: &["cfs_rq"], ..TypeNames::NONE };
    const SIZE: i32 = 1;

    /// `None` on a kernel without `CONFIG_CFS_BANDWIDTH`: it throttles no group.
    fn find(types: &Types<'_>) -> Option<Self> {
        if let Some(throttled) = types.task(&["throttled"]) {
            return Some(Self::Task(throttled));
        }
        let queue = types.task(&["se", "cfs_rq"])?;
        Some(Self::Queue { queue, count: types.field("cfs_rq", &["throttle_count"])? })
    }

    fn write(&self, code: &mut Code, at: i32) {
        code.set(R2, 0);
        code.jump_if(INDEX, When::NotEqual, 0, "throttled: known"); // if (index == R)
        match *self {
            Self::Task(throttled) => code.load(R2, TASK.field(throttled)), // throttled = task->throttled;
            Self::Queue { queue, count } => {
                code.load(R1, TASK.field(queue));
                code.jump_if(R1, When::Equal, 0, "throttled: known"); //      if (task->se.cfs_rq)
                code.load(R1, R1.field(count));
                code.jump_if(R1, When::Equal, 0, "throttled: known");
                code.set(R2, 1); //                                            throttled = cfs_rq->throttle_count != 0;
            }
        }
        code.label("throttled: known");
        code.store(RECORD.u8(at), R2); //                              record->throttled = throttled;
    }

    #[inline]
    fn read(record: RecordWords<'_>, at: i32) -> bool {
        record.u8(at) != 0
    }
}
