//! The identity of the task: its ids, start time, name and flags.

use super::cpu;
use super::namespace::Namespace;
use crate::kernel::bpf::asm::Register::{self, R1};
use crate::kernel::bpf::asm::{Code, Label, MemoryOperand, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::clock::BootClock;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::Types;
use crate::proc::parse::stat::{PF_IO_WORKER, PF_KTHREAD};

/// `u32`
const TID: i32 = cpu::END;
/// `u32`
const TGID: i32 = TID + 4;
/// `u64`, in nanoseconds of the boot clock
const START: i32 = TGID + 4;
/// `u8[16]`
const COMM: i32 = START + 8;
/// `u32`, the `PF_…` bits
const FLAGS: i32 = COMM + 16;
/// The offset of the next part of a record.
pub(crate) const END: i32 = FLAGS + 4;

/// `PF_KTHREAD`: a kernel thread.
const KERNEL_THREAD: i32 = 1 << PF_KTHREAD.trailing_zeros();
/// `PF_IO_WORKER`: a thread that io_uring made for a program.
const IO_WORKER: i32 = 1 << PF_IO_WORKER.trailing_zeros();
/// `PF_WQ_WORKER`: a kernel thread that runs work items.
const WORKER: i32 = 0x0000_0020;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityFields {
    /// The thread id.
    pid: StructField,
    /// The process id.
    tgid: StructField,
    start_boottime: StructField,
    comm: StructField,
    flags: StructField,
}

impl IdentityFields {
    /// Finds the fields.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub(crate) fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            pid: types.required("pid")?,
            tgid: types.required("tgid")?,
            start_boottime: types.required("start_boottime")?,
            comm: types.required("comm")?,
            flags: types.required("flags")?,
        })
    }

    /// `to` = the thread id in the initial PID namespace
    pub(crate) fn load_pid(&self, code: &mut Code, to: Register) {
        code.load(to, TASK.field(self.pid));
    }

    /// The location of the thread id in the requested PID namespace.
    pub(crate) fn tid(&self, namespace: Option<&Namespace>) -> MemoryOperand {
        namespace.map_or(TASK.field(self.pid), Namespace::tid)
    }

    /// The location of the process id in the requested PID namespace.
    pub(crate) fn tgid(&self, namespace: Option<&Namespace>) -> MemoryOperand {
        namespace.map_or(TASK.field(self.tgid), Namespace::tgid)
    }

    /// Writes the identity.
    pub(crate) fn write(&self, code: &mut Code, namespace: Option<&Namespace>) {
        code.copy(RECORD.u32(TID), self.tid(namespace)); //        record->tid = …;
        code.copy(RECORD.u32(TGID), self.tgid(namespace)); //      record->tgid = …;
        code.copy(RECORD.u64(START), TASK.field(self.start_boottime));
        for index in 0..2 {
            if let Some(half) = self.comm.element(index, 8) {
                let at = COMM + 8 * index.cast_signed();
                code.copy(RECORD.u64(at), TASK.field(half)); //    memcpy(record->comm, task->comm, 16);
            }
        }
        code.copy(RECORD.u32(FLAGS), TASK.field(self.flags)); //   record->flags = task->flags;
    }
}

/// Jumps to `label` if the record belongs to a kernel thread.
pub(crate) fn jump_if_kernel_thread(code: &mut Code, label: Label) {
    code.load(R1, RECORD.u32(FLAGS));
    code.jump_if(R1, When::AnyBit, KERNEL_THREAD, label); //       if (record->flags & PF_KTHREAD) goto label;
}

/// `to = record->start`
pub(crate) fn load_noted_start(code: &mut Code, to: Register) {
    code.load(to, RECORD.u64(START));
}

/// The identity as psn reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskIdentity {
    /// The thread id.
    pub(crate) tid: u32,
    /// The process id.
    pub(crate) tgid: u32,
    /// The start time in clock ticks after boot.
    pub(crate) starttime_ticks: u64,
    /// The name, padded with zeros.
    pub(crate) comm: [u8; 16],
    /// The `PF_…` bits.
    pub(crate) flags: u32,
}

/// The identity in a record.
#[inline]
pub(crate) fn read(record: RecordWords<'_>, clock: BootClock) -> TaskIdentity {
    TaskIdentity {
        tid: read_tid(record),
        tgid: record.u32(TGID),
        starttime_ticks: clock.ticks(read_start_ns(record)),
        comm: record.name(COMM),
        flags: read_flags(record),
    }
}

/// The thread id in a record.
#[inline]
pub(crate) fn read_tid(record: RecordWords<'_>) -> u32 {
    record.u32(TID)
}

/// The start time in a record, in nanoseconds of the boot clock.
#[inline]
pub(crate) fn read_start_ns(record: RecordWords<'_>) -> u64 {
    record.u64(START)
}

/// The `PF_…` bits in a record.
#[inline]
pub(crate) fn read_flags(record: RecordWords<'_>) -> u32 {
    record.u32(FLAGS)
}

/// Whether these `PF_…` bits belong to a kernel thread.
pub(crate) const fn is_kernel_thread(flags: u32) -> bool {
    flags & KERNEL_THREAD.cast_unsigned() != 0
}

/// Whether these `PF_…` bits belong to a worker that io_uring made for a program.
pub(crate) const fn is_io_worker(flags: u32) -> bool {
    flags & IO_WORKER.cast_unsigned() != 0 && !is_kernel_thread(flags)
}

/// Whether these `PF_…` bits belong to a workqueue worker.
pub(crate) const fn is_worker(flags: u32) -> bool {
    flags & WORKER.cast_unsigned() != 0
}
