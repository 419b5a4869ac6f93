//! What each column shows for a thread with known files, and which mark it shows if there is no value.

use std::collections::BTreeSet;

use psn::ask::column::Column;
use psn::ask::registry::COLUMNS;
use psn::proc::parse::stat::{PF_KTHREAD, field as stat_field};
use psn::proc::source::Source;
use psn::proc::{Call, Fault};
use psn::report::Datum;
use psn::row::value::{Mark, Value};
use rustix::io::Errno;

use crate::support::driver::{Driver, sample};
use crate::support::fake::{Content, FSYNC, FUTEX, FakeProc, OPENAT, Process, Thread, WAIT4, syscall_line};
use crate::support::faults::Script;
use crate::support::report::{counts, datum, is_mark, only, samples, value, values};

/// What every column shows of [`crafted`].
const EXPECTED: &[(&str, &str)] = &[
    ("pid", "4000"),
    ("task", "4001"),
    ("comm", "db*: io*/*"),
    ("comm2", "db12: io3/456"),
    ("state_id", "D"),
    ("pcomm", "leader"),
    ("state", "Disk (Uninterruptible)"),
    ("kthread", "0"),
    ("ppid", "1004"),
    ("pgrp", "1005"),
    ("session", "1006"),
    ("tty_nr", "1007"),
    ("tpgid", "-1"),
    ("flags", "4194368"),
    ("minflt", "1010"),
    ("cminflt", "1011"),
    ("majflt", "1012"),
    ("cmajflt", "1013"),
    ("utime", "1014"),
    ("stime", "1015"),
    ("cutime", "1016"),
    ("cstime", "1017"),
    ("utime_sec", "10.14"),
    ("stime_sec", "10.15"),
    ("cutime_sec", "10.16"),
    ("cstime_sec", "10.17"),
    ("priority", "-2"),
    ("nice", "-20"),
    ("num_threads", "1020"),
    ("itrealvalue", "1021"),
    ("starttime", "1022"),
    ("vsize", "1023"),
    ("rss", "1024"),
    ("rsslim", "18446744073709551615"),
    ("startcode", "1026"),
    ("endcode", "1027"),
    ("startstack", "140722000000028"),
    ("kstkesp", "1029"),
    ("kstkeip", "1030"),
    ("signal", "1031"),
    ("blocked", "1032"),
    ("sigignore", "1033"),
    ("sigcatch", "1034"),
    ("nswap", "1036"),
    ("cnswap", "1037"),
    ("exit_signal", "-1"),
    ("processor", "1039"),
    ("cpu", "1039"),
    ("rt_priority", "1040"),
    ("policy", "1041"),
    ("delayacct_blkio_ticks", "1042"),
    ("guest_time", "1043"),
    ("cguest_time", "1044"),
    ("start_data", "1045"),
    ("end_data", "1046"),
    ("start_brk", "1047"),
    ("arg_start", "1048"),
    ("arg_end", "1049"),
    ("env_start", "1050"),
    ("env_end", "1051"),
    ("exit_code", "1052"),
    ("syscall", "fsync"),
    ("syscall_id", if cfg!(target_arch = "x86_64") { "74" } else { "82" }),
    ("arg0", "0x7"),
    ("arg1", "0x0"),
    ("arg2", "0xdeadbeef"),
    ("arg3", "0x3"),
    ("arg4", "0x4"),
    ("arg5", "0xffffffffffffffff"),
    ("esp", "0x7ffc00001000"),
    ("eip", "0x7f0000002000"),
    ("filename", "/data/db1/redo-17.log"),
    ("filename2", "/data/db1/redo-17.log"),
    ("filenamesum", "/data/db*/redo-*.log"),
    ("basename", "redo-17.log"),
    ("dirname", "/data/db1"),
    ("wchan", "jbd2_log_wait_commit"),
    ("kstack", "vfs_fsync_range()->ext4_sync_file()->jbd2_log_wait_commit()"),
    ("sched_run_ns", "3000001"),
    ("sched_wait_ns", "3000002"),
    ("rchar", "2001"),
    ("wchar", "2002"),
    ("syscr", "2003"),
    ("syscw", "2004"),
    ("read_bytes", "2005"),
    ("write_bytes", "2006"),
    ("cancelled_write_bytes", "2007"),
    ("name", "db12: io3/456"),
    ("umask", "0027"),
    ("tgid", "4000"),
    ("ngid", "4"),
    ("tracerpid", "5"),
    ("uid", "4000000006"),
    ("user", "4000000006"),
    ("gid", "4000000007"),
    ("fdsize", "8"),
    ("groups", "9 10"),
    ("nstgid", "4000\\t1"),
    ("nspid", "4001\\t2"),
    ("nspgid", "4000\\t3"),
    ("nssid", "4000\\t4"),
    ("vmpeak_kb", "11"),
    ("vmsize_kb", "12"),
    ("vmlck_kb", "13"),
    ("vmpin_kb", "14"),
    ("vmhwm_kb", "15"),
    ("vmrss_kb", "16"),
    ("rssanon_kb", "17"),
    ("rssfile_kb", "18"),
    ("rssshmem_kb", "19"),
    ("vmdata_kb", "20"),
    ("vmstk_kb", "21"),
    ("vmexe_kb", "22"),
    ("vmlib_kb", "23"),
    ("vmpte_kb", "24"),
    ("vmpmd_kb", "25"),
    ("vmswap_kb", "26"),
    ("hugetlbpages_kb", "27"),
    ("coredumping", "0"),
    ("thp_enabled", "1"),
    ("threads", "28"),
    ("sigq", "29/96365"),
    ("sigpnd", "0000000000000030"),
    ("shdpnd", "0000000000000031"),
    ("sigblk", "0000000000000032"),
    ("sigign", "0000000000000033"),
    ("sigcgt", "0000000000000034"),
    ("capinh", "0000000000000035"),
    ("capprm", "0000000000000036"),
    ("capeff", "0000000000000037"),
    ("capbnd", "0000000000000038"),
    ("capamb", "0000000000000039"),
    ("nonewprivs", "1"),
    ("seccomp", "2"),
    ("seccomp_filters", "40"),
    ("cpus_allowed", "ffffffff,ffffffff"),
    ("cpus_allowed_list", "0-3,5"),
    ("mems_allowed", "00000000,00000001"),
    ("mems_allowed_list", "0"),
    ("voluntary_ctxt_switches", "41"),
    ("nonvoluntary_ctxt_switches", "42"),
    ("cmdline", "/usr/sbin/dbd"),
    ("cmdline2", "/usr/sbin/dbd --data=/data/db1 with space"),
    ("exe", "/usr/sbin/dbd (deleted)"),
    ("cgroup", "/kubepods.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"),
    ("container", "0123456789ab"),
    ("pid_ns", "4026532177"),
    ("address_range", "7f0000000000-7f0000021000"),
    ("perms", "rw-p"),
    ("offset", "00001000"),
    ("dev", "fe:00"),
    ("inode", "1234"),
    ("pathname", "/usr/lib/libfake 1.so"),
    ("size_kb", "132"),
    ("rss_kb", "12"),
    ("pss_kb", "11"),
    ("shared_clean_kb", "21"),
    ("shared_dirty_kb", "22"),
    ("private_clean_kb", "23"),
    ("private_dirty_kb", "24"),
    ("referenced_kb", "25"),
    ("anonymous_kb", "26"),
    ("anonhugepages_kb", "27"),
    ("shmempmdmapped_kb", "28"),
    ("shared_hugetlb_kb", "29"),
    ("private_hugetlb_kb", "30"),
    ("swap_kb", "31"),
    ("swappss_kb", "32"),
    ("kernelpagesize_kb", "4"),
    ("mmupagesize_kb", "8"),
    ("locked_kb", "33"),
    ("vmflags", "rd wr mr mw me ac sd"),
];

const STATUS: &str = "Name:\tdb12: io3/456\nUmask:\t0027\nState:\tD (disk sleep)\nTgid:\t4000\nNgid:\t4\nPid:\t4001\n\
    PPid:\t1004\nTracerPid:\t5\nUid:\t4000000006\t1\t2\t3\nGid:\t4000000007\t1\t2\t3\nFDSize:\t8\nGroups:\t9 10 \n\
    NStgid:\t4000\t1\nNSpid:\t4001\t2\nNSpgid:\t4000\t3\nNSsid:\t4000\t4\nVmPeak:\t      11 kB\nVmSize:\t      12 kB\n\
    VmLck:\t      13 kB\nVmPin:\t      14 kB\nVmHWM:\t      15 kB\nVmRSS:\t      16 kB\nRssAnon:\t      17 kB\n\
    RssFile:\t      18 kB\nRssShmem:\t      19 kB\nVmData:\t      20 kB\nVmStk:\t      21 kB\nVmExe:\t      22 kB\n\
    VmLib:\t      23 kB\nVmPTE:\t      24 kB\nVmPMD:\t      25 kB\nVmSwap:\t      26 kB\nHugetlbPages:\t      27 kB\n\
    CoreDumping:\t0\nTHP_enabled:\t1\nThreads:\t28\nSigQ:\t29/96365\nSigPnd:\t0000000000000030\n\
    ShdPnd:\t0000000000000031\nSigBlk:\t0000000000000032\nSigIgn:\t0000000000000033\nSigCgt:\t0000000000000034\n\
    CapInh:\t0000000000000035\nCapPrm:\t0000000000000036\nCapEff:\t0000000000000037\nCapBnd:\t0000000000000038\n\
    CapAmb:\t0000000000000039\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t40\nCpus_allowed:\tffffffff,ffffffff\n\
    Cpus_allowed_list:\t0-3,5\nMems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n\
    voluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t42\n";

/// A thread in whose files all values differ, so that the test notices if one is taken for another.
fn crafted_thread() -> Thread {
    let mut thread = Thread::new(4001).comm("db12: io3/456").state('D');
    for number in 4..=52 {
        thread = thread.stat(number, 1000 + number);
    }
    thread
        .stat(stat_field::TPGID, -1)
        .stat(stat_field::FLAGS, 0x0040_0040)
        .stat(stat_field::PRIORITY, -2)
        .stat(stat_field::NICE, -20)
        .stat(stat_field::RSSLIM, u64::MAX)
        .stat(stat_field::STARTSTACK, 140_722_000_000_028_u64)
        .stat(stat_field::EXIT_SIGNAL, -1)
        .file("syscall", syscall_line(FSYNC, &[7, 0, 0xdead_beef, 3, 4, u64::MAX]))
        .file("fd/7", Content::Link("/data/db1/redo-17.log".to_owned()))
        .file("fdinfo/7", "pos:\t0\nmnt_id:\t30\n")
        .file("ns/mnt", Content::Link("mnt:[4026531841]".to_owned()))
        .file("root", Content::Link("/".to_owned()))
        .file("mountinfo", "30 1 8:1 / /data rw - ext4 /dev/sdb1 rw\n")
        .file("wchan", "jbd2_log_wait_commit")
        .file(
            "stack",
            "[<0>] jbd2_log_wait_commit+0x12/0x34 [jbd2]\n[<0>] ext4_sync_file+0x1/0x2 [ext4]\n\
             [<0>] vfs_fsync_range+0x1/0x2\n[<0>] do_syscall_64+0x1/0x2\n[<0>] entry_SYSCALL_64_after_hwframe+0x1/0x2\n",
        )
        .file("schedstat", "3000001 3000002 3\n")
        .file(
            "io",
            "rchar: 2001\nwchar: 2002\nsyscr: 2003\nsyscw: 2004\nread_bytes: 2005\nwrite_bytes: 2006\n\
             cancelled_write_bytes: 2007\n",
        )
        .file("status", STATUS)
        .file(
            "cgroup",
            "0::/kubepods.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
        )
        .file("ns/pid", Content::Link("pid:[4026532177]".to_owned()))
}

fn process_of(thread: Thread) -> Process {
    Process::new(4000)
        .thread(thread)
        .file("cmdline", &b"/usr/sbin/dbd\0--data=/data/db1\0with space\0"[..])
        .file("exe", Content::Link("/usr/sbin/dbd (deleted)".to_owned()))
}

fn crafted() -> FakeProc {
    FakeProc::of([process_of(crafted_thread())])
}

/// Every column of the registry, joined for `-g`.
fn all_columns() -> String {
    of_files().map(|column| column.name).collect::<Vec<_>>().join(",")
}

/// The value of `column` in the only row of a report on `proc` with `args`.
fn value_of(proc: &FakeProc, column: &str) -> String {
    let report = sample(proc, &["-a", "-g", column, "--workers", "1"], 1);
    value(&report, only(&report), column)
}

/// Whether it is a file or a link, and not one of those that are read for a row alone: see `lookups.rs`.
const fn is_plain(source: Source) -> bool {
    source.is_file() && !matches!(source, Source::Fdinfo | Source::Mounts | Source::Path)
}

/// The columns that are read from files: a fake root has no kernel that walks, and no clock.
fn of_files() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(|column| column.source == Source::Task || is_plain(column.source))
}

#[test]
fn the_expectations_name_every_column_once() {
    let expected: Vec<&str> = EXPECTED.iter().map(|(name, _)| *name).collect();
    let registry: BTreeSet<&str> = of_files().map(|column| column.name).collect();
    assert_eq!(expected.iter().copied().collect::<BTreeSet<_>>(), registry);
    assert_eq!(expected.len(), registry.len());
}

#[test]
fn what_only_a_walk_tells_is_not_made_up() {
    let shown = |state: char, column: &str| {
        value_of(&FakeProc::of([Process::new(7).thread(Thread::new(7).state(state))]), column)
    };
    assert_eq!((shown('D', "oncpu"), shown('R', "oncpu")), ("[unsupported]".to_owned(), "[unsupported]".to_owned()));
    assert_eq!(shown('R', "state2"), "[unsupported]");
    assert_eq!(shown('D', "state2"), "Disk (Uninterruptible)");
    assert_eq!((shown('D', "iowait"), shown('R', "wait_ms")), ("[unsupported]".to_owned(), "[unsupported]".to_owned()));
}

#[test]
fn a_socket_is_looked_up_in_the_tables_of_its_network_namespace() {
    let link = |text: &str| Content::Link(text.to_owned());
    let socket = |inode: u32| crafted_thread().file("fd/7", link(&format!("socket:[{inode}]")));
    assert_eq!(value_of(&FakeProc::of([process_of(socket(7))]), "remote"), "[gone]", "the namespace is not told");
    let tail = "00000000:00000000 00:00000000 00000000     0        0";
    let tcp = format!(
        "  sl  local_address rem_address\n   0: 0100007F:1F90 00000000:0000 0A {tail} 7 1\n   1: 0100007F:1F90 0200007F:B487 01 {tail} 8 1\n"
    );
    let unix =
        "Num       RefCount Protocol Flags    Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 9 /run/a b\n";
    let within = |inode: u32| {
        let files = socket(inode).file("ns/net", link("net:[4026531840]"));
        FakeProc::of([process_of(files.file("net/tcp", tcp.as_str()).file("net/unix", unix))])
    };
    for (inode, filename, state) in [
        (7, "listen tcp 127.0.0.1:8080", "LISTEN"),
        (8, "tcp 127.0.0.1:8080->127.0.0.2:46215", "ESTABLISHED"),
        (9, "listen unix /run/a b", "LISTEN"),
        (10, "socket:[*]", "[unsupported]"),
    ] {
        let proc = within(inode);
        assert_eq!([value_of(&proc, "filename"), value_of(&proc, "conn_state")], [filename, state], "{inode}");
    }
    let proc = within(7);
    for (file, call) in [(Source::Socket, Call::Open), (Source::Socket, Call::Read)] {
        let refused = Script::new().always(call, file, Fault::Fail(Errno::ACCESS)).shared();
        let report = Driver::with_faults(&proc, &["-g", "proto", "-a"], refused).run(1);
        assert_eq!(value(&report, only(&report), "proto"), "[denied]", "{call:?}");
    }
}

#[test]
fn what_follows_from_several_files_is_told() {
    let proc = crafted();
    assert_eq!((value_of(&proc, "idle"), value_of(&proc, "proto")), ("no: uninterruptible".to_owned(), "-".to_owned()));
    assert_eq!((value_of(&proc, "wait_ns"), value_of(&proc, "wait_exact")), ("0".to_owned(), "0".to_owned()));
    let report = sample(&proc, &["-a", "-g", "task", "-s", "wait_ns:max", "--workers", "1"], 3);
    let age: u64 = value(&report, only(&report), "wait_ns:max").parse().unwrap();
    assert!(age > 0 && age < 60_000_000_000, "{age}");
}

#[test]
fn all_columns_together_show_what_the_files_say() {
    let report = sample(&crafted(), &["-a", "-g", &all_columns()], 2);
    let row = only(&report);
    for (name, expected) in EXPECTED {
        assert_eq!(value(&report, row, name), *expected, "{name}");
        assert!(!is_mark(datum(&report, row, name)), "{name}");
    }
    assert_eq!(value(&report, row, "samples"), "2");
}

#[test]
fn each_column_alone_has_read_all_it_needs() {
    let proc = crafted();
    for (name, expected) in EXPECTED {
        assert_eq!(value_of(&proc, name), *expected, "{name}");
    }
}

#[test]
fn only_the_files_that_the_columns_need_are_opened() {
    let proc = crafted();
    for column in COLUMNS {
        let is_lookup = matches!(column.source, Source::Mounts | Source::Path);
        let script = Script::new().shared();
        let engine = Driver::with_faults(&proc, &["-a", "-g", column.name, "--workers", "1"], script.clone());
        engine.run(1);
        for source in Source::ALL {
            let needed = match source {
                Source::Stat => true,
                // What a thread waits for is read between two reads of its switch counters, and a file needs the system call.
                Source::Schedstat | Source::Syscall
                    if matches!(column.source, Source::Fd | Source::Socket | Source::Idle) || is_lookup =>
                {
                    true
                }
                Source::Fd | Source::Fdinfo if column.source == Source::Mounts => true,
                // The call of this thread takes no path.
                Source::Path => false,
                Source::Fd if matches!(column.source, Source::Socket | Source::Idle) => true,
                Source::Wchan if column.source == Source::Idle => true,
                // A thread that has run since may have another title.
                Source::Schedstat => matches!(
                    column.source,
                    Source::Schedstat
                        | Source::Syscall
                        | Source::Wchan
                        | Source::Wait
                        | Source::Stack
                        | Source::Cmdline
                        | Source::Exe
                ),
                // Facts of a program are kept under its name.
                Source::Comm => {
                    matches!(column.source, Source::Comm | Source::Cmdline | Source::Exe | Source::Smaps)
                }
                source => source.is_file() && source == column.source,
            };
            let opened = script.calls(Call::Open, Some(source)) > 0;
            assert_eq!(opened, needed, "{} for column {}", source.name(), column.name);
        }
    }
}

#[test]
fn a_field_that_the_kernel_does_not_print_is_unsupported_and_the_others_are_not() {
    for last in 42..=52 {
        let proc = FakeProc::of([process_of(crafted_thread().last_stat_field(last))]);
        let report = sample(&proc, &["-a", "-g", &all_columns()], 1);
        let row = only(&report);
        for ((name, expected), column) in EXPECTED.iter().map(|pair| (*pair, Column::find(pair.0).unwrap())) {
            let known = match column.extract {
                psn::ask::column::Extract::StatNumber(number) => number <= last,
                _ => true,
            };
            let wanted = if known { expected } else { "[unsupported]" };
            assert_eq!(value(&report, row, name), wanted, "{name} with {last} fields");
        }
        assert_eq!(counts(&report, "stat").malformed, 0);
    }
}

/// For each file: a column of it.
const REPRESENTATIVES: &[(Source, &str)] = &[
    (Source::Schedstat, "sched_run_ns"),
    (Source::Syscall, "syscall"),
    (Source::Wchan, "wchan"),
    (Source::Io, "rchar"),
    (Source::Stack, "kstack"),
    (Source::Status, "vmrss_kb"),
    (Source::Fd, "filename"),
    (Source::Owner, "uid"),
    (Source::Cgroup, "cgroup"),
    (Source::PidNs, "pid_ns"),
    (Source::Cmdline, "cmdline"),
    (Source::Exe, "exe"),
    (Source::Smaps, "rss_kb"),
];

fn expected_of(column: &str) -> &'static str {
    EXPECTED.iter().find(|(name, _)| *name == column).unwrap().1
}

#[test]
fn every_file_has_a_representative() {
    let missing: Vec<Source> = Source::ALL
        .into_iter()
        .filter(|source| is_plain(*source) && !matches!(source, Source::Stat | Source::Comm))
        .filter(|source| !REPRESENTATIVES.iter().any(|(known, _)| known == source))
        .collect();
    assert_eq!(missing, []);
}

#[test]
fn a_file_that_this_kernel_does_not_have_is_unsupported() {
    for (source, column) in REPRESENTATIVES {
        let name = source.name();
        let process = match source {
            Source::Fd => continue,
            Source::Cmdline | Source::Exe | Source::Smaps => process_of(crafted_thread()).without(name),
            _ => process_of(crafted_thread().without(name)),
        };
        // A missing link means that there is no program, as for kernel threads.
        let wanted = if *source == Source::Exe { "-" } else { "[unsupported]" };
        assert_eq!(value_of(&FakeProc::of([process]), column), wanted, "{column} without {name}");
    }
}

#[test]
fn a_descriptor_that_was_closed_is_gone() {
    let proc = FakeProc::of([process_of(crafted_thread().without("fd/7"))]);
    assert_eq!(value_of(&proc, "filename"), "[gone]");
}

#[test]
fn a_refusal_stands_in_its_own_columns_and_the_thread_still_counts() {
    let proc = crafted();
    let all = all_columns();
    for call in [Call::Open, Call::Read] {
        for errno in [Errno::ACCESS, Errno::PERM] {
            for (refused, _) in REPRESENTATIVES {
                let is_link = matches!(refused, Source::Fd | Source::PidNs | Source::Exe);
                if is_link && call == Call::Read {
                    continue;
                }
                let script = Script::new().always(call, *refused, Fault::Fail(errno)).shared();
                let report = Driver::with_faults(&proc, &["-a", "-g", &all], script).run(3);
                let row = only(&report);
                assert_eq!(value(&report, row, "samples"), "3", "{refused:?}");
                for column in of_files() {
                    let denied =
                        column.source == *refused || (column.source == Source::Fd && *refused == Source::Syscall);
                    let wanted = if denied { "[denied]" } else { expected_of(column.name) };
                    let shown = datum(&report, row, column.name);
                    assert_eq!(value(&report, row, column.name), wanted, "{} with {refused:?} refused", column.name);
                    assert_eq!(is_mark(shown), denied);
                }
                assert!(counts(&report, refused.name()).denied > 0, "{refused:?}");
                let covered = report.facts.coverage.denied.iter().find(|(file, _)| file == refused.name());
                assert_eq!(covered.map(|(_, count)| *count), Some(3), "{refused:?}");
            }
        }
    }
}

#[test]
fn a_refused_file_is_not_asked_for_at_every_tick() {
    let proc = crafted();
    for (source, column) in REPRESENTATIVES {
        let script = Script::new().always(Call::Open, *source, Fault::Fail(Errno::ACCESS)).shared();
        let report = Driver::with_faults(&proc, &["-a", "-g", column], script).run(20);
        // One read; files that tell whether the thread moved are read once more before psn knows that they are refused.
        assert!(counts(&report, source.name()).denied <= 2, "{source:?}: {:?}", counts(&report, source.name()));
    }
}

#[test]
fn bytes_that_no_kernel_prints_are_malformed() {
    for (source, column) in REPRESENTATIVES {
        let garbage = Content::from("\u{1}garbage\u{2}");
        let process = match source {
            // Any bytes are a valid name, path, command line or stack.
            Source::Fd | Source::Wchan | Source::Stack | Source::Cmdline | Source::Exe => continue,
            // Files of lines: a missing line is only missing.
            Source::Smaps | Source::Cgroup => continue,
            Source::PidNs => process_of(crafted_thread().file("ns/pid", Content::Link("garbage".to_owned()))),
            Source::Status => process_of(crafted_thread().file("status", "VmRSS:\tgarbage kB\n")),
            Source::Owner => process_of(crafted_thread().file("status", "Uid:\tgarbage\n")),
            _ => process_of(crafted_thread().file(source.name(), garbage)),
        };
        let report = sample(&FakeProc::of([process]), &["-a", "-g", column], 1);
        assert_eq!(value(&report, only(&report), column), "[malformed]", "{column}");
        assert_eq!(counts(&report, source.name()).malformed, 1, "{column}: {:?}", report.facts.health);
    }
}

#[test]
fn a_stat_that_no_kernel_prints_is_no_row_and_is_accounted_for() {
    for line in [
        "",
        "\n",
        "4001",
        "4001 (a",
        "4001 (a) ",
        "4001 (a) D",
        "4001 (a) DD 1 2\n",
        "x (a) D 1 2\n",
        "4001 (a) D 1 x 3\n",
    ] {
        let proc = FakeProc::of([process_of(crafted_thread().file("stat", line)), Process::single(7, "other", 'D')]);
        let report = sample(&proc, &["-a", "-g", "task"], 2);
        assert_eq!(value(&report, only(&report), "task"), "7", "{line:?}");
        assert_eq!((counts(&report, "stat").malformed, counts(&report, "stat").ok), (2, 2), "{line:?}");
    }
}

#[test]
fn a_stat_that_was_cut_short_is_no_row_and_never_a_wrong_number() {
    let proc = crafted();
    let line = crafted_thread().stat_line(1).len();
    for len in 0..=line {
        // Fail at the first read, and at the second, which tells whether the thread moved meanwhile.
        for read in [0, 1] {
            let script = Script::new().times(Call::Read, Some(Source::Stat), Fault::Short(len), read, 1).shared();
            let report = Driver::with_faults(&proc, &["-a", "-g", "comm2,wchan,exit_code"], script).run(1);
            let found = samples(&report);
            let whole = found.contains_key("db12: io3/456 | jbd2_log_wait_commit | 1052");
            let torn = found.contains_key("db12: io3/456 | [torn] | 1052");
            let is_cut = len < line;
            assert_eq!(
                (whole, torn),
                (!is_cut, is_cut && read == 1),
                "{len} of {line} bytes at read {read}: {found:?}"
            );
            assert_eq!(counts(&report, "stat").malformed, u64::from(is_cut), "{len} of {line} bytes at read {read}");
        }
    }
}

#[test]
fn the_files_that_say_what_a_thread_waits_for_agree_with_its_state() {
    let wait =
        |state| Thread::new(4001).state(state).file("wchan", "pipe_read").file("syscall", syscall_line(FUTEX, &[9]));
    for (state, syscall, wchan, filename) in [
        ('R', "[running]", "0", "-"),
        ('D', "futex", "pipe_read", "-"),
        ('S', "futex", "pipe_read", "-"),
        ('T', "futex", "pipe_read", "-"),
        ('t', "futex", "pipe_read", "-"),
        ('P', "futex", "pipe_read", "-"),
        ('Z', "-", "0", "-"),
        ('X', "-", "0", "-"),
        ('K', "futex", "pipe_read", "-"),
        ('Q', "futex", "pipe_read", "-"),
    ] {
        let proc = FakeProc::of([process_of(wait(state))]);
        let report = sample(&proc, &["-a", "-g", "state_id,syscall,wchan,filename"], 1);
        let row = only(&report);
        let shown = ["state_id", "syscall", "wchan", "filename"].map(|name| value(&report, row, name));
        assert_eq!(shown, [&state.to_string(), syscall, wchan, filename], "state {state}");
    }
}

#[test]
fn system_calls_show_what_their_first_argument_names() {
    for (line, syscall, filename, filename2) in [
        (syscall_line(FSYNC, &[1]), "fsync", "pipe:[*] (stdout)", "pipe:[123] (stdout)"),
        (syscall_line(FSYNC, &[8]), "fsync", "socket:[*]", "socket:[456]"),
        (syscall_line(FSYNC, &[9]), "fsync", "anon_inode:[eventpoll]", "anon_inode:[eventpoll]"),
        (syscall_line(OPENAT, &[0xffff_ff9c]), "openat", "[cwd]", "[cwd]"),
        (syscall_line(OPENAT, &[0xffff_ffff_ffff_ff9c]), "openat", "[cwd]", "[cwd]"),
        (syscall_line(WAIT4, &[u64::MAX]), "wait4", "pid:[-1]", "pid:[-1]"),
        (syscall_line(WAIT4, &[77]), "wait4", "pid:[77]", "pid:[77]"),
        (syscall_line(FUTEX, &[7]), "futex", "-", "-"),
        (syscall_line(998, &[7]), "998", "-", "-"),
        ("-1 0x7ffc0 0x7f0\n".to_owned(), "[kernel_direct]", "-", "-"),
        ("running\n".to_owned(), "[torn]", "[torn]", "[torn]"),
    ] {
        let thread = Thread::new(4001)
            .state('D')
            .file("syscall", line.clone())
            .file("fd/1", Content::Link("pipe:[123]".to_owned()))
            .file("fd/8", Content::Link("socket:[456]".to_owned()))
            .file("fd/9", Content::Link("anon_inode:[eventpoll]".to_owned()));
        let report = sample(&FakeProc::of([process_of(thread)]), &["-g", "syscall,filename,filename2"], 1);
        let row = only(&report);
        let shown = ["syscall", "filename", "filename2"].map(|name| value(&report, row, name));
        assert_eq!(shown, [syscall, filename, filename2], "{line:?}");
    }
}

#[test]
fn a_kernel_thread_is_one_by_its_flag_and_makes_no_system_calls() {
    let kernel = Thread::new(2)
        .comm("kworker/u8:3-events_unbound_with_a_long_name")
        .state('D')
        .stat(stat_field::FLAGS, PF_KTHREAD | 0x40)
        .stat(stat_field::STARTCODE, 0)
        .stat(stat_field::STARTSTACK, 0)
        .file("syscall", "0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n");
    let impostor = Thread::new(3).comm("kworker/0:0").state('D');
    let proc = FakeProc::of([
        Process::new(2).thread(kernel).file("cmdline", "").without("exe"),
        Process::new(3).thread(impostor),
    ]);
    let report = sample(&proc, &["-g", "comm,kthread,syscall,cmdline,exe", "--sort", "kthread"], 1);
    let shown: Vec<Vec<String>> = report.rows.iter().map(|row| values(&report, row).split_off(2)).collect();
    assert_eq!(
        shown,
        [
            ["kworker/u*:*-events_unbound_with_a_long_name", "1", "[kernel_thread]", "-", "-"]
                .map(str::to_owned)
                .to_vec(),
            ["kworker/*:*", "0", "futex", "/usr/bin/program", "/usr/bin/program"].map(str::to_owned).to_vec(),
        ]
    );
}

#[test]
fn a_wait_channel_that_is_not_told_is_taken_from_the_stack_or_explained() {
    let thread =
        |startcode: u64| Thread::new(4001).state('D').stat(stat_field::STARTCODE, startcode).file("wchan", "0");
    let stack = "[<0>] __schedule+0x1/0x2\n[<0>] schedule+0x1/0x2\n[<0>] pipe_read+0x1/0x2\n";
    let proc = FakeProc::of([process_of(thread(4096).file("stack", stack))]);
    assert_eq!(value_of(&proc, "wchan"), "pipe_read");

    let refused = || Script::new().always(Call::Read, Source::Stack, Fault::Fail(Errno::ACCESS)).shared();
    let shown = |proc: &FakeProc| {
        let report = Driver::with_faults(proc, &["-g", "wchan"], refused()).run(1);
        value(&report, only(&report), "wchan")
    };
    assert_eq!(shown(&proc), "0", "the addresses are there: the reader may know, and there is no channel");
    let masked = FakeProc::of([process_of(thread(1).file("stack", stack))]);
    assert_eq!(shown(&masked), "[denied]", "the addresses are masked: the reader may not know");
}

#[test]
fn a_program_of_32_bits_makes_the_calls_of_its_kind() {
    if !cfg!(target_arch = "x86_64") {
        crate::support::skip("the numbers are those of i386 on x86-64");
        return;
    }
    let thread = Thread::new(4001)
        .state('D')
        .stat(stat_field::STARTSTACK, 0xffff_d000_u64)
        .file("syscall", "118 0x7 0x0 0x0 0x0 0x0 0x0 0xffffcf00 0xf7f00000\n")
        .file("fd/7", Content::Link("/data".to_owned()));
    let proc = FakeProc::of([process_of(thread)]);
    assert_eq!(value_of(&proc, "syscall"), "fsync");
    assert_eq!(value_of(&proc, "filename"), "/data");
}

#[test]
fn a_thread_counts_once_for_each_mapping_of_its_process() {
    let smaps = "00400000-00401000 r-xp 00000000 fe:00 11 /usr/bin/a\nRss:  4 kB\nVmFlags: rd ex\n\
        00401000-00402000 rw-p 00000000 00:00 0 [heap]\nRss:  8 kB\n\
        00402000-00403000 rw-p 00000000 00:00 0 \nRss: 16 kB\n";
    let proc = FakeProc::of([process_of(crafted_thread()).file("smaps", smaps)]);
    let report = sample(&proc, &["-g", "task,pathname,perms,rss_kb", "--sort", "rss_kb"], 4);
    let shown: Vec<Vec<String>> = report.rows.iter().map(|row| values(&report, row)).collect();
    assert_eq!(
        shown,
        [
            ["4", "1.0000", "4001", "[anon]", "rw-p", "16"],
            ["4", "1.0000", "4001", "[heap]", "rw-p", "8"],
            ["4", "1.0000", "4001", "/usr/bin/a", "r-xp", "4"],
        ]
    );
    let filtered = sample(&proc, &["-g", "task,pathname", "--where", "rss_kb > 4", "--where", "pathname ~ heap"], 1);
    assert_eq!(value(&filtered, only(&filtered), "pathname"), "[heap]");
    let grouped = sample(&proc, &["-g", "task", "-s", "rss_kb:sum,rss_kb"], 1);
    assert_eq!(grouped.rows[0].statistics[2..4], [Datum::from(28_u64), Datum::from(16_u64)]);
}

#[test]
fn a_process_without_mappings_counts_once() {
    let proc = FakeProc::of([process_of(crafted_thread()).file("smaps", "")]);
    let report = sample(&proc, &["-g", "task,pathname,rss_kb"], 1);
    let row = only(&report);
    assert_eq!(datum(&report, row, "rss_kb"), Datum::Value(Value::Mark(Mark::None)));
    assert_eq!(value(&report, row, "pathname"), "-");
}
