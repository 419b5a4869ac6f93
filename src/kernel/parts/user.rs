//! The real user id of the task.

use super::part::RecordPart;
use crate::kernel::bpf::asm::Register::R1;
use crate::kernel::bpf::asm::{Code, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The fields for the user id.
#[derive(Debug, Clone, Copy)]
pub struct UserFields {
    /// `task_struct.real_cred`
    real_cred: StructField,
    /// `cred.uid`
    uid: StructField,
}

impl RecordPart for UserFields {
    type Value = Option<u32>;

    const NAMES: TypeNames = TypeNames { structures: &["cred"], ..TypeNames::NONE };
    const SIZE: i32 = 4;

    fn find(types: &Types<'_>) -> Option<Self> {
        Some(Self { real_cred: types.task(&["real_cred"])?, uid: types.field("cred", &["uid"])? })
    }

    fn write(&self, code: &mut Code, at: i32) {
        code.load(R1, TASK.field(self.real_cred));
        code.jump_if(R1, When::Equal, 0, "no cred"); //            if (task->real_cred)
        code.load(R1, R1.field(self.uid));
        code.label("no cred");
        code.store(RECORD.u32(at), R1); //                             record->uid = task->real_cred->uid.val;
    }

    #[inline]
    fn read(record: RecordWords<'_>, at: i32) -> Option<u32> {
        Some(record.u32(at))
    }
}
