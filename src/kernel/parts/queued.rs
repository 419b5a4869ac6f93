//! The time at which the walk saw a task, and the time since which the task waits for a CPU.
//!
//! The first is by `CLOCK_MONOTONIC`, the second by the scheduler's clock. The difference of the two clocks is estimated by
//! [`SchedClock`](crate::kernel::sched_clock::SchedClock).

use super::left::{self, Since};
use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::{R0, R2};
use crate::kernel::bpf::asm::{Code, Helper, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::control;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{CONTROL, INDEX, RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// `u64`: when the walk was here, by `CLOCK_MONOTONIC`
const SEEN: i32 = 0;
/// `u64`: since when the task waits for a CPU; 0 if it is not in state R, and of no meaning if it is on a CPU
const SINCE: i32 = SEEN + 8;

/// What is known of a task's wait for a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queued {
    /// When the walk saw the task, nanoseconds of `CLOCK_MONOTONIC`.
    pub seen_ns: u64,
    /// Since when it waits for a CPU, if it does.
    pub since: Since,
}

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct QueuedFields {
    last_arrival: StructField,
    last_queued: StructField,
    left: left::LeftFields,
}

impl QueuedFields {
    /// Writes the instructions that store the difference of the clocks, plus the time that psn took from getting its CPU to here.
    /// Uses `INDEX`.
    pub(super) fn write_clocks(&self, code: &mut Code) {
        code.call(Helper::GetCurrentTaskBtf);
        code.load(INDEX, R0.field(self.last_arrival)); //          arrival = current->sched_info.last_arrival;
        code.call(Helper::KtimeGetNs);
        code.subtract(R0, INDEX);
        code.store(CONTROL.u64(control::CLOCK_OFFSET), R0); //     control->clock_offset = bpf_ktime_get_ns() - arrival;
    }
}

impl RecordPart for QueuedFields {
    type Value = Queued;

    const NAMES: TypeNames = TypeNames::NONE;
    const SIZE: i32 = SINCE + 8;

    fn find(types: &Types<'_>) -> Option<Self> {
        Some(Self {
            last_arrival: types.task(&["sched_info", "last_arrival"])?,
            last_queued: types.task(&["sched_info", "last_queued"])?,
            left: left::LeftFields::find(types)?,
        })
    }

    /// A task in a run queue waits since it was queued. A task whose control group has used up its CPU time may be in no queue: it
    /// waits since it left its CPU.
    fn write(&self, code: &mut Code, at: i32) {
        code.call(Helper::KtimeGetNs);
        code.store(RECORD.u64(at + SEEN), R0); //                  record->seen = bpf_ktime_get_ns();
        code.set(R2, 0);
        code.jump_if(INDEX, When::NotEqual, 0, "queued: known"); // if (index == R) {
        code.load(R2, TASK.field(self.last_queued)); //                since = task->sched_info.last_queued;
        code.and(R2, -2);
        code.jump_if(R2, When::NotEqual, 0, "queued: known"); //       if (!since)
        self.left.load(code, "queued: realtime", "queued: known"); //      since = …; }
        code.store(left::place(at + SINCE), R2); //                record->since = since;
    }

    fn read(record: RecordWords<'_>, at: i32) -> Queued {
        Queued { seen_ns: record.u64(at + SEEN), since: left::since(record, at + SINCE) }
    }
}
