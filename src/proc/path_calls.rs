//! System calls that take a path: which of their arguments points to it.

use crate::proc::syscall::{Abi, name};

/// The index of the argument that points to the path that system call `number` is about; `None` if it takes none. If it takes two,
/// it is the first that the kernel looks up.
#[must_use]
pub(crate) fn path_argument(abi: Abi, number: i64) -> Option<usize> {
    let name = name(abi, number)?;
    let place = PATH_CALLS.binary_search_by_key(&name, |(call, _)| call).ok()?;
    PATH_CALLS.get(place).map(|(_, argument)| *argument)
}

/// Every call that takes a path, on any of the architectures, and the index of the argument. Sorted.
///
/// The text that `symlink` stores in the link is not looked up: the path is that of the link. Of `mount` it is where to mount.
/// Names that are no paths are not included (`mq_open`, `memfd_create`), and neither are paths within structures (`connect`,
/// `bpf`, `fsconfig`). `fanotify_mark` has its path after a mask that takes two arguments on 32-bit architectures.
const PATH_CALLS: &[(&str, usize)] = &[
    ("access", 0),
    ("acct", 0),
    ("chdir", 0),
    ("chmod", 0),
    ("chown", 0),
    ("chown32", 0),
    ("chroot", 0),
    ("creat", 0),
    ("execve", 0),
    ("execveat", 1),
    ("faccessat", 1),
    ("faccessat2", 1),
    ("fchmodat", 1),
    ("fchmodat2", 1),
    ("fchownat", 1),
    ("file_getattr", 1),
    ("file_setattr", 1),
    ("fspick", 1),
    ("fstatat64", 1),
    ("futimesat", 1),
    ("getxattr", 0),
    ("getxattrat", 1),
    ("inotify_add_watch", 1),
    ("lchown", 0),
    ("lchown32", 0),
    ("lgetxattr", 0),
    ("link", 0),
    ("linkat", 1),
    ("listxattr", 0),
    ("listxattrat", 1),
    ("llistxattr", 0),
    ("lremovexattr", 0),
    ("lsetxattr", 0),
    ("lstat", 0),
    ("lstat64", 0),
    ("mkdir", 0),
    ("mkdirat", 1),
    ("mknod", 0),
    ("mknodat", 1),
    ("mount", 1),
    ("mount_setattr", 1),
    ("move_mount", 1),
    ("name_to_handle_at", 1),
    ("newfstatat", 1),
    ("oldlstat", 0),
    ("oldstat", 0),
    ("open", 0),
    ("open_tree", 1),
    ("open_tree_attr", 1),
    ("openat", 1),
    ("openat2", 1),
    ("pivot_root", 0),
    ("quotactl", 1),
    ("readlink", 0),
    ("readlinkat", 1),
    ("removexattr", 0),
    ("removexattrat", 1),
    ("rename", 0),
    ("renameat", 1),
    ("renameat2", 1),
    ("rmdir", 0),
    ("setxattr", 0),
    ("setxattrat", 1),
    ("stat", 0),
    ("stat64", 0),
    ("statfs", 0),
    ("statfs64", 0),
    ("statx", 1),
    ("swapoff", 0),
    ("swapon", 0),
    ("symlink", 1),
    ("symlinkat", 2),
    ("truncate", 0),
    ("truncate64", 0),
    ("umount", 0),
    ("umount2", 0),
    ("unlink", 0),
    ("unlinkat", 1),
    ("uselib", 0),
    ("utime", 0),
    ("utimensat", 1),
    ("utimensat_time64", 1),
    ("utimes", 0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::syscall::names;

    #[test]
    fn calls_are_sorted_and_each_is_a_call_of_some_architecture() {
        assert!(PATH_CALLS.is_sorted_by_key(|(name, _)| name));
        for (call, argument) in PATH_CALLS {
            assert!(names().any(|name| name == *call), "{call}");
            assert!(*argument < 6);
        }
    }

    #[test]
    fn each_call_has_its_path_where_the_kernel_looks_for_it() {
        let on_x86_64 = [
            (2, Some(0), "open"),
            (4, Some(0), "stat"),
            (59, Some(0), "execve"),
            (82, Some(0), "rename"),
            (88, Some(1), "symlink"),
            (165, Some(1), "mount"),
            (166, Some(0), "umount2"),
            (257, Some(1), "openat"),
            (262, Some(1), "newfstatat"),
            (266, Some(2), "symlinkat"),
            (322, Some(1), "execveat"),
            (332, Some(1), "statx"),
            (437, Some(1), "openat2"),
            (0, None, "read"),
            (5, None, "fstat"),
            (202, None, "futex"),
            (-1, None, "no call"),
            (9999, None, "no call"),
        ];
        for (number, argument, call) in on_x86_64 {
            assert_eq!(path_argument(Abi::X86_64, number), argument, "{call}");
        }
        assert_eq!(path_argument(Abi::X86, 5), Some(0), "open");
        assert_eq!(path_argument(Abi::X86, 295), Some(1), "openat");
        assert_eq!(path_argument(Abi::Aarch64, 56), Some(1), "openat");
        assert_eq!(path_argument(Abi::Unknown, 56), None);
    }

    #[test]
    fn every_call_whose_name_ends_in_at_is_in_the_table_or_takes_no_path() {
        let without =
            ["open_by_handle_at", "ustat", "cachestat", "stat", "lstat", "fstat", "oldstat", "oldlstat", "oldfstat"];
        for name in names().filter(|name| name.ends_with("at")) {
            let is_in = PATH_CALLS.iter().any(|(call, _)| *call == name);
            assert!(is_in || without.contains(&name) || name.starts_with("shm") || name.starts_with("sem"), "{name}");
        }
    }
}
