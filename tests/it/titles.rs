//! Command lines, executables and mappings: of the row's own moment, complete, and also for threads that outlive the first
//! thread of their process.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::child::{Running, command};
use crate::support::dir::Dir;
use crate::support::fake::{Content, FakeProc, Process, Thread, unblock};
use crate::support::json::{Json, sample};
use crate::support::report::{self, counts};
use crate::support::{driver, wait_until};
use crate::walk::has_walks;

/// The environment variable that gives a copy of this test program a role instead of a test.
const ROLE: &str = "PSN_TEST_ROLE";

/// A copy of this program in a role.
struct Actor {
    _parent: Running,
    pid: u32,
}

/// Starts a copy. Unlike a test it has one thread. Its parent is the test.
fn actor(role: &str) -> Actor {
    let mut this = command(std::env::current_exe().unwrap().to_str().unwrap());
    this.args(["--exact", "titles::an_actor", "--test-threads", "1", "--nocapture"]).env(ROLE, role);
    let parent = Running::start(&mut this);
    let ready = || Some(parent.said().split_once("ready ")?.1.split_once('\n')?.0.parse().unwrap());
    wait_until("the actor is ready", || ready().is_some());
    let pid = ready().unwrap();
    Actor { _parent: parent, pid }
}

#[test]
fn an_actor() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // SAFETY: the other thread of this program waits for this thread, and holds no lock that the child could need.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: this is a system call. The child ends with this thread, which waits for it.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            match role.as_str() {
                "titles" => change_titles(),
                "leaderless" => end_before_others(),
                _ => have_many_mappings(),
            }
            std::process::exit(0);
        }
        child => {
            assert!(child > 0);
            let mut status = 0;
            // SAFETY: a system call that fills in `status`.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
        }
    }
}

fn say_ready() {
    println!("ready {}", std::process::id());
}

/// Overwrites the arguments with `title`, as programs do that have no other memory for a title.
fn put_title(title: &str) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let numbers: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Fields 48 and 49; the first one here is field 3.
    let [start, end] = [45, 46].map(|place| numbers[place].parse::<usize>().unwrap());
    assert!(title.len() < end - start);
    let text: Vec<u8> = title.bytes().chain(std::iter::repeat(0)).take(end - start).collect();
    // SAFETY: the kernel says that the arguments are there, and no code of this program reads them any more.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, text.len()) };
}

/// Behaves like a backend of a database: with the title `idle` it sleeps, with `SELECT` it waits in another system call.
fn change_titles() {
    say_ready();
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        put_title("db: client idle");
        std::thread::sleep(Duration::from_millis(40));
        put_title("db: client SELECT");
        // SAFETY: there are no descriptors, so the pointer is not used.
        unsafe { libc::poll(std::ptr::null_mut(), 0, 40) };
    }
}

/// The first thread ends, another thread goes on.
fn end_before_others() {
    std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)));
    say_ready();
    std::thread::sleep(Duration::from_millis(50));
    // SAFETY: this ends only this thread.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Creates almost as many mappings as the usual limit allows.
fn have_many_mappings() {
    let (page, count) = (4096, 30_000);
    // SAFETY: the memory is new and not used; every second page gets other rights.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let start = libc::mmap(std::ptr::null_mut(), 2 * count * page, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED);
        for place in 0..count {
            assert_eq!(libc::mprotect(start.byte_add(2 * place * page), page, libc::PROT_READ), 0);
        }
    }
    say_ready();
    std::thread::sleep(Duration::from_secs(60));
}

/// The scans that work on this machine.
fn scans() -> Vec<&'static str> {
    if has_walks() { vec!["proc", "kernel"] } else { vec!["proc"] }
}

fn share(samples: &BTreeMap<String, u64>, is_meant: impl Fn(&str) -> bool) -> f64 {
    let all: u64 = samples.values().sum();
    let meant: u64 = samples.iter().filter(|(key, _)| is_meant(key)).map(|(_, count)| count).sum();
    meant as f64 / all as f64
}

#[test]
fn a_title_is_of_its_rows_own_moment() {
    for scan in scans() {
        let actor = actor("titles");
        let pid = actor.pid.to_string();
        let args = ["-q", "--scan", scan, "-a", "-p", &pid, "--hz", "97", "-d", "3", "-g", "cmdline2,syscall"];
        let samples = sample(&args).samples(&["cmdline2", "syscall"]);
        let is_true = |key: &str| {
            let (title, call) = key.split_once(" | ").unwrap();
            match title {
                "db: client idle" => call != "poll",
                "db: client SELECT" => !call.ends_with("nanosleep"),
                title => title == "[stale]",
            }
        };
        let lies: Vec<&String> = samples.keys().filter(|key| !is_true(key)).collect();
        assert!(lies.is_empty(), "{scan}: {samples:?}");
        for title in ["db: client idle", "db: client SELECT"] {
            let share = share(&samples, |key| key.starts_with(title));
            assert!((0.25..0.75).contains(&share), "{scan}: {title} {share}: {samples:?}");
        }
        assert!(share(&samples, |key| key.starts_with('[')) < 0.25, "{scan}: {samples:?}");
    }
}

#[test]
fn a_title_that_could_not_be_read_in_time_is_stale_and_never_the_one_before() {
    let process = |runs: u32, cmdline: Content| {
        let thread = Thread::new(10).state('D').file("schedstat", format!("{runs} 0 {runs}\n"));
        Process::new(10).thread(thread).file("cmdline", cmdline)
    };
    let proc = FakeProc::of([process(1, Content::Bytes(b"one\0".to_vec()))]);
    let mut engine = driver::Driver::new(&proc, &["-g", "cmdline"]);
    engine.refresh();
    engine.pass();
    // The thread has run since, and reading its command line blocks.
    let pipe = proc.path().join("10/cmdline");
    fs::remove_file(&pipe).unwrap();
    proc.add(&process(2, Content::Fifo));
    engine.pass();
    let found = report::samples(&engine.report());
    unblock(&pipe);
    // On a very busy host the reader may have been taken for stuck by then.
    let mark = if found.contains_key("[blocked]") { "[blocked]" } else { "[stale]" };
    assert_eq!(found, BTreeMap::from([("one".to_owned(), 1), (mark.to_owned(), 1)]));
}

#[test]
fn a_thread_that_has_not_run_costs_no_reading_of_its_title() {
    let process = |tgid| Process::new(tgid).thread(Thread::new(tgid).state('S'));
    let proc = FakeProc::of((10..20).map(process));
    let mut engine = driver::Driver::new(&proc, &["-a", "-g", "cmdline,exe"]);
    engine.refresh();
    let read = |engine: &mut driver::Driver| counts(&engine.report(), "cmdline").attempts();
    let before = read(&mut engine);
    (0..5).for_each(|_| drop(engine.pass()));
    assert_eq!((before, read(&mut engine)), (10, 10));
}

/// Programs with the same name in two directories.
fn two_versions(dir: &Path) -> [String; 2] {
    ["v1", "v2"].map(|version| {
        let path = dir.join(version).join("worker");
        fs::create_dir(dir.join(version)).unwrap();
        fs::copy("/bin/sh", &path).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn an_exec_under_the_same_name_is_told_at_once() {
    let dir = Dir::new();
    let [old, new] = two_versions(dir.itself());
    let mut worker = command(&old);
    worker.args(["-c", "sleep 0.8; exec \"$0\" -c 'sleep 30; :' two", &new]);
    let worker = Running::start(&mut worker);
    let pid = worker.pid().to_string();
    // The address of the stack, in the same line as the state, tells one program from the other.
    let columns = ["startstack", "cmdline2", "exe"];
    let joined = columns.join(",");
    let args = ["-q", "--scan", "proc", "-a", "-p", &pid, "--hz", "50", "-d", "2", "-g", &joined];
    let samples = sample(&args).samples(&columns);
    let mut programs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in samples.keys() {
        let (stack, program) = key.split_once(" | ").unwrap();
        if !program.contains("[stale]") {
            programs.entry(stack).or_default().insert(program);
        }
    }
    assert_eq!(programs.len(), 2, "{samples:?}");
    for program in programs.values() {
        assert_eq!(program.len(), 1, "{samples:?}");
    }
    let is_whole = |key: &str| {
        key.ends_with(&format!("| {old}")) || (key.ends_with(&format!("| {new}")) && key.contains(" two |"))
    };
    assert!(share(&samples, is_whole) > 0.8 && !samples.keys().any(|key| key.contains("[unread]")), "{samples:?}");
}

#[test]
fn a_wrapper_that_becomes_its_program_is_told_by_its_new_title_at_once() {
    for scan in scans() {
        let dir = Dir::new();
        let program = dir.path("the-program");
        fs::copy("/bin/sleep", &program).unwrap();
        let mut wrapper = command("sh");
        wrapper.args(["-c", "sleep 0.6; exec \"$0\" 30", &program]);
        let wrapper = Running::start(&mut wrapper);
        let pid = wrapper.pid().to_string();
        let args = ["-q", "--scan", scan, "-a", "-p", &pid, "--hz", "50", "-d", "2", "-g", "comm2,cmdline2,exe"];
        let samples = sample(&args).samples(&["comm2", "cmdline2", "exe"]);
        let expected = format!("the-program | {program} 30 | {program}");
        let right = share(&samples, |key| key == expected);
        assert!((0.3..0.95).contains(&right), "{scan}: {samples:?}");
        let of_new = share(&samples, |key| key.starts_with("the-program |"));
        assert!(right > 0.9 * of_new, "{scan}: {samples:?}");
        assert!(!samples.keys().any(|key| key.contains("[unread]")), "{scan}: {samples:?}");
    }
}

#[test]
fn threads_that_outlive_the_first_have_its_command_line_executable_and_mappings() {
    for scan in scans() {
        let actor = actor("leaderless");
        let pid = actor.pid.to_string();
        let stat = format!("/proc/{pid}/stat");
        wait_until("the first thread has ended", || fs::read_to_string(&stat).unwrap().contains(") Z "));
        let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
        let exe = exe.to_str().unwrap();
        let args = ["-q", "--scan", scan, "-a", "-p", &pid, "-d", "0.5", "-g", "state_id,cmdline2,exe,pathname"];
        let condition = format!("exe = {exe}");
        let found = sample(&[&args[..], &["--where", "cmdline2 ~ titles::an_actor", "--where", &condition]].concat());
        for state in ["S", "Z"] {
            let is_own = |row: &&serde_json::Value| row["state_id"] == state && row["pathname"] == exe;
            assert!(found.rows().iter().any(|row| is_own(&row)), "{scan} {state}: {}", found.0);
        }
    }
}

#[test]
fn mappings_are_counted_however_many_they_are() {
    let actor = actor("mappings");
    let pid = actor.pid.to_string();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines().count() as u64;
    let report = sample(&["-q", "--scan", "proc", "-a", "-p", &pid, "--hz", "1", "-d", "1", "-g", "comm2,perms"]);
    let counted: u64 = report.samples(&["perms"]).values().sum();
    assert_eq!((counted / report.completed(), report.0["rows"][0]["comm2"].is_string()), (maps, true), "{}", report.0);
}

#[test]
fn mappings_beyond_what_is_kept_are_marked_and_told() {
    // Long paths make the text long without many mappings.
    let path = "x".repeat(4000);
    let one = format!("7f0000000000-7f0000001000 r--p 00000000 00:00 1 /{path}\nRss:    4 kB\n");
    let proc = FakeProc::of([Process::new(10).thread(Thread::new(10).state('D')).file("smaps", one.repeat(13_000))]);
    let mut engine = driver::Driver::new(&proc, &["-g", "perms,rss_kb"]);
    engine.refresh();
    engine.pass();
    let report = engine.report();
    let found = report::samples(&report);
    assert_eq!(found.get("[dropped] | [dropped]"), Some(&1), "{found:?}");
    assert!((12_000..13_000).contains(&found["r--p | 4"]), "{found:?}");
    let smaps = counts(&report, "smaps");
    assert_eq!((smaps.ok, smaps.dropped), (0, 1));
}

fn long_lived(pathes: &str, main: &str) -> Running {
    let mut shell = command("sh");
    shell.args(["-c", "sleep 30; true", "java", "-cp", pathes, main]);
    let shell = Running::start(&mut shell);
    let cmdline = format!("/proc/{}/cmdline", shell.pid());
    wait_until("it has its arguments", || fs::read_to_string(&cmdline).unwrap().contains(main));
    shell
}

fn titles(report: &Json) -> BTreeSet<String> {
    report.samples(&["cmdline2"]).into_keys().collect()
}

#[test]
fn command_lines_are_told_apart_by_their_ends_and_found_by_them() {
    let path = (0..300).map(|number| format!("/opt/app/lib/library-{number}.jar")).collect::<Vec<_>>().join(":");
    let [one, two] = ["com.example.MainOne", "com.example.MainTwo"].map(|main| long_lived(&path, main));
    let pids = format!("{},{}", one.pid(), two.pid());
    let report = sample(&["-a", "-p", &pids, "-d", "0.3", "-g", "cmdline2"]);
    let whole = ["One", "Two"].map(|name| format!("sh -c sleep 30; true java -cp {path} com.example.Main{name}"));
    assert_eq!(titles(&report), BTreeSet::from(whole));
    assert!(!report.0["warnings"].to_string().contains("command line"), "{}", report.0);
    let found =
        sample(&["-q", "-a", "-p", &pids, "-d", "0.3", "-g", "pid", "--where", "cmdline2 ~ com.example.MainTwo$"]);
    assert_eq!(found.samples(&["pid"]).into_keys().collect::<Vec<_>>(), [two.pid().to_string()]);
}

#[test]
fn of_an_endless_command_line_both_ends_are_shown_and_the_report_says_so() {
    let path = "p".repeat(90_000);
    let mut shell = command("sh");
    shell.args(["-c", "sleep 30; true", "java", &path, &path, "com.example.Main"]);
    let shell = Running::start(&mut shell);
    let cmdline = format!("/proc/{}/cmdline", shell.pid());
    wait_until("it has its arguments", || fs::read_to_string(&cmdline).unwrap().contains("example"));
    let report = sample(&["-a", "-p", &shell.pid().to_string(), "-d", "0.3", "-g", "cmdline2"]);
    let titles: Vec<String> = titles(&report).into_iter().collect();
    let [title] = &titles[..] else { panic!("one process: {}", titles.len()) };
    let length = fs::read(&cmdline).unwrap().len();
    assert!(title.starts_with("sh -c sleep 30; true java ppp") && title.ends_with("ppp com.example.Main"));
    assert!(title.contains(&format!("ppp [... {} bytes left out ...] ppp", length - (128 << 10))));
    let warnings = report.0["warnings"].to_string();
    assert!(warnings.contains("a command line is longer than 131072 bytes"), "{warnings}");
}
