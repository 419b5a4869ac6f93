//! Threads are born, end, change their names and try to deceive psn by them; reads of some never return.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use psn::proc::source::Source;
use psn::proc::{Call, Fault, Faults};
use psn::report::{Datum, Report};
use psn::row::value::Value;
use psn::session::{self, Stop};
use psn_stress::names::HOSTILE;
use rustix::io::Errno;

use crate::support::driver::{Driver, config, sample};
use crate::support::fake::{Content, FakeProc, Process, Thread, unblock};
use crate::support::faults::Script;
use crate::support::report::{column, counts, datum, only, samples, value};
use crate::support::{AtTick, within};

#[test]
fn a_thread_that_ends_between_listing_and_read_is_gone_and_no_error() {
    let proc = FakeProc::of([
        Process::new(10).threads((10..14).map(|tid| Thread::new(tid).state('D'))),
        Process::single(20, "other", 'D'),
    ]);
    for budget in ["0", "1000"] {
        let mut engine = Driver::new(&proc, &["-g", "task", "--fd-budget", budget]);
        engine.refresh();
        proc.remove_thread(10, 12);
        engine.pass();
        engine.pass();
        let report = engine.report();
        assert_eq!(samples(&report).into_keys().collect::<Vec<_>>(), ["10", "11", "13", "20"]);
        let stat = counts(&report, "stat");
        assert_eq!((stat.ok, stat.gone, stat.attempts()), (8, 1, 9), "asked once, then no more");
        assert!(!stat.is_notable());
        proc.add_thread(&Process::new(10), &Thread::new(12).state('D'));
    }
}

#[test]
fn a_process_that_ends_between_listing_and_read_is_gone_and_no_error() {
    let proc = FakeProc::of([Process::single(10, "a", 'D'), Process::single(20, "b", 'D')]);
    let mut engine = Driver::new(&proc, &["-g", "comm,syscall", "--fd-budget", "0"]);
    engine.refresh();
    proc.remove(10);
    engine.pass();
    engine.refresh();
    engine.pass();
    let report = engine.report();
    assert_eq!(samples(&report).into_iter().collect::<Vec<_>>(), [("b | futex".to_owned(), 2)]);
    assert_eq!(counts(&report, "stat").gone, 1);
    assert!(report.facts.health.iter().all(|(_, counts)| !counts.is_notable()), "{:?}", report.facts.health);
    assert_eq!(report.facts.tasks.processes, 1);
}

#[test]
fn threads_and_processes_born_later_are_sampled_from_the_next_listing_on() {
    let proc = FakeProc::of([Process::new(10).thread(Thread::new(10).state('D'))]);
    let mut engine = Driver::new(&proc, &["-g", "task"]);
    engine.refresh();
    engine.pass();
    proc.add_thread(&Process::new(10), &Thread::new(11).state('D'));
    proc.add(&Process::single(20, "new", 'D'));
    engine.pass();
    engine.refresh();
    engine.pass();
    let samples: Vec<(String, u64)> = samples(&engine.report()).into_iter().collect();
    assert_eq!(samples, [("10".to_owned(), 3), ("11".to_owned(), 1), ("20".to_owned(), 1)]);
}

#[test]
fn a_leader_that_has_ended_hides_neither_its_threads_nor_their_details() {
    let proc = FakeProc::of([Process::new(10)
        .thread(Thread::new(10).comm("leader").state('Z').without("syscall").without("fd/3").file("wchan", "0"))
        .thread(Thread::new(11).comm("worker").state('D'))
        .thread(Thread::new(12).comm("worker").state('D'))
        .file("cmdline", "")
        .without("exe")]);
    let report = sample(&proc, &["-G", "syscall,wchan,cmdline,exe"], 2);
    let row = only(&report);
    let shown = ["samples", "comm", "syscall", "wchan", "cmdline", "exe"].map(|name| value(&report, row, name));
    assert_eq!(shown, ["4", "worker", "futex", "futex_do_wait", "-", "-"]);
    let all = sample(
        &proc,
        &["-a", "-g", "comm,state_id,syscall,wchan", "--states", "Z"].map(|arg| if arg == "-a" { "-q" } else { arg }),
        1,
    );
    assert_eq!(samples(&all).into_iter().collect::<Vec<_>>(), [("leader | Z | - | 0".to_owned(), 1)]);
}

#[test]
fn a_thread_whose_id_is_given_to_another_starts_anew() {
    let thread = |start: u32, utime: u32| Thread::new(10).state('D').stat(22, start).stat(14, utime);
    let proc = FakeProc::of([Process::new(10).thread(thread(1, 1000).file("cgroup", "0::/old\n"))]);
    let mut engine = Driver::new(&proc, &["-g", "starttime,cgroup", "-s", "utime", "--fd-budget", "0"]);
    engine.refresh();
    engine.pass();
    proc.add(&Process::new(10).thread(thread(2, 5000).file("cgroup", "0::/new\n")));
    engine.pass();
    let report = engine.report();
    let samples: Vec<(String, u64)> = samples(&report).into_iter().collect();
    assert_eq!(samples, [("1 | /old".to_owned(), 1), ("2 | /new".to_owned(), 1)]);
    assert_eq!(column(&report, "utime"), ["0", "0"], "the counter of another thread has not grown by 4000");
}

#[test]
fn what_is_known_of_a_program_is_forgotten_when_another_is_executed() {
    let program = |name: &str| {
        // A thread that execs has run.
        let schedstat = format!("{}000 0 {}\n", name.len(), name.len());
        let thread = Thread::new(10).comm(name).state('D').file("schedstat", schedstat);
        Process::new(10)
            .thread(thread.file("cgroup", format!("0::/{name}\n")))
            .file("cmdline", format!("/bin/{name}\0").into_bytes())
            .file("exe", Content::Link(format!("/bin/{name}")))
    };
    let proc = FakeProc::of([program("shell")]);
    let mut engine = Driver::new(&proc, &["-g", "comm,cgroup,cmdline,exe"]);
    engine.refresh();
    engine.pass();
    proc.add(&program("tool"));
    // psn reads command line and executable again for the same row, because it does not know that they still belong to it.
    engine.pass();
    engine.pass();
    let found: Vec<(String, u64)> = samples(&engine.report()).into_iter().collect();
    let wanted = [("shell | /shell | /bin/shell | /bin/shell", 1), ("tool | /tool | /bin/tool | /bin/tool", 2)];
    assert_eq!(found, wanted.map(|(row, count)| (row.to_owned(), count)));
}

#[test]
fn a_pid_that_is_given_to_a_process_of_the_same_name_shows_nothing_of_its_predecessor() {
    let program = |exe: &str, start: u32| {
        Process::new(10)
            .thread(Thread::new(10).comm("same").state('D').stat(22, start))
            .file("exe", Content::Link(exe.to_owned()))
    };
    for budget in ["0", "1000"] {
        let proc = FakeProc::of([program("/bin/old", 1)]);
        let mut engine = Driver::new(&proc, &["-g", "starttime,exe", "--fd-budget", budget]);
        engine.refresh();
        engine.pass();
        proc.remove(10);
        proc.add(&program("/bin/new", 2));
        engine.refresh();
        engine.pass();
        let found: Vec<(String, u64)> = samples(&engine.report()).into_iter().collect();
        assert_eq!(found, [("1 | /bin/old".to_owned(), 1), ("2 | /bin/new".to_owned(), 1)], "{budget}");
    }
}

#[test]
fn a_process_whose_threads_can_not_be_listed_for_once_is_sampled_on() {
    /// Listing directories fails at some calls, counted from 0.
    struct Calls(std::ops::Range<u64>, AtomicU64);
    impl Faults for Calls {
        fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault> {
            let is_listing = call == Call::Read && source.is_none();
            let fails = is_listing && self.0.contains(&self.1.fetch_add(1, Ordering::Relaxed));
            fails.then_some(Fault::Fail(Errno::NOMEM))
        }
    }
    let process = |tid: u32| Process::new(tid).threads([tid, tid + 1].map(|tid| Thread::new(tid).state('D')));
    let proc = FakeProc::of([process(10), process(20)]);
    // In the second listing, both processes, each once more by its path.
    let calls = Arc::new(Calls(2..6, AtomicU64::new(0)));
    let mut engine = Driver::with_faults(&proc, &["-g", "task"], calls);
    engine.refresh();
    engine.pass();
    proc.add_thread(&Process::new(10), &Thread::new(12).state('D'));
    proc.add_thread(&Process::new(20), &Thread::new(22).state('D'));
    for _ in 0..2 {
        engine.refresh();
        engine.pass();
    }
    let report = engine.report();
    let found: Vec<(String, u64)> = samples(&report).into_iter().collect();
    let wanted = [("10", 3), ("11", 3), ("12", 1), ("20", 3), ("21", 3), ("22", 1)];
    assert_eq!(found, wanted.map(|(tid, count)| (tid.to_owned(), count)));
    assert_eq!((counts(&report, "task").dropped, counts(&report, "task").attempts()), (2, 2));
}

#[test]
fn a_process_that_could_not_be_listed_is_listed_again_though_no_task_was_born() {
    let proc = FakeProc::of([Process::single(10, "a", 'D'), Process::single(20, "b", 'D')]);
    // psn takes the fake root for its own host's, where no task is born.
    std::os::unix::fs::symlink(std::process::id().to_string(), proc.path().join("self")).unwrap();
    std::fs::write(proc.path().join("loadavg"), "0.17 0.22 0.12 1/83 4610\n").unwrap();
    let script = |errno| Script::new().times(Call::Read, None, Fault::Fail(errno), 1, 1).shared();
    for (errno, is_retried) in [(Errno::NOMEM, true), (Errno::ACCESS, false)] {
        let mut engine = Driver::with_faults(&proc, &["-g", "comm"], script(errno));
        for _ in 0..2 {
            engine.refresh();
            engine.pass();
        }
        let found = samples(&engine.report());
        // The first read is of loadavg, the second lists one of the processes.
        assert_eq!(found.values().copied().max(), Some(2), "{found:?}");
        assert_eq!(found.len(), if is_retried { 2 } else { 1 }, "{errno}: {found:?}");
    }
}

#[test]
fn processes_whose_threads_can_not_be_listed_are_told() {
    let proc = FakeProc::of([Process::single(10, "fine", 'D'), Process::single(20, "not", 'D')]);
    // A file in the place of the directory: an error that means neither a refusal nor the end of the process.
    std::fs::remove_dir_all(proc.path().join("20/task")).unwrap();
    std::fs::write(proc.path().join("20/task"), "").unwrap();
    let config = config(&proc, &["-g", "comm", "-d", "0.3", "--hz", "20"]);
    let report = within(PATIENCE, move || session::run(&config, &Stop::default(), &mut ())).unwrap();
    assert_eq!(samples(&report).into_keys().collect::<Vec<_>>(), ["fine"]);
    assert!(counts(&report, "task").dropped > 0, "{:?}", report.facts.health);
    let told = |warning: &String| warning.contains("a process could not be listed");
    assert!(report.facts.warnings.iter().any(told), "{:?}", report.facts.warnings);

    proc.remove(10);
    let config = self::config(&proc, &["-d", "0.3"]);
    let error = within(PATIENCE, move || session::run(&config, &Stop::default(), &mut ())).unwrap_err();
    assert!(error.to_string().contains("a process could not be listed"), "{error}");
}

#[test]
fn a_process_that_blocks_the_side_reader_does_not_keep_it_from_others() {
    let proc = FakeProc::of([
        Process::single(10, "stuck", 'D').file("smaps", Content::Fifo),
        Process::single(20, "fine", 'D'),
    ]);
    let pipe = proc.path().join("10/smaps");
    let args = ["-g", "comm,rss_kb", "--hz", "20", "-d", "3", "--discover-hz", "20", "--workers", "1"];
    let config = config(&proc, &args);
    let path = proc.path().to_owned();
    let report = within(PATIENCE, move || {
        // After more listings than psn may lose readers, another process is born.
        let mut later = AtTick(40, move || FakeProc::add_at(&path, &Process::single(30, "later", 'D')));
        session::run(&config, &Stop::default(), &mut later)
    });
    for _ in 0..100 {
        unblock(&pipe);
        std::thread::sleep(Duration::from_millis(1));
    }
    let samples = samples(&report.unwrap());
    assert!(samples.contains_key("stuck | [blocked]"), "{samples:?}");
    assert!(samples.contains_key("fine | 12"), "{samples:?}");
    assert!(samples.contains_key("later | 12"), "the reader serves others still: {samples:?}");
}

/// A thread for each hostile name, in a state that the name may try to forge.
#[test]
fn hostile_names_keep_their_state_and_their_columns() {
    let more: [&[u8]; 8] = [
        b"a) R 1 2",
        b") S 0 0 0",
        b"x (y) D",
        b"\n",
        b"((((((((((((((",
        b"))))))))))))))",
        b"kworker/u32:7+events_unbound_and_so_on_and_so_forth_up_to_63_byt",
        b" ",
    ];
    let names: Vec<&[u8]> = HOSTILE.iter().copied().chain(more).collect();
    let states = ['D', 'R', 'T'];
    let proc = FakeProc::of((100..).zip(&names).map(|(tid, name)| {
        let state = states[tid as usize % 3];
        Process::new(tid).thread(Thread::new(tid).comm(name).state(state).stat(39, tid + 1).stat(52, tid + 2))
    }));
    let report = sample(&proc, &["-g", "pid,comm2,state_id,cpu,exit_code,name"], 2);
    assert_eq!(report.rows.len(), names.len());
    for row in &report.rows {
        let pid: usize = value(&report, row, "pid").parse().unwrap();
        let name = names[pid - 100];
        assert_eq!(datum(&report, row, "comm2"), Datum::Value(Value::Text(name)), "{}", name.escape_ascii());
        assert_eq!(value(&report, row, "state_id"), states[pid % 3].to_string());
        assert_eq!(value(&report, row, "cpu"), (pid + 1).to_string());
        assert_eq!(value(&report, row, "exit_code"), (pid + 2).to_string());
    }
}

/// How long a run of half a second may take if some read never returns.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn assert_names_the_blocker(report: &Report) {
    let names = |warning: &&String| warning.contains("process 10 ") && warning.contains("blocks");
    assert_eq!(report.facts.warnings.iter().filter(names).count(), 1, "{:?}", report.facts.warnings);
}

#[test]
fn a_thread_that_never_answers_costs_a_tick_and_is_named() {
    let proc = FakeProc::of([
        Process::new(10).thread(Thread::new(10).comm("stuck").state('D').file("stat", Content::Fifo)),
        Process::new(20).threads((20..40).map(|tid| Thread::new(tid).comm("fine").state('D'))),
    ]);
    let pipe = proc.thread_path(10, 10).join("stat");
    let config = config(&proc, &["-g", "comm,state_id,cpu", "--hz", "50", "-d", "0.6", "--workers", "2"]);
    let report = within(PATIENCE, move || session::run(&config, &Stop::default(), &mut ())).unwrap();
    unblock(&pipe);
    let completed = report.facts.ticks.completed;
    assert!(completed > 0, "{:?}", report.facts.ticks);
    let samples = samples(&report);
    assert_eq!(samples.get("fine | D | 0"), Some(&(20 * completed)), "{samples:?}");
    assert_eq!(samples.get("stuck | D | [blocked]"), Some(&completed), "its state is known all the same: {samples:?}");
    assert_eq!(counts(&report, "stat").timed_out, 1);
    assert_names_the_blocker(&report);
}

#[test]
fn a_detail_that_never_answers_is_shown_as_blocked() {
    let proc = FakeProc::of([
        Process::new(10).thread(Thread::new(10).comm("stuck").state('D').file("syscall", Content::Fifo)),
        Process::single(20, "fine", 'D'),
    ]);
    let pipe = proc.thread_path(10, 10).join("syscall");
    let config = config(&proc, &["-g", "comm,syscall", "--hz", "50", "-d", "0.6", "--workers", "1"]);
    let report = within(PATIENCE, move || session::run(&config, &Stop::default(), &mut ())).unwrap();
    unblock(&pipe);
    let completed = report.facts.ticks.completed;
    let samples = samples(&report);
    assert_eq!(samples.get("fine | futex"), Some(&completed), "{samples:?}");
    assert_eq!(samples.get("stuck | [blocked]"), Some(&completed), "{samples:?}");
}

#[test]
fn a_command_line_that_never_answers_is_read_beside_the_sampling() {
    let proc = FakeProc::of([
        Process::single(10, "stuck", 'D').file("cmdline", Content::Fifo),
        Process::single(20, "fine", 'D'),
    ]);
    let pipe = proc.path().join("10/cmdline");
    let config = config(&proc, &["-g", "comm,cmdline", "--hz", "50", "-d", "0.3", "--workers", "1"]);
    let report = within(PATIENCE, move || session::run(&config, &Stop::default(), &mut ())).unwrap();
    unblock(&pipe);
    let completed = report.facts.ticks.completed;
    let samples = samples(&report);
    assert_eq!(samples.get("fine | /usr/bin/program"), Some(&completed), "{samples:?}");
    assert_eq!(samples.get("stuck | [blocked]"), Some(&completed), "{samples:?}");
    assert_eq!(counts(&report, "cmdline").timed_out, 1);
    assert_names_the_blocker(&report);
}

/// Delays reads of `stat`, as a lock does whose holder has no CPU.
struct HeldUp(Mutex<()>);

impl Faults for HeldUp {
    fn fault(&self, _: Call, source: Option<Source>) -> Option<Fault> {
        if source == Some(Source::Stat) {
            drop(self.0.lock().unwrap());
        }
        None
    }
}

#[test]
fn a_worker_that_waits_for_another_accuses_no_process() {
    let proc = FakeProc::of([Process::new(10).threads((10..20).map(|tid| Thread::new(tid).state('D')))]);
    let held_up = Arc::new(HeldUp(Mutex::default()));
    let mut engine = Driver::with_faults(&proc, &["-g", "comm,cpu"], held_up.clone());
    engine.refresh();
    let lock = held_up.0.lock().unwrap();
    let pass = std::thread::spawn(move || {
        let outcome = engine.pass_until(0);
        (outcome.is_complete, engine.report())
    });
    // Much longer than psn waits for a stuck lane.
    std::thread::sleep(Duration::from_millis(400));
    drop(lock);
    let (is_complete, report) = pass.join().unwrap();
    assert!(is_complete);
    assert_eq!(samples(&report).into_iter().collect::<Vec<_>>(), [("fake | 0".to_owned(), 10)]);
    assert_eq!(counts(&report, "stat").timed_out, 0);
}

#[test]
fn a_run_can_be_ended_while_a_reader_is_stuck() {
    let proc = FakeProc::of([Process::new(10).thread(Thread::new(10).state('D').file("stat", Content::Fifo))]);
    let pipe = proc.thread_path(10, 10).join("stat");
    let config = config(&proc, &["-d", "0", "--hz", "20"]);
    let stop = Stop::default();
    let asked = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        asked.stop();
    });
    let started = Instant::now();
    let report = within(PATIENCE, move || session::run(&config, &stop, &mut ()));
    unblock(&pipe);
    // One second, and more for a machine that is busy with other tests.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(report.is_ok());
}
