//! The sources of columns: files of /proc, cheapest first, and sets of them.

/// What a column is read from: a file or link of /proc, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// The task list itself: no read.
    Task,
    /// The record of the kernel's walk, for columns that no file of /proc has.
    Kernel,
    /// `task/TID/stat`, read for every thread at every tick.
    Stat,
    /// `PID/comm`: the name of the process.
    Comm,
    /// `task/TID/schedstat`.
    Schedstat,
    /// `task/TID/syscall`.
    Syscall,
    /// `task/TID/wchan`.
    Wchan,
    /// How long the thread has been off its CPU: by the walk, or by the switches that psn has seen.
    Wait,
    /// `task/TID/io`.
    Io,
    /// `task/TID/stack`.
    Stack,
    /// `task/TID/status`.
    Status,
    /// `task/TID/fd/N`, the link of the system call's first argument.
    Fd,
    /// `task/TID/fdinfo/N`, what the kernel tells of that open file.
    Fdinfo,
    /// The two ends of the socket in the descriptor argument.
    Socket,
    /// Whether the thread waits for work: by system call, descriptor and wait channel.
    Idle,
    /// The user and group ids in `task/TID/status`, which change so rarely that they are kept with the thread.
    Owner,
    /// `task/TID/cgroup`.
    Cgroup,
    /// `task/TID/ns/pid`, a link.
    PidNs,
    /// `PID/cmdline`, by the side reader.
    Cmdline,
    /// `PID/exe`, a link, by the side reader.
    Exe,
    /// `task/TID/mountinfo`, the mounts that the thread sees, by a side reader.
    Mounts,
    /// `task/TID/mem`, the text that an argument of the system call points to, by a side reader.
    Path,
    /// `PID/smaps`, by the side reader.
    Smaps,
}

impl Source {
    /// Every source, cheapest first.
    pub const ALL: [Self; 23] = [
        Self::Task,
        Self::Kernel,
        Self::Stat,
        Self::Comm,
        Self::Schedstat,
        Self::Syscall,
        Self::Wchan,
        Self::Wait,
        Self::Io,
        Self::Stack,
        Self::Status,
        Self::Fd,
        Self::Fdinfo,
        Self::Socket,
        Self::Idle,
        Self::Owner,
        Self::Cgroup,
        Self::PidNs,
        Self::Cmdline,
        Self::Exe,
        Self::Mounts,
        Self::Path,
        Self::Smaps,
    ];

    /// The number of sources.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in reports: the file's name under the thread's directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Kernel => "kernel",
            Self::Stat => "stat",
            Self::Comm => "comm",
            Self::Schedstat => "schedstat",
            Self::Syscall => "syscall",
            Self::Wchan => "wchan",
            Self::Wait => "wait",
            Self::Io => "io",
            Self::Stack => "stack",
            Self::Status | Self::Owner => "status",
            Self::Fd => "fd",
            Self::Fdinfo => "fdinfo",
            Self::Socket => "socket",
            Self::Idle => "idle",
            Self::Cgroup => "cgroup",
            Self::PidNs => "ns/pid",
            Self::Cmdline => "cmdline",
            Self::Exe => "exe",
            Self::Mounts => "mountinfo",
            Self::Path => "mem",
            Self::Smaps => "smaps",
        }
    }

    /// Whether it is a file or a link, rather than the task list or the kernel's walk.
    #[must_use]
    pub const fn is_file(self) -> bool {
        !matches!(self, Self::Task | Self::Kernel | Self::Wait | Self::Socket | Self::Idle)
    }

    /// Which rights reading it needs if the process belongs to another user (proc(5), `ptrace_may_access`).
    #[must_use]
    pub const fn needs(self) -> &'static str {
        match self {
            Self::Task
            | Self::Stat
            | Self::Comm
            | Self::Schedstat
            | Self::Wait
            | Self::Status
            | Self::Owner
            | Self::Cgroup
            | Self::Cmdline => "-",
            Self::Kernel => "the kernel's own walk: CAP_BPF + CAP_PERFMON (root), Linux 5.8",
            Self::Wchan | Self::PidNs | Self::Exe => "own process, or CAP_SYS_PTRACE",
            Self::Syscall
            | Self::Io
            | Self::Fd
            | Self::Fdinfo
            | Self::Socket
            | Self::Idle
            | Self::Mounts
            | Self::Smaps => "own process, or CAP_SYS_PTRACE + CAP_DAC_READ_SEARCH (root)",
            Self::Path => {
                "own process unless kernel.yama.ptrace_scope forbids it, or CAP_SYS_PTRACE + CAP_DAC_READ_SEARCH (root)"
            }
            Self::Stack => "CAP_SYS_ADMIN + CAP_SYS_PTRACE + CAP_DAC_READ_SEARCH (root)",
        }
    }
}

/// A set of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceSet(u32);

impl SourceSet {
    /// A set of these sources.
    #[must_use]
    pub const fn of(sources: &[Source]) -> Self {
        let mut set = Self(0);
        let mut rest = sources;
        while let [source, others @ ..] = rest {
            set.insert(*source);
            rest = others;
        }
        set
    }

    /// Adds `source`.
    pub const fn insert(&mut self, source: Source) {
        self.0 |= 1 << source as u32;
    }

    /// Removes `source`; returns whether it was in the set.
    pub const fn remove(&mut self, source: Source) -> bool {
        let was_in = self.contains(source);
        self.0 &= !(1 << source as u32);
        was_in
    }

    /// Whether `source` is in the set.
    #[must_use]
    pub const fn contains(self, source: Source) -> bool {
        self.0 & (1 << source as u32) != 0
    }

    /// The members that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, cheapest first.
    pub fn iter(self) -> impl Iterator<Item = Source> {
        Source::ALL.into_iter().filter(move |source| self.contains(*source))
    }
}

impl FromIterator<Source> for SourceSet {
    fn from_iter<T: IntoIterator<Item = Source>>(sources: T) -> Self {
        let mut set = Self::default();
        sources.into_iter().for_each(|source| set.insert(source));
        set
    }
}
