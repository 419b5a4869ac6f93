//! Whether a task waits for the completion of I/O (`in_iowait`): what the kernel counts as `iowait`, and as `procs_blocked`.

use super::part::RecordPart;
use crate::kernel::bpf::asm::Code;
use crate::kernel::bpf::asm::Register::R1;
use crate::kernel::bpf::field::Bit;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The bit of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct IoFields(Bit);

impl RecordPart for IoFields {
    type Value = Option<bool>;

    const NAMES: TypeNames = TypeNames::NONE;
    const SIZE: i32 = 1;

    fn find(types: &Types<'_>) -> Option<Self> {
        types.structure("task_struct")?.member(&["in_iowait"])?.bit().map(Self)
    }

    fn write(&self, code: &mut Code, at: i32) {
        code.load(R1, TASK.field(self.0.byte));
        code.and(R1, self.0.mask);
        code.store(RECORD.u8(at), R1); //                          record->io = task->in_iowait;
    }

    #[inline]
    fn read(record: RecordWords<'_>, at: i32) -> Option<bool> {
        Some(record.u8(at) != 0)
    }
}
