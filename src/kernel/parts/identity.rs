//! Which task it is: its ids, when it started, its name and flags.

use super::cpu;
use super::namespace::Namespace;
use crate::kernel::bpf::asm::Register::{self, R1};
use crate::kernel::bpf::asm::{Code, Label, Place, When};
use crate::kernel::bpf::field::Field;
use crate::kernel::clock::BootClock;
use crate::kernel::registers::{RECORD, TASK};
use crate::kernel::types::Types;
use crate::kernel::words::Words;
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
/// Where the next part of a record begins.
pub const END: i32 = FLAGS + 4;

/// A thread of the kernel's own.
const KERNEL_THREAD: i32 = 1 << PF_KTHREAD.trailing_zeros();
/// `PF_IO_WORKER`: a thread that io_uring made for a program.
const IO_WORKER: i32 = 1 << PF_IO_WORKER.trailing_zeros();
/// `PF_WQ_WORKER`: a kernel thread that runs work items.
const WORKER: i32 = 0x0000_0020;

/// The fields of `task_struct`.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// The thread's id.
    pid: Field,
    /// The process's id.
    tgid: Field,
    start_boottime: Field,
    comm: Field,
    flags: Field,
}

impl Fields {
    /// Finds them.
    ///
    /// # Errors
    /// The name of a field that is missing.
    pub fn find(types: &Types<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            pid: types.required("pid")?,
            tgid: types.required("tgid")?,
            start_boottime: types.required("start_boottime")?,
            comm: types.required("comm")?,
            flags: types.required("flags")?,
        })
    }

    /// `to` = the thread's id in the host's own PID namespace
    pub fn load_pid(&self, code: &mut Code, to: Register) {
        code.load(to, TASK.field(self.pid));
    }

    /// Where the thread's id is in the wanted PID namespace.
    pub fn tid(&self, namespace: Option<&Namespace>) -> Place {
        namespace.map_or(TASK.field(self.pid), Namespace::tid)
    }

    /// Where the process's id is in the wanted PID namespace.
    pub fn tgid(&self, namespace: Option<&Namespace>) -> Place {
        namespace.map_or(TASK.field(self.tgid), Namespace::tgid)
    }

    /// Writes all of it.
    pub fn write(&self, code: &mut Code, namespace: Option<&Namespace>) {
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

/// Jumps to `label` if the record is of a kernel thread.
pub fn jump_if_kernel_thread(code: &mut Code, label: Label) {
    code.load(R1, RECORD.u32(FLAGS));
    code.jump_if(R1, When::AnyBit, KERNEL_THREAD, label); //       if (record->flags & PF_KTHREAD) goto label;
}

/// `to = record->start`
pub fn load_noted_start(code: &mut Code, to: Register) {
    code.load(to, RECORD.u64(START));
}

/// What is read back of it.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The thread's id.
    pub tid: u32,
    /// The process's id.
    pub tgid: u32,
    /// In clock ticks after boot.
    pub starttime_ticks: u64,
    /// Filled up with zeros.
    pub comm: [u8; 16],
    /// The `PF_…` bits.
    pub flags: u32,
}

/// The identity in a record.
#[inline]
pub fn read(record: Words<'_>, clock: BootClock) -> Identity {
    Identity {
        tid: read_tid(record),
        tgid: record.u32(TGID),
        starttime_ticks: clock.ticks(read_start_ns(record)),
        comm: record.name(COMM),
        flags: read_flags(record),
    }
}

/// The thread's id in a record.
#[inline]
pub fn read_tid(record: Words<'_>) -> u32 {
    record.u32(TID)
}

/// When the task of a record started, in nanoseconds of the boot clock.
#[inline]
pub fn read_start_ns(record: Words<'_>) -> u64 {
    record.u64(START)
}

/// The `PF_…` bits in a record.
#[inline]
pub fn read_flags(record: Words<'_>) -> u32 {
    record.u32(FLAGS)
}

/// Whether these `PF_…` bits are a kernel thread's.
pub const fn is_kernel_thread(flags: u32) -> bool {
    flags & KERNEL_THREAD.cast_unsigned() != 0
}

/// Whether these `PF_…` bits are those of a worker that io_uring made for a program.
pub const fn is_io_worker(flags: u32) -> bool {
    flags & IO_WORKER.cast_unsigned() != 0 && !is_kernel_thread(flags)
}

/// Whether these `PF_…` bits are a worker's.
pub const fn is_worker(flags: u32) -> bool {
    flags & WORKER.cast_unsigned() != 0
}
