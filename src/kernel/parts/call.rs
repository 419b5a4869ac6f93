//! The system call that the task waits in, with its arguments and the user registers.

use super::part::RecordPart;
use super::{identity, record_flags};
use crate::kernel::bpf::asm::Register::{R0, R1};
use crate::kernel::bpf::asm::{Code, Helper, When};
use crate::kernel::bpf::btf::Structure;
use crate::kernel::bpf::field::StructField;
use crate::kernel::record_words::RecordWords;
use crate::kernel::registers::{FLAG_BITS, RECORD, TASK};
use crate::kernel::types::{TypeNames, Types};

/// `i64`
const NUMBER: i32 = 0;
/// `u64[6]`
const ARGS: i32 = NUMBER + 8;
/// `u64`
const SP: i32 = ARGS + 6 * 8;
/// `u64`
const IP: i32 = SP + 8;

/// How a task came into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordedCall {
    /// Not requested, or not known because the task was running, had ended, or ran while the program looked at it.
    #[default]
    Unknown,
    /// It did not: the task is a kernel thread.
    KernelThread,
    /// Not by a system call, but by a page fault or a signal, for example.
    None(Registers),
    /// By a system call.
    Some {
        /// The number of the call.
        number: i64,
        /// Whether the number is of the table of 32-bit programs.
        is_compat: bool,
        /// The arguments, as they are in the registers.
        args: [u64; 6],
        /// Where the program called.
        registers: Registers,
    },
}

/// The user registers that say where a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// The stack pointer.
    pub sp: u64,
    /// The program counter.
    pub ip: u64,
}

/// The fields of `struct pt_regs` that a system call uses, and the field that tells whether it is of the 32-bit table.
#[derive(Debug, Clone, Copy)]
pub struct CallFields {
    number: StructField,
    args: [StructField; 6],
    /// The arguments of 32-bit programs.
    compat_args: [StructField; 6],
    sp: StructField,
    ip: StructField,
    /// The word of `task_struct` that tells.
    compat_word: StructField,
    /// The bits of that word that are set during a system call of the 32-bit table.
    compat_bits: i32,
}

impl RecordPart for CallFields {
    type Value = RecordedCall;

    const NAMES: TypeNames =
        TypeNames { structures: &["pt_regs"], functions: &[], constants: &["BPF_FUNC_task_pt_regs"] };
    const SIZE: i32 = IP + 8;

    fn find(types: &Types<'_>) -> Option<Self> {
        types.constant("BPF_FUNC_task_pt_regs")?;
        Self::of_machine(types, types.structure("pt_regs")?)
    }

    /// Copies the user registers, which are on the kernel stack.
    fn write(&self, code: &mut Code, at: i32) {
        identity::jump_if_kernel_thread(code, "no call"); //       if (!(record->flags & PF_KTHREAD)) {
        code.set(R1, TASK);
        code.call(Helper::TaskPtRegs); //                              regs = task_pt_regs(task);
        code.copy(RECORD.u64(at + NUMBER), R0.field(self.number));
        code.copy(RECORD.u64(at + SP), R0.field(self.sp));
        code.copy(RECORD.u64(at + IP), R0.field(self.ip));
        code.load(R1, TASK.field(self.compat_word));
        code.jump_if(R1, When::AnyBit, self.compat_bits, "32-bit"); // if (!(task->thread_info.status & TS_COMPAT))
        write_args(code, at, self.args); //                                copy the arguments
        code.jump("no call"); //                                       else {
        code.label("32-bit");
        code.or(FLAG_BITS, record_flags::COMPAT);
        write_args(code, at, self.compat_args); //                         copy those of 32-bit programs }
        code.label("no call"); //                                  }
    }

    fn read(record: RecordWords<'_>, at: i32) -> RecordedCall {
        if identity::is_kernel_thread(identity::read_flags(record)) {
            return RecordedCall::KernelThread;
        }
        let mut args = [0; 6];
        for (arg, place) in args.iter_mut().zip((at + ARGS..).step_by(8)) {
            *arg = record.u64(place);
        }
        let registers = Registers { sp: record.u64(at + SP), ip: record.u64(at + IP) };
        let is_compat = record_flags::read(record) & record_flags::COMPAT != 0;
        // The kernel uses only the lower half (`syscall_get_nr`).
        let [a, b, c, d, ..] = record.u64(at + NUMBER).to_le_bytes();
        match i32::from_le_bytes([a, b, c, d]) {
            -1 => RecordedCall::None(registers),
            number => RecordedCall::Some { number: number.into(), is_compat, args, registers },
        }
    }
}

fn write_args(code: &mut Code, at: i32, args: [StructField; 6]) {
    for (index, arg) in (0..).zip(args) {
        code.copy(RECORD.u64(at + ARGS + 8 * index), R0.field(arg));
    }
}

impl CallFields {
    /// The registers by `arch/x86/include/asm/syscall.h`.
    #[cfg(target_arch = "x86_64")]
    fn of_machine(types: &Types<'_>, registers: &Structure<'_>) -> Option<Self> {
        /// `TS_COMPAT`
        const COMPAT: i32 = 0x2;
        let fields = |names: [&str; 6]| all(names.map(|name| registers.field(&[name])));
        Some(Self {
            number: registers.field(&["orig_ax"])?,
            args: fields(["di", "si", "dx", "r10", "r8", "r9"])?,
            compat_args: fields(["bx", "cx", "dx", "si", "di", "bp"])?,
            sp: registers.field(&["sp"])?,
            ip: registers.field(&["ip"])?,
            compat_word: types.task(&["thread_info", "status"])?,
            compat_bits: COMPAT,
        })
    }

    /// The registers by `arch/arm64/include/asm/syscall.h`.
    #[cfg(target_arch = "aarch64")]
    fn of_machine(types: &Types<'_>, registers: &Structure<'_>) -> Option<Self> {
        /// `_TIF_32BIT`
        const COMPAT: i32 = 1 << 22;
        let general = registers.field(&["regs"])?;
        let register = |index| general.element(index, 8);
        let first = registers.field(&["orig_x0"]);
        let args = all([first, register(1), register(2), register(3), register(4), register(5)])?;
        Some(Self {
            number: registers.field(&["syscallno"])?,
            args,
            compat_args: args,
            sp: registers.field(&["sp"])?,
            ip: registers.field(&["pc"])?,
            compat_word: types.task(&["thread_info", "flags"])?,
            compat_bits: COMPAT,
        })
    }

    /// The registers of other architectures are not known; psn reads the system call from /proc.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of_machine(_: &Types<'_>, _: &Structure<'_>) -> Option<Self> {
        None
    }
}

/// All of the fields, or `None` if one is missing.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn all<const N: usize>(fields: [Option<StructField>; N]) -> Option<[StructField; N]> {
    let mut found = [StructField { offset: 0, size: 0 }; N];
    for (to, from) in found.iter_mut().zip(fields) {
        *to = from?;
    }
    Some(found)
}
