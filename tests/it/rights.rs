//! A copy of psn with file capabilities uses them to read /proc, and for nothing else.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use psn_stress::{Kind, Storm};

use crate::support::child::{Ended, Running, command, has_program};
use crate::support::dir::Dir;
use crate::support::json;
use crate::support::reader::{PublicCopy, can_become_anybody};
use crate::support::skip;

/// More capabilities than psn needs, including those that would let it write anywhere.
const CAPABILITIES: &str = "cap_sys_ptrace,cap_dac_read_search,cap_sys_admin,cap_dac_override=ep";

/// Runs the copy as `nobody`, with the capabilities of the file.
fn run(psn: &PublicCopy, args: &[&str]) -> Ended {
    let mut command = command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(psn.path()).args(args);
    Running::start(&mut command).end()
}

/// A copy with capabilities; `None` if this machine cannot have one.
fn capable_copy() -> Option<PublicCopy> {
    if !can_become_anybody() {
        return None;
    }
    let psn = PublicCopy::new();
    if !has_program("setcap") || !command("setcap").args([CAPABILITIES, &psn.path()]).status().unwrap().success() {
        skip("files can not be given capabilities here (setcap, libcap2-bin)");
        return None;
    }
    Some(psn)
}

#[test]
fn what_its_user_names_is_looked_at_without_capabilities_before_anything_else() {
    let Some(psn) = capable_copy() else { return };
    let closed = Dir::with_mode(0o700);
    let fifo = closed.path("zone");
    rustix::fs::mknodat(rustix::fs::CWD, &*fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::create_dir(closed.path("there")).unwrap();
    fs::write(closed.path("file.db"), "").unwrap();
    // A psn that may open the pipe would wait for its other end and not finish.
    let mut command = command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(psn.path());
    command.env("TZ", &fifo).args(["-i", "/nowhere.db", "--from", "2026-11-23 03:00"]);
    let ended = Running::start(&mut command).end();
    assert!(!ended.status.success() && ended.stderr.contains("in the variable TZ is unknown"), "{ended:?}");

    // The message is the same whether the file exists or not.
    for option in ["-o", "-i", "--procfs"] {
        let said = |name: &str| {
            let path = closed.path(name);
            let live: &[&str] = if option == "-i" { &[] } else { &["-d", "0.2"] };
            let ended = run(&psn, &[&["-q", option, &path], live].concat());
            assert_ne!(ended.status.code(), Some(0), "{option} {name}: {ended:?}");
            ended.stderr.replace(name, "NAME")
        };
        assert_eq!(said("there"), said("none!"), "{option}");
        assert_eq!(said("there/"), said("none!/"), "{option}");
        assert_eq!(said("file.db"), said("none.db"), "{option}");
    }
}

#[test]
fn a_copy_with_capabilities_reads_proc_with_them_and_opens_all_else_without() {
    let Some(psn) = capable_copy() else { return };
    let storm = Storm::builder().exactly(Kind::Pipe, 3).spawn().unwrap();
    let pid = storm.root_pid().to_string();
    let live = ["-q", "-d", "0.3", "-p", &pid, "-r", "-a", "-g", "wchan,kstack", "--where", "comm2 = storm-pipe"];

    let ended = run(&psn, &[&live[..], &["--format", "json"]].concat());
    if ended.stdout.contains("[denied]") {
        return skip("programs on the file system of TMPDIR are given no capabilities (nosuid)");
    }
    let report = json::parse(&ended);
    let waits = report.samples(&["wchan", "kstack"]);
    assert!(!waits.is_empty() && waits.keys().all(|wait| wait.contains("pipe_read")), "{waits:?}");

    let closed = Dir::with_mode(0o700);
    let open = Dir::with_mode(0o1777);
    for name in ["night.db", "night.csv", "night.parquet", "night/"] {
        let ended = run(&psn, &[&live[..], &["-o", &closed.path(name)]].concat());
        assert_eq!(ended.status.code(), Some(1), "{name}: {ended:?}");
        assert!(ended.stderr.contains("Permission denied"), "{name}: {ended:?}");
        assert_eq!(fs::read_dir(closed.itself()).unwrap().count(), 0, "{name}");

        // Where the user may write, the recording is created. It belongs to the user, and other users cannot read it.
        let ended = run(&psn, &[&live[..], &["-o", &open.path(name)]].concat());
        assert_eq!(ended.status.code(), Some(0), "{name}: {ended:?}");
        let made = fs::metadata(open.path(name)).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o077), (65534, 0), "{name}");

        // Nor does psn read a file that its user may not read.
        let hidden = closed.path(name.trim_end_matches('/'));
        fs::rename(open.path(name.trim_end_matches('/')), &hidden).unwrap();
        for args in
            [vec!["-i", &hidden, "-q"], vec!["diff", &hidden, &hidden], vec!["export", &hidden, &open.path("copy.db")]]
        {
            let ended = run(&psn, &args);
            assert_eq!(ended.status.code(), Some(1), "{args:?}: {ended:?}");
            assert!(ended.stderr.contains("Permission denied"), "{args:?}: {ended:?}");
        }
        if fs::metadata(&hidden).unwrap().is_dir() {
            fs::remove_dir_all(&hidden).unwrap();
        } else {
            fs::remove_file(&hidden).unwrap();
        }
    }

    // psn treats a directory that looks like /proc like any other of the user's files.
    let ended = run(&psn, &["-q", "-d", "0.2", "-a", "--procfs", &closed.path("")]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("Permission denied"), "{ended:?}");
}
