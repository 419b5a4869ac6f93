//! From what was read of one thread to the values of its columns. Pure: no I/O, no state.

use std::io::Write as _;

use crate::ask::column::{Column, Extract, FilenameForm, SmapsPart, StatusForm, SyscallPart, state_name, state2_name};
use crate::ask::measured::Measured;
use crate::kernel::{Call, Registers, TaskRecord};
use crate::proc::lookup::PerSource;
use crate::proc::parse::smaps::Mapping;
use crate::proc::parse::stack::Entry;
use crate::proc::parse::stat::{PF_IO_WORKER, PF_KTHREAD, Stat, field};
use crate::proc::parse::syscall::SyscallLine;
use crate::proc::parse::{self, cgroup, cmdline, fd_link, io, schedstat, stack, status, system};
use crate::proc::source::{Source, SourceSet};
use crate::proc::syscall::{self, Abi};
use crate::proc::{Buffer, ReadError};
use crate::row::observation::{Mark, Observation, Value};
use crate::tasks::users::Users;

pub use crate::proc::state::{has_ended, is_running};

impl From<ReadError> for Mark {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Gone => Self::Gone,
            ReadError::Denied => Self::Denied,
            ReadError::Unsupported => Self::Unsupported,
            ReadError::TimedOut => Self::Blocked,
            ReadError::Dropped(_) => Self::Dropped,
            ReadError::Malformed => Self::Malformed,
        }
    }
}

/// What the kernel answered for one thread, file by file.
#[derive(Debug)]
pub struct Answers {
    buffers: PerSource<Buffer>,
    marks: PerSource<Option<Mark>>,
    /// The descriptor that `fd` was read for, when the system call has one.
    pub descriptor: Descriptor,
    /// How the thread came into the kernel, where its stack has told.
    pub entry: Option<Entry>,
    /// What the kernel measures: the same for every thread.
    measured: Measured,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            buffers: PerSource::default(),
            marks: PerSource::from_fn(|| Some(Mark::Unread)),
            descriptor: Descriptor::None,
            entry: None,
            measured: Measured::default(),
        }
    }
}

impl Answers {
    /// No answers of a kernel that measures so much.
    #[must_use]
    pub fn of(measured: Measured) -> Self {
        Self { measured, ..Self::default() }
    }

    /// The buffer to read `source` into.
    pub fn buffer(&mut self, source: Source) -> &mut Buffer {
        &mut self.buffers[source]
    }

    /// Forgets every answer: they were another thread's.
    pub fn reset(&mut self) {
        self.marks = PerSource::from_fn(|| Some(Mark::Unread));
        self.descriptor = Descriptor::None;
        self.entry = None;
    }

    /// Notes how the read of `source` went.
    pub fn set(&mut self, source: Source, result: Result<(), Mark>) {
        self.marks[source] = result.err();
    }

    /// Stores `bytes` as the answer of `source`.
    pub fn store(&mut self, source: Source, bytes: &[u8]) {
        self.buffers[source].store(bytes);
        self.marks[source] = None;
    }

    /// The answer of `source`, or what stands in its place.
    ///
    /// # Errors
    /// The mark.
    pub fn bytes(&self, source: Source) -> Result<&[u8], Mark> {
        match self.marks[source] {
            None => Ok(self.buffers[source].bytes()),
            Some(mark) => Err(mark),
        }
    }
}

/// The first argument of a system call, as far as it names something that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descriptor {
    /// A descriptor, to be looked up in the thread's `fd`.
    Fd(u32),
    /// `AT_FDCWD`.
    WorkingDirectory,
    /// A process that is waited for.
    Pid(i64),
    /// Nothing of the kind.
    None,
}

/// What the kernel's own walk tells of one thread, with names for the addresses.
#[derive(Debug, Clone, Copy)]
pub struct Walked<'a> {
    /// What was found.
    pub record: &'a TaskRecord<'a>,
    /// The function it sleeps in; `0` where there is none.
    pub wchan: &'a [u8],
    /// Its stack as it is shown.
    pub kstack: &'a [u8],
    /// The files that need not be read, for the record says what they would.
    pub provides: SourceSet,
}

impl Walked<'_> {
    /// Whether the record has this number of `stat`.
    #[must_use]
    pub const fn has_number(number: usize) -> bool {
        matches!(number, field::FLAGS | field::STARTTIME | field::PROCESSOR)
    }

    /// A number of `stat` that the record has.
    fn number(&self, number: usize) -> Option<i128> {
        match number {
            field::FLAGS => Some(self.record.flags.into()),
            field::STARTTIME => Some(self.record.starttime_ticks.into()),
            field::PROCESSOR => Some(self.record.cpu.into()),
            _ => None,
        }
    }
}

/// Everything that extraction looks at.
#[derive(Debug, Clone, Copy)]
pub struct Thread<'a> {
    /// The process id.
    pub tgid: u32,
    /// The parsed `stat`; of a thread that a walk found, with no more than its id, name and state unless it was read as well.
    pub stat: &'a Stat<'a>,
    /// What the kernel's own walk tells, where that is how the thread was found.
    pub walked: Option<Walked<'a>>,
    /// The other files.
    pub answers: &'a Answers,
    /// The mapping that the row is about, where the plan reads `smaps`.
    pub mapping: Option<Mapping<'a>>,
    /// User names.
    pub users: &'a Users,
    /// Whether the thread's process blocks its readers: `stat` was not read, only `status`.
    pub blocked: bool,
}

impl<'a> Thread<'a> {
    /// What the walk tells, if that is all there is to know from `source`.
    fn walked_instead_of(self, source: Source) -> Option<Walked<'a>> {
        self.walked.filter(|walked| walked.provides.contains(source))
    }

    /// Whether it is a kernel thread: by flag, as names prove nothing.
    #[must_use]
    pub fn is_kernel_thread(self) -> bool {
        match self.walked {
            Some(walked) => walked.record.is_kernel_thread(),
            None => is_kernel_thread(self.stat),
        }
    }

    /// Whether it is a worker that io_uring has made of a program's thread, by flag.
    #[must_use]
    pub fn is_io_worker(self) -> bool {
        match self.walked {
            Some(walked) => walked.record.is_io_worker(),
            None => !self.is_kernel_thread() && self.stat.flags().is_some_and(|flags| flags & PF_IO_WORKER != 0),
        }
    }

    /// The mark that says all there is of what a walk found to wait for nothing, or lost sight of.
    ///
    /// A thread whose state says that it waits may be on a CPU still: it is about to sleep, and in no wait yet.
    fn no_wait(self) -> Option<Mark> {
        match self.walked?.record {
            record if record.is_on_cpu => Some(Mark::None),
            record if record.has_moved => Some(Mark::Torn),
            _ => None,
        }
    }
}

/// Whether `stat` is a kernel thread's: by flag, as names prove nothing.
#[must_use]
pub fn is_kernel_thread(stat: &Stat<'_>) -> bool {
    stat.flags().is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// Appends the value of `column` to `row`.
pub fn extract(column: &Column, thread: Thread<'_>, row: &mut Observation) {
    let stat = thread.stat;
    if !thread.answers.measured.covers(column) {
        return row.push_mark(Mark::Unsupported);
    }
    match column.extract {
        Extract::Tgid => row.push_number(thread.tgid.into()),
        Extract::Tid => row.push_number(stat.tid.into()),
        Extract::Comm => row.push_text_with(|out| parse::star_digits(stat.comm, out)),
        Extract::CommRaw => row.push_text(stat.comm),
        Extract::ProcessComm => process_comm(thread, row),
        Extract::StateId => row.push_text(&[stat.state]),
        Extract::State => state(thread, row),
        Extract::State2 => state2(thread, row),
        Extract::OnCpu => match thread.walked {
            Some(walked) => row.push_number(walked.record.is_on_cpu.into()),
            None => row.push_mark(Mark::Unsupported),
        },
        Extract::Kthread => row.push_number(thread.is_kernel_thread().into()),
        Extract::StatNumber(number) => stat_number(number, thread, row),
        Extract::Status(key, form) => status_value(column.source, key, form, thread, row),
        Extract::User => user(thread, row),
        Extract::Syscall(part) => syscall_part(part, thread, row),
        Extract::Filename(form) => filename(form, thread, row),
        Extract::Wchan => wchan(thread, row),
        Extract::Stack => kstack(thread, row),
        Extract::Io(key) => with(thread.answers.bytes(Source::Io), row, |text, row| {
            push_or_malformed(row, io::value(text, key.as_bytes()));
        }),
        Extract::RunNs | Extract::WaitNs => {
            with(thread.answers.bytes(Source::Schedstat), row, |text, row| match schedstat::parse(text) {
                Ok(times) if column.extract == Extract::RunNs => row.push_number(times.run_ns.into()),
                Ok(times) => row.push_number(times.wait_ns.into()),
                Err(_) => row.push_mark(Mark::Malformed),
            });
        }
        Extract::CmdlineFirst | Extract::CmdlineAll => command_line(column.extract, thread, row),
        Extract::Exe => match thread.answers.bytes(Source::Exe) {
            Ok([]) => row.push_mark(Mark::None),
            Ok(path) => row.push_text(path),
            Err(mark) => row.push_mark(mark),
        },
        Extract::Cgroup => with(thread.answers.bytes(Source::Cgroup), row, |text, row| {
            push_text_or_none(row, cgroup::path(text));
        }),
        Extract::Container => with(thread.answers.bytes(Source::Cgroup), row, |text, row| {
            push_text_or_none(row, cgroup::container_of(text).map(short_container_id));
        }),
        Extract::PidNs => with(thread.answers.bytes(Source::PidNs), row, |link, row| {
            push_or_malformed(row, system::ns_id(link));
        }),
        Extract::Smaps(part) => smaps_part(part, thread, row),
    }
}

fn with(answer: Result<&[u8], Mark>, row: &mut Observation, push: impl FnOnce(&[u8], &mut Observation)) {
    match answer {
        Ok(bytes) => push(bytes, row),
        Err(mark) => row.push_mark(mark),
    }
}

fn push_or_malformed(row: &mut Observation, number: Option<u64>) {
    match number {
        Some(number) => row.push_number(number.into()),
        None => row.push_mark(Mark::Malformed),
    }
}

fn push_text_or_none(row: &mut Observation, text: Option<&[u8]>) {
    match text {
        Some(text) => row.push_text(text),
        None => row.push_mark(Mark::None),
    }
}

/// The process's name: that of its first thread.
fn process_comm(thread: Thread<'_>, row: &mut Observation) {
    if thread.stat.tid == thread.tgid {
        return row.push_text(thread.stat.comm);
    }
    let walked = thread.walked_instead_of(Source::Comm);
    match walked.and_then(|walked| walked.record.leader_comm()) {
        Some(name) => row.push_text(name),
        None => with(thread.answers.bytes(Source::Comm), row, |text, row| {
            row.push_text(text.strip_suffix(b"\n").unwrap_or(text));
        }),
    }
}

/// The state's name. Whether a thread has a CPU or waits for one is what /proc does not tell: there both are called by the
/// original's one name.
fn state(thread: Thread<'_>, row: &mut Observation) {
    let state = thread.stat.state;
    let name = match thread.walked {
        Some(walked) => state2_name(state, walked.record.is_on_cpu),
        None => state_name(state),
    };
    row.push_text(name.map_or(&[state], str::as_bytes));
}

fn state2(thread: Thread<'_>, row: &mut Observation) {
    if thread.walked.is_none() && is_running(thread.stat.state) {
        row.push_mark(Mark::Unsupported);
    } else {
        state(thread, row);
    }
}

fn stat_number(number: usize, thread: Thread<'_>, row: &mut Observation) {
    let known = thread.walked.and_then(|walked| walked.number(number));
    if is_masked(number) && thread.stat.number(field::STARTCODE) == Some(1) {
        return row.push_mark(Mark::Denied);
    }
    match known.or_else(|| thread.stat.number(number)) {
        Some(number) => row.push_number(number),
        None if thread.blocked => row.push_mark(Mark::Blocked),
        // Of a thread that a walk found, `stat` is one of the files that may not be had.
        None => row.push_mark(thread.walked.and(thread.answers.bytes(Source::Stat).err()).unwrap_or(Mark::Unsupported)),
    }
}

/// Whether `stat` shows a 0 or a 1 for the number to a reader who may not know it (`do_task_stat`).
const fn is_masked(number: usize) -> bool {
    matches!(number, field::STARTCODE..=field::KSTKEIP | field::START_DATA..=field::EXIT_CODE)
}

fn status_value(source: Source, key: &str, form: StatusForm, thread: Thread<'_>, row: &mut Observation) {
    if let Some(uid) = thread.walked_instead_of(source).and_then(|walked| walked.record.uid) {
        return row.push_number(uid.into());
    }
    with(thread.answers.bytes(source), row, |text, row| match (status::value(text, key.as_bytes()), form) {
        // A line that is not there: an older kernel, or memory of a task that has none.
        (None, _) if key.starts_with("Vm") || key.starts_with("Rss") || key == "HugetlbPages" => {
            row.push_mark(Mark::None);
        }
        (None, _) => row.push_mark(Mark::Unsupported),
        (Some(value), StatusForm::Text) => row.push_text(value),
        (Some(value), StatusForm::Name) => {
            row.push_text_with(|out| status::unescape_name(status::name(text).unwrap_or(value), out));
        }
        (Some(value), StatusForm::Number) => match status::first_number(value) {
            Some(number) => row.push_number(number),
            None => row.push_mark(Mark::Malformed),
        },
    });
}

fn user(thread: Thread<'_>, row: &mut Observation) {
    let name = |uid: u32, row: &mut Observation| match thread.users.name(uid) {
        Some(name) => row.push_text(&name),
        None => row.push_text(itoa::Buffer::new().format(uid).as_bytes()),
    };
    if let Some(uid) = thread.walked_instead_of(Source::Owner).and_then(|walked| walked.record.uid) {
        return name(uid, row);
    }
    with(thread.answers.bytes(Source::Owner), row, |text, row| {
        let uid = status::value(text, b"Uid").and_then(status::first_number).and_then(|uid| u32::try_from(uid).ok());
        match uid {
            Some(uid) => name(uid, row),
            None => row.push_mark(Mark::Malformed),
        }
    });
}

/// A system call that a thread is blocked in.
#[derive(Debug, Clone, Copy)]
struct SystemCall {
    abi: Abi,
    number: i64,
    args: [u64; 6],
    sp: u64,
    pc: u64,
}

/// What `syscall` says of the thread, or the mark that says all there is.
///
/// # Errors
/// The mark for the columns `syscall` and `syscall_id`.
fn system_call(thread: Thread<'_>) -> Result<SystemCall, Mark> {
    let state = thread.stat.state;
    if is_running(state) {
        return Err(Mark::Running);
    }
    if has_ended(state) {
        return Err(Mark::None);
    }
    if thread.is_kernel_thread() {
        return Err(Mark::KernelThread);
    }
    if thread.is_io_worker() {
        return Err(Mark::UserWorker);
    }
    if let Some(mark) = thread.no_wait() {
        return Err(mark);
    }
    if let Some(walked) = thread.walked_instead_of(Source::Syscall) {
        return walked_call(walked.record.call);
    }
    match parse::syscall::parse(thread.answers.bytes(Source::Syscall)?) {
        // The state says asleep and the file says running: it moved on.
        Ok(SyscallLine::Running) => Err(Mark::Torn),
        Ok(SyscallLine::Blocked { .. }) => Err(Mark::KernelDirect),
        // No program is there: what is left of a system call is of the thread that made the worker.
        Ok(SyscallLine::Call { sp: 0, pc: 0, .. }) => Err(Mark::UserWorker),
        Ok(SyscallLine::Call { number, args, sp, pc }) => {
            Ok(SystemCall { abi: abi(thread, number, sp), number, args, sp, pc })
        }
        Err(_) => Err(Mark::Malformed),
    }
}

/// The call in a record: there the kernel itself says whose numbers it uses.
fn walked_call(call: Call) -> Result<SystemCall, Mark> {
    match call {
        Call::Some { registers: Registers { sp: 0, ip: 0 }, .. } => Err(Mark::UserWorker),
        Call::Some { number, is_compat, args, registers } => {
            let abi = if is_compat { compat(Abi::native()) } else { Abi::native() };
            Ok(SystemCall { abi, number, args, sp: registers.sp, pc: registers.ip })
        }
        Call::None(_) => Err(Mark::KernelDirect),
        Call::KernelThread => Err(Mark::KernelThread),
        Call::Unknown => Err(Mark::Torn),
    }
}

/// The numbers of the 32-bit programs that a kernel of this kind runs.
const fn compat(native: Abi) -> Abi {
    match native {
        Abi::X86_64 => Abi::X86,
        Abi::Aarch64 => Abi::Arm,
        native => native,
    }
}

/// Whose numbers a thread's system calls are. The way by which it came into the kernel tells, if it is known; so does the
/// number of an x32 program. Else a 32-bit program's are those of its own kind: both the stack in use and the process's
/// first one lie under 4 GiB then. A 64-bit program may put a thread's stack there, but not its first.
fn abi(thread: Thread<'_>, number: i64, sp: u64) -> Abi {
    const FOUR_GIB: u64 = 1 << 32;
    let native = Abi::native();
    if native == Abi::X86_64 && number >= syscall::X32_BIT {
        return native;
    }
    match thread.answers.entry {
        Some(Entry::Native) => return native,
        Some(Entry::Compat) => return compat(native),
        None => {}
    }
    let first_stack = thread.stat.number(field::STARTSTACK).unwrap_or(0);
    if sp >= FOUR_GIB || first_stack >= i128::from(FOUR_GIB) { native } else { compat(native) }
}

fn syscall_part(part: SyscallPart, thread: Thread<'_>, row: &mut Observation) {
    let call = system_call(thread);
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
        // Writing to a vector can not fail.
        let _ = write!(out, "{number:x}");
    });
}

/// What the first argument of the thread's system call names.
#[must_use]
pub fn descriptor(thread: Thread<'_>) -> Descriptor {
    const AT_FDCWD: i32 = -100;
    let Ok(SystemCall { abi, number, args, .. }) = system_call(thread) else {
        return Descriptor::None;
    };
    // Both kinds are C ints: the upper half of the register is not part of them.
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

fn filename(form: FilenameForm, thread: Thread<'_>, row: &mut Observation) {
    // No name without a system call: a refused or torn one leaves the file unknown, too.
    if let Err(mark) = system_call(thread) {
        row.push_mark(match mark {
            Mark::Running | Mark::KernelThread | Mark::KernelDirect | Mark::UserWorker => Mark::None,
            other => other,
        });
        return;
    }
    let fd = match thread.answers.descriptor {
        Descriptor::Fd(fd) => fd,
        Descriptor::WorkingDirectory => return row.push_mark(Mark::WorkingDirectory),
        Descriptor::Pid(pid) => {
            return row.push_text_with(|out| {
                out.extend_from_slice(b"pid:[");
                out.extend_from_slice(itoa::Buffer::new().format(pid).as_bytes());
                out.push(b']');
            });
        }
        Descriptor::None => return row.push_mark(Mark::None),
    };
    with(thread.answers.bytes(Source::Fd), row, |link, row| {
        row.push_text_with(|out| {
            match form {
                FilenameForm::Normal => fd_link::filename(link, out),
                FilenameForm::Raw => out.extend_from_slice(link),
                FilenameForm::Summary => fd_link::filename_sum(link, out),
                FilenameForm::Basename => fd_link::basename(link, out),
                FilenameForm::Dirname => fd_link::dirname(link, out),
            }
            if matches!(form, FilenameForm::Normal | FilenameForm::Raw | FilenameForm::Summary) {
                out.extend_from_slice(match fd {
                    0 => b" (stdin)",
                    1 => b" (stdout)",
                    2 => b" (stderr)",
                    _ => b"",
                });
            }
        });
    });
}

fn wchan(thread: Thread<'_>, row: &mut Observation) {
    let state = thread.stat.state;
    if is_running(state) || has_ended(state) {
        return row.push_text(b"0");
    }
    match thread.no_wait() {
        Some(Mark::None) => return row.push_text(b"0"),
        Some(mark) => return row.push_mark(mark),
        None => {}
    }
    if let Some(walked) = thread.walked_instead_of(Source::Wchan) {
        return row.push_text(walked.wchan);
    }
    with(thread.answers.bytes(Source::Wchan), row, |text, row| {
        let text = parse::trim(text);
        if !is_no_wchan(text) {
            return row.push_text(text);
        }
        match thread.answers.bytes(Source::Stack).map(stack::wait_channel) {
            Ok(Some(function)) => row.push_text(function),
            Err(_) if wchan_was_refused(thread) => row.push_mark(Mark::Denied),
            Ok(None) | Err(_) => row.push_text(b"0"),
        }
    });
}

fn kstack(thread: Thread<'_>, row: &mut Observation) {
    let state = thread.stat.state;
    if is_running(state) {
        return row.push_mark(Mark::Running);
    }
    if has_ended(state) {
        return row.push_mark(Mark::None);
    }
    if let Some(mark) = thread.no_wait() {
        return row.push_mark(mark);
    }
    if let Some(walked) = thread.walked_instead_of(Source::Stack) {
        return row.push_text(walked.kstack);
    }
    with(thread.answers.bytes(Source::Stack), row, |text, row| {
        row.push_text_with(|out| stack::render(text, out));
    });
}

/// Whether `wchan` says that there is none, or that it will not say.
#[must_use]
pub fn is_no_wchan(text: &[u8]) -> bool {
    matches!(parse::trim(text), b"0" | b"")
}

/// Whether a `wchan` of 0 means that the reader is not permitted to know.
///
/// The kernel prints the same 0 for "no symbol" and "not permitted" (`proc_pid_wchan`). But `stat`
/// masks the text addresses by the same rule: `startcode` is 1 to a reader who may not know it
/// (`do_task_stat`). Kernel threads have no addresses to mask; for them a refused `stack` tells.
#[must_use]
pub fn wchan_was_refused(thread: Thread<'_>) -> bool {
    match thread.stat.number(field::STARTCODE) {
        Some(1) => true,
        Some(0) => thread.answers.bytes(Source::Stack) == Err(Mark::Denied),
        _ => false,
    }
}

fn command_line(extract: Extract, thread: Thread<'_>, row: &mut Observation) {
    with(thread.answers.bytes(Source::Cmdline), row, |text, row| {
        if text.iter().all(|byte| *byte == 0) {
            row.push_mark(Mark::None);
        } else if extract == Extract::CmdlineFirst {
            row.push_text(cmdline::first_argument(text));
        } else {
            row.push_text_with(|out| cmdline::joined(text, out));
        }
    });
}

/// Container tools show 12 digits of an id.
fn short_container_id(id: &[u8]) -> &[u8] {
    let is_hash = id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit);
    if is_hash { id.get(..12).unwrap_or(id) } else { id }
}

fn smaps_part(part: SmapsPart, thread: Thread<'_>, row: &mut Observation) {
    let Some(mapping) = thread.mapping else {
        return row.push_mark(thread.answers.bytes(Source::Smaps).err().unwrap_or(Mark::None));
    };
    match part {
        SmapsPart::AddressRange => row.push_text(mapping.address_range),
        SmapsPart::Perms => row.push_text(mapping.perms),
        SmapsPart::Offset => row.push_text(mapping.offset),
        SmapsPart::Dev => row.push_text(mapping.dev),
        SmapsPart::Inode => push_or_malformed(row, parse::unsigned(mapping.inode)),
        SmapsPart::Pathname if mapping.pathname.is_empty() => row.push_text(b"[anon]"),
        SmapsPart::Pathname => row.push_text(mapping.pathname),
        SmapsPart::Kb(key) => match mapping.kb(key.as_bytes()) {
            Some(kb) => row.push_number(kb.into()),
            None => row.push_mark(Mark::Unsupported),
        },
        SmapsPart::VmFlags => row.push_text(mapping.vm_flags()),
    }
}

/// The text of a value, for tests and diagnostics.
#[must_use]
pub fn text_of(value: Value<'_>) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Mark(mark) => mark.text().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// A `stat` line of a user thread with plausible numbers; `startcode` at field 26.
    fn stat_line(comm: &str, state: char, flags: u64, startcode: u64) -> String {
        let mut fields = vec!["0".to_owned(); 49];
        fields[field::FLAGS - 4] = flags.to_string();
        fields[field::STARTCODE - 4] = startcode.to_string();
        fields[field::STARTSTACK - 4] = "140722000000000".to_owned();
        format!("7 ({comm}) {state} {}\n", fields.join(" "))
    }

    fn thread<'a>(stat: &'a Stat<'a>, answers: &'a Answers, users: &'a Users) -> Thread<'a> {
        Thread { tgid: 7, stat, walked: None, answers, mapping: None, users, blocked: false }
    }

    fn value(column: &str, line: &str, answers: &[(Source, &str)]) -> String {
        let stat = Stat::parse(line.as_bytes(), 52).unwrap();
        let mut read = Answers::default();
        for (source, text) in answers {
            match Mark::from_text(text.as_bytes()) {
                Some(mark) => read.set(*source, Err(mark)),
                None => read.store(*source, text.as_bytes()),
            }
        }
        let users = Users::default();
        read.descriptor = descriptor(thread(&stat, &read, &users));
        let mut row = Observation::default();
        extract(Column::find(column).unwrap(), thread(&stat, &read, &users), &mut row);
        text_of(row.value(0))
    }

    const FSYNC: &str = "74 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffc0 0x7f00\n";

    #[test]
    fn a_running_thread_is_in_no_call_whatever_the_files_say() {
        let line = stat_line("a", 'R', 0, 4096);
        assert_eq!(value("syscall", &line, &[(Source::Syscall, FSYNC)]), "[running]");
        assert_eq!(value("syscall_id", &line, &[]), "[running]");
        assert_eq!(value("arg0", &line, &[]), "-");
        assert_eq!(value("wchan", &line, &[(Source::Wchan, "fsync_wait")]), "0");
        assert_eq!(value("filename", &line, &[]), "-");
    }

    #[test]
    fn a_sleeping_thread_that_reads_as_running_has_moved_on() {
        let line = stat_line("a", 'D', 0, 4096);
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "running\n")]), "[torn]");
        assert_eq!(value("arg0", &line, &[(Source::Syscall, "running\n")]), "[torn]");
    }

    #[test]
    fn system_calls_are_named_and_their_files_shown() {
        let line = stat_line("a", 'D', 0, 4096);
        let link = (Source::Fd, "/data/ib_logfile12");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, FSYNC)]), "fsync");
        assert_eq!(value("syscall_id", &line, &[(Source::Syscall, FSYNC)]), "74");
        assert_eq!(value("arg0", &line, &[(Source::Syscall, FSYNC)]), "0x5");
        assert_eq!(value("filename", &line, &[(Source::Syscall, FSYNC), link]), "/data/ib_logfile12");
        assert_eq!(value("filenamesum", &line, &[(Source::Syscall, FSYNC), link]), "/data/ib_logfile*");
        assert_eq!(value("basename", &line, &[(Source::Syscall, FSYNC), link]), "ib_logfile12");
        assert_eq!(value("dirname", &line, &[(Source::Syscall, FSYNC), link]), "/data");
        assert_eq!(value("filename", &line, &[(Source::Syscall, FSYNC), (Source::Fd, "[denied]")]), "[denied]");
        assert_eq!(value("filename", &line, &[(Source::Syscall, "[denied]")]), "[denied]");
        let openat = "257 0xffffff9c 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("filename", &line, &[(Source::Syscall, openat)]), "[cwd]");
        let wait4 = "61 0xffffffffffffffff 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("filename", &line, &[(Source::Syscall, wait4)]), "pid:[-1]");
        let unknown = "9999 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2\n";
        assert_eq!(value("syscall", &line, &[(Source::Syscall, unknown)]), "9999");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "-1 0x7ffc 0x7f00\n")]), "[kernel_direct]");
        assert_eq!(value("syscall", &line, &[(Source::Syscall, "garbage\n")]), "[malformed]");
    }

    #[test]
    fn kernel_threads_are_told_by_flag_not_by_name() {
        let kernel = stat_line("anything", 'S', PF_KTHREAD, 0);
        let zeros = (Source::Syscall, "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n");
        assert_eq!(value("syscall", &kernel, &[zeros]), "[kernel_thread]");
        assert_eq!(value("kthread", &kernel, &[]), "1");
        let impostor = stat_line("kworker/0:0", 'S', 0, 4096);
        assert_eq!(value("syscall", &impostor, &[zeros]), "[user_worker]", "no program is at 0");
        let read = (Source::Syscall, "0 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc0 0x7f00\n");
        assert_eq!(value("syscall", &impostor, &[read]), "read");
        assert_eq!(value("kthread", &impostor, &[]), "0");
    }

    const STALE: &str = "426 0x5 0x1 0x0 0x0 0x0 0x0 0x0 0x0\n";

    #[test]
    fn a_worker_in_a_program_is_in_none_of_its_system_calls() {
        let link = (Source::Fd, "/etc/hostname");
        let io_worker = stat_line("iou-wrk-7", 'S', PF_IO_WORKER | 0x4000, 4096);
        let vhost = stat_line("vhost-7", 'S', 0x4000, 4096);
        for line in [&io_worker, &vhost] {
            assert_eq!(value("syscall", line, &[(Source::Syscall, STALE), link]), "[user_worker]");
            assert_eq!(value("syscall_id", line, &[(Source::Syscall, STALE)]), "[user_worker]");
            for column in ["filename", "filename2", "basename", "arg0", "esp"] {
                assert_eq!(value(column, line, &[(Source::Syscall, STALE), link]), "-", "{column}");
            }
            assert_eq!(value("wchan", line, &[(Source::Wchan, "io_wq_worker")]), "io_wq_worker");
        }
        // Whatever its file would say, and though it may not be read.
        assert_eq!(value("syscall", &io_worker, &[(Source::Syscall, "[denied]")]), "[user_worker]");
        assert_eq!(value("syscall", &vhost, &[(Source::Syscall, "[denied]")]), "[denied]");
        // Before they were threads of programs, they were the kernel's own.
        let older = stat_line("io_wqe_worker-0", 'S', PF_KTHREAD | PF_IO_WORKER, 0);
        assert_eq!(value("syscall", &older, &[]), "[kernel_thread]");
        assert_eq!(value("syscall", &stat_line("a", 'S', 0, 4096), &[(Source::Syscall, FSYNC)]), "fsync");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_number_is_named_by_the_way_into_the_kernel() {
        let named = |line: &str, syscall: &str, entry: Option<Entry>| {
            let stat = Stat::parse(line.as_bytes(), 52).unwrap();
            let (mut read, users) = (Answers::default(), Users::default());
            read.store(Source::Syscall, syscall.as_bytes());
            read.entry = entry;
            let mut row = Observation::default();
            extract(Column::find("syscall").unwrap(), thread(&stat, &read, &users), &mut row);
            text_of(row.value(0))
        };
        let line = stat_line("a", 'S', 0, 4096);
        let int80 = "162 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc0000000 0x401000\n";
        assert_eq!(named(&line, int80, Some(Entry::Compat)), "nanosleep");
        assert_eq!(named(&line, int80, Some(Entry::Native)), "sync");
        // x32: its stacks lie where those of i386 do.
        let low = line.replace("140722000000000", "4290000000");
        let x32 = "1073741824 0x0 0x0 0x0 0x0 0x0 0x0 0xffb00000 0x401000\n";
        assert_eq!(named(&low, x32, None), "read");
        assert_eq!(named(&low, "3 0x0 0x0 0x0 0x0 0x0 0x0 0xffb00000 0x401000\n", None), "read", "i386");
    }

    #[test]
    fn a_wait_channel_of_zero_is_explained() {
        let own = stat_line("a", 'S', 0, 4096);
        let masked = stat_line("a", 'S', 0, 1);
        let kernel = stat_line("a", 'S', PF_KTHREAD, 0);
        let none = (Source::Wchan, "0");
        let stack = (Source::Stack, "[<0>] schedule+0x1/0x2\n[<0>] futex_wait+0x1/0x2\n");
        assert_eq!(value("wchan", &own, &[(Source::Wchan, "futex_do_wait")]), "futex_do_wait");
        assert_eq!(value("wchan", &own, &[none, stack]), "futex_wait");
        assert_eq!(value("wchan", &own, &[none, (Source::Stack, "[denied]")]), "0");
        assert_eq!(value("wchan", &masked, &[none, (Source::Stack, "[denied]")]), "[denied]");
        assert_eq!(value("wchan", &kernel, &[none, (Source::Stack, "[denied]")]), "[denied]");
    }

    #[test]
    fn names_keep_their_bytes_and_states_their_letters() {
        let line = stat_line("a) R 1 2", 'S', 0, 4096);
        assert_eq!(value("comm2", &line, &[]), "a) R 1 2");
        assert_eq!(value("comm", &line, &[]), "a) R * *");
        assert_eq!(value("state", &line, &[]), "Sleep (Interruptible)");
        assert_eq!(value("state", &stat_line("a", 'Q', 0, 0), &[]), "Q");
    }

    /// The value of a column of a thread that a walk found, and of which no file was read.
    fn walked_value(column: &str, record: &TaskRecord<'_>) -> String {
        let stat = Stat::without_numbers(record.tid, record.comm(), record.state.letter());
        let provides = [Source::Syscall, Source::Wchan, Source::Stack, Source::Owner].into_iter().collect();
        let walked = Walked { record, wchan: b"futex_do_wait", kstack: b"do_futex()->futex_do_wait()", provides };
        let (mut answers, users) = (Answers::default(), Users::default());
        answers.descriptor = descriptor(Thread { walked: Some(walked), ..thread(&stat, &answers, &users) });
        let mut row = Observation::default();
        let thread = Thread { walked: Some(walked), ..thread(&stat, &answers, &users) };
        extract(Column::find(column).unwrap(), thread, &mut row);
        text_of(row.value(0))
    }

    fn values(record: &TaskRecord<'_>, columns: &str) -> String {
        columns.split(' ').map(|column| walked_value(column, record)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_record_says_what_the_files_would() {
        let registers = Registers { sp: 0x7ffc0, ip: 0x7f00 };
        let call = |number, is_compat| Call::Some { number, is_compat, args: [5, 0, 0, 0, 0, 0], registers };
        let asleep = TaskRecord { call: call(74, false), uid: Some(12), ..TaskRecord::in_state(b'S') };
        assert_eq!(
            values(&asleep, "task comm state_id cpu flags starttime kthread uid user"),
            "7 name S 3 64 99 0 12 12"
        );
        assert_eq!(values(&asleep, "oncpu wchan kstack"), "0 futex_do_wait do_futex()->futex_do_wait()");
        assert_eq!(walked_value("state2", &asleep), "Sleep (Interruptible)");
        if Abi::native() == Abi::X86_64 {
            assert_eq!(values(&asleep, "syscall syscall_id arg0 esp"), "fsync 74 0x5 0x7ffc0");
            let compat = TaskRecord { call: call(29, true), ..asleep };
            assert_eq!(walked_value("syscall", &compat), "pause");
        }
        assert_eq!(values(&asleep, "utime filename rchar"), "[unread] [unread] [unread]", "only files tell");
        let faulting = TaskRecord { call: Call::None(registers), ..asleep };
        assert_eq!(values(&faulting, "syscall filename"), "[kernel_direct] -");
        let stale = Call::Some { number: 426, is_compat: false, args: [5; 6], registers: Registers { sp: 0, ip: 0 } };
        let worker = TaskRecord { call: stale, ..asleep };
        assert_eq!(values(&worker, "syscall syscall_id filename arg0"), "[user_worker] [user_worker] - -");
        let worker = TaskRecord { flags: PF_IO_WORKER as u32, ..asleep };
        assert_eq!(values(&worker, "syscall filename wchan"), "[user_worker] - futex_do_wait");
        let kernel = TaskRecord { flags: PF_KTHREAD as u32, call: Call::KernelThread, ..asleep };
        assert_eq!(values(&kernel, "syscall kthread wchan"), "[kernel_thread] 1 futex_do_wait");
    }

    #[test]
    fn a_record_of_a_thread_that_waits_for_nothing_says_so() {
        let running = TaskRecord { is_on_cpu: true, ..TaskRecord::in_state(b'R') };
        assert_eq!(values(&running, "syscall wchan kstack filename oncpu"), "[running] 0 [running] - 1");
        assert_eq!(walked_value("state2", &running), "Running (ON CPU)");
        let waiting = TaskRecord::in_state(b'R');
        assert_eq!(values(&waiting, "syscall wchan kstack oncpu"), "[running] 0 [running] 0");
        assert_eq!(walked_value("state2", &waiting), "Runnable (waiting for CPU)");
        assert_eq!(walked_value("state", &waiting), "Runnable (waiting for CPU)");
        assert_eq!(walked_value("state", &running), "Running (ON CPU)");
        assert_eq!(walked_value("state_id", &waiting), "R");
        let ended = TaskRecord::in_state(b'Z');
        assert_eq!(values(&ended, "syscall wchan kstack oncpu"), "- 0 - 0");
        let falling_asleep = TaskRecord { is_on_cpu: true, ..TaskRecord::in_state(b'D') };
        assert_eq!(values(&falling_asleep, "syscall wchan kstack filename oncpu"), "- 0 - - 1");
        let moved = TaskRecord { has_moved: true, ..TaskRecord::in_state(b'D') };
        assert_eq!(values(&moved, "syscall wchan kstack filename arg0"), "[torn] [torn] [torn] [torn] [torn]");
    }

    #[test]
    fn without_a_walk_its_columns_say_what_is_known() {
        assert_eq!(value("oncpu", &stat_line("a", 'S', 0, 0), &[]), "[unsupported]");
        assert_eq!(value("state2", &stat_line("a", 'R', 0, 0), &[]), "[unsupported]");
        assert_eq!(value("state2", &stat_line("a", 'D', 0, 0), &[]), "Disk (Uninterruptible)");
    }

    #[test]
    fn what_is_not_measured_or_may_not_be_known_is_no_number() {
        let line = stat_line("a", 'D', 0, 4096);
        let masked = stat_line("a", 'D', 0, 1);
        assert_eq!(value("delayacct_blkio_ticks", &line, &[]), "0");
        for column in ["startcode", "endcode", "startstack", "arg_start", "exit_code"] {
            assert_eq!(value(column, &masked, &[]), "[denied]", "{column}");
            assert_ne!(value(column, &line, &[]), "[denied]", "{column}");
        }
        assert_eq!(value("utime", &masked, &[]), "0");
        let stat = Stat::parse(line.as_bytes(), 52).unwrap();
        let read = Answers::of(Measured { delays: false, sched: false });
        let users = Users::default();
        for column in ["delayacct_blkio_ticks", "sched_run_ns", "sched_wait_ns"] {
            let mut row = Observation::default();
            extract(Column::find(column).unwrap(), thread(&stat, &read, &users), &mut row);
            assert_eq!(text_of(row.value(0)), "[unsupported]", "{column}");
        }
    }

    #[test]
    fn facts_that_do_not_exist_are_a_dash() {
        let line = stat_line("a", 'S', PF_KTHREAD, 0);
        assert_eq!(value("cmdline", &line, &[(Source::Cmdline, "")]), "-");
        assert_eq!(value("exe", &line, &[(Source::Exe, "")]), "-");
        assert_eq!(value("container", &line, &[(Source::Cgroup, "0::/user.slice\n")]), "-");
        let id = "4fe3bb200489d71428a82ddf32d053994fe3bb200489d71428a82ddf32d05399";
        let hybrid = format!("5:memory:/docker/{id}\n0::/system.slice/docker.service\n");
        assert_eq!(value("container", &line, &[(Source::Cgroup, &hybrid)]), "4fe3bb200489");
        assert_eq!(value("cgroup", &line, &[(Source::Cgroup, &hybrid)]), "/system.slice/docker.service");
        assert_eq!(value("vmrss_kb", &line, &[(Source::Status, "Name:\ta\n")]), "-");
        assert_eq!(value("seccomp", &line, &[(Source::Status, "Name:\ta\n")]), "[unsupported]");
    }
}
