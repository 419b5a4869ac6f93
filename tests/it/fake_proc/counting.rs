//! Counts, averages and accounts, to the unit. The files do not change, so the tests allow no deviation.

use std::collections::BTreeMap;

use psn::proc::source::Source;
use psn::proc::{Call, Fault};
use psn::report::Report;
use rustix::io::Errno;

use crate::support::driver::{Driver, sample};
use crate::support::fake::{FakeProc, Process, Thread};
use crate::support::faults::Script;
use crate::support::report::{averages, column, counts, only, samples, value};

/// More threads than a worker takes at a time, in processes of all sizes: 700 in state S, 210 in D,
/// 90 in R.
fn crowd() -> FakeProc {
    let mut tid = 1000;
    let mut processes = Vec::new();
    for size in [1, 1, 1, 7, 290, 400, 300] {
        let tgid = tid;
        let threads = (0..size).map(|_| {
            let state = match tid % 100 {
                0..70 => 'S',
                70..91 => 'D',
                _ => 'R',
            };
            let thread = Thread::new(tid).comm(format!("pool-{}", tid % 7)).state(state);
            tid += 1;
            thread
        });
        processes.push(Process::new(tgid).threads(threads));
    }
    FakeProc::of(processes)
}

fn expected(groups: &[(&str, &str)]) -> BTreeMap<String, String> {
    groups.iter().map(|(key, average)| ((*key).to_owned(), (*average).to_owned())).collect()
}

#[test]
fn averages_are_the_numbers_of_threads_whoever_counts_them_and_whatever_is_kept_open() {
    let proc = crowd();
    for workers in ["1", "2", "3", "4"] {
        for budget in ["0", "1", "1000", "100000"] {
            let args =
                ["-a", "-g", "comm,state_id", "-s", "max_threads,ci95", "--workers", workers, "--fd-budget", budget];
            let report = sample(&proc, &args, 3);
            let what = format!("{workers} workers, {budget} files");
            assert_eq!(
                averages(&report),
                expected(&[("pool-* | S", "700.0000"), ("pool-* | D", "210.0000"), ("pool-* | R", "90.0000")]),
                "{what}"
            );
            assert_eq!(column(&report, "max_threads"), ["700", "210", "90"], "{what}");
            assert_eq!(column(&report, "ci95"), ["0.0000", "0.0000", "0.0000"], "{what}");
            assert_eq!(counts(&report, "stat").ok, 3000, "{what}");
            assert_eq!(report.facts.coverage.rows, 3000, "{what}");
            assert_eq!(
                (report.facts.tasks.processes, report.facts.tasks.threads, report.facts.tasks.skipped),
                (7, 1000, 0),
                "{what}"
            );
        }
    }
}

#[test]
fn details_are_the_same_whatever_is_kept_open() {
    let proc = crowd();
    let run = |budget: &str| {
        let args = ["-G", "syscall,wchan,kstack,rchar,sched_run_ns,vmrss_kb", "-a", "--fd-budget", budget];
        samples(&sample(&proc, &args, 4))
    };
    let none = run("0");
    assert_eq!(none.values().sum::<u64>(), 4000);
    for budget in ["1", "6", "777", "100000"] {
        assert_eq!(run(budget), none, "{budget} files");
    }
}

#[test]
fn the_sum_over_groups_is_the_same_whatever_they_are_grouped_by() {
    let proc = crowd();
    for columns in ["comm", "comm2", "state", "pid", "task", "pid,comm2,state", "syscall,wchan", "ppid", "user,cgroup"]
    {
        let report = sample(&proc, &["-a", "-g", columns], 2);
        assert_eq!(samples(&report).values().sum::<u64>(), 2000, "{columns}");
    }
}

#[test]
fn every_attempt_is_in_exactly_one_class() {
    // Without kept files, every attempt is a failed open, or an open and a read.
    let proc = crowd();
    let args = [
        "-a",
        "-g",
        "syscall,wchan,kstack,rchar,sched_run_ns,vmrss_kb,uid,cgroup,pid_ns,filename,cmdline,exe",
        "--fd-budget",
        "0",
        "-p",
        "pool",
    ];
    let detail = [
        Source::Comm,
        Source::Stat,
        Source::Schedstat,
        Source::Syscall,
        Source::Wchan,
        Source::Io,
        Source::Stack,
        Source::Status,
        Source::Owner,
        Source::Cgroup,
        Source::PidNs,
        Source::Cmdline,
        Source::Exe,
    ];
    for errno in [None, Some(Errno::ACCESS), Some(Errno::SRCH), Some(Errno::MFILE), Some(Errno::IO)] {
        // Some of the calls fail, in the middle of the run.
        let script = detail.into_iter().fold(Script::new(), |script, source| match errno {
            Some(errno) => script.times(Call::Open, Some(source), Fault::Fail(errno), 3, 50).times(
                Call::Read,
                Some(source),
                Fault::Fail(errno),
                100,
                50,
            ),
            None => script,
        });
        let script = script.shared();
        let report = Driver::with_faults(&proc, &args, script.clone()).run(2);
        let mut attempts: BTreeMap<&str, u64> = BTreeMap::new();
        for source in detail {
            *attempts.entry(source.name()).or_default() += script.calls(Call::Open, Some(source));
        }
        for (file, attempts) in attempts {
            assert_eq!(
                counts(&report, file).attempts(),
                attempts,
                "{file} with {errno:?}: {:?}",
                counts(&report, file)
            );
        }
        let dropped: u64 = report.facts.dropped.iter().map(|(_, _, count)| count).sum();
        let all: u64 = report.facts.health.iter().map(|(_, counts)| counts.dropped).sum();
        assert_eq!(dropped, all, "every dropped read has its errno");
        assert_eq!(dropped > 0, matches!(errno, Some(Errno::MFILE | Errno::IO)));
    }
}

#[test]
fn an_interrupted_call_is_made_again() {
    let proc = crowd();
    let script = Script::new()
        .times(Call::Open, Some(Source::Stat), Fault::Fail(Errno::INTR), 5, 3)
        .times(Call::Read, Some(Source::Stat), Fault::Fail(Errno::INTR), 5, 3)
        .shared();
    let report = Driver::with_faults(&proc, &["-a", "-g", "state_id"], script).run(1);
    assert_eq!(counts(&report, "stat").ok, 1000);
    assert_eq!(counts(&report, "stat").attempts(), 1000);
}

/// Every combination of a file, a call and an error is survived and in the accounts.
#[test]
fn any_error_of_any_call_on_any_file_is_survived_and_counted() {
    let proc = FakeProc::of([
        Process::new(10).threads((10..14).map(|tid| Thread::new(tid).state('D'))),
        Process::single(20, "single", 'R'),
    ]);
    let args = [
        "-a",
        "-g",
        "task,syscall,wchan,kstack,rchar,sched_run_ns,vmrss_kb,uid,user,cgroup,pid_ns,filename,cmdline,exe,rss_kb",
        "-p",
        ".",
    ];
    let errors = [
        Errno::ACCESS,
        Errno::PERM,
        Errno::SRCH,
        Errno::NOENT,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::IO,
        Errno::INVAL,
        Errno::AGAIN,
    ];
    let faults = errors.into_iter().map(Fault::Fail).chain([Fault::Short(0), Fault::Short(1), Fault::Short(7)]);
    for fault in faults {
        for call in [Call::Open, Call::Read] {
            for source in Source::ALL.into_iter().map(Some).chain([None]) {
                // Fail at the second call only, and at every call.
                for (from, count) in [(1, 1), (0, u64::MAX)] {
                    let script = Script::new().times(call, source, fault, from, count).shared();
                    let report = Driver::with_faults(&proc, &args, script).try_run(2);
                    let Some(report) = report else {
                        assert_eq!(source, None, "the run fails only where the root itself can not be listed");
                        continue;
                    };
                    check_sums(&report, &format!("{fault:?} at {call:?} of {source:?}"));
                }
            }
        }
    }
}

fn check_sums(report: &Report, what: &str) {
    let stat = counts(report, "stat");
    assert!(report.facts.coverage.rows <= stat.ok, "{what}");
    // The process has one mapping, so each of its threads counts once.
    assert_eq!(samples(report).values().sum::<u64>(), report.facts.coverage.rows, "{what}");
    let dropped: u64 = report.facts.dropped.iter().map(|(_, _, count)| count).sum();
    assert_eq!(dropped, report.facts.health.iter().map(|(_, counts)| counts.dropped).sum::<u64>(), "{what}");
}

#[test]
fn counters_grow_by_what_they_grew_during_the_run() {
    let proc = FakeProc::of([Process::new(10).thread(Thread::new(10).state('R').stat(14, 100))]);
    let mut engine = Driver::new(&proc, &["-g", "pid", "-s", "utime,utime_sec,utime:max,utime:sum,utime:avg"]);
    engine.refresh();
    for utime in [100, 130, 130, 175] {
        proc.rewrite(10, 10, "stat", &Thread::new(10).state('R').stat(14, utime).stat_line(1));
        engine.pass();
    }
    let report = engine.report();
    let row = only(&report);
    let shown = ["utime", "utime_sec", "utime:max", "utime:sum", "utime:avg"].map(|name| value(&report, row, name));
    assert_eq!(shown, ["75", "0.75", "175", "535", "133.7500"]);
}

#[test]
fn the_commonest_value_stands_for_a_group_and_the_first_is_its_example() {
    let proc = FakeProc::of([Process::new(10).threads((0..5).map(|index| {
        Thread::new(10 + index).comm(if index < 2 { "rare" } else { "common" }).state('D').stat(39, index)
    }))]);
    let report = sample(&proc, &["-g", "pid", "-s", "comm,comm:example,cpu,cpu:max,task:example"], 3);
    let row = only(&report);
    let shown = ["comm", "comm:example", "cpu", "cpu:max", "task:example"].map(|name| value(&report, row, name));
    assert_eq!(shown, ["common", "rare", "0", "4", "10"]);
}

#[test]
fn the_largest_tick_and_the_confidence_tell_a_burst_from_a_constant() {
    let proc = FakeProc::of([Process::single(10, "burst", 'S'), Process::single(11, "constant", 'D')]);
    let mut engine = Driver::new(&proc, &["-g", "comm", "-s", "max_threads,ci95", "--fd-budget", "0"]);
    engine.refresh();
    for tick in 0..20 {
        proc.add(&Process::single(10, "burst", if tick == 7 { 'D' } else { 'S' }));
        engine.pass();
    }
    let report = engine.report();
    assert_eq!(column(&report, "comm"), ["constant", "burst"]);
    assert_eq!(column(&report, "avg_threads"), ["1.0000", "0.0500"]);
    assert_eq!(column(&report, "max_threads"), ["1", "1"]);
    let ci: Vec<f64> = column(&report, "ci95").iter().map(|text| text.parse().unwrap()).collect();
    assert!(ci[0] == 0.0 && ci[1] > 0.05 && ci[1] < 0.2, "{ci:?}");
}

#[test]
fn a_report_can_be_made_after_each_tick() {
    let proc = FakeProc::of([Process::single(10, "busy", 'R'), Process::single(11, "idle", 'S')]);
    let mut engine = Driver::new(&proc, &["-g", "comm", "--fd-budget", "0"]);
    engine.refresh();
    for tick in 1..=3 {
        engine.pass();
        let report = engine.report();
        assert_eq!(report.facts.ticks.completed, tick);
        assert_eq!(samples(&report).values().sum::<u64>(), tick);
        assert_eq!(crate::support::report::counts(&report, "stat").ok, 2 * tick, "no read is lost, none counts twice");
    }
}
