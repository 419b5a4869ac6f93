//! The registry of columns: what a user may group by, select and filter on.
//!
//! Pure data. [`Extract`] says which bytes a column is made of, [`crate::observe::extract`] makes it; the same
//! table gives `--list`, the read plan, `docs/columns.md` and the schema of recordings.

use crate::proc::source::Source;

/// How a column's values behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    Text,
    /// A number that names something: a pid, a signal mask.
    Id,
    /// A number that only grows while the thread lives.
    Counter,
    /// A number that goes up and down.
    Gauge,
}

impl Kind {
    /// The word in `--list`.
    #[must_use]
    pub const fn name(self) -> &'static str {
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

/// How a value of `status` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// The value as it stands.
    Text,
    /// Its first number (`Uid: 0 0 0 0`, `VmRSS: 123 kB`).
    Number,
    /// `Name`, which escapes newlines and backslashes.
    Name,
}

/// Which part of a system call line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallPart {
    /// The name.
    Name,
    /// The number.
    Id,
    /// Argument 0 to 5, in hexadecimal.
    Arg(usize),
    /// The user stack pointer.
    StackPointer,
    /// The user program counter.
    ProgramCounter,
}

/// How a descriptor's target is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilenameForm {
    /// Numbers of sockets and pipes as `*`.
    Normal,
    /// As the link says.
    Raw,
    /// All digits as `*`.
    Summary,
    /// The last component.
    Basename,
    /// All but the last component.
    Dirname,
}

/// A field of one mapping of `smaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmapsPart {
    /// Start and end address.
    AddressRange,
    /// Permissions.
    Perms,
    /// Offset into the file.
    Offset,
    /// Device.
    Dev,
    /// Inode.
    Inode,
    /// The file, or `[heap]` and its like.
    Pathname,
    /// A size line by its key, in kB.
    Kb(&'static str),
    /// The flags of the mapping.
    VmFlags,
}

/// Which bytes a column is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extract {
    /// The process id.
    Tgid,
    /// The thread id.
    Tid,
    /// The name, runs of digits as `*`.
    Comm,
    /// The name as it is.
    CommRaw,
    /// The name of the process: that of its first thread.
    ProcessComm,
    /// The state letter.
    StateId,
    /// The state's name.
    State,
    /// The state's name, with running told from waiting for a CPU.
    State2,
    /// `1` for a thread that is on a CPU, `0` for one that is not.
    OnCpu,
    /// The `PF_KTHREAD` flag as `1` or `0`.
    Kthread,
    /// A number of `stat`, by proc(5)'s field number.
    StatNumber(usize),
    /// A line of `status`.
    Status(&'static str, StatusForm),
    /// The user name of `status`' real uid.
    User,
    /// A part of `syscall`.
    Syscall(SyscallPart),
    /// The descriptor argument's target.
    Filename(FilenameForm),
    /// The wait channel.
    Wchan,
    /// A line of `io`.
    Io(&'static str),
    /// The kernel stack.
    Stack,
    /// Nanoseconds on a CPU.
    RunNs,
    /// Nanoseconds waiting for a CPU.
    WaitNs,
    /// The first argument of the command line.
    CmdlineFirst,
    /// The whole command line.
    CmdlineAll,
    /// The executable's path.
    Exe,
    /// The cgroup's path.
    Cgroup,
    /// The container's id in the cgroup's path.
    Container,
    /// The PID namespace's id.
    PidNs,
    /// A field of one mapping; a thread gives one observation a mapping.
    Smaps(SmapsPart),
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name on the command line and in the header.
    pub name: &'static str,
    /// How its values behave.
    pub kind: Kind,
    /// The file it comes from.
    pub source: Source,
    /// Which bytes it is made of.
    pub extract: Extract,
    /// Values are divided by this when shown: 100 for clock ticks shown as seconds.
    pub divisor: u32,
    /// The oldest kernel that has it, where that is not every kernel.
    pub since: &'static str,
    /// One line of meaning.
    pub help: &'static str,
}

/// Clock ticks a second of every time in `stat`: USER_HZ, 100 on every architecture psn runs on.
pub const CLOCK_TICKS: u32 = 100;

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

    pub(super) const fn since(mut self, kernel: &'static str) -> Self {
        self.since = kernel;
        self
    }

    /// Whether the table shows the value in parentheses, as the kernel does in `stat`.
    #[must_use]
    pub const fn is_comm(&self) -> bool {
        matches!(self.extract, Extract::Comm | Extract::CommRaw | Extract::ProcessComm)
    }

    /// What reading it needs, of privilege and kernel, for `--list`.
    #[must_use]
    pub fn needs(&self) -> String {
        match (self.source.needs(), self.since) {
            (needs, "") => needs.to_owned(),
            ("-", since) => format!("Linux {since}"),
            (needs, since) => format!("{needs}; Linux {since}"),
        }
    }
}
