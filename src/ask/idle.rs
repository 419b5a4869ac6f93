//! Whether a thread that sleeps waits for work, or for somebody.
//!
//! A server's threads sleep for two reasons: there is nothing to do, or something they need is not there: a lock, an answer, a disk.
//! Both are state S. The rules below tell them apart by the system call, its arguments, the kind of file it is about and the functions
//! of the kernel's stack. The first rule that applies decides. What they do not decide is `maybe`.

#[cfg(test)]
mod recorded;
mod rules;

pub(crate) use rules::RULES;

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
    /// A file of /dev, /proc or /sys that is none of these.
    Device,
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
            Self::Device => "a device, or a file of /proc or /sys",
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
    /// Whether it is the first thread of its process.
    pub(crate) is_first: bool,
    /// The system call's name; `None` if it is in none, or if it is not known.
    pub(crate) call: Option<&'a [u8]>,
    /// Whether it is known to be in no system call.
    pub(crate) is_in_no_call: bool,
    /// The arguments.
    pub(crate) args: [u64; 6],
    /// The stack pointer of the program; 0 if it is not known.
    pub(crate) sp: u64,
    /// The file of the descriptor argument.
    pub(crate) file: Option<FileKind>,
    /// Whether it waits in epoll_wait(2) for a few files: pipes and others, but no sockets. `None` if it is not known.
    pub(crate) watches_pipes: Option<bool>,
    /// The functions of the kernel's stack, or the one that it sleeps in, as they are shown.
    pub(crate) kernel: &'a [u8],
}

/// When a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
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
    /// In epoll_wait(2) without a time limit, for one event at a time. It watches only a few files, pipes and others, but no sockets;
    /// or it is not known what it watches.
    WakeUp { watches_pipes: Option<bool> },
    /// In poll(2) or ppoll(2) for one file, but not for a poll(2) whose time limit is an hour or more.
    PollOfOne,
    /// In fcntl(2), with such a command.
    Fcntl(&'static [u64]),
}

/// What the arguments of futex(2) tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Futex {
    /// The word is on the waiting thread's own stack, next to the call: that of a condition variable of musl.
    OwnStack,
    /// The word is 2: the lock of glibc and of many others, taken and with waiters.
    Lock,
    /// The word is 3, and the operation that of glibc's read-write locks.
    ReadWriteLock,
    /// The word has the bit for waiters, and the id of the thread that holds the lock or the number of those that do.
    OwnedLock,
    /// The kernel knows the owner.
    PriorityInheritance,
    /// As [`Self::ThreadEnd`], and who waits is the first thread of its process.
    EndOfProgram,
    /// The word is a thread's id, and processes may share it: the kernel clears it when the thread ends.
    ThreadEnd,
    /// Anything else.
    Any,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// When it applies.
    pub(crate) when: Occasion,
    /// What it says.
    pub(crate) verdict: Verdict,
    /// What the thread waits for: the second half of the column.
    pub(crate) what: &'static str,
    /// Why, for people.
    pub(crate) reason: &'static str,
}

const EPOLLS: &[&str] = &["epoll_wait", "epoll_pwait"];

/// The rule that decides; `None` if there is none, or if the thread does not sleep.
#[must_use]
pub(crate) fn decide(sleep: &Sleep<'_>) -> Option<&'static Rule> {
    matches!(sleep.state, b'S' | b'D').then(|| RULES.iter().find(|rule| rule.when.applies(sleep))).flatten()
}

impl Occasion {
    fn applies(self, sleep: &Sleep<'_>) -> bool {
        let is_in = |calls: &[&str]| sleep.call.is_some_and(|call| calls.iter().any(|name| name.as_bytes() == call));
        match self {
            Self::KernelThread => sleep.is_kernel_thread && sleep.state == b'S',
            Self::Uninterruptible => sleep.state == b'D',
            Self::Kernel(functions) => has_function(sleep.kernel, functions),
            Self::NoCall => sleep.is_in_no_call && !sleep.is_kernel_thread,
            Self::Calls(calls) => is_in(calls),
            Self::Files(calls, kinds) => sleep.file.is_some_and(|kind| kinds.contains(&kind)) && is_in(calls),
            Self::Futex(futex) => is_in(&["futex", "futex_time64", "futex_wait"]) && futex.applies(sleep),
            Self::WakeUp { watches_pipes } => {
                let [_, _, events, limit, ..] = sleep.args;
                let is_for_one = is_in(EPOLLS) && lower_half(events) == 1;
                is_for_one && is_endless(limit) && sleep.watches_pipes == watches_pipes
            }
            Self::PollOfOne => {
                let [_, files, limit, ..] = sleep.args;
                let is_short = !(HOUR_MS..ENDLESS).contains(&lower_half(limit));
                lower_half(files) == 1 && (is_in(&["poll"]) && is_short || is_in(&["ppoll", "ppoll_time64"]))
            }
            Self::Fcntl(commands) => is_in(&["fcntl", "fcntl64"]) && commands.contains(&sleep.args[1]),
        }
    }
}

impl Futex {
    /// What is so about the word and the operation, for people.
    #[must_use]
    pub(crate) const fn condition(self) -> &'static str {
        match self {
            Self::OwnStack => "whose word is within 1 KiB above the stack pointer",
            Self::Lock => "whose word is 2",
            Self::ReadWriteLock => "whose word is 3, by FUTEX_WAIT_BITSET and CLOCK_REALTIME",
            Self::OwnedLock => "by FUTEX_WAIT, whose word is bit 31 and a number from 1 to 4194303",
            Self::PriorityInheritance => "with priority inheritance (FUTEX_LOCK_PI)",
            Self::EndOfProgram => {
                "that processes may share, whose word is the id of a thread, in a process's first thread"
            }
            Self::ThreadEnd => "that processes may share, whose word is the id of a thread",
            Self::Any => "with any other word",
        }
    }

    /// By the arguments of futex(2): word, operation, value.
    fn applies(self, sleep: &Sleep<'_>) -> bool {
        /// `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`
        const PRIVATE: u64 = 128;
        const REALTIME: u64 = 256;
        const WAIT: u64 = 0;
        const LOCK_PI: u64 = 6;
        const WAIT_BITSET: u64 = 9;
        const LOCK_PI2: u64 = 13;
        /// `FUTEX_WAITERS`
        const WAITERS: u64 = 1 << 31;
        /// How far above the stack pointer musl has the word of a condition: three calls.
        const NEAR: u64 = 1024;
        let [word, operation, value, ..] = sleep.args;
        let value = lower_half(value);
        let waits = matches!(operation & !(PRIVATE | REALTIME), WAIT | WAIT_BITSET);
        let is_thread = |id: u64| id > 2 && id < 1 << 22;
        match self {
            Self::OwnStack => waits && sleep.sp != 0 && word >= sleep.sp && word - sleep.sp < NEAR,
            Self::Lock => waits && value == 2,
            Self::ReadWriteLock => operation & !PRIVATE == WAIT_BITSET | REALTIME && value == 3,
            Self::OwnedLock => {
                operation & !PRIVATE == WAIT && value & WAITERS != 0 && (1..1 << 22).contains(&(value & !WAITERS))
            }
            Self::PriorityInheritance => matches!(operation & !(PRIVATE | REALTIME), LOCK_PI | LOCK_PI2),
            Self::EndOfProgram => sleep.is_first && Self::ThreadEnd.applies(sleep),
            Self::ThreadEnd => waits && operation & PRIVATE == 0 && is_thread(value),
            Self::Any => true,
        }
    }
}

/// Of an argument, what the kernel looks at where it takes an `int`.
const fn lower_half(argument: u64) -> u64 {
    argument & 0xffff_ffff
}

/// An hour, milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// From here on, a time limit in milliseconds is none: -1, or any other negative `int`.
const ENDLESS: u64 = 1 << 31;

/// Whether a time limit in milliseconds is none.
const fn is_endless(limit: u64) -> bool {
    lower_half(limit) >= ENDLESS
}

/// Whether `text`, functions with anything but letters between them, has one of these.
fn has_function(text: &[u8], functions: &[&str]) -> bool {
    let is_between = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_');
    text.split(is_between).any(|name| functions.iter().any(|function| function.as_bytes() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleep() -> Sleep<'static> {
        Sleep {
            watches_pipes: None,
            state: b'S',
            is_kernel_thread: false,
            is_first: false,
            call: None,
            is_in_no_call: false,
            args: [0; 6],
            sp: 0,
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
            told(&Sleep { call: Some(b"futex"), args: [0x7f00, operation, value, 0, 0, 0], sp: 0x9000, ..sleep() })
        };
        assert_eq!(futex(0x80, 2), "no: lock", "pthread_mutex_lock");
        assert_eq!(futex(0, 2), "no: lock", "one that processes share");
        assert_eq!(futex(0x86, 0), "no: lock", "priority inheritance");
        assert_eq!(futex(0x109, 4711), "no: thread end", "pthread_join");
        assert_eq!(futex(0x189, 0), "maybe: condition", "pthread_cond_wait, sem_wait");
        assert_eq!(
            futex(0x109, 0),
            "maybe: condition",
            "sem_wait of a semaphore that processes share, as in PostgreSQL"
        );
        assert_eq!(futex(0x189, 4711), "maybe: condition", "not a word that the kernel clears");
        assert_eq!(futex(0x80, 0xffff_ffff_0000_0002), "no: lock", "the upper half is not looked at");
        assert_eq!(futex(0x189, 3), "no: lock", "pthread_rwlock_rdlock, pthread_rwlock_wrlock");
        assert_eq!(futex(0x89, 3), "maybe: condition", "a counter of Rust");
        assert_eq!(futex(0x80, 0x8000_1267), "no: lock", "the holder's id: musl, and robust mutexes of glibc");
        assert_eq!(futex(0x80, 0xffff_ffff_8000_0010), "no: lock", "a mutex of musl without an owner");
        assert_eq!(futex(0x89, 0xffff_ffff), "maybe: condition", "a thread of Rust that is parked");
        assert_eq!(futex(0x80, 0x8000_0000), "maybe: condition", "a semaphore of musl");
    }

    #[test]
    fn a_condition_of_musl_is_told_from_a_lock_by_its_place() {
        let futex = |word| {
            told(&Sleep { call: Some(b"futex"), args: [word, 0x80, 2, 0, 0, 0], sp: 0x7f12_3456_7000, ..sleep() })
        };
        assert_eq!(futex(0x7f12_3456_70e0), "maybe: condition");
        assert_eq!(futex(0x7f12_3456_7400), "no: lock", "in a frame of another function");
        assert_eq!(futex(0x7f12_3456_6ff0), "no: lock");
    }

    #[test]
    fn a_program_whose_first_thread_only_waits_for_its_others_need_not_wait() {
        // The launcher of a Java machine, and its own first thread.
        let join = |is_first| {
            let args = [0x7f1d_f7b1_f990, 0x109, 0x457a, 0, 0, 0xffff_ffff];
            told(&Sleep { call: Some(b"futex"), args, sp: 0x7ffe_6fd5_0d80, is_first, ..sleep() })
        };
        assert_eq!((join(true), join(false)), ("maybe: thread end".into(), "no: thread end".into()));
    }

    #[test]
    fn one_file_in_a_poll_may_be_a_servers_or_a_clients() {
        let poll =
            |call, files, limit| told(&Sleep { call: Some(call), args: [0x7f00, files, limit, 0, 0, 0], ..sleep() });
        assert_eq!(poll(b"poll", 1, 0xffff_ffff), "maybe: one file");
        assert_eq!(poll(b"poll", 1, 60_000), "maybe: one file", "a client's time limit");
        assert_eq!(poll(b"poll", 1, 28_800_000), "yes: poll", "the limit of idle connections");
        assert_eq!(poll(b"ppoll", 1, 0x7f12_0000_0000), "maybe: one file", "its limit is in memory");
        assert_eq!(poll(b"poll", 2, 0xffff_ffff), "yes: poll");
        assert_eq!(poll(b"pselect6", 1, 0), "yes: poll", "there it is the highest descriptor and one");
    }

    #[test]
    fn who_serves_a_file_system_waits_for_work() {
        let read = |kernel| told(&Sleep { call: Some(b"read"), file: Some(FileKind::Device), kernel, ..sleep() });
        assert_eq!(read(b"fuse_dev_do_read"), "yes: FUSE requests");
        assert_eq!(read(b"syslog_print"), "maybe: device");
        assert_eq!(told(&Sleep { kernel: b"io_wq_worker", ..sleep() }), "yes: worker");
        assert_eq!(told(&Sleep { call: Some(b"io_getevents"), ..sleep() }), "maybe: finished I/O");
        assert_eq!(told(&Sleep { call: Some(b"close"), ..sleep() }), "no: close");
        assert_eq!(told(&Sleep { call: Some(b"openat"), ..sleep() }), "no: open", "of a FIFO");
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
        let epoll = |watches_pipes, events, limit| {
            told(&Sleep { call: Some(b"epoll_wait"), args: [3, 0, events, limit, 0, 0], watches_pipes, ..sleep() })
        };
        assert_eq!(epoll(Some(true), 1, 0xffff_ffff), "no: wake-up");
        assert_eq!(epoll(Some(true), 1, 200), "yes: poll");
        assert_eq!(
            epoll(Some(true), 1024, 0xffff_ffff),
            "yes: poll",
            "a loop of libuv, which takes many events at once"
        );
        assert_eq!(epoll(Some(false), 1, 0xffff_ffff), "yes: poll");
        assert_eq!(epoll(None, 1, 0xffff_ffff), "maybe: wake-up");
        assert_eq!(epoll(None, 512, 0xffff_ffff), "yes: poll");
        assert_eq!(epoll(None, 1, 200), "yes: poll");
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
