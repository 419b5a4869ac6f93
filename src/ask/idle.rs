//! Whether a thread that sleeps waits for work, or for somebody.
//!
//! A server's threads sleep for two reasons: there is nothing to do, or something they need is not there: a lock, an answer, a disk.
//! Both are state S. The rules below tell them apart by the system call, its arguments, the kind of file it is about and the functions
//! of the kernel's stack. The first rule that applies decides. What they do not decide is `maybe`.

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verdict {
    /// It waits for somebody or something that it needs.
    No,
    /// It waits for work.
    Yes,
    /// Either.
    Maybe,
}

impl Verdict {
    /// The word in the column.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Maybe => "maybe",
        }
    }
}

/// The kind of file that a system call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A terminal.
    Terminal,
    /// A pipe or FIFO.
    Pipe,
    /// A connected socket on which the process was connected to, or one that takes messages from anybody.
    ServerSocket,
    /// A socket that the process connected.
    ClientSocket,
    /// A socket of which it is not known who connected it.
    Socket,
    /// A file that tells of events: eventfd, timerfd, signalfd, inotify, fanotify.
    Events,
    /// Anything else, such as a file on a disk.
    Other,
}

impl FileKind {
    /// As people call it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Terminal => "a terminal",
            Self::Pipe => "a pipe",
            Self::ServerSocket => "a socket, as the server",
            Self::ClientSocket => "a socket, as the client",
            Self::Socket => "a socket, as either",
            Self::Events => "an eventfd, timerfd, signalfd or inotify",
            Self::Other => "any other file",
        }
    }
}

/// What is known of a thread that sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleep<'a> {
    /// The state's letter.
    pub(crate) state: u8,
    /// Whether it is a thread of the kernel's own.
    pub(crate) is_kernel_thread: bool,
    /// The system call's name; `None` if it is in none, or if it is not known.
    pub(crate) call: Option<&'a [u8]>,
    /// Whether it is known to be in no system call.
    pub(crate) is_in_no_call: bool,
    /// The arguments.
    pub(crate) args: [u64; 6],
    /// The file of the descriptor argument.
    pub(crate) file: Option<FileKind>,
    /// Whether it waits in epoll_wait(2) for a few files of which some are pipes and none are sockets.
    pub(crate) watches_pipes: bool,
    /// The functions of the kernel's stack, or the one that it sleeps in, as they are shown.
    pub(crate) kernel: &'a [u8],
}

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// To threads of the kernel's own.
    KernelThread,
    /// In state D.
    Uninterruptible,
    /// If one of these functions is on the kernel's stack.
    Kernel(&'static [&'static str]),
    /// Outside of system calls: in a page fault.
    NoCall,
    /// In these system calls.
    Calls(&'static [&'static str]),
    /// In these system calls, about a file of these kinds.
    Files(&'static [&'static str], &'static [FileKind]),
    /// In futex(2), with such a word.
    Futex(Futex),
    /// In epoll_wait(2) without a time limit, for a few files of which some are pipes and none are sockets.
    WakeUp,
    /// In fcntl(2), with such a command.
    Fcntl(&'static [u64]),
}

/// What the arguments of futex(2) tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Futex {
    /// The word is 2: the lock of glibc and of many others, taken and with waiters.
    Lock,
    /// The kernel knows the owner.
    PriorityInheritance,
    /// The word is a thread's id, and processes may share it: the kernel clears it when the thread ends.
    ThreadEnd,
    /// Anything else.
    Any,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// When it applies.
    pub(crate) when: When,
    /// What it says.
    pub(crate) verdict: Verdict,
    /// What the thread waits for: the second half of the column.
    pub(crate) what: &'static str,
    /// Why, for people.
    pub(crate) reason: &'static str,
}

const fn rule(when: When, verdict: Verdict, what: &'static str, reason: &'static str) -> Rule {
    Rule { when, verdict, what, reason }
}

const READS: &[&str] =
    &["read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "recv", "splice", "tee"];
const WRITES: &[&str] = &[
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "send", "sendfile",
    "vmsplice",
];
const EPOLLS: &[&str] = &["epoll_wait", "epoll_pwait"];
const POLLS: &[&str] =
    &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "_newselect"];
const SLEEPS: &[&str] = &["nanosleep", "clock_nanosleep", "pause", "rt_sigtimedwait", "rt_sigsuspend", "sigsuspend"];
/// `F_SETLKW` and `F_OFD_SETLKW`, which wait for a lock.
const LOCK_COMMANDS: &[u64] = &[7, 38];

/// The rules, in the order in which they are tried.
pub(crate) static RULES: &[Rule] = &[
    rule(
        When::Kernel(&["request_wait_answer", "fuse_dev_do_read_wait"]),
        Verdict::No,
        "FUSE",
        "a request to a file system in user space, whose program has not answered",
    ),
    rule(
        When::Kernel(&["rpc_wait_bit_killable", "nfs_wait_bit_killable", "nfs4_wait_clnt_recover"]),
        Verdict::No,
        "NFS",
        "a request to an NFS server, which has not answered",
    ),
    rule(When::KernelThread, Verdict::Yes, "kernel thread", "the kernel's own threads sleep until there is work"),
    rule(When::Uninterruptible, Verdict::No, "uninterruptible", "state D: a disk, or a lock within the kernel"),
    rule(
        When::Kernel(&[
            "flock_lock_inode_wait",
            "posix_lock_inode_wait",
            "locks_lock_inode_wait",
            "fcntl_setlk",
            "nlmclnt_lock",
        ]),
        Verdict::No,
        "file lock",
        "a lock on a file, which another process holds",
    ),
    rule(
        When::Kernel(&[
            "folio_wait_bit_common",
            "io_schedule",
            "bit_wait_io",
            "blkdev_issue_flush",
            "jbd2_log_wait_commit",
        ]),
        Verdict::No,
        "disk",
        "a disk has not finished",
    ),
    rule(
        When::Kernel(&["handle_userfault"]),
        Verdict::No,
        "page fault",
        "memory that another program has to fill (userfaultfd)",
    ),
    rule(When::NoCall, Verdict::No, "page fault", "memory that is not there yet"),
    rule(
        When::Calls(&["wait4", "waitid", "vfork"]),
        Verdict::No,
        "child",
        "the end of a child, or of a traced process; of vfork, until the child has its own memory",
    ),
    rule(When::Calls(&["flock"]), Verdict::No, "file lock", "a lock on a file, which another process holds"),
    rule(When::Fcntl(LOCK_COMMANDS), Verdict::No, "file lock", "a lock on a file, which another process holds"),
    rule(When::Futex(Futex::Lock), Verdict::No, "lock", "the word is 2: a mutex that another thread holds"),
    rule(
        When::Futex(Futex::PriorityInheritance),
        Verdict::No,
        "lock",
        "a mutex with priority inheritance, which another thread holds",
    ),
    rule(
        When::Futex(Futex::ThreadEnd),
        Verdict::No,
        "thread end",
        "the word is the id of a thread, which is to end (pthread_join)",
    ),
    rule(
        When::Futex(Futex::Any),
        Verdict::Maybe,
        "condition",
        "a condition variable, a semaphore or a lock of another kind: a pool's idle threads and waits for each other look alike",
    ),
    rule(When::Calls(&["accept", "accept4"]), Verdict::Yes, "connections", "a server waits for clients"),
    rule(When::Files(READS, &[FileKind::Terminal]), Verdict::Yes, "terminal", "a person has typed nothing"),
    rule(When::Files(READS, &[FileKind::Events]), Verdict::Yes, "events", "a timer, a signal, an event has not come"),
    rule(
        When::Files(READS, &[FileKind::ServerSocket]),
        Verdict::Yes,
        "client",
        "a client has asked for nothing: the process is the server of this connection",
    ),
    rule(
        When::Files(READS, &[FileKind::ClientSocket]),
        Verdict::No,
        "server",
        "a server has not answered: the process is the client of this connection",
    ),
    rule(When::Files(READS, &[FileKind::Pipe]), Verdict::No, "pipe", "whoever writes to a pipe has written nothing"),
    rule(When::Files(READS, &[FileKind::Other]), Verdict::No, "read", "a file or a device has not answered"),
    rule(When::Calls(READS), Verdict::Maybe, "socket", "it is not known which end of the connection the process is"),
    rule(
        When::Calls(WRITES),
        Verdict::No,
        "write",
        "whoever reads from a pipe, a socket or a device has not taken what was written",
    ),
    rule(When::Calls(&["connect"]), Verdict::No, "connect", "a server has not accepted a connection"),
    rule(
        When::Calls(&["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync", "umount2", "close"]),
        Verdict::No,
        "disk",
        "a disk has not finished",
    ),
    rule(
        When::WakeUp,
        Verdict::No,
        "wake-up",
        "no client can wake it, and no time: another process of the same program must, as in PostgreSQL's waits for row locks",
    ),
    rule(
        When::Files(&["poll", "ppoll", "select", "pselect6"], &[FileKind::ClientSocket]),
        Verdict::No,
        "server",
        "it waits for one connection and nothing else, of which it is the client: a server has not answered",
    ),
    rule(When::Calls(POLLS), Verdict::Yes, "poll", "an event loop: none of the files it watches has anything new"),
    rule(When::Calls(SLEEPS), Verdict::Yes, "time", "a thread that sleeps for a time, or until a signal"),
    rule(
        When::Calls(&["io_getevents", "io_pgetevents"]),
        Verdict::Yes,
        "finished I/O",
        "a thread that collects finished I/O, and has begun none that is not finished",
    ),
    rule(
        When::Calls(&["mq_timedreceive", "inotify_read", "fanotify_read"]),
        Verdict::Yes,
        "messages",
        "nobody has sent a message",
    ),
    rule(
        When::Calls(&["semop", "semtimedop", "msgrcv", "msgsnd", "io_uring_enter", "restart_syscall"]),
        Verdict::Maybe,
        "call",
        "this call is used for both",
    ),
];

/// The rule that decides; `None` if there is none, or if the thread does not sleep.
#[must_use]
pub(crate) fn decide(sleep: &Sleep<'_>) -> Option<&'static Rule> {
    matches!(sleep.state, b'S' | b'D').then(|| RULES.iter().find(|rule| rule.when.applies(sleep))).flatten()
}

impl When {
    fn applies(self, sleep: &Sleep<'_>) -> bool {
        let is_in = |calls: &[&str]| sleep.call.is_some_and(|call| calls.iter().any(|name| name.as_bytes() == call));
        match self {
            Self::KernelThread => sleep.is_kernel_thread && sleep.state == b'S',
            Self::Uninterruptible => sleep.state == b'D',
            Self::Kernel(functions) => functions.iter().any(|function| has_function(sleep.kernel, function.as_bytes())),
            Self::NoCall => sleep.is_in_no_call && !sleep.is_kernel_thread,
            Self::Calls(calls) => is_in(calls),
            Self::Files(calls, kinds) => sleep.file.is_some_and(|kind| kinds.contains(&kind)) && is_in(calls),
            Self::Futex(futex) => is_in(&["futex", "futex_time64", "futex_wait"]) && futex.applies(sleep.args),
            Self::WakeUp => sleep.watches_pipes && is_in(EPOLLS) && is_endless(sleep.args[3]),
            Self::Fcntl(commands) => is_in(&["fcntl", "fcntl64"]) && commands.contains(&sleep.args[1]),
        }
    }
}

impl Futex {
    /// What is so about the word and the operation, for people.
    #[must_use]
    pub(crate) const fn condition(self) -> &'static str {
        match self {
            Self::Lock => "whose word is 2",
            Self::PriorityInheritance => "with priority inheritance (FUTEX_LOCK_PI)",
            Self::ThreadEnd => "that processes may share, whose word is the id of a thread",
            Self::Any => "with any other word",
        }
    }

    /// futex(2): word, operation, value.
    fn applies(self, [_, operation, value, ..]: [u64; 6]) -> bool {
        /// `FUTEX_PRIVATE_FLAG`, `FUTEX_CLOCK_REALTIME`
        const PRIVATE: u64 = 128;
        const FLAGS: u64 = PRIVATE | 256;
        const WAIT: u64 = 0;
        const LOCK_PI: u64 = 6;
        const WAIT_BITSET: u64 = 9;
        const LOCK_PI2: u64 = 13;
        // The kernel looks at the lower half alone.
        let value = value & 0xffff_ffff;
        match self {
            Self::Lock => matches!(operation & !FLAGS, WAIT | WAIT_BITSET) && value == 2,
            Self::PriorityInheritance => matches!(operation & !FLAGS, LOCK_PI | LOCK_PI2),
            Self::ThreadEnd => {
                matches!(operation & !FLAGS, WAIT | WAIT_BITSET)
                    && operation & PRIVATE == 0
                    && value > 2
                    && value < 1 << 22
            }
            Self::Any => true,
        }
    }
}

/// Whether a time limit in milliseconds is none: -1, or any other negative `int`.
const fn is_endless(timeout: u64) -> bool {
    timeout & 1 << 31 != 0
}

/// Whether `text`, functions with anything but letters between them, has this one.
fn has_function(text: &[u8], function: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    memchr::memmem::find_iter(text, function).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        !is_part(before) && !is_part(text.get(at + function.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleep() -> Sleep<'static> {
        Sleep {
            watches_pipes: false,
            state: b'S',
            is_kernel_thread: false,
            call: None,
            is_in_no_call: false,
            args: [0; 6],
            file: None,
            kernel: b"",
        }
    }

    fn told(sleep: &Sleep<'_>) -> String {
        decide(sleep).map_or_else(|| "-".to_owned(), |rule| format!("{}: {}", rule.verdict.name(), rule.what))
    }

    #[test]
    fn futexes_are_told_by_operation_and_word() {
        let futex = |operation, value| {
            told(&Sleep { call: Some(b"futex"), args: [0x7f00, operation, value, 0, 0, 0], ..sleep() })
        };
        assert_eq!(futex(0x80, 2), "no: lock", "pthread_mutex_lock");
        assert_eq!(futex(0, 2), "no: lock", "one that processes share");
        assert_eq!(futex(0x86, 0), "no: lock", "priority inheritance");
        assert_eq!(futex(0x109, 4711), "no: thread end", "pthread_join");
        assert_eq!(futex(0x189, 0), "maybe: condition", "pthread_cond_wait, sem_wait");
        assert_eq!(futex(0x189, 4711), "maybe: condition", "not a word that the kernel clears");
        assert_eq!(futex(0x80, 0xffff_ffff_0000_0002), "no: lock", "the upper half is not looked at");
    }

    #[test]
    fn sockets_are_told_by_the_end_that_the_process_is() {
        let read = |file| told(&Sleep { call: Some(b"recvfrom"), file, ..sleep() });
        assert_eq!(read(Some(FileKind::ClientSocket)), "no: server");
        assert_eq!(read(Some(FileKind::ServerSocket)), "yes: client");
        assert_eq!(read(Some(FileKind::Socket)), "maybe: socket");
        assert_eq!(read(None), "maybe: socket");
        assert_eq!(told(&Sleep { call: Some(b"read"), file: Some(FileKind::Pipe), ..sleep() }), "no: pipe");
        assert_eq!(told(&Sleep { call: Some(b"sendto"), file: Some(FileKind::ServerSocket), ..sleep() }), "no: write");
        assert_eq!(told(&Sleep { call: Some(b"accept4"), ..sleep() }), "yes: connections");
    }

    #[test]
    fn the_kernels_stack_decides_before_the_call() {
        let kernel: &[u8] = b"fuse_simple_request()->request_wait_answer()";
        assert_eq!(told(&Sleep { call: Some(b"poll"), kernel, ..sleep() }), "no: FUSE");
        assert_eq!(told(&Sleep { state: b'D', kernel, ..sleep() }), "no: FUSE");
        assert_eq!(told(&Sleep { call: Some(b"poll"), kernel: b"my_request_wait_answer_x()", ..sleep() }), "yes: poll");
        assert_eq!(told(&Sleep { is_kernel_thread: true, ..sleep() }), "yes: kernel thread");
        assert_eq!(told(&Sleep { is_in_no_call: true, ..sleep() }), "no: page fault");
        assert_eq!(told(&Sleep { state: b'D', call: Some(b"poll"), ..sleep() }), "no: uninterruptible");
    }

    #[test]
    fn an_event_loop_that_only_its_own_program_can_wake_waits() {
        let epoll = |watches_pipes, timeout| {
            told(&Sleep { call: Some(b"epoll_wait"), args: [3, 0, 1, timeout, 0, 0], watches_pipes, ..sleep() })
        };
        assert_eq!(epoll(true, 0xffff_ffff), "no: wake-up");
        assert_eq!(epoll(true, 200), "yes: poll");
        assert_eq!(epoll(false, 0xffff_ffff), "yes: poll");
    }

    #[test]
    fn locks_of_files_are_told_by_command() {
        let fcntl = |command| told(&Sleep { call: Some(b"fcntl"), args: [3, command, 0, 0, 0, 0], ..sleep() });
        assert_eq!((fcntl(7), fcntl(38), fcntl(6)), ("no: file lock".into(), "no: file lock".into(), "-".into()));
        assert_eq!(told(&Sleep { state: b'R', call: Some(b"flock"), ..sleep() }), "-", "it does not sleep");
    }

    #[test]
    fn every_rule_can_decide_and_has_a_reason() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(!rule.reason.is_empty() && !rule.what.is_empty(), "{rule:?}");
            let twice = RULES.iter().skip(index + 1).any(|other| other.when == rule.when);
            assert!(!twice, "{rule:?}");
        }
    }
}
