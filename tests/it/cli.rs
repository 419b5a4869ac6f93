//! The command line from the outside: exit codes, messages, what goes to which stream, signals.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::child::{Ended, Running, command, psn, run};
use crate::support::fake::{FakeProc, Process};
use crate::support::{json, skip, wait_until};

/// Runs psn, which must fail with `code` and print no report. Returns its message.
#[track_caller]
fn failure(code: i32, args: &[&str]) -> String {
    let ended = run(args);
    assert_eq!(ended.status.code(), Some(code), "{args:?}: {ended:?}");
    assert_eq!(ended.stdout, "", "{args:?}");
    assert!(!ended.stderr.is_empty() && !ended.stderr.contains("panicked"), "{args:?}: {ended:?}");
    ended.stderr
}

#[track_caller]
fn success(args: &[&str]) -> Ended {
    let ended = run(args);
    assert!(ended.status.success(), "{args:?}: {ended:?}");
    ended
}

#[test]
fn a_mistyped_argument_is_named_with_what_would_be_right_and_ends_with_2() {
    for (args, parts) in [
        (&["-G", "sycall"][..], &["-g/-G", "'sycall'", "syscall", "--list"][..]),
        (&["-g", "comm,wchn"], &["'wchn'", "wchan"]),
        (&["-s", "max_thread"], &["-s", "'max_thread'", "max_threads"]),
        (&["-s", "utime:mx"], &["'utime:mx'", ":max"]),
        (&["-s", "comm:max"], &["comm is a text column", ":common"]),
        (&["-s", "nice:delta"], &["nice", "counter", ":max"]),
        (&["--where", "sycall = read"], &["--where", "'sycall'", "syscall"]),
        (&["--where", "comm"], &["--where", "COLUMN OP VALUE"]),
        (&["--where", "comm ~ ("], &["--where", "'('", "unclosed group"]),
        (&["--where", "cpu = two"], &["'two'", "not a number", "cpu"]),
        (&["--where", "comm < 3"], &["'<'", "comm is a text column"]),
        (&["--sort", "utime"], &["--sort", "'utime'", "avg_threads"]),
        (&["-p", "("], &["-p", "'('", "regular expression"]),
        (&["-p", "99999999999"], &["-p", "'99999999999'", "pid"]),
        (&["-r"], &["-r", "-p"]),
        (&["-t", "x"], &["--thread", "'x'"]),
        (&["-t", "0"], &["--thread", "'0'"]),
        (&["-d", "-1"], &["--duration", "0 or more"]),
        (&["-d", "soon"], &["--duration", "'soon'"]),
        (&["--hz", "0"], &["--hz", "0.01 to 1000"]),
        (&["--hz", "nan"], &["--hz", "0.01 to 1000"]),
        (&["--sample-hz", "1001"], &["--hz", "0.01 to 1000"]),
        (&["--discover-hz", "1e9"], &["--discover-hz", "0.01 to 100"]),
        (&["--states", "Q"], &["--states", "R S D T"]),
        (&["--states", "D", "-a"], &["--states", "--all-states"]),
        (&["--workers", "0"], &["--workers"]),
        (&["--limit", "0"], &["--limit"]),
        (&["--format", "xml"], &["--format", "table", "json"]),
        (&["-g", ","], &["-g", "--list"]),
        (&["--quite"], &["--quite", "--quiet"]),
        (&["mysqld"], &["mysqld"]),
        (&["completions", "tcsh"], &["tcsh", "bash"]),
    ] {
        let said = failure(2, args);
        for part in parts {
            assert!(said.contains(part), "{args:?} should say {part}: {said}");
        }
    }
}

#[test]
fn nothing_to_sample_is_said_and_ends_with_1() {
    let said = failure(1, &["-p", "no-process-is-called-so", "-d", "1"]);
    assert!(said.contains("-p") && said.contains("'no-process-is-called-so'"), "{said}");
    let said = failure(1, &["-p", "4194303,4194302", "-d", "1"]);
    assert!(said.contains("4194302") && said.contains("4194303"), "{said}");
    let said = failure(1, &["-t", "4194303", "-d", "1"]);
    assert!(said.contains("-t") && said.contains("4194303"), "{said}");
    let said = failure(1, &["--procfs", "/no/such/dir", "-d", "1"]);
    assert!(said.contains("/no/such/dir") && said.contains("No such file"), "{said}");
    let said = failure(1, &["--procfs", "/dev/null", "-d", "1"]);
    assert!(said.contains("/dev/null"), "{said}");
    let said = failure(1, &["--procfs", "/proc/self/fdinfo", "-d", "1"]);
    assert!(said.contains("no processes in /proc/self/fdinfo"), "{said}");
}

/// Removes a file when dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn psn_says_that_it_leaves_itself_out() {
    // A name that no other psn has.
    let name = format!("psn-{}", std::process::id());
    let link = std::env::temp_dir().join(&name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_psn"), &link).unwrap();
    let _removed = Removed(link.clone());
    let itself = |args: &str| {
        let mut shell = command("sh");
        shell.args(["-c", &format!("exec \"$0\" -a -d 0.2 --format json {args}")]).arg(&link);
        Running::start(&mut shell).end()
    };
    for args in ["-p $$", "-t $$", "-r -p $$", &format!("-p ^{name}$")] {
        let ended = itself(args);
        assert_eq!(ended.status.code(), Some(1), "{args}: {ended:?}");
        assert!(ended.stderr.contains("is psn itself") && ended.stderr.contains("--show-yourself"), "{ended:?}");
        assert!(!ended.stderr.contains("exists in"), "{ended:?}");
        assert_eq!(itself(&format!("{args} --show-yourself")).status.code(), Some(0), "{args}");
    }
    let ended = itself("-p 1,$$");
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("is psn itself") && !ended.stdout.contains("no process"), "{ended:?}");
    let ended = itself("-p $$,4194303");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

#[test]
fn standard_output_has_the_report_alone() {
    let ended = success(&["-d", "0.2", "-a"]);
    assert!(ended.stdout.trim_start().starts_with("=== Active Threads ==="), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nticks:"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("Linux Process Snapper") && ended.stderr.contains("Sampling /proc/stat"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.trim_end().ends_with("finished."), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "no progress bar where there is no terminal: {:?}", ended.stderr);
}

#[test]
fn quiet_leaves_the_rows() {
    let ended = success(&["-q", "-d", "0.2", "-a"]);
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.contains("=== Active Threads ===") && !ended.stdout.contains("ticks:"), "{}", ended.stdout);
}

#[test]
fn the_table_is_as_wide_as_its_rule_and_its_columns_line_up() {
    let ended = success(&["-q", "-d", "0.3", "-a", "-G", "syscall,wchan"]);
    let lines: Vec<&str> = ended.stdout.lines().skip_while(|line| line.is_empty()).collect();
    let width = lines[0].chars().count();
    assert!(lines[0].starts_with("=== Active Threads =") && lines[0].ends_with('='));
    assert_eq!((lines[1], lines[4].is_empty()), ("", false));
    let header: Vec<&str> = lines[2].split('|').map(str::trim).collect();
    assert_eq!(header, ["samples", "avg_threads", "comm", "state", "syscall", "wchan"]);
    assert!(lines[3].chars().all(|c| c == '-') && lines[3].len() == width, "{}", lines[3]);
    let bars = |line: &str| line.match_indices(" | ").map(|(place, _)| place).take(3).collect::<Vec<_>>();
    for line in lines[4..].iter().filter(|line| !line.is_empty()) {
        assert_eq!(bars(line), bars(lines[2]), "{line}");
        assert!(line.chars().count() <= width, "{line}");
        let fields: Vec<&str> = line.split(" | ").map(str::trim).collect();
        assert!(fields[0].parse::<u64>().is_ok() && fields[1].parse::<f64>().is_ok(), "{line}");
        assert!(fields[2].starts_with('(') && fields[2].ends_with(')'), "{line}");
    }
}

#[test]
fn the_originals_commands_work_as_they_stand() {
    for args in
        [&["-p", "it-|psn|kwork", "-G", "syscall,wchan"][..], &["-G", "syscall,wchan", "-r", "-p", "it-|sync|kworker"]]
    {
        let ended = success(&[args, &["-d", "0.3", "-a"]].concat());
        assert!(ended.stdout.contains(" samples | avg_threads | comm"), "{}", ended.stdout);
    }
    success(&["--sample-hz", "10", "--ps-hz", "1", "-d", "0.3"]);
}

#[test]
fn every_format_tells_the_same_counts() {
    let args = ["-a", "-p", "1", "-g", "comm2,state", "-d", "0.5", "--hz", "40", "-q"];
    let of = |format: &str| success(&[&args[..], &["--format", format]].concat()).stdout;
    let report = json::sample(&args);
    for member in [
        "version",
        "host",
        "kernel",
        "started",
        "duration_s",
        "hz",
        "achieved_hz",
        "ticks",
        "tasks",
        "scan",
        "scan_level",
        "scan_reason",
        "cost",
        "health",
        "coverage",
        "warnings",
        "rows",
    ] {
        assert!(report.0.get(member).is_some(), "{member} in {}", report.0);
    }
    assert!(report.0["scan"] == "kernel" || report.0["scan_reason"].is_string(), "{}", report.0["scan"]);
    let started = report.0["started"].as_str().unwrap();
    assert!(started.ends_with('Z') && started.as_bytes()[10] == b'T', "{started}");
    let names: Vec<String> = report.samples(&["comm2"]).into_keys().collect();
    let csv = of("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["samples", "avg_threads", "comm2", "state"]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(records.iter().any(|record| record[2] == names[0]), "{csv}");
    let folded = of("folded");
    for line in folded.lines() {
        let (stack, samples) = line.rsplit_once(' ').unwrap();
        assert!(samples.parse::<u64>().is_ok() && stack.contains(';'), "{line}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for args in [
        &["--list"][..],
        &["man"],
        &["completions", "bash"],
        &["-d", "0.2", "-a", "-G", "cmdline2"],
        &["-d", "0.2", "--format", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        let running = Running::start(psn(args).stdout(writer));
        drop(reader);
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {ended:?}");
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("psn:"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_report_that_could_not_be_written_is_a_failure() {
    if !Path::new("/dev/full").exists() {
        skip("/dev/full is missing");
        return;
    }
    for args in [
        &["-d", "0.2"][..],
        &["-d", "0.2", "--format", "json"],
        &["-d", "0.2", "--format", "csv"],
        &["-d", "0.2", "--format", "folded", "-a"],
        &["--list"],
        &["man"],
        &["completions", "zsh"],
        &["--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = Running::start(psn(args).stdout(full)).end();
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("No space left"), "{args:?}: {ended:?}");
    }
}

#[test]
fn nobody_listening_to_messages_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    let running = Running::start(psn(&["-d", "0.2"]).stderr(writer));
    drop(reader);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains("=== Active Threads"));
}

/// psn on a proc root with one thread, running until it is stopped.
fn endless(proc: &FakeProc, args: &[&str]) -> Command {
    let root = proc.path().to_str().unwrap();
    psn(&[&["--procfs", root, "-d", "0", "--hz", "100", "-a", "--format", "json"], args].concat())
}

/// Waits until psn has taken some samples of a proc root with one thread. psn then keeps the thread's `stat`
/// open, and each pass is one read.
fn wait_for_samples(running: &Running) {
    let proc = format!("/proc/{}", running.pid());
    let keeps_stat = || {
        let links =
            fs::read_dir(format!("{proc}/fd")).unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.into_iter().any(|link| link.ends_with("stat"))
    };
    wait_until("a thread's file is open", keeps_stat);
    let reads = || {
        let io = fs::read_to_string(format!("{proc}/io")).unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse::<u64>().ok()).unwrap()
    };
    let before = reads();
    wait_until("it was read five times", || reads() >= before + 5);
}

#[test]
fn an_interrupted_run_reports_what_it_has_sampled() {
    let proc = FakeProc::of([Process::single(10, "only", 'S')]);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let running = Running::start(&mut endless(&proc, &[]));
        wait_for_samples(&running);
        running.signal(signal);
        let asked = Instant::now();
        let ended = running.end();
        assert!(asked.elapsed() < Duration::from_secs(5), "{signal:?}: {:?}", asked.elapsed());
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        let report = json::parse(&ended);
        let ticks = report.completed();
        assert_eq!(report.samples(&["comm"]).get("only"), Some(&ticks), "{}", report.0);
        let missed = report.0["ticks"]["missed"].as_u64().unwrap();
        assert_eq!(report.0["ticks"]["expected"], missed + ticks);
    }
}

#[test]
fn a_second_interrupt_kills() {
    let proc = FakeProc::of([Process::single(10, "only", 'S')]);
    // psn cannot end by itself: it blocks while it writes its report to a full pipe that nobody reads.
    let (_reader, mut writer) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![0; room]).unwrap();
    let running = Running::start(endless(&proc, &[]).stdout(writer));
    wait_for_samples(&running);
    running.signal(Signal::INT);
    running.wait_until_it_says("interrupted");
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.status.signal(), Some(Signal::INT.as_raw()), "{ended:?}");
}

#[test]
fn an_interrupt_before_the_first_listing_is_told_from_a_report() {
    // Reading the name of the only process blocks for ever.
    let proc = FakeProc::new();
    fs::create_dir(proc.path().join("10")).unwrap();
    let comm = proc.path().join("10/comm");
    rustix::fs::mknodat(rustix::fs::CWD, &comm, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let running = Running::start(&mut endless(&proc, &["-p", "x"]));
    running.wait_until_it_says("Sampling");
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.contains("stopped before the first task list"), "{ended:?}");
}

#[test]
fn the_help_and_the_list_of_columns_are_what_they_were() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        insta::assert_snapshot!("help", success(&["--help"]).stdout);
        insta::assert_snapshot!("list", success(&["--list"]).stdout);
    });
}

#[test]
fn completions_and_the_manual_page_are_there() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = success(&["completions", shell]).stdout;
        assert!(script.contains("psn") && script.contains("all-states"), "{shell}: {script}");
    }
    let manual = success(&["man"]).stdout;
    for part in [".TH psn", "SYNOPSIS", "\\-\\-all\\-states", "\\-\\-where"] {
        assert!(manual.contains(part), "{part}: {manual}");
    }
    assert!(success(&["--version"]).stdout.starts_with("psn "));
}

#[test]
fn a_closed_standard_input_changes_nothing() {
    success(&["-d", "0.1", "-q"]);
    let ended = Running::start(psn(&["-d", "0.1", "-q"]).stdin(Stdio::piped())).end();
    assert!(ended.status.success(), "{ended:?}");
}
