//! The permission matrix: which files of whose threads the kernel lets each user read, row by row. psn shows a refused read
//! as refused, counts it as refused, and does not repeat it. The report says what a mount or a namespace hides.

use std::process::Stdio;

use psn_stress::{Kind, Storm};
use serde_json::Value;

use crate::support::child::{Ended, Running, command, has_program, is_root};
use crate::support::json::{self, Json, text};
use crate::support::reader::{PublicCopy, Reader, can_become_anybody};
use crate::support::skip;

/// The owner of the threads that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// A storm that root started.
    Others,
    /// A process of the reader's own user.
    Own,
    /// A kernel thread.
    Kernel,
}

/// A row of the matrix.
struct Row {
    name: &'static str,
    reader: Reader,
    whose: Whose,
    /// The columns with a value; all others of [`COLUMNS`] are refused.
    told: &'static [&'static str],
}

/// For each file that may be refused, a column and the file.
const COLUMNS: [(&str, &str); 6] = [
    ("wchan", "wchan"),
    ("syscall", "syscall"),
    ("kstack", "stack"),
    ("rchar", "io"),
    ("filename", "fd"),
    ("exe", "exe"),
];

const PTRACE: Reader = Reader::Nobody(&["sys_ptrace"]);
const SEARCH: Reader = Reader::Nobody(&["dac_read_search"]);
const BOTH: Reader = Reader::Nobody(&["sys_ptrace", "dac_read_search"]);
const ALL: Reader = Reader::Nobody(&["sys_ptrace", "dac_read_search", "sys_admin"]);
const NOBODY: Reader = Reader::Nobody(&[]);
const ROOT_LESS_PTRACE: Reader = Reader::RootLess("sys_ptrace");

/// The descriptor follows from the system call, so `filename` is refused where `syscall` is.
const MATRIX: [Row; 12] = [
    Row { name: "nobody-of-others", reader: NOBODY, whose: Whose::Others, told: &[] },
    Row {
        name: "nobody-of-own",
        reader: NOBODY,
        whose: Whose::Own,
        told: &["wchan", "syscall", "rchar", "filename", "exe"],
    },
    Row { name: "nobody-of-kernel", reader: NOBODY, whose: Whose::Kernel, told: &[] },
    Row { name: "ptrace-of-others", reader: PTRACE, whose: Whose::Others, told: &["wchan", "exe"] },
    Row { name: "ptrace-of-kernel", reader: PTRACE, whose: Whose::Kernel, told: &["wchan"] },
    Row { name: "search-of-others", reader: SEARCH, whose: Whose::Others, told: &[] },
    Row { name: "search-of-kernel", reader: SEARCH, whose: Whose::Kernel, told: &[] },
    Row {
        name: "both-of-others",
        reader: BOTH,
        whose: Whose::Others,
        told: &["wchan", "syscall", "rchar", "filename", "exe"],
    },
    Row {
        name: "both-and-admin-of-others",
        reader: ALL,
        whose: Whose::Others,
        told: &["wchan", "syscall", "kstack", "rchar", "filename", "exe"],
    },
    Row { name: "both-and-admin-of-kernel", reader: ALL, whose: Whose::Kernel, told: &["wchan", "kstack", "rchar"] },
    Row { name: "root-less-ptrace-of-others", reader: ROOT_LESS_PTRACE, whose: Whose::Others, told: &[] },
    Row {
        name: "root-of-others",
        reader: Reader::Root,
        whose: Whose::Others,
        told: &["wchan", "syscall", "kstack", "rchar", "filename", "exe"],
    },
];

/// The names of the rows, and of the mounts.
pub fn cases() -> Vec<String> {
    let rows = MATRIX.iter().map(|row| format!("permissions/{}", row.name));
    rows.chain(MOUNTS.iter().map(Mount::name)).collect()
}

/// Whether a cell has the right value for a thread that reads an empty pipe, or for kthreadd.
fn is_told(whose: Whose, column: &str, cell: &Value) -> bool {
    let shown = text(cell);
    match (column, whose) {
        ("wchan", Whose::Kernel) => shown == "kthreadd",
        ("kstack", Whose::Kernel) => shown.contains("kthreadd"),
        ("wchan", _) => shown.contains("pipe_read"),
        ("kstack", _) => shown.contains("pipe_read()"),
        ("syscall", _) => shown == "read",
        ("filename", _) => shown.starts_with("pipe:[*]"),
        ("exe", _) => shown.starts_with('/'),
        _ => cell.is_u64(),
    }
}

#[test]
fn each_row_of_the_matrix_is_shown_counted_and_asked_for_once() {
    if !can_become_anybody() {
        return;
    }
    let psn = PublicCopy::new();
    let storm = Storm::builder().exactly(Kind::Pipe, 12).spawn().unwrap();
    let own = NOBODY.start("cat", |cat| cat.stdin(Stdio::piped()));
    let others = storm.root_pid().to_string();
    let own = own.pid().to_string();
    for row in &MATRIX {
        let selection: &[&str] = match row.whose {
            Whose::Others => &["-p", &others, "-r", "--where", "comm2 = storm-pipe"],
            Whose::Own => &["-p", &own],
            Whose::Kernel => &["-p", "^kthreadd$"],
        };
        let mut command = row.reader.command(&psn.path());
        command.args(["--scan", "proc", "--format", "json", "-a", "-d", "0.6", "--hz", "50", "-g"]);
        command.arg(format!("comm2,{}", COLUMNS.map(|(column, _)| column).join(","))).args(selection);
        let ended = Running::start(&mut command).end();
        if row.whose == Whose::Kernel && ended.stderr.contains("no process name matches") {
            skip("this PID namespace has no kernel threads");
            continue;
        }
        check_row(row, &json::parse(&ended));
    }
}

#[track_caller]
fn check_row(row: &Row, report: &Json) {
    let Row { name, whose, told, .. } = row;
    let threads = if *whose == Whose::Others { 12 } else { 1 };
    let rows = threads * report.completed();
    assert_eq!(report.samples(&[]).into_values().sum::<u64>(), rows, "{name}: nobody is left out");
    assert_eq!(report.0["coverage"]["rows"], rows, "{name}");
    for (column, file) in COLUMNS {
        // A kernel thread makes no system calls. That it has no program is shown only to users who may read the link.
        let has_none = *whose == Whose::Kernel && ["syscall", "filename", "exe"].contains(&column);
        let is_refused = !told.contains(&column);
        let refusals = &report.0["coverage"]["denied"][file];
        let health = report.health(file);
        let of = |class: &str| health.get(class).copied().unwrap_or(0);
        for group in report.rows() {
            let cell = &group[column];
            match (has_none, is_refused) {
                (true, _) => {
                    assert!(["[kernel_thread]", "-", "[denied]"].contains(&&*text(cell)), "{name}: {column} of {group}")
                }
                (false, true) => assert_eq!(cell, "[denied]", "{name}: {column} of {group}"),
                (false, false) => assert!(is_told(*whose, column, cell), "{name}: {column} of {group}"),
            }
        }
        if has_none {
            continue;
        }
        assert_eq!(refusals.as_u64().unwrap_or(0), if is_refused { rows } else { 0 }, "{name}: coverage of {file}");
        if is_refused {
            assert_eq!(of("ok"), 0, "{name}: {file}: {health:?}");
            // psn reads the file once or twice, not at every tick. Without a system call it does not look for a descriptor.
            let asked = if column == "filename" { 0..=0 } else { 1..=2 * threads };
            assert!(asked.contains(&of("denied")), "{name}: {file} was asked for too often: {health:?}");
        } else {
            assert!(of("denied") == 0 && of("ok") > 0, "{name}: {file}: {health:?}");
        }
    }
    let refused = report.0["coverage"]["denied"].as_object().unwrap();
    assert!(refused.keys().all(|file| COLUMNS.iter().any(|(_, known)| known == file)), "{name}: {refused:?}");
}

/// A proc file system mounted with an option, the user who reads it, and what that user sees.
struct Mount {
    options: &'static str,
    reader: Reader,
    /// Whether the user sees root's processes.
    sees_others: bool,
    /// What the report says is hidden; `None` if nothing is.
    says: Option<&'static str>,
}

impl Mount {
    fn name(&self) -> String {
        let reader = match self.reader {
            Reader::Root => "root".to_owned(),
            Reader::RootLess(capability) => format!("root-less-{capability}"),
            Reader::Nobody(capabilities) => {
                ["nobody"].iter().chain(capabilities).copied().collect::<Vec<_>>().join("+")
            }
        };
        format!("permissions/{}/{reader}", self.options)
    }
}

const MOUNTS: [Mount; 15] = [
    Mount { options: "hidepid=0", reader: NOBODY, sees_others: true, says: None },
    Mount { options: "hidepid=0", reader: Reader::Root, sees_others: true, says: None },
    Mount { options: "hidepid=1", reader: NOBODY, sees_others: false, says: Some("member of the group") },
    Mount { options: "hidepid=1", reader: PTRACE, sees_others: true, says: None },
    Mount { options: "hidepid=1", reader: Reader::Root, sees_others: true, says: None },
    Mount { options: "hidepid=2", reader: NOBODY, sees_others: false, says: Some("member of the group") },
    Mount { options: "hidepid=2", reader: PTRACE, sees_others: true, says: None },
    // The reader's group is root's, which sees everything unless the mount names another group.
    Mount { options: "hidepid=2", reader: ROOT_LESS_PTRACE, sees_others: true, says: None },
    Mount {
        options: "hidepid=2,gid=1",
        reader: ROOT_LESS_PTRACE,
        sees_others: false,
        says: Some("member of the group"),
    },
    Mount { options: "hidepid=2,gid=65534", reader: NOBODY, sees_others: true, says: None },
    Mount { options: "hidepid=4", reader: NOBODY, sees_others: false, says: Some("run as root") },
    Mount { options: "hidepid=4", reader: ROOT_LESS_PTRACE, sees_others: false, says: Some("run as root") },
    Mount { options: "hidepid=4", reader: Reader::Root, sees_others: true, says: None },
    Mount { options: "subset=pid", reader: Reader::Root, sees_others: true, says: None },
    Mount { options: "subset=pid,hidepid=2", reader: NOBODY, sees_others: false, says: Some("member of the group") },
];

/// Runs psn with `/proc` mounted with `options`. Prints a message and returns `None` if that is not possible here.
#[track_caller]
fn run_in_mount(options: &str, reader: Reader, psn: &PublicCopy, args: &[&str]) -> Option<Ended> {
    let script = "mount -t proc -o \"$0\" proc /proc || exit 99; exec \"$@\"";
    let mut command = command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, options]);
    command.args(reader.command_line(&psn.path())).args(["--scan", "proc", "--format", "json", "-a"]).args(args);
    let ended = Running::start(&mut command).end();
    if ended.status.code() == Some(99) || ended.stderr.contains("unshare failed") {
        skip(&format!("/proc can not be mounted with {options} here: {}", ended.stderr.trim()));
        return None;
    }
    Some(ended)
}

fn can_unshare() -> bool {
    if is_root() && has_program("unshare") {
        return true;
    }
    skip("a mount of one's own needs root and unshare (util-linux)");
    false
}

/// The warning that processes are hidden.
fn hidden(report: &Json) -> Option<&str> {
    let mut warnings = report.0["warnings"].as_array().unwrap().iter().filter_map(Value::as_str);
    warnings.find(|warning| warning.starts_with("other users' processes are hidden"))
}

#[test]
fn what_a_mount_hides_is_not_counted_and_the_report_says_so() {
    if !can_become_anybody() || !can_unshare() {
        return;
    }
    let psn = PublicCopy::new();
    let storm = Storm::builder().argument("--list").exactly(Kind::Pipe, 5).spawn().unwrap();
    let own = NOBODY.start("cat", |cat| cat.stdin(Stdio::piped()));
    // With the same rights, and no others.
    let own_of_root = ROOT_LESS_PTRACE.start("cat", |cat| cat.stdin(Stdio::piped()));
    let others = storm.root_pid().to_string();
    let threads: Vec<String> = storm.truth().threads.iter().map(|(_, tid, _)| tid.to_string()).collect();
    for mount in &MOUNTS {
        let Mount { options, reader, sees_others, says } = mount;
        let what = mount.name();
        let args = ["-g", "task,comm2", "-d", "0.4"];
        let Some(ended) = run_in_mount(options, *reader, &psn, &args) else { continue };
        let report = json::parse(&ended);
        let found = report.samples(&["task", "comm2"]);
        let ticks = report.completed();
        let own = if matches!(reader, Reader::Nobody(_)) { &own } else { &own_of_root };
        assert_eq!(found.get(&format!("{} | cat", own.pid())), Some(&ticks), "{what}: one's own are always seen");
        let of_storm = |(key, _): &(&String, &u64)| {
            key.split_once(" | storm-pipe").is_some_and(|(task, _)| threads.iter().any(|thread| thread == task))
        };
        let of_storm: u64 = found.iter().filter(of_storm).map(|(_, count)| count).sum();
        assert_eq!(of_storm, if *sees_others { 5 * ticks } else { 0 }, "{what}: {found:?}");
        assert_eq!(report.0["coverage"]["rows"], found.values().sum::<u64>(), "{what}");
        match says {
            None => assert_eq!(hidden(&report), None, "{what}"),
            Some(part) => {
                assert!(hidden(&report).is_some_and(|said| said.contains(part)), "{what}: {:?}", report.0["warnings"])
            }
        }

        // If the process is selected, psn samples it or says what it cannot see.
        let args = ["-g", "comm2", "-d", "0.2", "-r", "-p", &others];
        let Some(ended) = run_in_mount(options, *reader, &psn, &args) else { continue };
        if *sees_others {
            let report = json::parse(&ended);
            assert_eq!(report.samples(&["comm2"]).get("storm-pipe"), Some(&(5 * report.completed())), "{what}");
        } else {
            assert_eq!(ended.status.code(), Some(1), "{what}: {ended:?}");
            assert!(ended.stderr.contains("processes are hidden"), "{what}: {ended:?}");
        }
    }
}

#[test]
fn processes_that_are_listed_but_may_not_be_looked_into_are_refusals() {
    if !can_become_anybody() || !can_unshare() {
        return;
    }
    let psn = PublicCopy::new();
    let own = NOBODY.start("cat", |cat| cat.stdin(Stdio::piped()));
    let Some(ended) = run_in_mount("hidepid=1", NOBODY, &psn, &["-g", "pid", "-d", "0.3"]) else { return };
    let report = json::parse(&ended);
    assert!(report.samples(&["pid"]).contains_key(&own.pid().to_string()));
    let health = report.health("task");
    assert!(health["denied"] > 0 && health["ok"] == 0, "{health:?}");
    assert!(report.0["warnings"].to_string().contains("could not be listed"), "{}", report.0["warnings"]);
}

#[test]
fn a_pid_namespace_is_told_and_psn_leaves_itself_out_by_what_proc_says() {
    if !can_unshare() {
        return;
    }
    let run = |flags: &[&str], script: &str| {
        let mut command = command("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).args(flags).args(["sh", "-c", script]);
        command.arg(env!("CARGO_BIN_EXE_psn"));
        Running::start(&mut command).end()
    };
    // A sleeping process, and then psn replaces the shell, which is the first process of the namespace.
    let psn = "exec \"$0\" --format json -a -g pid,comm2 -d 0.4";
    let inside = run(&["--mount-proc"], &format!("sleep 60 & {psn}"));
    if inside.stderr.contains("unshare") || inside.stderr.contains("mount") {
        skip(&format!("no PID namespace can be had: {}", inside.stderr.trim()));
        return;
    }
    let report = json::parse(&inside);
    let found = report.samples(&["pid", "comm2"]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("2 | sleep".to_owned(), report.completed())]);
    assert_eq!(report.0["tasks"]["processes"], 1);
    let says = |report: &Json| report.0["warnings"].to_string().contains("shows the processes of one PID namespace");
    assert!(says(&report), "{}", report.0["warnings"]);

    // The same, but /proc is still the host's: getpid() is 1, which is another process there.
    let name = format!("psn-{}", std::process::id());
    let named = std::env::temp_dir().join(&name);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_psn"), &named).unwrap();
    let run = |args: &str| {
        let mut command = command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "sh", "-c", &format!("{psn} {args}")]).arg(&named);
        json::parse(&Running::start(&mut command).end())
    };
    let selection = format!("-p \"^({name}|{})$\"", own_comm());
    let (others, everybody) = (run(&selection), run(&format!("{selection} --show-yourself")));
    std::fs::remove_file(named).unwrap();
    let is_shown = |report: &Json| report.samples(&["comm2"]).contains_key(&name);
    assert!(others.samples(&["comm2"]).contains_key(&own_comm()), "{}", others.0);
    assert!(is_shown(&everybody) && !is_shown(&others), "{} {}", everybody.0, others.0);
    let is_host = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]");
    assert!(!is_host || !says(&others), "{}", others.0["warnings"]);
}

/// The name of the process that runs the tests.
fn own_comm() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}
