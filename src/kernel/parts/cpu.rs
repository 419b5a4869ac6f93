//! The CPU that the task is on or was last on, whether it is on it now, and its number of context switches.
//!
//! By these, what a record says about a wait is proven to be true at one instant. The kernel counts a context switch whenever a
//! task leaves a CPU. So if a task is on no CPU both before and after its wait is read, with the same number of switches, it was
//! on none in between.

use super::record_flags;
use crate::kernel::bpf::asm::Register::{self, R1, R2, R3, R4};
use crate::kernel::bpf::asm::{Code, Label, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{FLAG_BITS, RECORD, TASK};
use crate::kernel::types::Types;

/// `u32`: the number of the CPU; 0 on a kernel without SMP.
const CPU: i32 = record_flags::END;
/// `u64`: the number of context switches of the task.
const SWITCHES: i32 = CPU + 4;
/// The offset of the next part of a record.
pub(crate) const END: i32 = SWITCHES + 8;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuFields {
    /// `thread_info.cpu`; before Linux 5.16, `cpu`. `None` on a kernel without SMP.
    cpu: Option<StructField>,
    /// `None` on a kernel without SMP.
    on_cpu: Option<StructField>,
    nvcsw: StructField,
    nivcsw: StructField,
}

impl CpuFields {
    /// Finds the fields.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub(crate) fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            cpu: types.task(&["thread_info", "cpu"]).or_else(|| types.task(&["cpu"])),
            on_cpu: types.task(&["on_cpu"]),
            nvcsw: types.required("nvcsw")?,
            nivcsw: types.required("nivcsw")?,
        })
    }

    /// Writes the number of the CPU.
    pub(crate) fn write_cpu(&self, code: &mut Code) {
        match self.cpu {
            Some(cpu) => code.copy(RECORD.u32(CPU), TASK.field(cpu)), //   record->cpu = task->thread_info.cpu;
            None => code.clear(RECORD.u32(CPU)),
        }
    }

    /// Sets the flag `ON_CPU` if the task is on a CPU, and writes its number of switches.
    pub(crate) fn write_rest(&self, code: &mut Code) {
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

    /// Jumps to `moved` unless the task is on no CPU now and has been on none since its switches were written.
    pub(crate) fn check_rest(&self, code: &mut Code, moved: Label) {
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
pub(crate) fn load_noted_switches(code: &mut Code, to: Register) {
    code.load(to, RECORD.u64(SWITCHES));
}

/// The CPU in a record.
#[inline]
pub(crate) fn read_cpu(record: RecordWords<'_>) -> u32 {
    record.u32(CPU)
}

/// The number of context switches in a record.
#[inline]
pub(crate) fn read_switches(record: RecordWords<'_>) -> u64 {
    record.u64(SWITCHES)
}
