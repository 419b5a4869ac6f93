//! Lives of threads and processes: they vanish just before any of their files is read, they are born, renamed and replaced
//! while psn samples, and their ids are given to others.

use std::collections::BTreeMap;

use psn::proc::source::Source;
use psn::proc::{Call, Fault};
use rustix::io::Errno;

use super::{Verdict, ensure, judge};
use crate::support::driver::Driver;
use crate::support::fake::{Content, FSYNC, FakeProc, Process, Thread, syscall_line};
use crate::support::faults::{Script, errno_name};
use crate::support::report::{column, counts, samples};

/// What happens to a process between two passes, and what the report says of it.
struct Case {
    name: &'static str,
    /// The arguments of psn; `wanted` has the values of their dimensions.
    args: &'static [&'static str],
    before: fn() -> Vec<Process>,
    /// What changes.
    happens: fn(&FakeProc),
    /// Whether a thread ends whose files may be kept open. A kept file of /proc then fails to read; a plain file does not.
    ends_a_kept_file: bool,
    /// Whether the tasks are listed again before the second pass.
    is_listed_again: bool,
    /// Samples by the dimensions, of one pass before the change and one after.
    wanted: &'static [(&'static str, u64)],
}

fn thread(tid: u32, name: &str, start: u32) -> Thread {
    Thread::new(tid).comm(name).state('D').stat(22, start).stat(14, start * 100)
}

/// A process with one thread. Its program and its control group are named after its start time.
fn program(pid: u32, name: &str, start: u32) -> Process {
    Process::new(pid)
        .thread(thread(pid, name, start).file("cgroup", format!("0::/{start}\n")))
        .file("exe", Content::Link(format!("/bin/{start}")))
        .file("cmdline", format!("{name}-{start}\0").into_bytes())
}

fn replace(proc: &FakeProc, process: &Process) {
    proc.remove(process.tgid);
    proc.add(process);
}

/// A process with a leader and two workers.
fn team(leader: Thread) -> Process {
    Process::new(10).threads([leader, thread(11, "worker", 2), thread(12, "worker", 3)])
}

fn two() -> Vec<Process> {
    vec![program(10, "a", 1), program(20, "b", 2)]
}

fn family() -> Vec<Process> {
    vec![program(500, "root", 1), program(300, "child", 2).ppid(500), program(200, "grandchild", 3).ppid(300)]
}

const CASES: &[Case] = &[
    Case {
        name: "process-ends-between-listing-and-read",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| proc.remove(10),
        ends_a_kept_file: true,
        is_listed_again: false,
        wanted: &[("a", 1), ("b", 2)],
    },
    Case {
        name: "process-ends-before-listing",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| proc.remove(10),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a", 1), ("b", 2)],
    },
    Case {
        name: "every-process-ends",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| [10, 20].into_iter().for_each(|pid| proc.remove(pid)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a", 1), ("b", 1)],
    },
    Case {
        name: "process-is-born",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| proc.add(&program(30, "c", 3)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a", 2), ("b", 2), ("c", 1)],
    },
    Case {
        name: "process-is-born-and-not-listed-yet",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| proc.add(&program(30, "c", 3)),
        ends_a_kept_file: false,
        is_listed_again: false,
        wanted: &[("a", 2), ("b", 2)],
    },
    Case {
        name: "thread-ends-between-listing-and-read",
        args: &["-g", "task"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| proc.remove_thread(10, 11),
        ends_a_kept_file: true,
        is_listed_again: false,
        wanted: &[("10", 2), ("11", 1), ("12", 2)],
    },
    Case {
        name: "thread-is-born",
        args: &["-g", "task"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| proc.add_thread(&Process::new(10), &thread(13, "worker", 4)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("10", 2), ("11", 2), ("12", 2), ("13", 1)],
    },
    Case {
        name: "one-thread-ends-and-one-is-born",
        args: &["-g", "task"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| {
            // The number of threads is as before, so the link count does not change.
            proc.remove_thread(10, 11);
            proc.add_thread(&Process::new(10), &thread(13, "worker", 4));
        },
        ends_a_kept_file: true,
        is_listed_again: true,
        wanted: &[("10", 2), ("11", 1), ("12", 2)],
    },
    Case {
        name: "leader-ends-and-its-threads-live",
        args: &["-g", "comm,exe", "--states", "D"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| {
            proc.add(
                &Process::new(10)
                    .thread(Thread::new(10).comm("leader").state('Z').stat(22, 1))
                    .file("cmdline", "")
                    .without("exe"),
            );
        },
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("leader | /usr/bin/program", 1), ("worker | /usr/bin/program", 4)],
    },
    Case {
        name: "thread-is-renamed",
        args: &["-g", "comm,starttime"],
        before: || vec![program(10, "old", 1)],
        happens: |proc| proc.rewrite(10, 10, "stat", &thread(10, "new", 1).stat_line(1)),
        ends_a_kept_file: false,
        is_listed_again: false,
        wanted: &[("new | 1", 1), ("old | 1", 1)],
    },
    Case {
        name: "thread-takes-a-hostile-name",
        args: &["-g", "comm2,state_id,starttime"],
        before: || vec![program(10, "old", 1)],
        happens: |proc| proc.rewrite(10, 10, "stat", &thread(10, "x) R 1 (y", 1).stat_line(1)),
        ends_a_kept_file: false,
        is_listed_again: false,
        wanted: &[("old | D | 1", 1), ("x) R 1 (y | D | 1", 1)],
    },
    Case {
        name: "leader-executes-another-program",
        args: &["-g", "comm,starttime,cgroup,exe,cmdline"],
        before: || vec![program(10, "shell", 1)],
        happens: |proc| {
            // The same process: its id and start time stay.
            let exe = Content::Link("/bin/tool".to_owned());
            // A thread that execs has run, so psn reads the title again for the same row.
            let tool = thread(10, "tool", 1).file("cgroup", "0::/tool\n").file("schedstat", "9000000 0 9\n");
            proc.add(&Process::new(10).thread(tool).file("exe", exe).file("cmdline", "tool\0"));
        },
        ends_a_kept_file: false,
        is_listed_again: false,
        wanted: &[("shell | 1 | /1 | /bin/1 | shell-1", 1), ("tool | 1 | /tool | /bin/tool | tool", 1)],
    },
    Case {
        name: "another-thread-executes-a-program",
        args: &["-g", "task,comm,starttime"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| {
            // The thread takes the leader's id and start time, and all other threads end.
            [11, 12].into_iter().for_each(|tid| proc.remove_thread(10, tid));
            proc.rewrite(10, 10, "stat", &thread(10, "tool", 1).stat_line(1));
        },
        ends_a_kept_file: true,
        is_listed_again: false,
        wanted: &[("10 | leader | 1", 1), ("10 | tool | 1", 1), ("11 | worker | 2", 1), ("12 | worker | 3", 1)],
    },
    Case {
        name: "thread-id-is-given-to-another",
        args: &["-g", "task,starttime", "-s", "utime"],
        before: || vec![team(thread(10, "leader", 1))],
        happens: |proc| {
            proc.remove_thread(10, 11);
            proc.add_thread(&Process::new(10), &thread(11, "worker", 9));
        },
        ends_a_kept_file: true,
        is_listed_again: true,
        wanted: &[("10 | 1", 2), ("11 | 2", 1), ("11 | 9", 1), ("12 | 3", 2)],
    },
    Case {
        name: "process-id-is-given-to-another",
        args: &["-g", "comm,starttime,cgroup,exe,cmdline"],
        before: two,
        happens: |proc| replace(proc, &program(10, "c", 9)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a | 1 | /1 | /bin/1 | a-1", 1), ("b | 2 | /2 | /bin/2 | b-2", 2), ("c | 9 | /9 | /bin/9 | c-9", 1)],
    },
    Case {
        name: "process-id-is-given-to-one-of-the-same-name",
        args: &["-g", "comm,starttime,cgroup,exe,cmdline"],
        before: || vec![program(10, "a", 1)],
        happens: |proc| replace(proc, &program(10, "a", 9)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a | 1 | /1 | /bin/1 | a-1", 1), ("a | 9 | /9 | /bin/9 | a-9", 1)],
    },
    Case {
        name: "child-is-adopted",
        args: &["-g", "pid", "-p", "500", "-r"],
        before: family,
        happens: |proc| {
            proc.remove(300);
            proc.add(&program(200, "grandchild", 3).ppid(1));
        },
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("200", 2), ("300", 1), ("500", 2)],
    },
    Case {
        name: "child-has-a-child",
        args: &["-g", "pid", "-p", "500", "-r"],
        before: family,
        happens: |proc| proc.add(&program(100, "great", 4).ppid(200)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("100", 1), ("200", 2), ("300", 2), ("500", 2)],
    },
    Case {
        name: "childs-id-is-given-to-a-stranger",
        args: &["-g", "pid,starttime", "-p", "500", "-r"],
        before: family,
        happens: |proc| replace(proc, &program(300, "child", 9).ppid(1)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("200 | 3", 2), ("300 | 2", 1), ("500 | 1", 2)],
    },
    Case {
        name: "process-takes-the-name-asked-for",
        args: &["-g", "pid", "-p", "wanted"],
        before: || vec![program(10, "wanted", 1), program(20, "other", 2)],
        happens: |proc| proc.add(&program(20, "wanted", 2)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("10", 2), ("20", 1)],
    },
    Case {
        name: "process-gives-up-the-name-asked-for",
        args: &["-g", "pid", "-p", "wanted"],
        before: || vec![program(10, "wanted", 1), program(20, "wanted", 2)],
        happens: |proc| proc.add(&program(20, "other", 2)),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("10", 2), ("20", 1)],
    },
    Case {
        name: "process-becomes-a-zombie",
        args: &["-a", "-g", "comm,state_id,syscall,wchan"],
        before: || vec![program(10, "a", 1)],
        happens: |proc| {
            proc.rewrite(10, 10, "stat", &Thread::new(10).comm("a").state('Z').stat(22, 1).stat_line(1));
        },
        ends_a_kept_file: false,
        is_listed_again: false,
        wanted: &[("a | D | futex | futex_do_wait", 1), ("a | Z | - | 0", 1)],
    },
    Case {
        name: "directory-of-a-process-is-empty",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| proc.remove_thread(10, 10),
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a", 1), ("b", 2)],
    },
    Case {
        name: "entries-that-are-no-processes",
        args: &["-g", "comm"],
        before: two,
        happens: |proc| {
            for entry in ["self", "0", "007", "-1", "4294967296", "1e3", "10 ", "\u{661}"] {
                std::fs::create_dir_all(proc.path().join(entry).join("task/10")).unwrap();
            }
        },
        ends_a_kept_file: false,
        is_listed_again: true,
        wanted: &[("a", 2), ("b", 2)],
    },
];

impl Case {
    fn run(&self) -> Verdict {
        let budgets: &[&str] = if self.ends_a_kept_file { &["0"] } else { &["0", "1000"] };
        for budget in budgets {
            let proc = FakeProc::of((self.before)());
            let mut engine = Driver::new(&proc, &[self.args, &["--workers", "1", "--fd-budget", budget]].concat());
            engine.refresh();
            engine.pass();
            (self.happens)(&proc);
            if self.is_listed_again {
                engine.refresh();
            }
            engine.pass();
            let report = engine.report();
            let wanted: BTreeMap<String, u64> =
                self.wanted.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
            ensure!(samples(&report) == wanted, "with {budget} files kept: {:?}, not {wanted:?}", samples(&report));
            let unclean = report.facts.health.iter().find(|(_, counts)| counts.is_notable());
            ensure!(unclean.is_none(), "a life like any other is counted as a failure: {unclean:?}");
            if self.args.contains(&"utime") {
                let grown = column(&report, "utime");
                ensure!(grown.iter().all(|grown| grown == "0"), "counters of two lives were compared: {grown:?}");
            }
        }
        Ok(())
    }
}

/// One column for each file of a thread.
const FILES: [(Source, &str); 12] = [
    (Source::Stat, "state_id"),
    (Source::Schedstat, "sched_run_ns"),
    (Source::Syscall, "syscall"),
    (Source::Wchan, "wchan"),
    (Source::Io, "rchar"),
    (Source::Stack, "kstack"),
    (Source::Status, "umask"),
    (Source::Fd, "filename"),
    (Source::Owner, "uid"),
    (Source::Cgroup, "cgroup"),
    (Source::PidNs, "pid_ns"),
    (Source::Cmdline, "cmdline"),
];

const GONE: [Errno; 2] = [Errno::SRCH, Errno::NOENT];

/// The name of a case in which the thread ends just before this file of it is read.
fn vanishing(source: Source, errno: Errno) -> String {
    let file = if source == Source::Owner { "status-ids" } else { source.name() };
    format!("lives/vanishes-at-{}/{}", file.replace('/', "-"), errno_name(errno))
}

/// The thread ends just before the file is read.
fn vanish(source: Source, of: &str, errno: Errno) -> Verdict {
    let victim = || {
        let thread = Thread::new(10).state('D').file("syscall", syscall_line(FSYNC, &[7]));
        Process::new(10).thread(thread.file("fd/7", Content::Link("/data".to_owned())))
    };
    let proc = FakeProc::of([victim(), Process::single(20, "neighbour", 'R')]);
    let is_kept = psn::tasks::DetailFiles::keeps(source) || source == Source::Stat;
    let call = if is_kept { Call::Read } else { Call::Open };
    // The first `stat` is that of the victim, whose neighbour needs its own.
    let times = if source == Source::Stat { 1 } else { u64::MAX };
    let script = Script::new().times(call, Some(source), Fault::Fail(errno), 0, times).shared();
    let mut engine = Driver::with_faults(&proc, &["-g", &format!("task,{of}"), "--workers", "1"], script);
    engine.refresh();
    engine.pass();
    // Then the thread is also missing from its directory.
    proc.remove(10);
    engine.refresh();
    engine.pass();
    let report = engine.report();
    let found = samples(&report);
    ensure!(found.keys().any(|key| key.starts_with("20 | ")), "the neighbour is not there: {found:?}");
    let own: Vec<&String> = found.keys().filter(|key| key.starts_with("10 | ")).collect();
    let is_so = match source {
        Source::Stat => own.is_empty(),
        // If the thread exists and a file of it cannot be opened, this kernel does not have the file.
        _ => matches!(own[..], [row] if ["10 | [gone]", "10 | [unsupported]", "10 | [torn]"].contains(&row.as_str())),
    };
    ensure!(is_so, "{own:?}");
    let counts = counts(&report, source.name());
    ensure!(counts.gone + counts.unsupported > 0, "{counts:?}");
    ensure!(counts.denied + counts.dropped + counts.malformed + counts.timed_out == 0, "{counts:?}");
    Ok(())
}

pub fn cases() -> Vec<String> {
    let cases = CASES.iter().map(|case| format!("lives/{}", case.name));
    let vanishing = FILES.iter().flat_map(|(source, _)| GONE.map(|errno| self::vanishing(*source, errno)));
    cases.chain(vanishing).collect()
}

#[test]
fn a_life_is_told_as_it_goes_and_never_mixed_with_another() {
    judge(CASES.iter().map(|case| (format!("lives/{}", case.name), case.run())));
}

#[test]
fn a_thread_that_vanishes_at_any_of_its_files_is_gone_and_no_failure() {
    judge(
        FILES
            .iter()
            .flat_map(|(source, column)| GONE.map(|errno| (vanishing(*source, errno), vanish(*source, column, errno)))),
    );
}
