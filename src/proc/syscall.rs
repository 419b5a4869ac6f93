//! System calls: their names, and which of them take a file descriptor or a process first.
//!
//! Numbers differ between architectures, and between the ABIs of one kernel, so each is looked up under an [`Abi`].

use std::ffi::c_long;
use std::sync::OnceLock;

use syscall_numbers as tables;

/// The ABI in which a program's system calls are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abi {
    /// 64-bit x86, and x32, whose numbers have a bit of their own set.
    X86_64,
    /// 32-bit x86, on its own kernels and on x86-64's.
    X86,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm (EABI), on its own kernels and on aarch64's.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// Any other: its calls have no names here.
    Unknown,
}

impl Abi {
    /// The ABI this program was built for.
    #[must_use]
    pub(crate) const fn native() -> Self {
        if cfg!(target_arch = "x86_64") {
            Self::X86_64
        } else if cfg!(target_arch = "x86") {
            Self::X86
        } else if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "arm") {
            Self::Arm
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else {
            Self::Unknown
        }
    }
}

/// The bit that x32 programs set in every number (`__X32_SYSCALL_BIT` in the kernel's `arch/x86/include/uapi/asm/unistd.h`).
pub(crate) const X32_BIT: i64 = 0x4000_0000;

/// The name of system call `number`, as strace(1) prints it (`newfstatat`, `pread64`); `None` where there is no such call.
#[inline]
#[must_use]
pub fn name(abi: Abi, number: i64) -> Option<&'static str> {
    Table::of(abi, number)?.name(number)
}

/// The names of all system calls, on any of the architectures; most occur several times.
pub fn names() -> impl Iterator<Item = &'static str> {
    const ABIS: [Abi; 5] = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm, Abi::Riscv64];
    let numbers = || (0..NumberSet::END).chain(X32_BIT..X32_BIT + NumberSet::END);
    ABIS.into_iter().flat_map(move |abi| numbers().filter_map(move |number| name(abi, number)))
}

/// Whether the first argument of system call `number` is a file descriptor: of a file, a directory that a path is relative to
/// (then it may be `AT_FDCWD`, -100), a socket, a pidfd or anything else.
#[inline]
#[must_use]
pub(crate) fn first_argument_is_fd(abi: Abi, number: i64) -> bool {
    Table::of(abi, number).is_some_and(|table| table.fd_calls().contains(table.index(number)))
}

/// Whether the first argument of system call `number` is the process it waits for (wait4(2), and waitpid(2) where that is a
/// system call); it may also be -1, 0 or a negated process group.
#[must_use]
pub(crate) fn first_argument_is_pid(abi: Abi, number: i64) -> bool {
    matches!(name(abi, number), Some("wait4" | "waitpid"))
}

/// A table of numbers. An [`Abi`] has one, or two if it includes x32.
#[derive(Clone, Copy)]
enum Table {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
    Riscv64,
}

/// How many [`Table`]s there are.
const TABLES: usize = Table::Riscv64 as usize + 1;

impl Table {
    #[inline]
    fn of(abi: Abi, number: i64) -> Option<Self> {
        match abi {
            Abi::X86_64 if number >= X32_BIT => Some(Self::X32),
            Abi::X86_64 => Some(Self::X86_64),
            Abi::X86 => Some(Self::X86),
            Abi::Aarch64 => Some(Self::Aarch64),
            Abi::Arm => Some(Self::Arm),
            Abi::Riscv64 => Some(Self::Riscv64),
            Abi::Unknown => None,
        }
    }

    /// `number` counted from 0.
    #[inline]
    const fn index(self, number: i64) -> i64 {
        match self {
            Self::X32 => number & !X32_BIT,
            _ => number,
        }
    }

    fn name(self, number: i64) -> Option<&'static str> {
        if let Some(name) = self.correction(number) {
            return name;
        }
        let number = c_long::try_from(number).ok()?;
        match self {
            Self::X86_64 => tables::x86_64::sys_call_name(number),
            Self::X32 => tables::x32::sys_call_name(number),
            Self::X86 => tables::x86::sys_call_name(number),
            Self::Aarch64 => tables::aarch64::sys_call_name(number),
            Self::Arm => tables::arm::sys_call_name(number),
            Self::Riscv64 => tables::riscv64::sys_call_name(number),
        }
    }

    /// Calls for which the kernel's tables (`arch/*/syscall*.tbl`, `scripts/syscall.tbl`) differ from those of the crate.
    fn correction(self, number: i64) -> Option<Option<&'static str>> {
        let name = match (self, self.index(number)) {
            (_, 471) => "rseq_slice_yield",
            (Self::X86, 76) => "getrlimit",
            (Self::X86, 78) => "gettimeofday",
            (Self::X86, 79) => "settimeofday",
            (Self::X86, 260) => "timer_settime",
            (Self::X86, 261) => "timer_gettime",
            (Self::X86, 262) => "timer_getoverrun",
            (Self::X86, 263) => "timer_delete",
            (Self::X86, 264) => "clock_settime",
            (Self::X86, 265) => "clock_gettime",
            (Self::X86, 266) => "clock_getres",
            (Self::X86, 267) => "clock_nanosleep",
            (Self::X86, 278) => "mq_unlink",
            (Self::X86, 279) => "mq_timedsend",
            (Self::X86, 280) => "mq_timedreceive",
            (Self::X86, 281) => "mq_notify",
            (Self::X86, 282) => "mq_getsetattr",
            (Self::X86, 325) => "timerfd_settime",
            (Self::X86, 326) => "timerfd_gettime",
            (Self::Arm, 78) => "gettimeofday",
            (Self::Arm, 79) => "settimeofday",
            (Self::Arm, 258) => "timer_settime",
            (Self::Arm, 259) => "timer_gettime",
            (Self::Arm, 262) => "clock_settime",
            (Self::Arm, 263) => "clock_gettime",
            (Self::Arm, 264) => "clock_getres",
            (Self::Arm, 265) => "clock_nanosleep",
            (Self::Arm, 353) => "timerfd_settime",
            (Self::Arm, 354) => "timerfd_gettime",
            (Self::Riscv64, 258) => "riscv_hwprobe",
            (Self::Riscv64, 259) => "riscv_flush_icache",
            // The first number of a range reserved for the architecture, not a call.
            (Self::Aarch64 | Self::Riscv64, 244) => return Some(None),
            _ => return None,
        };
        Some(Some(name))
    }

    /// The calls of this table whose first argument is a file descriptor. They are found by name once.
    fn fd_calls(self) -> &'static NumberSet {
        static SETS: [OnceLock<NumberSet>; TABLES] = [const { OnceLock::new() }; TABLES];
        // A set for each table, in the order of the enumeration.
        #[expect(clippy::indexing_slicing)]
        SETS[self as usize].get_or_init(|| NumberSet::of_fd_calls(self))
    }
}

/// A set of small numbers, one bit each.
struct NumberSet([u64; Self::WORDS]);

impl NumberSet {
    const WORDS: usize = 9;

    /// More than the highest number of any table, x32's `pwritev2` (547).
    const END: i64 = 9 * 64;

    fn of_fd_calls(table: Table) -> Self {
        let base = if matches!(table, Table::X32) { X32_BIT } else { 0 };
        let mut set = Self([0; Self::WORDS]);
        for (word, first) in set.0.iter_mut().zip((0..Self::END).step_by(64)) {
            for bit in 0..64 {
                let name = table.name(base | (first + bit));
                if name.is_some_and(|name| FD_CALLS.binary_search(&name).is_ok()) {
                    *word |= 1 << bit;
                }
            }
        }
        set
    }

    #[inline]
    fn contains(&self, number: i64) -> bool {
        let Ok(number) = usize::try_from(number) else {
            return false;
        };
        self.0.get(number / 64).is_some_and(|word| (word >> (number % 64)) & 1 == 1)
    }
}

/// Every call whose first argument is a file descriptor, on any of the architectures. Sorted.
///
/// Calls with descriptors elsewhere are not included: `mmap` (fifth), `symlinkat` (second), `close_range` (a range),
/// `poll` and `select` (sets), `socketcall` (behind a pointer).
const FD_CALLS: &[&str] = &[
    "_llseek",
    "accept",
    "accept4",
    "bind",
    "cachestat",
    "close",
    "connect",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "execveat",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "file_getattr",
    "file_setattr",
    "finit_module",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsconfig",
    "fsetxattr",
    "fsmount",
    "fspick",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futimesat",
    "getdents",
    "getdents64",
    "getpeername",
    "getsockname",
    "getsockopt",
    "getxattrat",
    "inotify_add_watch",
    "inotify_rm_watch",
    "io_uring_enter",
    "io_uring_register",
    "ioctl",
    "kexec_file_load",
    "landlock_add_rule",
    "landlock_restrict_self",
    "linkat",
    "listen",
    "listxattrat",
    "lseek",
    "mkdirat",
    "mknodat",
    "mount_setattr",
    "move_mount",
    "mq_getsetattr",
    "mq_notify",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "name_to_handle_at",
    "newfstatat",
    "oldfstat",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "openat",
    "openat2",
    "pidfd_getfd",
    "pidfd_send_signal",
    "pread64",
    "preadv",
    "preadv2",
    "process_madvise",
    "process_mrelease",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "quotactl_fd",
    "read",
    "readahead",
    "readdir",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "removexattrat",
    "renameat",
    "renameat2",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setns",
    "setsockopt",
    "setxattrat",
    "shutdown",
    "signalfd",
    "signalfd4",
    "splice",
    "statx",
    "sync_file_range",
    "sync_file_range2",
    "syncfs",
    "tee",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "unlinkat",
    "utimensat",
    "utimensat_time64",
    "vmsplice",
    "write",
    "writev",
];

#[cfg(test)]
mod tests {
    use super::*;

    const ABIS: [Abi; 5] = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm, Abi::Riscv64];

    fn numbers(abi: Abi) -> impl Iterator<Item = i64> {
        let x32 = if abi == Abi::X86_64 { X32_BIT..X32_BIT + 600 } else { 0..0 };
        (0..600).chain(x32)
    }

    #[test]
    fn names_are_those_of_the_abi() {
        let cases = [
            (Abi::X86_64, 0, "read"),
            (Abi::X86_64, 17, "pread64"),
            (Abi::X86_64, 202, "futex"),
            (Abi::X86_64, 262, "newfstatat"),
            (Abi::X86, 3, "read"),
            (Abi::X86, 240, "futex"),
            (Abi::X86, 265, "clock_gettime"),
            (Abi::X86, 422, "futex_time64"),
            (Abi::Aarch64, 63, "read"),
            (Abi::Aarch64, 79, "newfstatat"),
            (Abi::Aarch64, 98, "futex"),
            (Abi::Arm, 3, "read"),
            (Abi::Arm, 265, "clock_nanosleep"),
            (Abi::Riscv64, 63, "read"),
            (Abi::Riscv64, 258, "riscv_hwprobe"),
        ];
        for (abi, number, expected) in cases {
            assert_eq!(name(abi, number), Some(expected), "{abi:?} {number}");
        }
    }

    #[test]
    fn calls_since_5_1_have_one_number_on_all_architectures() {
        let newest = [
            (424, "pidfd_send_signal"),
            (449, "futex_waitv"),
            (451, "cachestat"),
            (462, "mseal"),
            (463, "setxattrat"),
            (464, "getxattrat"),
            (465, "listxattrat"),
            (466, "removexattrat"),
            (467, "open_tree_attr"),
            (468, "file_getattr"),
            (469, "file_setattr"),
            (470, "listns"),
            (471, "rseq_slice_yield"),
        ];
        for abi in ABIS {
            for (number, expected) in newest {
                assert_eq!(name(abi, number), Some(expected), "{abi:?} {number}");
            }
        }
    }

    #[test]
    fn numbers_of_no_call_have_no_name_and_take_nothing() {
        for abi in ABIS.into_iter().chain([Abi::Unknown]) {
            for number in [i64::MIN, -64, -31, -2, -1, 575, 576, 640, 0x3fff_ffff, 0x7fff_ffff, X32_BIT << 1, i64::MAX]
            {
                assert_eq!(name(abi, number), None, "{abi:?} {number}");
                assert!(!first_argument_is_fd(abi, number), "{abi:?} {number}");
                assert!(!first_argument_is_pid(abi, number), "{abi:?} {number}");
            }
        }
        assert_eq!(name(Abi::Aarch64, 244), None);
        assert_eq!(name(Abi::Unknown, 0), None);
    }

    #[test]
    fn x32_numbers_are_read_with_their_bit() {
        assert_eq!(name(Abi::X86_64, X32_BIT), Some("read"));
        assert_eq!(name(Abi::X86_64, X32_BIT | 515), Some("readv"));
        assert_eq!(name(Abi::X86_64, X32_BIT | 471), Some("rseq_slice_yield"));
        assert!(first_argument_is_fd(Abi::X86_64, X32_BIT | 515));
        assert!(first_argument_is_fd(Abi::X86_64, X32_BIT | 547));
        assert!(!first_argument_is_fd(Abi::X86_64, X32_BIT | 520), "execve");
        assert_eq!(name(Abi::Aarch64, X32_BIT | 63), None, "the bit is x86-64's alone");
        assert!(!first_argument_is_fd(Abi::Aarch64, X32_BIT | 63));
    }

    #[test]
    fn the_bitmap_says_what_the_names_say() {
        for abi in ABIS {
            for number in numbers(abi) {
                let by_name = name(abi, number).is_some_and(|name| FD_CALLS.contains(&name));
                assert_eq!(first_argument_is_fd(abi, number), by_name, "{abi:?} {number}");
            }
        }
    }

    #[test]
    fn fd_calls_are_sorted_and_each_is_a_call_of_some_architecture() {
        assert!(FD_CALLS.is_sorted_by(|a, b| a < b));
        for call in FD_CALLS {
            let known = ABIS.into_iter().any(|abi| numbers(abi).any(|number| name(abi, number) == Some(call)));
            assert!(known, "{call}");
        }
    }

    #[test]
    fn calls_with_their_fd_elsewhere_are_not_fd_calls() {
        let others = "mmap mmap2 symlinkat close_range poll ppoll select pselect6 socketcall open pipe2 socket futex io_submit \
            bpf perf_event_open pidfd_open memfd_create epoll_create1 eventfd2 inotify_init1 fanotify_init userfaultfd \
            landlock_create_ruleset timerfd_create mq_open io_uring_setup waitid wait4 kill process_vm_readv statmount";
        for call in others.split_whitespace() {
            assert!(!FD_CALLS.contains(&call), "{call}");
        }
    }

    #[test]
    fn wait4_takes_a_process() {
        assert!(first_argument_is_pid(Abi::X86_64, 61));
        assert!(first_argument_is_pid(Abi::X86, 7), "waitpid");
        assert!(first_argument_is_pid(Abi::Aarch64, 260));
        assert!(!first_argument_is_pid(Abi::X86_64, 247), "waitid: its second");
    }
}
