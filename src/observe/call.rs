//! The system call that a thread is blocked in: its name, its arguments, and the descriptor that it is about.

use std::io::Write as _;

use super::contents::{Descriptor, FileContents, SystemCall};
use super::thread::Thread;
use crate::ask::column::SyscallPart;
use crate::kernel::{RecordedCall, Registers};
use crate::proc::parse;
use crate::proc::parse::stack::Entry;
use crate::proc::parse::stat::field;
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::source::Source;
use crate::proc::syscall::{self, Abi};
use crate::row::observation::{Mark, Observation};

/// The system call that the thread is blocked in.
///
/// # Errors
/// The mark for the columns `syscall` and `syscall_id`, if it is in none or that is not known.
pub(super) fn system_call(thread: &Thread<'_>, contents: &FileContents) -> Result<SystemCall, Mark> {
    if let Some(kept) = &contents.kept {
        return Ok(kept.call);
    }
    if thread.is_running() {
        return Err(Mark::Running);
    }
    if thread.has_ended() {
        return Err(Mark::None);
    }
    if thread.is_kernel_thread() {
        return Err(Mark::KernelThread);
    }
    if thread.is_io_worker() {
        return Err(Mark::UserWorker);
    }
    if let Some(mark) = thread.mark_without_wait() {
        return Err(mark);
    }
    if let Some(record) = thread.record_for(Source::Syscall) {
        return recorded_call(record.call());
    }
    match parse::syscall::parse(contents.bytes(Source::Syscall)?) {
        // The thread slept when its state was read, and ran when this file was.
        Ok(SyscallLine::Running) => Err(Mark::Torn),
        Ok(SyscallLine::Blocked { .. }) => Err(Mark::KernelDirect),
        // A worker without user code: the call is left over from the thread that created the worker.
        Ok(SyscallLine::Call { sp: 0, pc: 0, .. }) => Err(Mark::UserWorker),
        Ok(SyscallLine::Call { number, args, sp, pc }) => {
            Ok(SystemCall { abi: abi(thread, contents.entry, number, sp), number, args, sp, pc })
        }
        Err(_) => Err(Mark::Malformed),
    }
}

/// The call in a record, in which the kernel says whether it is of the 32-bit table.
fn recorded_call(call: RecordedCall) -> Result<SystemCall, Mark> {
    match call {
        RecordedCall::Some { registers: Registers { sp: 0, ip: 0 }, .. } => Err(Mark::UserWorker),
        RecordedCall::Some { number, is_compat, args, registers } => {
            let abi = if is_compat { compat(Abi::native()) } else { Abi::native() };
            Ok(SystemCall { abi, number, args, sp: registers.sp, pc: registers.ip })
        }
        RecordedCall::None(_) => Err(Mark::KernelDirect),
        RecordedCall::KernelThread => Err(Mark::KernelThread),
        RecordedCall::Unknown => Err(Mark::Torn),
    }
}

/// The system call table of 32-bit programs on a kernel of this architecture.
const fn compat(native: Abi) -> Abi {
    match native {
        Abi::X86_64 => Abi::X86,
        Abi::Aarch64 => Abi::Arm,
        native => native,
    }
}

/// The system call table to which a thread's call belongs.
///
/// The entry point into the kernel decides, if it is known, and so does the number of an x32 program. Otherwise a call is of
/// the 32-bit table if both the current stack and the first stack of the process lie below 4 GiB. A 64-bit program can put the
/// stack of another thread there, but not its first stack.
fn abi(thread: &Thread<'_>, entry: Option<Entry>, number: i64, sp: u64) -> Abi {
    const FOUR_GIB: u64 = 1 << 32;
    let native = Abi::native();
    if native == Abi::X86_64 && number >= syscall::X32_BIT {
        return native;
    }
    match entry {
        Some(Entry::Native) => return native,
        Some(Entry::Compat) => return compat(native),
        None => {}
    }
    let first_stack = thread.file_number(field::STARTSTACK).unwrap_or(0);
    if sp >= FOUR_GIB || first_stack >= i128::from(FOUR_GIB) { native } else { compat(native) }
}

/// Appends the value of a column about the thread's system call to `row`.
pub(super) fn extract_call(part: SyscallPart, thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    let call = system_call(thread, contents);
    match (part, call) {
        (SyscallPart::Name | SyscallPart::Id, Err(mark)) => row.push_mark(mark),
        (_, Err(mark @ (Mark::Denied | Mark::Torn | Mark::Gone | Mark::Blocked | Mark::Dropped | Mark::Malformed))) => {
            row.push_mark(mark);
        }
        (_, Err(_)) => row.push_mark(Mark::None),
        (SyscallPart::Name, Ok(call)) => match syscall::name(call.abi, call.number) {
            Some(name) => row.push_text(name.as_bytes()),
            None => row.push_text(itoa::Buffer::new().format(call.number).as_bytes()),
        },
        (SyscallPart::Id, Ok(call)) => row.push_number(call.number.into()),
        (SyscallPart::Arg(index), Ok(call)) => push_hex(row, call.args.get(index).copied().unwrap_or(0)),
        (SyscallPart::StackPointer, Ok(call)) => push_hex(row, call.sp),
        (SyscallPart::ProgramCounter, Ok(call)) => push_hex(row, call.pc),
    }
}

fn push_hex(row: &mut Observation, number: u64) {
    row.push_text_with(|out| {
        out.extend_from_slice(b"0x");
        // Writing to a vector cannot fail.
        let _ = write!(out, "{number:x}");
    });
}

/// What the first argument of the thread's system call refers to.
#[must_use]
pub(super) fn descriptor(thread: &Thread<'_>, contents: &FileContents) -> Descriptor {
    const AT_FDCWD: i32 = -100;
    let Ok(SystemCall { abi, number, args, .. }) = system_call(thread, contents) else {
        return Descriptor::None;
    };
    // Descriptors and process ids are C ints: the upper half of the register is undefined.
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    let argument = args[0] as u32 as i32;
    if syscall::first_argument_is_fd(abi, number) {
        match u32::try_from(argument) {
            Ok(fd) => Descriptor::Fd(fd),
            Err(_) if argument == AT_FDCWD => Descriptor::WorkingDirectory,
            Err(_) => Descriptor::None,
        }
    } else if syscall::first_argument_is_pid(abi, number) {
        Descriptor::Pid(argument.into())
    } else {
        Descriptor::None
    }
}

/// The system call that the thread is blocked in.
///
/// # Errors
/// The mark for the columns about its file, if it is in none or that is not known: if the call was refused or is torn, its file is not
/// known either.
pub(super) fn call_with_file(thread: &Thread<'_>, contents: &FileContents) -> Result<SystemCall, Mark> {
    system_call(thread, contents).map_err(mark_of_file)
}

/// The mark for columns about the file of a system call, where the call has this one.
pub(super) const fn mark_of_file(mark: Mark) -> Mark {
    match mark {
        Mark::Running | Mark::KernelThread | Mark::KernelDirect | Mark::UserWorker => Mark::None,
        other => other,
    }
}
