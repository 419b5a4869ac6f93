//! The kernel stack of the task: return addresses, innermost first.
//!
//! It is the only part with a varying length, so it is the last in a record: its length in bytes as one word, then the addresses.

use crate::kernel::bpf::asm::Register::{self, R0, R1, R2, R3, R4};
use crate::kernel::bpf::asm::{Code, Helper, When};
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The number of frames that /proc shows (`MAX_STACK_TRACE_DEPTH`).
pub(crate) const MAX_FRAMES: u8 = 64;

/// Shows that this kernel lets programs read stacks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackFields;

impl StackFields {
    /// The names of types to look up.
    pub(crate) const NAMES: TypeNames = TypeNames { constants: &["BPF_FUNC_get_task_stack"], ..TypeNames::NONE };

    /// Finds out whether the kernel does.
    pub(crate) fn find(types: &Types<'_>) -> Option<Self> {
        types.constant("BPF_FUNC_get_task_stack").map(|_| Self)
    }
}

/// The stack in a record: its offset, and the number of its frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedStack {
    at: i32,
    frames: u8,
}

impl PlacedStack {
    /// Places a stack of up to `frames` frames at the end of a record, unless that is 0.
    pub(crate) fn new(fields: Option<StackFields>, frames: u8, end: &mut i32) -> Option<Self> {
        fields.filter(|_| frames > 0)?;
        let at = *end;
        *end = at + 8;
        Some(Self { at, frames: frames.min(MAX_FRAMES) })
    }

    /// The largest number of frames.
    pub(crate) const fn frames(self) -> u8 {
        self.frames
    }

    /// The size of the largest number of frames, in bytes.
    pub(crate) fn max_bytes(self) -> i32 {
        8 * i32::from(self.frames)
    }

    /// Writes the stack. The kernel leaves out the frames of the scheduler.
    pub(crate) fn write(self, code: &mut Code) {
        code.clear(RECORD.u64(self.at)); //                        record->stack.bytes = 0;
        code.set(R1, TASK);
        code.set(R2, RECORD);
        code.add(R2, self.at + 8);
        code.set(R3, self.max_bytes());
        code.set(R4, 0);
        code.call(Helper::GetTaskStack); //                        n = bpf_get_task_stack(task, record->stack.frames, size, 0);
        code.jump_if(R0, When::Negative, 0, "no stack"); //        if (n >= 0)
        code.store(RECORD.u64(self.at), R0); //                        record->stack.bytes = n;
        code.label("no stack");
    }

    /// `to += record->stack.bytes`
    pub(crate) fn add_bytes(self, code: &mut Code, to: Register) {
        code.load(R2, RECORD.u64(self.at));
        code.add(to, R2);
    }

    /// The size of the frames in a record, in bytes.
    #[inline]
    pub(crate) fn read_bytes(self, record: RecordWords<'_>) -> u64 {
        record.u64(self.at)
    }

    /// The stack in a record.
    #[inline]
    pub(crate) fn read(self, record: RecordWords<'_>) -> &[u64] {
        record.from(self.at + 8)
    }
}
