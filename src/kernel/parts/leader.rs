//! The name of the process, which is the name of its first thread.

use crate::kernel::bpf::asm::Register::R3;
use crate::kernel::bpf::asm::{Code, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

use super::part::RecordPart;

/// The fields for the name.
#[derive(Debug, Clone, Copy)]
pub struct LeaderFields {
    /// `task_struct.group_leader`
    group_leader: StructField,
    /// The two halves of `task_struct.comm`.
    comm: [StructField; 2],
}

impl RecordPart for LeaderFields {
    type Value = Option<[u8; 16]>;

    const NAMES: TypeNames = TypeNames::NONE;
    const SIZE: i32 = 16;

    fn find(types: &Types<'_>) -> Option<Self> {
        let comm = types.task(&["comm"])?;
        Some(Self { group_leader: types.task(&["group_leader"])?, comm: [comm.element(0, 8)?, comm.element(1, 8)?] })
    }

    fn write(&self, code: &mut Code, at: i32) {
        let [first, second] = self.comm;
        code.load(R3, TASK.field(self.group_leader));
        code.jump_if(R3, When::Equal, 0, "no leader"); //          if (task->group_leader)
        code.copy(RECORD.u64(at), R3.field(first));
        code.copy(RECORD.u64(at + 8), R3.field(second)); //            memcpy(record->leader, task->group_leader->comm, 16);
        code.jump("led"); //                                       else
        code.label("no leader");
        code.clear(RECORD.u64(at));
        code.clear(RECORD.u64(at + 8)); //                             memset(record->leader, 0, 16);
        code.label("led");
    }

    #[inline]
    fn read(record: RecordWords<'_>, at: i32) -> Option<[u8; 16]> {
        Some(record.name(at))
    }
}
