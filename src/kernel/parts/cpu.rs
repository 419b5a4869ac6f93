//! The task's CPU: which one it is or was last on, whether it is on it, and how often it left one.
//!
//! This proves that what a record says of a wait was true at one instant. A task is at rest while it is on no CPU, and the
//! kernel counts a context switch whenever a task leaves a CPU. So a task that is on no CPU before and after its wait was
//! read, with the same number of switches, was on none in between.

use super::record_flags;
use crate::kernel::bpf::asm::Register::{self, R1, R2, R3, R4};
use crate::kernel::bpf::asm::{Code, Label, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{FLAG_BITS, RECORD, TASK};
use crate::kernel::types::Types;

/// `u32`: which CPU; 0 on a kernel for one CPU.
const CPU: i32 = record_flags::END;
/// `u64`: how often the task left a CPU.
const SWITCHES: i32 = CPU + 4;
/// Where the next part of a record begins.
pub const END: i32 = SWITCHES + 8;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct CpuFields {
    /// `thread_info.cpu`; before Linux 5.16, `cpu`. Absent on a kernel for one CPU.
    cpu: Option<StructField>,
    /// Absent on a kernel for one CPU.
    on_cpu: Option<StructField>,
    nvcsw: StructField,
    nivcsw: StructField,
}

impl CpuFields {
    /// Finds them.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            cpu: types.task(&["thread_info", "cpu"]).or_else(|| types.task(&["cpu"])),
            on_cpu: types.task(&["on_cpu"]),
            nvcsw: types.required("nvcsw")?,
            nivcsw: types.required("nivcsw")?,
        })
    }

    /// Writes which CPU it is.
    pub fn write_cpu(&self, code: &mut Code) {
        match self.cpu {
            Some(cpu) => code.copy(RECORD.u32(CPU), TASK.field(cpu)), //   record->cpu = task->thread_info.cpu;
            None => code.clear(RECORD.u32(CPU)),
        }
    }

    /// Marks the task if it is on a CPU, and notes how often it has left one.
    pub fn write_rest(&self, code: &mut Code) {
        code.set(FLAG_BITS, 0); //                                 flag_bits = 0;
        if let Some(on_cpu) = self.on_cpu {
            code.load(R2, TASK.field(on_cpu));
            code.jump_if(R2, When::Equal, 0, "off cpu"); //        if (task->on_cpu)
            code.set(FLAG_BITS, record_flags::ON_CPU); //              flag_bits = ON_CPU;
            code.label("off cpu");
        }
        self.load_switches(code, R2, R3);
        code.store(RECORD.u64(SWITCHES), R2); //                   record->switches = task->nvcsw + task->nivcsw;
    }

    /// Jumps to `moved` unless the task is on no CPU and has been on none since its switches were noted.
    pub fn check_rest(&self, code: &mut Code, moved: Label) {
        if let Some(on_cpu) = self.on_cpu {
            code.load(R1, TASK.field(on_cpu));
            code.jump_if(R1, When::NotEqual, 0, moved); //         if (task->on_cpu) goto moved;
        }
        self.load_switches(code, R2, R3);
        code.load(R4, RECORD.u64(SWITCHES));
        code.jump_if(R4, When::NotEqual, R2, moved); //            if (switches(task) != record->switches) goto moved;
    }

    /// `to = task->nvcsw + task->nivcsw`
    fn load_switches(&self, code: &mut Code, to: Register, scratch: Register) {
        code.load(to, TASK.field(self.nvcsw));
        code.load(scratch, TASK.field(self.nivcsw));
        code.add(to, scratch);
    }
}

/// `to = record->switches`
pub fn load_noted_switches(code: &mut Code, to: Register) {
    code.load(to, RECORD.u64(SWITCHES));
}

/// The CPU in a record.
#[inline]
pub fn read_cpu(record: RecordWords<'_>) -> u32 {
    record.u32(CPU)
}

/// How often the task of a record had left a CPU.
#[inline]
pub fn read_switches(record: RecordWords<'_>) -> u64 {
    record.u64(SWITCHES)
}
