//! What a column is: its name, its kind, the file that it is read from, and how its value is made.
//!
//! Pure data: [`Extract`] says how a value is made, the room `observe` makes it.

use crate::proc::source::Source;

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Text,
    /// A number that identifies something, such as a pid or a signal mask.
    Id,
    /// A number that only increases while the thread lives.
    Counter,
    /// A number that increases and decreases.
    Gauge,
}

impl Kind {
    /// The kind's name in `--list`.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Id => "id",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }

    /// Whether the values are numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        !matches!(self, Self::Text)
    }
}

/// How the value of a line of `status` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// The text after the key.
    Text,
    /// Its first number (`Uid: 0 0 0 0`, `VmRSS: 123 kB`).
    Number,
    /// The line `Name`, in which the kernel escapes newlines and backslashes.
    Name,
}

/// A part of the file `syscall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallPart {
    /// The name of the system call.
    Name,
    /// The number of the system call.
    Id,
    /// An argument, 0 to 5, in hexadecimal.
    Arg(usize),
    /// The user stack pointer.
    StackPointer,
    /// The user program counter.
    ProgramCounter,
}

/// How the target of a file descriptor is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilenameForm {
    /// The link's target, with the numbers of sockets and pipes as `*`.
    Normal,
    /// The link's target, unchanged.
    Raw,
    /// The link's target, with each run of digits as `*`.
    Summary,
    /// The last component of the path.
    Basename,
    /// The path without its last component.
    Dirname,
}

/// What is told of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountPart {
    /// Where it is mounted.
    Point,
    /// What it lies on.
    Device,
}

/// A field of one mapping of `smaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmapsPart {
    /// The start and end address.
    AddressRange,
    /// The permissions.
    Perms,
    /// The offset into the mapped file.
    Offset,
    /// The device of the mapped file.
    Dev,
    /// The inode of the mapped file.
    Inode,
    /// The mapped file, or a name in brackets such as `[heap]`.
    Pathname,
    /// A size in kB, by the key of its line.
    Kb(&'static str),
    /// The kernel's flags of the mapping.
    VmFlags,
}

/// What is told of the age of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitPart {
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds, of exact ages alone.
    ExactNanoseconds,
    /// When it began, nanoseconds since 1970.
    Since,
    /// Whether it is exact, or a bound.
    Exactness,
}

/// What is told of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketPart {
    /// The protocol.
    Protocol,
    /// This end.
    Local,
    /// The other end.
    Remote,
    /// The other end's port.
    RemotePort,
    /// The state of the connection.
    State,
    /// The process at the other end.
    PeerPid,
    /// Its name.
    PeerComm,
}

/// How a column's value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extract {
    /// The process id.
    Tgid,
    /// The thread id.
    Tid,
    /// The thread's name, with each run of digits as `*`.
    Comm,
    /// The thread's name, unchanged.
    CommRaw,
    /// The name of the process, which is its first thread's name.
    ProcessComm,
    /// The state letter.
    StateId,
    /// The state's name; running and waiting for a CPU differ where a kernel walk tells them apart.
    State,
    /// The state's name, or `[unsupported]` if running and waiting for a CPU cannot be told apart.
    State2,
    /// `1` if the thread is on a CPU, else `0`.
    OnCpu,
    /// `1` for a thread that waits for I/O, `0` for one that does not.
    IoWait,
    /// How long the thread has waited.
    Waited(WaitPart),
    /// Whether the thread waits for work.
    Idle,
    /// An end of a socket.
    Socket(SocketPart),
    /// `1` if the thread has the flag `PF_KTHREAD`, else `0`.
    Kthread,
    /// A number of `stat`, by its field number in proc(5).
    StatNumber(usize),
    /// A line of `status`, by its key.
    Status(&'static str, StatusForm),
    /// The user name of the real uid in `status`.
    User,
    /// A part of the file `syscall`.
    Syscall(SyscallPart),
    /// The target of the file descriptor among the arguments of the system call.
    Filename(FilenameForm),
    /// The mount that this file is on.
    Mount(MountPart),
    /// The path that the system call was given.
    Path,
    /// The wait channel.
    Wchan,
    /// A line of `io`, by its key.
    Io(&'static str),
    /// The kernel stack.
    Stack,
    /// Nanoseconds that the thread has run, from `schedstat`.
    RunNs,
    /// Nanoseconds that the thread has waited for a CPU, from `schedstat`.
    WaitNs,
    /// The first argument of the command line.
    CmdlineFirst,
    /// The whole command line.
    CmdlineAll,
    /// The executable's path.
    Exe,
    /// The cgroup's path.
    Cgroup,
    /// The container's id or name in the cgroup's path.
    Container,
    /// The PID namespace's id.
    PidNs,
    /// A field of one mapping; a thread yields one observation per mapping.
    Smaps(SmapsPart),
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name on the command line and in the header of the report.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The file that it is read from.
    pub source: Source,
    /// How its value is made.
    pub extract: Extract,
    /// The divisor of values when shown: 100 for clock ticks that are shown as seconds.
    pub divisor: u32,
    /// The oldest kernel version that has the column; empty if every kernel has it.
    pub since: &'static str,
    /// The meaning, in one line.
    pub help: &'static str,
}

/// Clock ticks per second of the times in `stat`: `USER_HZ`, 100 on every architecture that psn runs on.
pub(crate) const CLOCK_TICKS: u32 = 100;

impl Column {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        source: Source,
        extract: Extract,
        help: &'static str,
    ) -> Self {
        Self { name, kind, source, extract, divisor: 1, since: "", help }
    }

    pub(super) const fn stat(name: &'static str, number: usize, kind: Kind, help: &'static str) -> Self {
        Self::new(name, kind, Source::Stat, Extract::StatNumber(number), help)
    }

    pub(super) const fn seconds(name: &'static str, number: usize, help: &'static str) -> Self {
        let mut column = Self::stat(name, number, Kind::Counter, help);
        column.divisor = CLOCK_TICKS;
        column
    }

    pub(super) const fn status(name: &'static str, kind: Kind, key: &'static str, help: &'static str) -> Self {
        let form = if kind.is_number() { StatusForm::Number } else { StatusForm::Text };
        Self::new(name, kind, Source::Status, Extract::Status(key, form), help)
    }

    pub(super) const fn owner(name: &'static str, key: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Id, Source::Owner, Extract::Status(key, StatusForm::Number), help)
    }

    pub(super) const fn syscall(name: &'static str, kind: Kind, part: SyscallPart, help: &'static str) -> Self {
        Self::new(name, kind, Source::Syscall, Extract::Syscall(part), help)
    }

    pub(super) const fn filename(name: &'static str, form: FilenameForm, help: &'static str) -> Self {
        Self::new(name, Kind::Text, Source::Fd, Extract::Filename(form), help)
    }

    pub(super) const fn io(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Counter, Source::Io, Extract::Io(name), help)
    }

    pub(super) const fn smaps(name: &'static str, kind: Kind, part: SmapsPart, help: &'static str) -> Self {
        Self::new(name, kind, Source::Smaps, Extract::Smaps(part), help)
    }

    pub(super) const fn socket(name: &'static str, kind: Kind, part: SocketPart, help: &'static str) -> Self {
        Self::new(name, kind, Source::Socket, Extract::Socket(part), help)
    }

    /// A time in microseconds that is shown in milliseconds.
    pub(super) const fn milliseconds(name: &'static str, source: Source, extract: Extract, help: &'static str) -> Self {
        let mut column = Self::new(name, Kind::Gauge, source, extract, help);
        column.divisor = 1000;
        column
    }

    pub(super) const fn since(mut self, kernel: &'static str) -> Self {
        self.since = kernel;
        self
    }

    /// Whether the value is the age of a wait, which may be a bound.
    #[must_use]
    pub(crate) const fn is_wait_age(&self) -> bool {
        matches!(self.extract, Extract::Waited(WaitPart::Nanoseconds | WaitPart::Microseconds))
    }

    /// Whether the value is a name, which the table shows in parentheses, as `stat` does.
    #[must_use]
    pub(crate) const fn is_comm(&self) -> bool {
        matches!(self.extract, Extract::Comm | Extract::CommRaw | Extract::ProcessComm)
    }
}
