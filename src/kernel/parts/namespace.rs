//! The ids of a task in a PID namespace other than the initial one.

use crate::kernel::bpf::asm::Register::{Frame, R0, R1, R2, R3};
use crate::kernel::bpf::asm::{Code, Helper, Label, MemoryOperand, When};
use crate::kernel::bpf::field::StructField;
use crate::kernel::control;
use crate::kernel::registers::{CONTROL, TASK};
use crate::kernel::types::{TypeNames, Types};

/// The offset of `struct upid thread`, the thread id, in the program's frame.
const THREAD: i32 = -16;
/// The offset of `struct upid process`, the process id, in the frame.
const PROCESS: i32 = -32;
/// The frame below this offset is free.
pub(crate) const FRAME_END: i32 = PROCESS;

/// The fields for the ids that a task has in each PID namespace in which it is visible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamespaceFields {
    /// `task_struct.thread_pid`
    thread_pid: StructField,
    /// `task_struct.signal`
    signal: StructField,
    /// `signal_struct.pids[PIDTYPE_TGID]`
    tgid_pid: StructField,
    /// `pid.level`: the depth of the innermost namespace.
    level: StructField,
    /// The offset of `pid.numbers`: one `struct upid` for each namespace, from the outermost.
    pub(in super::super) numbers: u32,
    /// The size of `struct upid`.
    upid_size: u32,
    /// `upid.nr`: the id.
    upid_nr: StructField,
    /// `upid.ns`: the namespace.
    upid_ns: StructField,
}

impl NamespaceFields {
    /// The names of types to look up.
    pub(crate) const NAMES: TypeNames = TypeNames {
        structures: &["pid", "upid", "signal_struct"],
        functions: &[],
        constants: &["BPF_FUNC_get_current_task_btf"],
    };

    /// Finds the fields.
    pub(crate) fn find(types: &Types<'_>) -> Option<Self> {
        /// `PIDTYPE_TGID`
        const TGID: u32 = 1;
        types.constant("BPF_FUNC_get_current_task_btf")?;
        Some(Self {
            thread_pid: types.task(&["thread_pid"])?,
            signal: types.task(&["signal"])?,
            tgid_pid: types.field("signal_struct", &["pids"])?.element(TGID, 8)?,
            level: types.field("pid", &["level"])?,
            // A flexible array has no size, so it is not a field.
            numbers: types.structure("pid")?.member(&["numbers"])?.bit_offset / 8,
            // The frame has 16 bytes for it.
            upid_size: Some(types.structure("upid")?.size()).filter(|size| *size <= 16)?,
            upid_nr: types.field("upid", &["nr"])?,
            upid_ns: types.field("upid", &["ns"])?,
        })
    }

    /// Writes the depth of psn's own PID namespace into the control map.
    pub(crate) fn write_own_level(&self, code: &mut Code) {
        code.call(Helper::GetCurrentTaskBtf); //                   current
        code.load(R1, R0.field(self.thread_pid)); //               pid = current->thread_pid;
        code.jump_if(R1, When::Equal, 0, "no pid"); //             if (pid)
        code.load(R1, R1.field(self.level));
        code.store(CONTROL.u64(control::LEVEL), R1); //                control->level = pid->level;
        code.label("no pid");
    }
}

/// The PID namespace whose ids the records have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Namespace {
    ids: NamespaceFields,
    /// Its depth, at least 1.
    level: u32,
}

impl Namespace {
    /// The namespace at this depth; `None` for the initial one, whose ids are in `task_struct` itself.
    pub(crate) fn new(ids: Option<NamespaceFields>, level: u32) -> Option<Self> {
        ids.filter(|_| level > 0).map(|ids| Self { ids, level })
    }

    /// Writes the address of the namespace into the control map: psn's own namespace, or the one above it at that depth.
    pub(crate) fn write_address(&self, code: &mut Code) {
        code.call(Helper::GetCurrentTaskBtf); //                   current
        code.load(R3, R0.field(self.ids.thread_pid)); //           pid = current->thread_pid;
        self.read_number(code, THREAD); //                         thread = pid->numbers[LEVEL];
        code.load(R1, Frame.u64(THREAD + self.ids.upid_ns.offset.cast_signed()));
        code.store(CONTROL.u64(control::NAMESPACE), R1); //        control->namespace = thread.ns;
    }

    /// Finds the thread id. Jumps to `hidden` if there is none, because the thread is being freed or not visible in the namespace.
    pub(crate) fn find_thread(&self, code: &mut Code, hidden: Label) {
        code.load(R3, TASK.field(self.ids.thread_pid)); //         pid = task->thread_pid;
        code.jump_if(R3, When::Equal, 0, hidden); //               if (!pid) goto hidden;
        code.load(R1, R3.field(self.ids.level));
        code.set(R2, self.level.cast_signed());
        code.jump_if(R2, When::Above, R1, hidden); //              if (LEVEL > pid->level) goto hidden;
        self.read_number(code, THREAD); //                         thread = pid->numbers[LEVEL];
    }

    /// Jumps to `hidden` if the thread is in another namespace of the same depth, by the address in the control map.
    pub(crate) fn check_address(&self, code: &mut Code, hidden: Label) {
        code.load(R1, Frame.u64(THREAD + self.ids.upid_ns.offset.cast_signed()));
        code.load(R2, CONTROL.u64(control::NAMESPACE));
        code.jump_if(R1, When::NotEqual, R2, hidden); //           if (thread.ns != control->namespace) goto hidden;
    }

    /// Finds the process id of a thread that is visible in the namespace. Jumps to `hidden` if the process is being freed.
    pub(crate) fn find_process(&self, code: &mut Code, hidden: Label) {
        code.load(R3, TASK.field(self.ids.signal));
        code.jump_if(R3, When::Equal, 0, hidden);
        code.load(R3, R3.field(self.ids.tgid_pid)); //             pid = task->signal->pids[PIDTYPE_TGID];
        code.jump_if(R3, When::Equal, 0, hidden); //               if (!pid) goto hidden;
        self.read_number(code, PROCESS); //                        process = pid->numbers[LEVEL];
    }

    /// Copies `pid->numbers[LEVEL]` into the frame, with `pid` in `R3`. This takes a helper, because the verifier does not know the
    /// length of that array.
    fn read_number(&self, code: &mut Code, to: i32) {
        code.add(R3, (self.ids.numbers + self.level * self.ids.upid_size).cast_signed());
        code.set(R1, Frame);
        code.add(R1, to);
        code.set(R2, self.ids.upid_size.cast_signed());
        code.call(Helper::ProbeReadKernel);
    }

    /// The location of the thread id, after [`Namespace::find_thread`].
    pub(crate) fn tid(&self) -> MemoryOperand {
        Frame.u32(THREAD + self.ids.upid_nr.offset.cast_signed())
    }

    /// The location of the process id, after [`Namespace::find_process`].
    pub(crate) fn tgid(&self) -> MemoryOperand {
        Frame.u32(PROCESS + self.ids.upid_nr.offset.cast_signed())
    }
}
