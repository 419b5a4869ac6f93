//! The registry: every column there is, and how a name finds its column.
//!
//! One table gives `--list`, the plan of a run, `docs/columns.md` and the schema of recordings.

use crate::ask::column::Kind::{Counter, Gauge, Id, Text};
use crate::ask::column::{
    Column, Extract, FilenameForm, MountPart, SmapsPart, SocketPart, StatusForm, SyscallPart, WaitPart,
};
use crate::proc::parse::stat::field;
use crate::proc::source::Source;

/// All columns, in the order of `--list`.
pub static COLUMNS: &[Column] = &[
    // task
    Column::new("pid", Id, Source::Task, Extract::Tgid, "process id (the kernel's tgid)"),
    Column::new("task", Id, Source::Task, Extract::Tid, "thread id (the kernel's pid)"),
    // stat
    Column::new("comm", Text, Source::Stat, Extract::Comm, "thread name, each run of digits shown as *"),
    Column::new("comm2", Text, Source::Stat, Extract::CommRaw, "thread name, unchanged"),
    Column::new(
        "pcomm",
        Text,
        Source::Comm,
        Extract::ProcessComm,
        "process name, which -p matches: the name of its first thread",
    ),
    Column::new("state_id", Text, Source::Stat, Extract::StateId, "state letter: R S D T t X Z P I"),
    Column::new(
        "state",
        Text,
        Source::Stat,
        Extract::State,
        "state name; a kernel walk distinguishes Running (ON CPU) and Runnable (waiting for CPU)",
    ),
    Column::new("kthread", Id, Source::Stat, Extract::Kthread, "1 for a kernel thread (flag PF_KTHREAD), else 0"),
    Column::stat("ppid", field::PPID, Id, "parent process id"),
    Column::stat("pgrp", field::PGRP, Id, "process group id"),
    Column::stat("session", field::SESSION, Id, "session id"),
    Column::stat("tty_nr", field::TTY_NR, Id, "controlling terminal, as a device number"),
    Column::stat("tpgid", field::TPGID, Id, "foreground process group of the terminal"),
    Column::stat("flags", field::FLAGS, Id, "PF_* flags of the kernel, decimal"),
    Column::stat("minflt", field::MINFLT, Counter, "minor page faults"),
    Column::stat("cminflt", field::CMINFLT, Counter, "minor page faults of waited-for children"),
    Column::stat("majflt", field::MAJFLT, Counter, "major page faults (disk reads)"),
    Column::stat("cmajflt", field::CMAJFLT, Counter, "major page faults of waited-for children"),
    Column::stat("utime", field::UTIME, Counter, "user CPU time, clock ticks"),
    Column::stat("stime", field::STIME, Counter, "system CPU time, clock ticks"),
    Column::stat("cutime", field::CUTIME, Counter, "user CPU time of waited-for children, clock ticks"),
    Column::stat("cstime", field::CSTIME, Counter, "system CPU time of waited-for children, clock ticks"),
    Column::seconds("utime_sec", field::UTIME, "user CPU time, seconds"),
    Column::seconds("stime_sec", field::STIME, "system CPU time, seconds"),
    Column::seconds("cutime_sec", field::CUTIME, "user CPU time of waited-for children, seconds"),
    Column::seconds("cstime_sec", field::CSTIME, "system CPU time of waited-for children, seconds"),
    Column::stat("priority", field::PRIORITY, Gauge, "kernel scheduling priority"),
    Column::stat("nice", field::NICE, Gauge, "nice value, 19 (low) to -20 (high)"),
    Column::stat("num_threads", field::NUM_THREADS, Gauge, "threads in the process"),
    Column::stat("itrealvalue", field::ITREALVALUE, Gauge, "always 0 since Linux 2.6.17"),
    Column::stat("starttime", field::STARTTIME, Id, "start time of the thread, clock ticks after boot"),
    Column::stat("vsize", field::VSIZE, Gauge, "virtual memory, bytes"),
    Column::stat("rss", field::RSS, Gauge, "resident memory, pages"),
    Column::stat("rsslim", field::RSSLIM, Gauge, "soft limit of resident memory, bytes"),
    Column::stat("startcode", field::STARTCODE, Id, "start address of the program text"),
    Column::stat("endcode", field::ENDCODE, Id, "end address of the program text"),
    Column::stat("startstack", field::STARTSTACK, Id, "start address of the stack"),
    Column::stat("kstkesp", field::KSTKESP, Id, "stack pointer, 0 unless the process is exiting"),
    Column::stat("kstkeip", field::KSTKEIP, Id, "instruction pointer, 0 unless the process is exiting"),
    Column::stat("signal", field::SIGNAL, Id, "pending signals, decimal bitmap"),
    Column::stat("blocked", field::BLOCKED, Id, "blocked signals, decimal bitmap"),
    Column::stat("sigignore", field::SIGIGNORE, Id, "ignored signals, decimal bitmap"),
    Column::stat("sigcatch", field::SIGCATCH, Id, "caught signals, decimal bitmap"),
    Column::stat("nswap", field::NSWAP, Gauge, "not maintained by the kernel"),
    Column::stat("cnswap", field::CNSWAP, Gauge, "not maintained by the kernel"),
    Column::stat("exit_signal", field::EXIT_SIGNAL, Id, "signal sent to the parent at exit"),
    Column::stat("processor", field::PROCESSOR, Id, "CPU last run on"),
    Column::stat("cpu", field::PROCESSOR, Id, "CPU last run on (the same as processor)"),
    Column::stat("rt_priority", field::RT_PRIORITY, Gauge, "real-time priority, 0 for none"),
    Column::stat("policy", field::POLICY, Id, "scheduling policy: 0 normal, 1 FIFO, 2 RR, 3 batch, 5 idle, 6 deadline"),
    Column::stat(
        "delayacct_blkio_ticks",
        field::DELAYACCT_BLKIO_TICKS,
        Counter,
        "time waiting for block I/O, clock ticks (needs delay accounting)",
    ),
    Column::stat("guest_time", field::GUEST_TIME, Counter, "CPU time running a virtual CPU of a guest, clock ticks")
        .since("2.6.24"),
    Column::stat("cguest_time", field::CGUEST_TIME, Counter, "guest time of waited-for children, clock ticks")
        .since("2.6.24"),
    Column::stat("start_data", field::START_DATA, Id, "start address of program data").since("3.3"),
    Column::stat("end_data", field::END_DATA, Id, "end address of program data").since("3.3"),
    Column::stat("start_brk", field::START_BRK, Id, "start address of the heap").since("3.3"),
    Column::stat("arg_start", field::ARG_START, Id, "start address of the arguments").since("3.5"),
    Column::stat("arg_end", field::ARG_END, Id, "end address of the arguments").since("3.5"),
    Column::stat("env_start", field::ENV_START, Id, "start address of the environment").since("3.5"),
    Column::stat("env_end", field::ENV_END, Id, "end address of the environment").since("3.5"),
    Column::stat("exit_code", field::EXIT_CODE, Id, "exit status, encoded as by waitpid").since("3.5"),
    // A kernel walk
    Column::new(
        "oncpu",
        Id,
        Source::Kernel,
        Extract::OnCpu,
        "1 for a thread that is on a CPU, else 0; 0 in state R means waiting for a CPU",
    ),
    Column::new(
        "state2",
        Text,
        Source::Kernel,
        Extract::State2,
        "as state, but [unsupported] if running and waiting for a CPU cannot be distinguished",
    ),
    Column::new(
        "iowait",
        Id,
        Source::Kernel,
        Extract::IoWait,
        "1 for a thread that waits for I/O, as the kernel counts it, 0 for one that does not",
    ),
    // The age of the wait
    Column::new(
        "wait_ns",
        Gauge,
        Source::Wait,
        Extract::Waited(WaitPart::Nanoseconds),
        "time off the CPU in this wait, nanoseconds; in state R, time waiting for a CPU",
    ),
    Column::milliseconds(
        "wait_ms",
        Source::Wait,
        Extract::Waited(WaitPart::Microseconds),
        "time off the CPU in this wait, milliseconds; in state R, time waiting for a CPU",
    ),
    Column::new(
        "exact_wait_ns",
        Gauge,
        Source::Wait,
        Extract::Waited(WaitPart::ExactNanoseconds),
        "wait_ns if it is exact and the wait began before the tick was due; what waits_s and the latencies are estimated from",
    ),
    Column::new(
        "wait_since_ns",
        Id,
        Source::Wait,
        Extract::Waited(WaitPart::Since),
        "when this wait began, nanoseconds since 1970; always recorded: a replay computes wait_ns and wait_ms from it",
    ),
    Column::new(
        "wait_exact",
        Id,
        Source::Wait,
        Extract::Waited(WaitPart::Exactness),
        "1 if the age is exact, 0 if the wait may have lasted longer (through /proc), -1 if it may be shorter (real-time threads)",
    ),
    // syscall
    Column::syscall("syscall", Text, SyscallPart::Name, "name of the system call the thread is blocked in"),
    Column::syscall("syscall_id", Id, SyscallPart::Id, "number of that system call"),
    Column::syscall("arg0", Text, SyscallPart::Arg(0), "its first argument, hexadecimal"),
    Column::syscall("arg1", Text, SyscallPart::Arg(1), "its second argument, hexadecimal"),
    Column::syscall("arg2", Text, SyscallPart::Arg(2), "its third argument, hexadecimal"),
    Column::syscall("arg3", Text, SyscallPart::Arg(3), "its fourth argument, hexadecimal"),
    Column::syscall("arg4", Text, SyscallPart::Arg(4), "its fifth argument, hexadecimal"),
    Column::syscall("arg5", Text, SyscallPart::Arg(5), "its sixth argument, hexadecimal"),
    Column::syscall("esp", Text, SyscallPart::StackPointer, "user stack pointer, hexadecimal"),
    Column::syscall("eip", Text, SyscallPart::ProgramCounter, "user program counter, hexadecimal"),
    Column::filename(
        "filename",
        FilenameForm::Normal,
        "file of the system call's descriptor argument; of a socket the connection, of epoll and poll what they wait for",
    ),
    Column::filename("filename2", FilenameForm::Raw, "the same, with the numbers of pipes and other files"),
    Column::filename(
        "filenamesum",
        FilenameForm::Summary,
        "the same, each run of digits and the client's port shown as *",
    ),
    Column::filename("basename", FilenameForm::Basename, "last component of filename"),
    Column::filename("dirname", FilenameForm::Dirname, "directory of filename"),
    Column::new(
        "mount",
        Text,
        Source::Mounts,
        Extract::Mount(MountPart::Point),
        "mount point of the file of the descriptor argument, as the thread sees it",
    ),
    Column::new(
        "device",
        Text,
        Source::Mounts,
        Extract::Mount(MountPart::Device),
        "what that mount is of: a disk, an NFS server with its export, or the kind of file system if it has no source",
    ),
    Column::new(
        "path",
        Text,
        Source::Path,
        Extract::Path,
        "path that the system call was given (open, stat, unlink and others), as the program wrote it",
    ),
    // The socket of the descriptor argument
    Column::socket(
        "proto",
        Text,
        SocketPart::Protocol,
        "protocol of the socket in the descriptor argument: tcp, udp, unix and others",
    ),
    Column::socket("local", Text, SocketPart::Local, "its own address and port"),
    Column::socket("remote", Text, SocketPart::Remote, "address and port of the other end"),
    Column::socket("remote_port", Id, SocketPart::RemotePort, "port of the other end"),
    Column::socket("conn_state", Text, SocketPart::State, "state of the connection: ESTABLISHED, LISTEN and others"),
    Column::socket(
        "peer_pid",
        Id,
        SocketPart::PeerPid,
        "process at the other end of a UNIX socket, or of a TCP connection within this host",
    ),
    Column::socket("peer_comm", Text, SocketPart::PeerComm, "name of that process"),
    // The reason of the wait
    Column::new(
        "idle",
        Text,
        Source::Idle,
        Extract::Idle,
        "whether a sleeping thread waits for work: yes, no or maybe, and what it waits for",
    ),
    // wchan, stack
    Column::new("wchan", Text, Source::Wchan, Extract::Wchan, "kernel function the thread sleeps in"),
    Column::new(
        "kstack",
        Text,
        Source::Stack,
        Extract::Stack,
        "kernel stack, outermost function first, without entry functions",
    ),
    // schedstat
    Column::new("sched_run_ns", Counter, Source::Schedstat, Extract::RunNs, "time on a CPU, nanoseconds"),
    Column::new("sched_wait_ns", Counter, Source::Schedstat, Extract::WaitNs, "time waiting for a CPU, nanoseconds"),
    // io
    Column::io("rchar", "bytes passed to read calls, from any file"),
    Column::io("wchar", "bytes passed to write calls, to any file"),
    Column::io("syscr", "read calls"),
    Column::io("syscw", "write calls"),
    Column::io("read_bytes", "bytes read from storage"),
    Column::io("write_bytes", "bytes written to storage"),
    Column::io("cancelled_write_bytes", "bytes not written because the file was truncated first"),
    // status
    Column::new("name", Text, Source::Status, Extract::Status("Name", StatusForm::Name), "thread name, from status"),
    Column::status("umask", Text, "Umask", "file mode creation mask, octal").since("4.7"),
    Column::status("tgid", Id, "Tgid", "thread group id: the process id"),
    Column::status("ngid", Id, "Ngid", "NUMA group id").since("3.13"),
    Column::status("tracerpid", Id, "TracerPid", "process that traces this one, 0 for none"),
    Column::owner("uid", "Uid", "real user id"),
    Column::new(
        "user",
        Text,
        Source::Owner,
        Extract::User,
        "name of the real user id; the id if it has no name, or none was found in time",
    ),
    Column::owner("gid", "Gid", "real group id"),
    Column::status("fdsize", Gauge, "FDSize", "allocated file descriptor slots"),
    Column::status("groups", Text, "Groups", "supplementary groups"),
    Column::status("nstgid", Text, "NStgid", "process id in each PID namespace, outermost first").since("4.1"),
    Column::status("nspid", Text, "NSpid", "thread id in each PID namespace, outermost first").since("4.1"),
    Column::status("nspgid", Text, "NSpgid", "process group in each PID namespace").since("4.1"),
    Column::status("nssid", Text, "NSsid", "session in each PID namespace").since("4.1"),
    Column::status("vmpeak_kb", Gauge, "VmPeak", "peak virtual memory, kB"),
    Column::status("vmsize_kb", Gauge, "VmSize", "virtual memory, kB"),
    Column::status("vmlck_kb", Gauge, "VmLck", "locked memory, kB"),
    Column::status("vmpin_kb", Gauge, "VmPin", "pinned memory, kB").since("3.2"),
    Column::status("vmhwm_kb", Gauge, "VmHWM", "peak resident memory, kB"),
    Column::status("vmrss_kb", Gauge, "VmRSS", "resident memory, kB"),
    Column::status("rssanon_kb", Gauge, "RssAnon", "resident anonymous memory, kB").since("4.5"),
    Column::status("rssfile_kb", Gauge, "RssFile", "resident file mappings, kB").since("4.5"),
    Column::status("rssshmem_kb", Gauge, "RssShmem", "resident shared memory, kB").since("4.5"),
    Column::status("vmdata_kb", Gauge, "VmData", "data segment, kB"),
    Column::status("vmstk_kb", Gauge, "VmStk", "stack, kB"),
    Column::status("vmexe_kb", Gauge, "VmExe", "program text, kB"),
    Column::status("vmlib_kb", Gauge, "VmLib", "shared library text, kB"),
    Column::status("vmpte_kb", Gauge, "VmPTE", "page tables, kB"),
    Column::status("vmpmd_kb", Gauge, "VmPMD", "second-level page tables, kB (Linux 4.0 to 4.14)"),
    Column::status("vmswap_kb", Gauge, "VmSwap", "swapped-out anonymous memory, kB"),
    Column::status("hugetlbpages_kb", Gauge, "HugetlbPages", "hugetlb memory, kB").since("4.4"),
    Column::status("coredumping", Id, "CoreDumping", "1 while the process dumps core").since("4.15"),
    Column::status("thp_enabled", Id, "THP_enabled", "1 if the process may use huge pages").since("5.0"),
    Column::status("threads", Gauge, "Threads", "threads in the process"),
    Column::status("sigq", Text, "SigQ", "queued signals / their limit"),
    Column::status("sigpnd", Text, "SigPnd", "signals pending for the thread, hexadecimal mask"),
    Column::status("shdpnd", Text, "ShdPnd", "signals pending for the process, hexadecimal mask"),
    Column::status("sigblk", Text, "SigBlk", "blocked signals, hexadecimal mask"),
    Column::status("sigign", Text, "SigIgn", "ignored signals, hexadecimal mask"),
    Column::status("sigcgt", Text, "SigCgt", "caught signals, hexadecimal mask"),
    Column::status("capinh", Text, "CapInh", "inheritable capabilities, hexadecimal mask"),
    Column::status("capprm", Text, "CapPrm", "permitted capabilities, hexadecimal mask"),
    Column::status("capeff", Text, "CapEff", "effective capabilities, hexadecimal mask"),
    Column::status("capbnd", Text, "CapBnd", "capability bounding set, hexadecimal mask"),
    Column::status("capamb", Text, "CapAmb", "ambient capabilities, hexadecimal mask").since("4.3"),
    Column::status("nonewprivs", Id, "NoNewPrivs", "1 if no_new_privs is set").since("4.10"),
    Column::status("seccomp", Id, "Seccomp", "seccomp mode: 0 off, 1 strict, 2 filter").since("3.8"),
    Column::status("seccomp_filters", Gauge, "Seccomp_filters", "seccomp filters attached").since("5.9"),
    Column::status("cpus_allowed", Text, "Cpus_allowed", "CPUs the thread may run on, hexadecimal mask"),
    Column::status("cpus_allowed_list", Text, "Cpus_allowed_list", "CPUs the thread may run on, as a list"),
    Column::status("mems_allowed", Text, "Mems_allowed", "memory nodes the thread may use, hexadecimal mask"),
    Column::status("mems_allowed_list", Text, "Mems_allowed_list", "memory nodes the thread may use, as a list"),
    Column::status("voluntary_ctxt_switches", Counter, "voluntary_ctxt_switches", "times the thread gave up its CPU"),
    Column::status(
        "nonvoluntary_ctxt_switches",
        Counter,
        "nonvoluntary_ctxt_switches",
        "times the thread was preempted",
    ),
    // Facts that rarely change
    Column::new("cmdline", Text, Source::Cmdline, Extract::CmdlineFirst, "first argument of the command line"),
    Column::new("cmdline2", Text, Source::Cmdline, Extract::CmdlineAll, "whole command line, joined by spaces"),
    Column::new("exe", Text, Source::Exe, Extract::Exe, "path of the executable"),
    Column::new("cgroup", Text, Source::Cgroup, Extract::Cgroup, "path of the control group"),
    Column::new(
        "container",
        Text,
        Source::Cgroup,
        Extract::Container,
        "container, from the control group's path: 12 digits of its id (Docker, containerd, Podman, CRI-O), or its name (LXC, nspawn, ECS)",
    ),
    Column::new("pid_ns", Id, Source::PidNs, Extract::PidNs, "id of the PID namespace").since("3.8"),
    // smaps
    Column::smaps("address_range", Text, SmapsPart::AddressRange, "addresses of the mapping"),
    Column::smaps("perms", Text, SmapsPart::Perms, "permissions of the mapping"),
    Column::smaps("offset", Text, SmapsPart::Offset, "offset into the mapped file, hexadecimal"),
    Column::smaps("dev", Text, SmapsPart::Dev, "device of the mapped file"),
    Column::smaps("inode", Id, SmapsPart::Inode, "inode of the mapped file"),
    Column::smaps("pathname", Text, SmapsPart::Pathname, "mapped file, or a name such as [heap] or [stack]"),
    Column::smaps("size_kb", Gauge, SmapsPart::Kb("Size"), "size of the mapping, kB"),
    Column::smaps("rss_kb", Gauge, SmapsPart::Kb("Rss"), "resident part, kB"),
    Column::smaps(
        "pss_kb",
        Gauge,
        SmapsPart::Kb("Pss"),
        "resident part, shared pages divided by the number of sharers, kB",
    ),
    Column::smaps("shared_clean_kb", Gauge, SmapsPart::Kb("Shared_Clean"), "shared clean pages, kB"),
    Column::smaps("shared_dirty_kb", Gauge, SmapsPart::Kb("Shared_Dirty"), "shared dirty pages, kB"),
    Column::smaps("private_clean_kb", Gauge, SmapsPart::Kb("Private_Clean"), "private clean pages, kB"),
    Column::smaps("private_dirty_kb", Gauge, SmapsPart::Kb("Private_Dirty"), "private dirty pages, kB"),
    Column::smaps("referenced_kb", Gauge, SmapsPart::Kb("Referenced"), "pages marked as accessed, kB"),
    Column::smaps("anonymous_kb", Gauge, SmapsPart::Kb("Anonymous"), "anonymous pages, kB"),
    Column::smaps("anonhugepages_kb", Gauge, SmapsPart::Kb("AnonHugePages"), "transparent huge pages, kB"),
    Column::smaps("shmempmdmapped_kb", Gauge, SmapsPart::Kb("ShmemPmdMapped"), "shared memory in huge pages, kB"),
    Column::smaps("shared_hugetlb_kb", Gauge, SmapsPart::Kb("Shared_Hugetlb"), "shared hugetlb pages, kB"),
    Column::smaps("private_hugetlb_kb", Gauge, SmapsPart::Kb("Private_Hugetlb"), "private hugetlb pages, kB"),
    Column::smaps("swap_kb", Gauge, SmapsPart::Kb("Swap"), "swapped-out part, kB"),
    Column::smaps(
        "swappss_kb",
        Gauge,
        SmapsPart::Kb("SwapPss"),
        "swapped-out part, shared pages divided by the number of sharers, kB",
    ),
    Column::smaps("kernelpagesize_kb", Gauge, SmapsPart::Kb("KernelPageSize"), "page size of the kernel, kB"),
    Column::smaps("mmupagesize_kb", Gauge, SmapsPart::Kb("MMUPageSize"), "page size of the MMU, kB"),
    Column::smaps("locked_kb", Gauge, SmapsPart::Kb("Locked"), "locked part, kB"),
    Column::smaps("vmflags", Text, SmapsPart::VmFlags, "kernel flags of the mapping"),
];

/// Misspelt names of the original's columns, and the columns that they mean.
static ALIASES: &[(&str, &str)] = &[
    ("cgust_time", "cguest_time"),
    ("shared_hugetld_kb", "shared_hugetlb_kb"),
    ("private_hugetld_kb", "private_hugetlb_kb"),
];

impl Column {
    /// The column called `name`, in any case, or by the original's spelling.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let name = alias.map_or(name, |(_, name)| name);
        COLUMNS.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// There is no column of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no column '{name}'{}", suggestion(.closest))]
pub struct UnknownColumn {
    /// The name as given.
    pub name: String,
    /// The columns with the most similar names.
    pub closest: Vec<&'static str>,
}

/// The end of the message: the columns that may have been meant.
fn suggestion(closest: &[&'static str]) -> String {
    match closest {
        [] => "; psn --list shows all columns".to_owned(),
        names => format!("; did you mean {}? psn --list shows all columns", names.join(" or ")),
    }
}

/// The column called `name`.
///
/// # Errors
/// There is no such column: the most similar names.
pub(crate) fn find_column(name: &str) -> Result<&'static Column, UnknownColumn> {
    Column::find(name).ok_or_else(|| UnknownColumn {
        name: name.to_owned(),
        closest: closest(name, COLUMNS.iter().map(|column| column.name)),
    })
}

/// Up to three of `candidates` that are similar to `name`, most similar first.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_ascii_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, candidate)| *candidate);
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_lower_case_and_explained() {
        let mut seen = HashSet::new();
        for column in COLUMNS {
            assert!(seen.insert(column.name), "{} is defined twice", column.name);
            assert_eq!(column.name, column.name.to_ascii_lowercase());
            assert!(!column.help.is_empty() && !column.help.ends_with('.'), "{}", column.name);
            assert!(column.divisor > 0);
        }
    }

    #[test]
    fn sources_index_their_own_table() {
        for (index, source) in Source::ALL.into_iter().enumerate() {
            assert_eq!(source as usize, index);
        }
    }

    #[test]
    fn a_typing_error_finds_the_column_that_was_meant() {
        let names = || COLUMNS.iter().map(|column| column.name);
        assert_eq!(closest("sycall", names()).first(), Some(&"syscall"));
        assert_eq!(closest("WCHN", names()).first(), Some(&"wchan"));
        assert_eq!(closest("raed", ["read", "write", "read", "Read"]), ["Read", "read"]);
        assert!(closest("qqqqqq", names()).is_empty());
    }
}
