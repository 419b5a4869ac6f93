//! psn as an ordinary user: it shows all values of the user's own threads, the public ones of other threads, and the report
//! says what was refused.

use psn_stress::{Kind, Storm};

use crate::support::child::Running;
use crate::support::json::{self, Json};
use crate::support::reader::{PublicCopy, Reader, can_become_anybody};

const NOBODY: Reader = Reader::Nobody(&[]);

const COLUMNS: &str = "pid,comm2,state_id,syscall,wchan,kstack,rchar,filename,exe,cmdline,user,vmsize_kb,sched_run_ns";

#[track_caller]
fn sample(psn: &PublicCopy, args: &[&str]) -> Json {
    let mut command = NOBODY.command(&psn.path());
    command.args(["--format", "json", "-a", "-g", COLUMNS, "-d", "0.4"]).args(args);
    json::parse(&Running::start(&mut command).end())
}

#[test]
fn threads_of_others_count_with_refused_columns_and_the_report_says_so() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    let storm = Storm::builder().exactly(Kind::Pipe, 6).exactly(Kind::Vfork, 2).spawn().unwrap();
    let report = sample(&psn, &["-p", &storm.root_pid().to_string(), "-r"]);
    let ticks = report.completed();
    let threads = u64::from(storm.truth().threads_total);
    assert_eq!(report.samples(&[]).values().sum::<u64>(), threads * ticks, "nobody is left out");
    for row in report.rows() {
        for refused in ["syscall", "wchan", "kstack", "rchar", "filename", "exe"] {
            assert_eq!(row[refused], "[denied]", "{refused} in {row}");
        }
        for allowed in ["comm2", "state_id", "cmdline", "user", "vmsize_kb", "sched_run_ns"] {
            assert_ne!(row[allowed], "[denied]", "{allowed} in {row}");
        }
        assert_eq!(row["user"], "root");
    }
    let states = report.samples(&["comm2", "state_id"]);
    assert_eq!(states.get("storm-vfork | D"), Some(&(2 * ticks)), "{states:?}");
    assert_eq!(states.get("storm-pipe | S"), Some(&(6 * ticks)), "{states:?}");
    for file in ["syscall", "stack", "io", "exe"] {
        let health = report.health(file);
        assert!(health["denied"] > 0 && health["ok"] == 0, "{file}: {health:?}");
        assert_eq!(report.0["coverage"]["denied"][file], threads * ticks, "{file}: {}", report.0["coverage"]);
    }
    assert_eq!(report.0["coverage"]["rows"], threads * ticks);
}

#[test]
fn ones_own_threads_are_told_whole() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    let sleeper = NOBODY.start("sleep", |sleep| sleep.arg("60"));
    let report = sample(&psn, &["-p", &sleeper.pid().to_string()]);
    let [row] = report.rows() else { panic!("{}", report.0) };
    assert_eq!(row["samples"], report.completed());
    for (column, wanted) in [
        ("comm2", "sleep"),
        ("state_id", "S"),
        ("syscall", "clock_nanosleep"),
        ("kstack", "[denied]"),
        ("cmdline", "sleep"),
    ] {
        assert_eq!(row[column], wanted, "{column} in {row}");
    }
    assert!(row["wchan"].as_str().unwrap().contains("nanosleep"), "{row}");
    assert!(row["exe"].as_str().unwrap().contains('/'), "{row}");
    assert!(row["rchar"].is_u64(), "{row}");
}

#[test]
fn the_footer_names_the_refused_files() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    let storm = Storm::builder().exactly(Kind::Vfork, 2).spawn().unwrap();
    let mut command = NOBODY.command(&psn.path());
    command.args(["-G", "syscall,wchan", "-d", "0.4", "-r", "-p", &storm.root_pid().to_string()]);
    let ended = Running::start(&mut command).end();
    assert!(ended.status.success(), "{ended:?}");
    let (table, footer) = ended.stdout.split_once("\nticks:").unwrap_or_else(|| panic!("{ended:?}"));
    let row = table.lines().find(|line| line.contains("(storm-vfork)")).unwrap_or_else(|| panic!("{table}"));
    let fields: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!(fields[1..], ["2.00", "(storm-vfork)", "Disk (Uninterruptible)", "[denied]", "[denied]"]);
    let denied: Vec<&str> = footer.lines().filter(|line| line.contains("denied") || line.contains("refused")).collect();
    assert!(denied.iter().any(|line| line.contains("syscall")), "{footer}");
}

#[test]
fn sleepers_that_waits_cannot_judge_are_counted() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    let storm = Storm::builder().exactly(Kind::Pipe, 6).spawn().unwrap();
    let mut command = NOBODY.command(&psn.path());
    command.args(["--waits", "--format", "json", "-d", "0.4", "-r", "-p", &storm.root_pid().to_string()]);
    let report = json::parse(&Running::start(&mut command).end());
    let refused = report.0["coverage"]["refused"].as_u64().unwrap();
    assert!(refused >= 6 * report.completed(), "{}", report.0["coverage"]);
    assert_eq!(report.0["coverage"]["rejected"], refused, "the kernel tells nothing of them");
}
