//! The rules by which idleness is told, in one table. Each has its reason, which `--list` and `docs/idle.md` show.

use super::{FileKind, Futex, Occasion, Rule, Verdict};

const fn rule(when: Occasion, verdict: Verdict, what: &'static str, reason: &'static str) -> Rule {
    Rule { when, verdict, what, reason }
}

const READS: &[&str] =
    &["read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "recv", "splice", "tee"];
const WRITES: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "send",
    "sendfile",
    "vmsplice",
    "mq_timedsend",
    "msgsnd",
];
const POLLS: &[&str] =
    &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "_newselect"];
/// Those that are told with each call what to wait for.
const ONE_TIME_POLLS: &[&str] = &["poll", "ppoll", "select", "pselect6"];
const SLEEPS: &[&str] = &["nanosleep", "clock_nanosleep", "pause", "rt_sigtimedwait", "rt_sigsuspend", "sigsuspend"];
/// `F_SETLKW` and `F_OFD_SETLKW`, which wait for a lock.
const LOCK_COMMANDS: &[u64] = &[7, 38];

/// The rules, in the order in which they are tried.
pub(crate) static RULES: &[Rule] = &[
    rule(
        Occasion::Kernel(&["request_wait_answer"]),
        Verdict::No,
        "FUSE",
        "a request to a file system in user space, whose program has not answered",
    ),
    rule(
        Occasion::Kernel(&["rpc_wait_bit_killable", "nfs_wait_bit_killable", "nfs4_wait_clnt_recover"]),
        Verdict::No,
        "NFS",
        "a request to an NFS server, which has not answered",
    ),
    rule(
        Occasion::Kernel(&["fuse_dev_do_read"]),
        Verdict::Yes,
        "FUSE requests",
        "the program of a file system in user space: nobody has asked for anything",
    ),
    rule(
        Occasion::Kernel(&["io_wq_worker", "io_sq_thread", "vhost_task_fn", "vhost_worker"]),
        Verdict::Yes,
        "worker",
        "a thread that io_uring or vhost created in a program, and that has nothing to do",
    ),
    rule(Occasion::KernelThread, Verdict::Yes, "kernel thread", "the kernel's own threads sleep until there is work"),
    rule(Occasion::Uninterruptible, Verdict::No, "uninterruptible", "a disk, or a lock within the kernel"),
    rule(
        Occasion::Kernel(&[
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
        Occasion::Kernel(&[
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
        Occasion::Kernel(&["handle_userfault"]),
        Verdict::No,
        "page fault",
        "memory that another program has to fill (userfaultfd)",
    ),
    rule(Occasion::NoCall, Verdict::No, "page fault", "memory that is not there yet"),
    rule(
        Occasion::Calls(&["wait4", "waitid", "vfork"]),
        Verdict::No,
        "child",
        "the end of a child, or of a traced process; of vfork, until the child has its own memory",
    ),
    rule(Occasion::Calls(&["flock"]), Verdict::No, "file lock", "a lock on a file, which another process holds"),
    rule(Occasion::Fcntl(LOCK_COMMANDS), Verdict::No, "file lock", "a lock on a file, which another process holds"),
    rule(
        Occasion::Futex(Futex::OwnStack),
        Verdict::Maybe,
        "condition",
        "a condition variable of musl, whose word is 2 as well: a lock that others hold is seldom on one's own stack",
    ),
    rule(Occasion::Futex(Futex::Lock), Verdict::No, "lock", "the word is 2: a mutex that another thread holds"),
    rule(
        Occasion::Futex(Futex::ReadWriteLock),
        Verdict::No,
        "lock",
        "a read-write lock of glibc, which others hold; its conditions and semaphores have 0 here, before glibc 2.41",
    ),
    rule(
        Occasion::Futex(Futex::OwnedLock),
        Verdict::No,
        "lock",
        "the word has the bit for waiters, and who or how many hold the lock: musl, and robust mutexes of glibc",
    ),
    rule(
        Occasion::Futex(Futex::PriorityInheritance),
        Verdict::No,
        "lock",
        "a mutex with priority inheritance, which another thread holds",
    ),
    rule(
        Occasion::Futex(Futex::EndOfProgram),
        Verdict::Maybe,
        "thread end",
        "the first thread of a program often does nothing but wait for its others to end, as long as the program runs",
    ),
    rule(
        Occasion::Futex(Futex::ThreadEnd),
        Verdict::No,
        "thread end",
        "the word is the id of a thread, which is to end (pthread_join)",
    ),
    rule(
        Occasion::Futex(Futex::Any),
        Verdict::Maybe,
        "condition",
        "a condition variable, a semaphore or a lock of another kind: a pool's idle threads and waits for each other look alike",
    ),
    rule(Occasion::Calls(&["accept", "accept4"]), Verdict::Yes, "connections", "a server waits for clients"),
    rule(Occasion::Files(READS, &[FileKind::Terminal]), Verdict::Yes, "terminal", "a person has typed nothing"),
    rule(
        Occasion::Files(READS, &[FileKind::Events]),
        Verdict::Yes,
        "events",
        "a timer, a signal, an event has not come",
    ),
    rule(
        Occasion::Files(READS, &[FileKind::ServerSocket]),
        Verdict::Yes,
        "client",
        "a client has asked for nothing: the process is the server of this connection",
    ),
    rule(
        Occasion::Files(READS, &[FileKind::ClientSocket]),
        Verdict::No,
        "server",
        "a server has not answered: the process is the client of this connection",
    ),
    rule(
        Occasion::Files(READS, &[FileKind::Pipe]),
        Verdict::No,
        "pipe",
        "whoever writes to a pipe has written nothing",
    ),
    rule(
        Occasion::Files(READS, &[FileKind::Device]),
        Verdict::Maybe,
        "device",
        "a device may owe an answer, as a tape does, or tell of events, as the kernel's log does",
    ),
    rule(Occasion::Files(READS, &[FileKind::Other]), Verdict::No, "read", "a file system has not answered"),
    rule(
        Occasion::Calls(READS),
        Verdict::Maybe,
        "socket",
        "it is not known which end of the connection the process is",
    ),
    rule(
        Occasion::Calls(WRITES),
        Verdict::No,
        "write",
        "whoever reads from a pipe, a socket, a queue or a device has not taken what was written",
    ),
    rule(
        Occasion::Calls(&["open", "openat", "openat2", "creat"]),
        Verdict::No,
        "open",
        "whoever is to open the other end of a FIFO has not, or a device or file system has not answered",
    ),
    rule(Occasion::Calls(&["connect"]), Verdict::No, "connect", "a server has not accepted a connection"),
    rule(
        Occasion::Calls(&["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync", "umount2"]),
        Verdict::No,
        "disk",
        "a disk has not finished",
    ),
    rule(
        Occasion::Calls(&["close", "shutdown"]),
        Verdict::No,
        "close",
        "whoever is to take the last of what was written has not (SO_LINGER), or a file system has not answered",
    ),
    rule(
        Occasion::WakeUp { watches_pipes: Some(true) },
        Verdict::No,
        "wake-up",
        "no client can wake it, and no time: another process of the same program must, as in PostgreSQL's waits for row locks",
    ),
    rule(
        Occasion::WakeUp { watches_pipes: None },
        Verdict::Maybe,
        "wake-up",
        "the same, or an event loop: which files it watches is not known",
    ),
    rule(
        Occasion::Files(ONE_TIME_POLLS, &[FileKind::ClientSocket]),
        Verdict::No,
        "server",
        "it waits for one connection and nothing else, of which it is the client: a server has not answered",
    ),
    rule(
        Occasion::Files(ONE_TIME_POLLS, &[FileKind::ServerSocket]),
        Verdict::Yes,
        "client",
        "it waits for one connection and nothing else, of which it is the server: a client has asked for nothing",
    ),
    rule(
        Occasion::PollOfOne,
        Verdict::Maybe,
        "one file",
        "a client waits for its server, or a server for its client; a limit of hours is that of a server's idle connections",
    ),
    rule(Occasion::Calls(POLLS), Verdict::Yes, "poll", "an event loop: none of the files it watches has anything new"),
    rule(Occasion::Calls(SLEEPS), Verdict::Yes, "time", "a thread that sleeps for a time, or until a signal"),
    rule(
        Occasion::Calls(&["io_getevents", "io_pgetevents", "io_uring_enter"]),
        Verdict::Maybe,
        "finished I/O",
        "a thread waits for I/O that it has begun, or collects what others begin, if they do",
    ),
    rule(Occasion::Calls(&["mq_timedreceive"]), Verdict::Yes, "messages", "nobody has sent a message"),
    rule(
        Occasion::Calls(&["semop", "semtimedop", "msgrcv", "restart_syscall"]),
        Verdict::Maybe,
        "call",
        "this call is used for both",
    ),
];
