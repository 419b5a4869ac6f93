//! What is read for a row alone: the path of its system call, and the mount of its file. Where the files are those of a fake root, every
//! failure can be injected.

use std::collections::BTreeSet;

use psn::proc::source::Source;
use psn::proc::{Call, Fault};
use rustix::io::Errno;

use crate::support::driver::Driver;
use crate::support::fake::{Content, FakeProc, OPENAT, Process, Thread, syscall_line};
use crate::support::faults::Script;
use crate::support::report::{column, counts};

/// Where the path is in the memory of the thread.
const ADDRESS: u64 = 0x10;

/// A thread that opens `log` relative to a directory.
fn thread() -> Thread {
    let memory = [&[b'?'; ADDRESS as usize], &b"log\0rest"[..]].concat();
    let in_memory = 1_u64 << 63;
    Thread::new(40)
        .state('D')
        .file("syscall", syscall_line(OPENAT, &[7, ADDRESS]))
        .file("fd/7", Content::Link("/data/db".to_owned()))
        .file("fdinfo/7", "pos:\t0\nflags:\t02\nmnt_id:\t31\nino:\t5\n")
        .file("ns/mnt", Content::Link("mnt:[4026531841]".to_owned()))
        .file("root", Content::Link("/".to_owned()))
        .file(
            "mountinfo",
            "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 0:44 / /data\\040base rw - nfs4 nas:/export rw\n",
        )
        .file("mem", memory)
        .file("pagemap", in_memory.to_ne_bytes().to_vec())
}

/// The values of a column of the thread at 10 ticks, with failing calls, without those of a reader that came too late.
#[track_caller]
fn values(thread: Thread, name: &str, script: Script) -> (BTreeSet<String>, psn::report::Report) {
    let root = FakeProc::of([Process::new(40).thread(thread)]);
    let report = Driver::with_faults(&root, &["-a", "-g", name, "--workers", "1"], script.shared()).run(10);
    let samples: u64 = column(&report, "samples").iter().map(|samples| samples.parse::<u64>().unwrap()).sum();
    assert_eq!(samples, 10, "no row is lost");
    let late = if name == "path" { "[stale]" } else { "[unread]" };
    let told = column(&report, name).into_iter().filter(|value| value != late).collect();
    (told, report)
}

#[track_caller]
fn assert_told(thread: Thread, name: &str, script: Script, expected: &str) {
    assert_eq!(values(thread, name, script).0, BTreeSet::from([expected.to_owned()]), "{name}");
}

#[test]
fn what_the_files_say_is_told() {
    for (name, expected) in [("path", "log"), ("mount", "/data base"), ("device", "nas:/export")] {
        assert_told(thread(), name, Script::new(), expected);
    }
}

#[test]
fn a_file_that_fails_stands_in_its_own_columns() {
    let faults = [
        (Fault::Fail(Errno::ACCESS), "[denied]"),
        (Fault::Fail(Errno::PERM), "[denied]"),
        (Fault::Fail(Errno::SRCH), "[gone]"),
        (Fault::Fail(Errno::MFILE), "[dropped]"),
        (Fault::Fail(Errno::IO), "[dropped]"),
    ];
    for (fault, mark) in faults {
        for call in [Call::Open, Call::Read] {
            assert_told(thread(), "path", Script::new().always(call, Source::Path, fault), mark);
            for source in [Source::Fdinfo, Source::Mounts] {
                assert_told(thread(), "device", Script::new().always(call, source, fault), mark);
            }
            assert_told(thread(), "path", Script::new().always(call, Source::Mounts, fault), "log");
            assert_told(thread(), "device", Script::new().always(call, Source::Path, fault), "nas:/export");
        }
        assert_told(thread(), "path", Script::new().always(Call::Read, Source::Syscall, fault), mark);
        assert_told(thread(), "device", Script::new().always(Call::Open, Source::Fd, fault), mark);
    }
}

#[test]
fn refusals_are_counted_with_the_rows_that_show_them() {
    let deny = |source| Script::new().always(Call::Open, source, Fault::Fail(Errno::ACCESS));
    for (name, source, file) in [("path", Source::Path, "mem"), ("mount", Source::Mounts, "mountinfo")] {
        let (_, report) = values(thread(), name, deny(source));
        assert!(counts(&report, file).denied > 0, "{:?}", report.facts.health);
        let covered = report.facts.coverage.denied.iter().find(|(of, _)| of == file);
        assert!(covered.is_some_and(|(_, rows)| *rows > 0), "{:?}", report.facts.coverage.denied);
    }
}

#[test]
fn reads_that_are_cut_short_or_interrupted_tell_the_same() {
    let interrupted = |source| Script::new().times(Call::Read, Some(source), Fault::Fail(Errno::INTR), 0, 3);
    assert_told(thread(), "path", interrupted(Source::Path), "log");
    assert_told(thread(), "device", interrupted(Source::Mounts), "nas:/export");
    assert_told(thread(), "device", Script::new().always(Call::Read, Source::Mounts, Fault::Short(3)), "nas:/export");
    // The entry of the page is not whole.
    assert_told(thread(), "path", Script::new().always(Call::Read, Source::Path, Fault::Short(3)), "[dropped]");
}

#[test]
fn what_cannot_be_told_is_marked() {
    let absent = 0_u64.to_ne_bytes().to_vec();
    assert_told(thread().file("pagemap", absent), "path", Script::new(), "[unread]");
    let two_pages = [1_u64 << 63; 2].map(u64::to_ne_bytes).concat();
    let endless = thread().file("mem", vec![b'x'; 8192]).file("pagemap", two_pages);
    assert_told(endless, "path", Script::new(), "[malformed]");
    assert_told(thread().file("mem", vec![0; 64]), "path", Script::new(), "-");
    assert_told(thread().file("mem", vec![b'x'; 20]), "path", Script::new(), "[gone]");
    assert_told(thread().file("syscall", syscall_line(OPENAT, &[7, 0])), "path", Script::new(), "-");
    assert_told(thread().file("fdinfo/7", "pos:\t0\n"), "mount", Script::new(), "[unsupported]");
    assert_told(thread().file("fdinfo/7", "mnt_id:\t99\n"), "mount", Script::new(), "-");
    assert_told(thread().file("ns/mnt", Content::Link("garbage".to_owned())), "mount", Script::new(), "[malformed]");
    assert_told(thread().file("fd/7", Content::Link("socket:[7]".to_owned())), "mount", Script::new(), "-");
}
