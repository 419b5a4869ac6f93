//! User names: where psn looks them up, how long it waits, and which system they belong to.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser as _;
use psn::config::Config;
use psn::config::cli::Cli;
use psn::report::Report;
use psn::session::{self, Stop};

use crate::support::child::{Ended, Running, command, has_program, is_root};
use crate::support::dir::Dir;
use crate::support::fake::{FakeProc, Process};
use crate::support::report::samples;
use crate::support::{json, skip, within};

/// Ids that are in no passwd file.
const FIRST_UID: u32 = 3_000_000_000;

/// A sleeping process for each of several users.
fn sleepers(count: u32) -> Option<Vec<Running>> {
    if !is_root() {
        skip("to start processes of other users takes root");
        return None;
    }
    let sleeper = |uid| Running::start(command("sleep").arg("120").uid(FIRST_UID + uid).gid(FIRST_UID + uid));
    Some((0..count).map(sleeper).collect())
}

/// The report on these processes by user, with a script in the place of `getent`.
#[track_caller]
fn sample(sleepers: &[Running], seconds: &str, dir: &Dir, script: &str) -> Report {
    let getent = PathBuf::from(dir.path("getent"));
    fs::write(&getent, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&getent, fs::Permissions::from_mode(0o755)).unwrap();
    let pids: Vec<String> = sleepers.iter().map(|sleeper| sleeper.pid().to_string()).collect();
    let args = ["psn", "-a", "-p", &pids.join(","), "-d", seconds, "-g", "user", "-s", "max_threads"];
    let cli = Cli::try_parse_from(args).unwrap();
    let config = Config { getent, ..Config::new(&cli.sample).unwrap() };
    // Half a second for each user, one after another, would take a minute.
    within(Duration::from_secs(30), move || session::run(&config, &Stop::default(), &mut ())).unwrap()
}

#[test]
fn users_whose_directory_never_answers_cost_one_patience_and_are_shown_by_number() {
    let Some(sleepers) = sleepers(120) else { return };
    let dir = Dir::with_mode(0o755);
    let log = dir.path("log");
    let report = sample(&sleepers, "1", &dir, &format!("echo $$ >> {log}; exec sleep 100"));
    let ticks = report.facts.ticks.completed;
    let found = samples(&report);
    assert_eq!(found.len(), 120, "{found:?}");
    assert!((0..120).all(|uid| found[&(FIRST_UID + uid).to_string()] == ticks), "{found:?}");
    let told = |warning: &String| warning == "120 users are shown by number: the user directory did not answer in time";
    assert!(report.facts.warnings.iter().any(told), "{:?}", report.facts.warnings);
    // No process is left that waits for it.
    let calls = fs::read_to_string(log).unwrap();
    within(Duration::from_secs(20), move || {
        for pid in calls.lines() {
            while fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep")) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
}

#[test]
fn a_name_that_comes_late_is_that_of_the_samples_before_it_too() {
    let Some(sleepers) = sleepers(40) else { return };
    let dir = Dir::with_mode(0o755);
    let names = "sleep 1; shift; for uid; do echo \"user-$uid:x:$uid:0::/:\"; done";
    let report = sample(&sleepers, "2", &dir, names);
    let found = samples(&report);
    let ticks = report.facts.ticks.completed;
    assert!((0..40).all(|uid| found[&format!("user-{}", FIRST_UID + uid)] == ticks), "{found:?}");
    assert_eq!((found.len(), &report.facts.warnings), (40, &Vec::new()));
}

#[test]
fn getent_is_asked_for_many_at_once_with_nothing_that_is_psns_users() {
    let Some(sleepers) = sleepers(30) else { return };
    let dir = Dir::with_mode(0o755);
    let said = dir.path("said");
    let script = format!(
        "{{ echo calls; env | grep -v ^PWD= | grep -v ^SHLVL= | grep -v ^_= | grep -v ^OLDPWD=; readlink /proc/$$/fd/0; grep -E 'SigIgn|CapAmb' /proc/$$/status; }} >> {said}"
    );
    let report = sample(&sleepers, "0.5", &dir, &script);
    assert_eq!(samples(&report).len(), 30);
    let said = fs::read_to_string(said).unwrap();
    assert!(said.matches("calls\n").count() <= 5, "{said}");
    let first = said.split("calls\n").nth(1).unwrap();
    let field = |name: &str| first.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    // The C library reserves signals 32 and 33.
    let bits = |name: &str| u64::from_str_radix(field(name), 16).unwrap() & !(0b11 << 31);
    let mut lines: Vec<&str> = first.lines().take(3).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/dev/null", "LC_ALL=C", "PATH=/usr/bin:/bin"], "{first}");
    assert!(["SigIgn:", "CapAmb:"].iter().all(|name| bits(name) == 0), "{first}");
    assert!(report.facts.warnings.is_empty(), "whoever has no name is no one to warn of: {:?}", report.facts.warnings);
}

#[test]
fn without_getent_users_are_shown_by_number_and_it_is_said() {
    let Some(sleepers) = sleepers(1) else { return };
    let pid = sleepers[0].pid().to_string();
    let cli = Cli::try_parse_from(["psn", "-a", "-p", &pid, "-d", "0.5", "-g", "user"]).unwrap();
    let config = Config { getent: "/nowhere/getent".into(), ..Config::new(&cli.sample).unwrap() };
    let report = within(Duration::from_secs(30), move || session::run(&config, &Stop::default(), &mut ())).unwrap();
    assert_eq!(samples(&report).into_keys().collect::<Vec<_>>(), [FIRST_UID.to_string()]);
    let said = report.facts.warnings.iter().find(|warning| warning.contains("cannot run /nowhere/getent"));
    assert!(said.is_some_and(|said| said.starts_with("a user is shown by number")), "{:?}", report.facts.warnings);
}

#[test]
fn a_proc_root_of_another_system_has_its_users_or_none() {
    let proc = FakeProc::of([Process::single(7, "a", 'S').uid(0), Process::single(8, "b", 'S').uid(4242)]);
    let etc = proc.path().join("1/root/etc");
    fs::create_dir_all(&etc).unwrap();
    let report = || {
        let path = proc.path().to_str().unwrap();
        json::sample(&["--procfs", path, "-a", "-g", "user", "-d", "0.3", "--scan", "proc", "-p", "7,8"])
    };
    let outside = Dir::with_mode(0o755);
    fs::write(outside.path("passwd"), "other:x:0:0::/:\nother2:x:4242:0::/:\n").unwrap();
    let number = |prepare: &dyn Fn()| {
        prepare();
        let report = report();
        assert_eq!(report.samples(&["user"]).into_keys().collect::<Vec<_>>(), ["0", "4242"]);
        let warnings = report.0["warnings"].to_string();
        assert!(warnings.contains("users are shown by number") && warnings.contains("1/root/etc/passwd"), "{warnings}");
    };
    number(&|| {});
    number(&|| symlink(outside.path("passwd"), etc.join("passwd")).unwrap());
    number(&|| {
        fs::remove_file(etc.join("passwd")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, etc.join("passwd"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    });
    fs::remove_file(etc.join("passwd")).unwrap();
    fs::write(etc.join("passwd"), "admin:x:0:0::/:\nhostuser:x:4242:0::/:\n1234:x:9:0::/:\n").unwrap();
    let report = report();
    assert_eq!(report.samples(&["user"]).into_keys().collect::<Vec<_>>(), ["admin", "hostuser"]);
    assert!(!report.0["warnings"].to_string().contains("by number"), "{}", report.0["warnings"]);
}

#[test]
fn names_are_those_of_the_host_in_a_container_that_is_shown_its_processes() {
    if !is_root() || !has_program("unshare") || !has_program("setpriv") {
        return skip("namespaces of one's own need root, unshare and setpriv (util-linux)");
    }
    let dir = Dir::with_mode(0o755);
    fs::create_dir(dir.path("proc")).unwrap();
    fs::write(dir.path("host"), "root:x:0:0::/:\nhostuser:x:4242:0::/:\n").unwrap();
    fs::write(dir.path("container"), "root:x:0:0::/:\ncontainerguy:x:4242:0::/:\n").unwrap();
    // A host with a process of its own, and a container on it that sees the host's processes.
    let container = "mount --bind \"$0/container\" /etc/passwd && exec \"$@\"";
    let host = format!(
        "mount --bind \"$0/host\" /etc/passwd && mount --bind /proc \"$0/proc\" || exit 99
         setpriv --reuid 4242 sleep 100 &
         unshare --mount --propagation private sh -c '{container}' \"$0\" \"$@\""
    );
    let mut psn = command("unshare");
    psn.args([
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        &host,
    ]);
    psn.args([&dir.path(""), env!("CARGO_BIN_EXE_psn"), "--procfs", &dir.path("proc"), "--format", "json"]);
    let ended: Ended = Running::start(psn.args(["-a", "-g", "user", "-d", "0.5", "-p", "^sleep$"])).end();
    if ended.stderr.contains("unshare") || ended.stderr.contains("mount:") {
        return skip(&format!("no such container can be had: {}", ended.stderr.trim()));
    }
    let users = json::parse(&ended).samples(&["user"]);
    assert_eq!(users.into_keys().collect::<Vec<_>>(), ["hostuser"]);
}
