//! Readers that get stuck, tested without privilege: named pipes take the place of files that block when they are opened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use psn::report::Report;
use psn::sample::SPARE_THREADS;
use psn::session::{self, SessionError, Stop};

use crate::support::driver::config;
use crate::support::fake::{Content, FakeProc, Process, Thread, unblock};
use crate::support::report::{counts, samples, value};
use crate::support::{AtTick, within};

/// Longer than any run here takes, even on a very busy host.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a run may take to stop: one second, and more for a very busy host. A run that waited for its readers would
/// never stop.
const STOP: Duration = Duration::from_secs(10);

/// A process with one thread, which waits.
fn waiting(tgid: u32) -> Process {
    Process::new(tgid).thread(Thread::new(tgid).comm("bystander").state('D'))
}

/// The same process, with files that block their readers.
fn blocking(tgid: u32, files: &[&str]) -> Process {
    let of_process = ["cmdline", "smaps"];
    let mut process = Process::new(tgid);
    let mut thread = Thread::new(tgid).comm("culprit").state('D');
    for file in files {
        if of_process.contains(file) {
            process = process.file(file, Content::Fifo);
        } else {
            thread = thread.file(file, Content::Fifo);
        }
    }
    process.thread(thread)
}

/// Runs a session, which must end by itself, or soon after `stop_after`, when it is told to stop.
#[track_caller]
fn try_run(proc: &FakeProc, args: &[&str], stop_after: Option<Duration>) -> Result<Report, SessionError> {
    let config = config(proc, args);
    let stop = Stop::default();
    let flag = stop.flag();
    let (result, ended) = within(PATIENCE, move || {
        let result = std::thread::spawn(move || {
            let result = session::run(&config, &stop, &mut ());
            (result, Instant::now())
        });
        if let Some(after) = stop_after {
            std::thread::sleep(after);
        }
        let told = Instant::now();
        flag.store(stop_after.is_some(), Ordering::Relaxed);
        let (result, ended) = result.join().unwrap();
        (result, ended.saturating_duration_since(told))
    });
    if stop_after.is_some() {
        assert!(ended < STOP, "it took {ended:?} to stop");
    }
    result
}

#[track_caller]
fn run(proc: &FakeProc, args: &[&str], stop_after: Option<Duration>) -> Report {
    try_run(proc, args, stop_after).unwrap()
}

/// The samples of each group; checks that each group was seen in every completed tick.
#[track_caller]
fn assert_all_ticks(report: &Report, groups: &[&str]) {
    let expected: BTreeMap<String, u64> =
        groups.iter().map(|group| ((*group).to_owned(), report.facts.ticks.completed)).collect();
    assert_eq!(samples(report), expected, "{:?} {:?}", report.facts.ticks, report.facts.warnings);
    assert!(report.facts.ticks.completed > 0);
}

/// Whether the report says that this process, by id and name, blocks its readers.
fn names(report: &Report, tgid: u32) -> bool {
    let sentence = format!("process {tgid} (culprit) blocks whoever reads its files");
    report.facts.warnings.iter().any(|warning| warning.starts_with(&sentence))
}

#[test]
fn a_stat_that_blocks_costs_one_tick_and_its_state_comes_from_status() {
    let proc = FakeProc::of([waiting(7), blocking(8, &["stat"]), waiting(9)]);
    let report = run(&proc, &["-g", "task,state_id", "--hz", "50", "-d", "1", "--workers", "2"], None);
    assert_eq!(report.facts.ticks.abandoned, 1, "{:?}", report.facts.ticks);
    assert_all_ticks(&report, &["7 | D", "8 | D", "9 | D"]);
    assert!(names(&report, 8), "{:?}", report.facts.warnings);
    assert_eq!(counts(&report, "stat").timed_out, 1);
    assert_eq!(report.facts.warnings.len(), 1, "{:?}", report.facts.warnings);
}

#[test]
fn a_detail_file_that_blocks_costs_one_tick_and_shows_as_blocked() {
    for (file, column, known) in [
        ("syscall", "syscall", "futex"),
        ("wchan", "wchan", "futex_do_wait"),
        ("stack", "kstack", "do_futex()->futex_do_wait()"),
        ("io", "rchar", "1"),
        ("schedstat", "sched_run_ns", "1000"),
        ("cgroup", "cgroup", "/system.slice/fake.service"),
    ] {
        let proc = FakeProc::of([waiting(7), blocking(8, &[file]), waiting(9)]);
        let columns = format!("task,{column}");
        let report = run(&proc, &["-g", &columns, "--hz", "50", "-d", "0.5", "--workers", "2"], None);
        assert_eq!(report.facts.ticks.abandoned, 1, "{file}: {:?}", report.facts.ticks);
        assert_eq!(counts(&report, file).timed_out, 1, "{file}: {:?}", report.facts.health);
        assert_all_ticks(&report, &[&format!("7 | {known}"), "8 | [blocked]", &format!("9 | {known}")]);
        assert!(names(&report, 8), "{file}: {:?}", report.facts.warnings);
    }
}

#[test]
fn readers_are_lost_to_four_processes_at_most_and_the_rest_is_told_by_status() {
    let culprits = 11..17;
    let blocking = culprits.clone().map(|tgid| blocking(tgid, &["stat"]));
    let proc = FakeProc::of([waiting(7)].into_iter().chain(blocking));
    for workers in ["1", "2"] {
        let report = run(&proc, &["-g", "task,state_id", "--hz", "50", "-d", "1.5", "--workers", workers], None);
        assert!((1..=SPARE_THREADS as u64).contains(&report.facts.ticks.abandoned), "{:?}", report.facts.ticks);
        assert_all_ticks(&report, &["7 | D", "11 | D", "12 | D", "13 | D", "14 | D", "15 | D", "16 | D"]);
        assert_eq!(culprits.clone().filter(|tgid| names(&report, *tgid)).count(), SPARE_THREADS);
    }
}

#[test]
fn a_run_with_every_spare_reader_lost_stops_within_a_second() {
    let proc = FakeProc::of([waiting(7)].into_iter().chain((11..19).map(|tgid| blocking(tgid, &["stat"]))));
    for after in [5, 30, 120, 700] {
        let args = ["-g", "task", "--hz", "50", "-d", "0", "--workers", "1"];
        // If psn is told to stop before the first task list, it stops without a report.
        let report = match try_run(&proc, &args, Some(Duration::from_millis(after))) {
            Err(SessionError::StoppedEarly) if after == 5 => continue,
            report => report.unwrap(),
        };
        let all = u64::try_from(samples(&report).len()).unwrap() * report.facts.ticks.completed;
        assert_eq!(samples(&report).values().sum::<u64>(), all);
    }
}

#[test]
fn a_blocked_reader_does_not_keep_a_slow_run_from_stopping() {
    // The next tick is due in ten seconds. psn waits for the reader until then, unless it is told to stop.
    let proc = FakeProc::of([waiting(7), blocking(8, &["stat"])]);
    run(&proc, &["-g", "task", "--hz", "0.1", "-d", "0"], Some(Duration::from_millis(200)));
}

#[test]
fn a_reader_that_is_answered_after_all_comes_back_and_its_process_is_read_again() {
    let proc = FakeProc::of([waiting(7), blocking(8, &["stat"])]);
    let path = proc.thread_path(8, 8).join("stat");
    let ready = proc.thread_path(8, 8).join("ready");
    fs::write(&ready, Thread::new(8).comm("culprit").state('D').stat_line(1)).unwrap();
    let answer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        // A pipe that is open for reading and writing blocks nobody; nor does the file that replaces it.
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        fs::rename(&ready, &path).unwrap();
        drop(pipe);
    });
    // No file is kept open: psn would read a kept pipe again, and would not notice that a kept stat was replaced.
    let args = ["-g", "task,ppid", "--hz", "50", "-d", "3", "--workers", "2", "--fd-budget", "0"];
    let report = run(&proc, &args, None);
    answer.join().unwrap();
    let samples = samples(&report);
    assert_eq!(report.facts.ticks.abandoned, 1, "{:?}", report.facts.ticks);
    assert_eq!(samples["7 | 1"], report.facts.ticks.completed);
    assert!(samples["8 | [blocked]"] > 0 && samples["8 | 1"] > 0, "{samples:?}");
    assert_eq!(samples["8 | [blocked]"] + samples["8 | 1"], report.facts.ticks.completed);
    assert!(names(&report, 8), "{:?}", report.facts.warnings);
    // The read that had timed out was answered in the end, with an error, because a pipe cannot be read at an offset. It
    // counts once.
    let counts = counts(&report, "stat");
    assert_eq!((counts.timed_out, counts.dropped), (0, 1), "{counts:?}");
}

#[test]
fn what_is_read_beside_the_sampling_blocks_no_tick() {
    for (file, column) in [("cmdline", "cmdline"), ("smaps", "perms")] {
        let proc = FakeProc::of([waiting(7), blocking(8, &[file]), waiting(9)]);
        let columns = format!("task,{column}");
        let report = run(&proc, &["-g", &columns, "--hz", "50", "-d", "1", "--workers", "2"], None);
        assert_eq!(report.facts.ticks.abandoned, 0, "{file}");
        let known = value(&report, report.rows.iter().find(|row| value(&report, row, "task") == "9").unwrap(), column);
        assert!(!known.starts_with('['), "{file}: {known}");
        assert_all_ticks(&report, &[&format!("7 | {known}"), "8 | [blocked]", &format!("9 | {known}")]);
        assert_eq!(counts(&report, file).timed_out, 1);
        let sentence = "process 8 ";
        assert!(
            report.facts.warnings.iter().any(|warning| warning.starts_with(sentence)),
            "{:?}",
            report.facts.warnings
        );
    }
}

#[test]
fn more_processes_than_side_readers_can_block_and_the_run_goes_on() {
    let proc = FakeProc::of([waiting(7)].into_iter().chain((11..19).map(|tgid| blocking(tgid, &["cmdline"]))));
    let report = run(&proc, &["-g", "task", "-s", "cmdline", "--hz", "50", "-d", "0.5", "--workers", "2"], None);
    assert_all_ticks(&report, &["7", "11", "12", "13", "14", "15", "16", "17", "18"]);
    assert_eq!(report.facts.ticks.abandoned, 0);
    assert!((4..=8).contains(&counts(&report, "cmdline").timed_out));
}

#[test]
fn a_side_reader_that_comes_back_is_replaced_though_all_were_lost() {
    let blocking = (11..16).map(|tgid| blocking(tgid, &["cmdline"]));
    let proc = FakeProc::of([waiting(7), waiting(20)].into_iter().chain(blocking));
    let pipe = proc.path().join("11/cmdline");
    let config = config(&proc, &["-g", "task,cmdline", "--hz", "20", "-d", "6", "--workers", "1"]);
    let report = within(PATIENCE, move || {
        let mut let_go = AtTick(30, move || unblock(&pipe));
        session::run(&config, &Stop::default(), &mut let_go).unwrap()
    });
    let samples = samples(&report);
    assert_eq!(samples.get("7 | /usr/bin/program"), Some(&report.facts.ticks.completed), "{samples:?}");
    // While all readers were lost, nobody read the last process.
    assert!(samples.get("20 | [unread]") > Some(&0), "{samples:?}");
    assert!(samples.get("20 | /usr/bin/program") > Some(&0), "{samples:?}");
}

#[test]
fn even_a_status_that_blocks_leaves_the_others_counted() {
    // No known kernel blocks there, but the same was once said of other files.
    for files in [&["status"][..], &["stat", "status"]] {
        let proc = FakeProc::of([waiting(7), blocking(8, files), waiting(9)]);
        let report = run(&proc, &["-g", "task,umask", "--hz", "50", "-d", "1", "--workers", "2"], None);
        let samples = samples(&report);
        for other in ["7 | 0022", "9 | 0022"] {
            assert_eq!(samples.get(other), Some(&report.facts.ticks.completed), "{files:?}: {samples:?}");
        }
        assert!(report.facts.ticks.completed > 10, "{files:?}: {:?}", report.facts.ticks);
        let is_named =
            |warning: &String| warning.starts_with("process 8 ") && warning.ends_with("its threads were not counted");
        assert!(report.facts.warnings.iter().any(is_named), "{:?}", report.facts.warnings);
        run(&proc, &["-g", "task,umask", "--hz", "50", "-d", "0"], Some(Duration::from_millis(500)));
    }
}

#[test]
fn a_run_ends_though_nothing_that_psn_could_read_is_left_to_read() {
    let proc = FakeProc::of((11..29).map(|tgid| blocking(tgid, &["stat", "status"])));
    for workers in ["1", "3"] {
        let report = run(&proc, &["-g", "task", "--hz", "50", "-d", "2", "--workers", workers], None);
        assert!(report.rows.is_empty());
        assert!(report.facts.ticks.abandoned >= SPARE_THREADS as u64, "{:?}", report.facts.ticks);
        assert_eq!(report.facts.ticks.completed + report.facts.ticks.missed, report.facts.ticks.expected);
    }
    run(&proc, &["-g", "task", "--hz", "50", "-d", "0", "--workers", "2"], Some(Duration::from_millis(900)));
}

#[test]
fn a_listing_that_blocks_is_told_and_can_be_stopped() {
    // Selection by name reads comm, so a comm that blocks would hold up the listing.
    let proc = FakeProc::of([waiting(7).file("comm", Content::Fifo)]);
    let result = try_run(&proc, &["-p", "by", "-d", "1"], Some(Duration::from_millis(200)));
    assert!(matches!(result, Err(SessionError::StoppedEarly)), "{result:?}");
}

/// A named pipe among the files of the whole host.
fn block_host_file(proc: &FakeProc, name: &str) {
    let path = proc.path().join(name);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o644), 0).unwrap();
}

#[test]
fn files_of_the_whole_host_that_block_are_done_without_and_told() {
    let proc = FakeProc::of([waiting(7)]);
    // psn takes the fake root for its own host's, where loadavg tells whether tasks were born.
    std::os::unix::fs::symlink(std::process::id().to_string(), proc.path().join("self")).unwrap();
    let files = ["loadavg", "meminfo"];
    files.iter().for_each(|file| block_host_file(&proc, file));
    let config = config(&proc, &["-g", "task", "--hz", "20", "-d", "2", "--discover-hz", "20", "--workers", "1"]);
    let root = proc.path().to_owned();
    let began = Instant::now();
    let report = within(PATIENCE, move || {
        let mut born = AtTick(10, move || FakeProc::add_at(&root, &waiting(9)));
        session::run(&config, &Stop::default(), &mut born).unwrap()
    });
    assert!(began.elapsed() < STOP, "{:?}", began.elapsed());
    let samples = samples(&report);
    assert_eq!(samples["7"], report.facts.ticks.completed);
    // psn sees the process within a refresh or two, not only with the next full listing.
    assert!(
        samples.get("9").is_some_and(|seen| *seen * 2 > report.facts.ticks.completed),
        "{samples:?} {:?}",
        report.facts.ticks
    );
    for file in files {
        let says = |warning: &&String| warning.contains(&format!("/{file} did not answer in time, and was not used"));
        assert_eq!(report.facts.warnings.iter().filter(says).count(), 1, "{:?}", report.facts.warnings);
    }
}

#[test]
fn a_proc_stat_that_blocks_is_done_without_and_told() {
    let proc = FakeProc::of([waiting(7)]);
    block_host_file(&proc, "stat");
    let report = run(&proc, &["-g", "task", "--hz", "20", "-d", "2"], None);
    assert_all_ticks(&report, &["7"]);
    assert_eq!(report.facts.host_load, None);
    let says = |warning: &&String| warning.contains("/stat did not answer in time, and was not used");
    assert_eq!(report.facts.warnings.iter().filter(says).count(), 1, "{:?}", report.facts.warnings);
    run(&proc, &["-g", "task", "--hz", "20", "-d", "0"], Some(Duration::from_millis(100)));
}

#[test]
fn files_of_the_whole_host_that_block_do_not_keep_a_run_from_stopping() {
    let proc = FakeProc::of([waiting(7)]);
    ["loadavg", "meminfo", "self"].iter().for_each(|file| block_host_file(&proc, file));
    run(&proc, &["-g", "task", "--hz", "20", "-d", "0"], Some(Duration::from_millis(1500)));
}

#[test]
fn a_task_list_that_is_not_made_anew_any_more_is_told_with_its_age() {
    let proc = FakeProc::of([waiting(7)]);
    let config = config(&proc, &["-p", "bystander|late", "-g", "task", "--hz", "20", "-d", "4", "--discover-hz", "20"]);
    let root = proc.path().to_owned();
    let report = within(PATIENCE, move || {
        let late = waiting(9).file("comm", Content::Fifo);
        let mut stuck = AtTick(10, move || FakeProc::add_at(&root, &late));
        session::run(&config, &Stop::default(), &mut stuck).unwrap()
    });
    unblock(&proc.path().join("9/comm"));
    assert_all_ticks(&report, &["7"]);
    let says = |warning: &String| warning.starts_with("the task list is ") && warning.contains(" seconds old: ");
    assert!(report.facts.warnings.iter().any(says), "{:?}", report.facts.warnings);
}
