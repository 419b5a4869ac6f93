//! Which threads a run counts: `-p`, `-t`, `-r`, the state gate, `--where`; and the order of the rows.

use std::collections::BTreeSet;

use crate::support::driver::{Driver, sample};
use crate::support::fake::{FakeProc, Process, Thread};
use crate::support::report::{column, only, samples, value};

/// A shell with children and grandchildren, whose pids are not in the order of their births; an unrelated process; and a
/// process whose leader and threads have different names.
fn family() -> FakeProc {
    FakeProc::of([
        Process::single(1, "init", 'S'),
        Process::single(500, "shell", 'S').ppid(1),
        Process::single(300, "child", 'D').ppid(500),
        Process::single(700, "grandchild", 'D').ppid(300),
        Process::single(200, "greatgrand", 'D').ppid(700),
        Process::single(600, "stranger", 'D').ppid(1),
        Process::new(800)
            .thread(Thread::new(800).comm("mysqld").state('S'))
            .thread(Thread::new(801).comm("ib_io").state('D'))
            .thread(Thread::new(802).comm("ib_io").state('D')),
    ])
}

/// The processes that `args` select of `proc`, whatever they do.
fn pids(proc: &FakeProc, args: &[&str]) -> BTreeSet<String> {
    let args = [&["-a", "-g", "pid"], args].concat();
    column(&sample(proc, &args, 1), "pid").into_iter().collect()
}

fn set(pids: &[&str]) -> BTreeSet<String> {
    pids.iter().map(|pid| (*pid).to_owned()).collect()
}

#[test]
fn everything_is_sampled_unless_told_otherwise() {
    assert_eq!(pids(&family(), &[]), set(&["1", "200", "300", "500", "600", "700", "800"]));
}

#[test]
fn processes_are_selected_by_pid() {
    assert_eq!(pids(&family(), &["-p", "300,800"]), set(&["300", "800"]));
    assert_eq!(pids(&family(), &["-p", " 300 , 300 "]), set(&["300"]));
    assert_eq!(pids(&family(), &["-p", "300,999"]), set(&["300"]), "one that is not there takes none along");
}

#[test]
fn processes_are_selected_by_a_regex_in_the_name_of_the_process() {
    assert_eq!(pids(&family(), &["-p", "child"]), set(&["300", "700"]));
    assert_eq!(pids(&family(), &["-p", "^child$|mysql"]), set(&["300", "800"]));
    let threads = column(&sample(&family(), &["-a", "-p", "mysqld", "-g", "task"], 1), "task");
    assert_eq!(threads.into_iter().collect::<BTreeSet<_>>(), set(&["800", "801", "802"]));
    let nothing = sample(&family(), &["-a", "-p", "ib_io"], 1);
    assert!(nothing.rows.is_empty(), "the names of threads select nothing");
}

#[test]
fn a_name_of_any_bytes_can_be_matched() {
    let proc = FakeProc::of([
        Process::new(10).thread(Thread::new(10).comm(b"\xff\xfe\x80").state('D')),
        Process::new(11).thread(Thread::new(11).comm(b"new\nline").state('D')),
        Process::new(12).thread(Thread::new(12).comm(b"").state('D')),
    ]);
    assert_eq!(pids(&proc, &["-p", r"(?-u)^\xff"]), set(&["10"]));
    assert_eq!(pids(&proc, &["-p", "(?s)w.l"]), set(&["11"]));
    assert_eq!(pids(&proc, &["-p", "^$"]), set(&["12"]));
}

#[test]
fn descendants_of_all_generations_are_selected() {
    assert_eq!(pids(&family(), &["-p", "500", "-r"]), set(&["200", "300", "500", "700"]));
    assert_eq!(pids(&family(), &["-p", "^child", "-r"]), set(&["200", "300", "700"]));
}

#[test]
fn descendants_born_later_are_selected_and_stay_so_when_their_parents_end() {
    let proc = family();
    let mut engine = Driver::new(&proc, &["-a", "-g", "pid", "-p", "500", "-r"]);
    engine.refresh();
    engine.pass();
    proc.add(&Process::single(250, "born-later", 'D').ppid(200));
    engine.refresh();
    engine.pass();
    // All its ancestors end, and init adopts it.
    [500, 300, 700, 200].into_iter().for_each(|pid| proc.remove(pid));
    proc.add(&Process::single(250, "born-later", 'D').ppid(1));
    proc.add(&Process::single(260, "its-child", 'D').ppid(250));
    engine.refresh();
    engine.pass();
    let samples = samples(&engine.report());
    assert_eq!(samples.get("250"), Some(&2), "{samples:?}");
    assert_eq!(samples.get("260"), Some(&1), "{samples:?}");
    assert_eq!(samples.get("600"), None);
}

#[test]
fn a_pid_that_is_given_to_a_stranger_is_no_descendants_any_more() {
    let proc = family();
    let mut engine = Driver::new(&proc, &["-a", "-g", "pid,comm", "-p", "500", "-r"]);
    engine.refresh();
    engine.pass();
    // Within one refresh, so that no listing finds the pids missing.
    for pid in [300, 200] {
        proc.remove(pid);
    }
    proc.add(&Process::single(300, "stranger", 'D').ppid(1));
    proc.add(&Process::single(310, "its-child", 'D').ppid(300));
    proc.add(&Process::single(200, "grandchild", 'D').ppid(700));
    engine.refresh();
    engine.pass();
    let found = samples(&engine.report());
    let wanted = [
        ("200 | grandchild", 1),
        ("200 | greatgrand", 1),
        ("300 | child", 1),
        ("500 | shell", 2),
        ("700 | grandchild", 2),
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), wanted.map(|(key, count)| (key.to_owned(), count)));
}

#[test]
fn a_process_that_takes_a_matching_name_is_selected_from_then_on() {
    let proc = family();
    let mut engine = Driver::new(&proc, &["-a", "-g", "pid", "-p", "renamed"]);
    engine.refresh();
    engine.pass();
    proc.add(&Process::single(600, "renamed", 'D'));
    engine.refresh();
    engine.pass();
    assert_eq!(samples(&engine.report()).into_iter().collect::<Vec<_>>(), [("600".to_owned(), 1)]);
    proc.add(&Process::single(600, "another", 'D'));
    engine.refresh();
    engine.pass();
    assert_eq!(samples(&engine.report()).into_iter().collect::<Vec<_>>(), [("600".to_owned(), 1)]);
}

#[test]
fn single_threads_are_selected() {
    let report = sample(&family(), &["-a", "-g", "task", "-t", "800,300"], 2);
    assert_eq!(column(&report, "task"), ["300", "800"]);
    let both = sample(&family(), &["-a", "-g", "task", "-t", "800,300", "-p", "mysqld"], 2);
    assert_eq!(column(&both, "task"), ["800"], "of the selected processes only");
}

#[test]
fn a_single_thread_of_a_descendant_is_selected() {
    let report = sample(&family(), &["-a", "-g", "task", "-t", "700", "-p", "500", "-r"], 1);
    assert_eq!(column(&report, "task"), ["700"]);
}

/// A thread in each known state, and one in a state that no kernel has yet.
fn states() -> FakeProc {
    let letters = "RSDTtXxZPIKWQ";
    FakeProc::of(letters.chars().zip(10..).map(|(letter, pid)| Process::single(pid, "some", letter)))
}

fn letters(proc: &FakeProc, args: &[&str]) -> String {
    let report = sample(proc, &[&["-g", "state_id"], args].concat(), 1);
    let mut letters: Vec<String> = column(&report, "state_id");
    letters.sort();
    letters.concat()
}

#[test]
fn sleeping_idle_parked_and_ended_threads_are_left_out_unless_asked_for() {
    assert_eq!(letters(&states(), &[]), "DKQRTWXtx");
    assert_eq!(letters(&states(), &["-a"]), "DIKPQRSTWXZtx");
}

#[test]
fn exactly_the_states_asked_for_are_counted() {
    assert_eq!(letters(&states(), &["--states", "D"]), "D");
    assert_eq!(letters(&states(), &["--states", "RDS"]), "DRS");
    assert_eq!(letters(&states(), &["--states", "tT"]), "Tt");
    assert_eq!(letters(&states(), &["--states", "Z"]), "Z");
}

#[test]
fn states_have_the_names_of_the_original() {
    let report = sample(&states(), &["-a", "-g", "state_id,state"], 1);
    let named: BTreeSet<String> = report
        .rows
        .iter()
        .map(|row| format!("{} {}", value(&report, row, "state_id"), value(&report, row, "state")))
        .collect();
    let expected = [
        "D Disk (Uninterruptible)",
        "I (idle)",
        "K (wakekill)",
        "P (parked)",
        "Q Q",
        "R Running (ON CPU)",
        "S Sleep (Interruptible)",
        "T (stopped)",
        "W (paging or waking)",
        "X (dead)",
        "Z (zombie)",
        "t (tracing stop)",
        "x (dead)",
    ];
    assert_eq!(named, set(&expected));
}

/// Three threads that differ in a text, a number, a time and a mark.
fn three() -> FakeProc {
    let thread = |tid: u32, comm: &str, state, utime: u32| Thread::new(tid).comm(comm).state(state).stat(14, utime);
    FakeProc::of([
        Process::new(10).thread(thread(10, "alpha one", 'R', 28).stat(39, 0)),
        Process::new(20).thread(thread(20, "beta", 'D', 29).stat(39, 1)),
        Process::new(30).thread(thread(30, "(gamma)", 'D', 30).stat(39, 2)),
    ])
}

fn matching(filters: &[&str]) -> String {
    let mut args = vec!["-a", "-g", "pid", "--sort", "pid"];
    for filter in filters {
        args.extend(["--where", filter]);
    }
    let mut pids = column(&sample(&three(), &args, 1), "pid");
    pids.sort();
    pids.join(" ")
}

#[test]
fn rows_are_filtered_by_any_column() {
    for (filters, pids) in [
        (&["comm = beta"][..], "20"),
        (&["comm=alpha one"], "10"),
        (&["comm='alpha one'"], "10"),
        (&["comm = (beta)"], "20"),
        (&["comm = ((gamma))"], "30"),
        (&["comm != beta"], "10 30"),
        (&["comm ~ a$"], "20"),
        (&["comm !~ a"], ""),
        (&["comm ~ ^(alpha|.gamma)"], "10 30"),
        (&["state = D"], "20 30"),
        (&["state = Running (ON CPU)"], "10"),
        (&["state_id != D"], "10"),
        (&["cpu > 0"], "20 30"),
        (&["cpu >= 1", "cpu < 2"], "20"),
        (&["cpu <= 1", "comm ~ t"], "20"),
        (&["cpu ~ ^[02]$"], "10 30"),
        (&["syscall = [running]"], "10"),
        (&["syscall != [running]"], "20 30"),
        (&["syscall ~ fut"], "20 30"),
        (&["syscall_id > 0"], "20 30"),
        (&["syscall_id = [running]"], "10"),
        (&["filename = -"], "10 20 30"),
        (&["state = D or cpu = 0"], "10 20 30"),
        (&["state = D and cpu > 1"], "30"),
        (&["(cpu = 2 or syscall = [running]) and comm ~ a"], "10 30"),
        (&["comm in (beta, (gamma))"], "20 30"),
        (&["state not in (R, S)", "cpu = 1 or cpu = 2"], "20 30"),
        // The names as in CSV and JSON, without the table's parentheses.
        (&["comm = (gamma)"], "30"),
    ] {
        assert_eq!(matching(filters), pids, "{filters:?}");
    }
}

#[test]
fn conditions_on_states_that_can_not_hold_are_errors() {
    let error = |args: &[&str]| {
        let args = ["psn"].iter().chain(args);
        let cli = <psn::config::cli::Cli as clap::Parser>::try_parse_from(args).unwrap();
        psn::config::Config::new(&cli.sample).unwrap_err().to_string()
    };
    assert!(error(&["-a", "--where", "state = D", "--where", "state = R"]).contains("state in (R, D)"));
    let asleep = error(&["--where", "state = S"]);
    assert!(asleep.contains("state S, which this run does not count: use -a"), "{asleep}");
    assert!(error(&["--where", "comm = x and state_id in (I, Z)"]).contains("--states ZI to count only these"));
    assert!(error(&["--states", "D", "--where", "state ~ Run"]).contains("--states R"));
    assert_eq!(pids(&three(), &["--where", "state = R or state_id = D"]), set(&["10", "20", "30"]));
}

#[test]
fn times_are_compared_as_they_are_shown() {
    // 0.29 times 100 is less than 29 in binary floating point, 0.28 and 0.57 times 100 are more.
    for (filter, pids) in [
        ("utime_sec = 0.29", "20"),
        ("utime_sec = 0.28", "10"),
        ("utime_sec != 0.29", "10 30"),
        ("utime_sec > 0.29", "30"),
        ("utime_sec >= 0.29", "20 30"),
        ("utime_sec < 0.29", "10"),
        ("utime_sec <= 0.29", "10 20"),
        ("utime_sec <= 0.28", "10"),
        ("utime_sec = .3", "30"),
    ] {
        assert_eq!(matching(&[filter]), pids, "{filter}");
    }
}

#[test]
fn large_numbers_are_compared_to_the_last_digit() {
    let thread = |tid: u32, sigcatch: u64| Process::new(tid).thread(Thread::new(tid).stat(34, sigcatch));
    let proc = FakeProc::of([thread(10, (1 << 62) + 1), thread(11, (1 << 62) + 2), thread(12, u64::MAX)]);
    let matching = |filter: &str| pids(&proc, &["--where", filter]);
    assert_eq!(matching("sigcatch = 4611686018427387905"), set(&["10"]));
    assert_eq!(matching("sigcatch > 4611686018427387905"), set(&["11", "12"]));
    assert_eq!(matching("sigcatch != 18446744073709551615"), set(&["10", "11"]));
}

#[test]
fn a_filter_on_a_cheap_column_saves_the_costly_reads() {
    use crate::support::faults::Script;
    use psn::proc::Call;
    use psn::proc::source::Source;
    let script = Script::new().shared();
    let args = ["-a", "-g", "comm,rchar,syscall", "--where", "comm = beta", "--workers", "1"];
    let report = Driver::with_faults(&three(), &args, script.clone()).run(1);
    assert_eq!(value(&report, only(&report), "comm"), "beta");
    assert_eq!(script.calls(Call::Open, Some(Source::Io)), 1);
    assert_eq!(script.calls(Call::Open, Some(Source::Syscall)), 1);
}

/// Groups with 1, 2, 3 and 3 threads.
fn groups() -> FakeProc {
    let names = ["one", "two", "two", "three", "three", "three", "also", "also", "also"];
    FakeProc::of(
        names
            .into_iter()
            .zip(100..)
            .map(|(name, pid)| Process::new(pid).thread(Thread::new(pid).comm(name).state('D').stat(14, pid))),
    )
}

#[test]
fn rows_are_ordered_by_samples_and_equal_ones_by_their_names() {
    let report = sample(&groups(), &["-g", "comm"], 2);
    assert_eq!(column(&report, "comm"), ["also", "three", "two", "one"]);
    assert_eq!(column(&report, "samples"), ["6", "6", "4", "2"]);
}

#[test]
fn another_order_can_be_asked_for() {
    let order = |sort: &str| {
        column(&sample(&groups(), &["-g", "comm", "-s", "utime:max,max_threads", "--sort", sort], 2), "comm")
    };
    assert_eq!(order("comm"), ["also", "one", "three", "two"]);
    assert_eq!(order("utime:max"), ["also", "three", "two", "one"]);
    assert_eq!(order("max_threads"), ["also", "three", "two", "one"]);
    assert_eq!(order("avg_threads"), ["also", "three", "two", "one"]);
    assert_eq!(order("samples"), ["also", "three", "two", "one"]);
}

#[test]
fn a_limit_keeps_the_first_rows_and_tells_how_many_it_left_out() {
    let report = sample(&groups(), &["-g", "comm", "--limit", "3"], 2);
    assert_eq!(column(&report, "comm"), ["also", "three", "two"]);
    assert_eq!(report.rows_left_out, 1);
    let all = sample(&groups(), &["-g", "comm", "--limit", "4"], 2);
    assert_eq!((all.rows.len(), all.rows_left_out), (4, 0));
}
