//! The load of the host, as /proc/stat and /proc/loadavg have it, beside what psn saw.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use psn::report::{HostLoad, Report, SeenLoad};
use psn::session::{self, Stop};
use psn_stress::{Kind, Storm};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::child::{DEADLINE, Running, command, is_root, run};
use crate::support::dir::Dir;
use crate::support::driver::config;
use crate::support::fake::{FakeProc, Process};
use crate::support::{json, skip, within};

const STAT: &str = "cpu  1 2 3\ncpu0 1 2 3\ncpu2 1 2 3\nintr 9 0\nprocs_running 6\nprocs_blocked 4\nsoftirq 0\n";

/// Two threads in state R, one in D and one asleep.
fn processes() -> FakeProc {
    FakeProc::of([(7, 'R'), (8, 'R'), (9, 'D'), (11, 'S')].map(|(tgid, state)| Process::single(tgid, "thread", state)))
}

#[track_caller]
fn report(proc: &FakeProc, args: &[&str]) -> Report {
    let config = config(proc, &[&["-g", "task", "--hz", "50", "-d", "0.5"], args].concat());
    within(Duration::from_secs(40), move || session::run(&config, &Stop::default(), &mut ()).unwrap())
}

#[test]
fn it_is_read_beside_the_run_and_compared_if_all_threads_are_looked_at() {
    let proc = processes();
    fs::write(proc.path().join("stat"), STAT).unwrap();
    fs::write(proc.path().join("loadavg"), "1.25 0.50 0.10 2/4 99\n").unwrap();
    let load = report(&proc, &[]).facts.host_load.unwrap();
    let seen = SeenLoad { running: 2.0, throttled: 0.0, blocked: 1.0 };
    // Less the thread that read the file.
    let expected = HostLoad {
        cpus: 2,
        load: Some([1.25, 0.5, 0.1]),
        running: 5.0,
        blocked: 4.0,
        reads: load.reads,
        seen: Some(seen),
    };
    assert_eq!(load, expected);
    assert!((1..=50).contains(&load.reads), "{load:?}");
    for part in [&["-p", "7,8"][..], &["-t", "7"], &["--show-yourself"]] {
        let load = report(&proc, part).facts.host_load.unwrap();
        assert_eq!((load.running, load.seen), (5.0, None), "{part:?}");
    }
}

#[test]
fn without_the_files_nothing_is_said_of_it() {
    let proc = processes();
    assert_eq!(report(&proc, &[]).facts.host_load, None);
    fs::write(proc.path().join("stat"), "cpu0 1\nprocs_running 6\n").unwrap();
    assert_eq!(report(&proc, &[]).facts.host_load, None);
    fs::write(proc.path().join("stat"), STAT).unwrap();
    let load = report(&proc, &[]).facts.host_load.unwrap();
    assert_eq!((load.cpus, load.load), (2, None));
}

#[test]
fn it_is_shown_live_and_on_replay_of_a_whole_run() {
    let _storm = Storm::builder().exactly(Kind::Spin, 3).deadline(DEADLINE).spawn().unwrap();
    let dir = Dir::new();
    let path = dir.path("run.db");
    let live = json::sample(&["-d", "2", "-o", &path]);
    let load = &live.0["host_load"];
    let cpus = fs::read_to_string("/proc/stat").unwrap().lines().filter(|line| line.starts_with("cpu")).count() - 1;
    assert_eq!(load["cpus"], cpus, "{load}");
    // Of those that spin, none sleeps at any time.
    assert!(load["running"].as_f64().unwrap() >= 3.0, "{load}");
    assert!(load["seen"]["running"].as_f64().unwrap() >= 3.0, "{load}");
    assert!(load["load"].as_array().unwrap().iter().all(|load| load.as_f64().unwrap() >= 0.0), "{load}");
    let replayed = json::parse(&run(&["-i", &path, "--format", "json"]));
    assert_eq!(&replayed.0["host_load"], load);
    let table = run(&["-i", &path]).stdout;
    let line = table.lines().find(|line| line.starts_with("host: ")).unwrap();
    assert!(line.contains("CPU") && line.contains("; seen: ") && line.ends_with(" D"), "{line}");
    let part = json::parse(&run(&["-i", &path, "--format", "json", "--from", "-1s"]));
    assert!(part.0["host_load"].is_null(), "that of the whole run is not that of a part of its time");
}

/// A control group of the CPU controller (version 1) with a hundredth of a CPU, removed at the end.
struct CpuGroup(PathBuf);

impl CpuGroup {
    fn new() -> std::io::Result<Self> {
        let group = Self(format!("/sys/fs/cgroup/cpu/psn-test-{}", std::process::id()).into());
        fs::create_dir(&group.0)?;
        fs::write(group.0.join("cpu.cfs_period_us"), "1000000")?;
        fs::write(group.0.join("cpu.cfs_quota_us"), "10000")?;
        Ok(group)
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        // All of them were started for this group.
        let members = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        // The group is busy until the kernel has taken down its last process.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn throttled_threads_do_not_count_as_waiting_for_a_cpu() {
    if !is_root() {
        return skip("making control groups takes root");
    }
    let group = match CpuGroup::new() {
        Ok(group) => group,
        Err(error) => return skip(&format!("no control group of the CPU controller can be made: {error}")),
    };
    let mut shell = command("sh");
    let loops = "i=0; while [ $i -lt 10 ]; do (while :; do :; done) & i=$((i+1)); done";
    let procs = group.0.join("cgroup.procs");
    shell.args(["-c", &format!("echo $$ > {}; {loops}; wait", procs.display())]);
    let loops = Running::start(&mut shell);
    // Ten loops share 10 ms of CPU time a second, so nearly all of the time all of them are throttled.
    std::thread::sleep(Duration::from_millis(1500));
    let report = json::sample(&["-d", "2", "-g", "comm,state"]);
    let load = &report.0["host_load"];
    drop(loops);
    if report.0["scan"] != "kernel" {
        return skip("only walks tell which threads are throttled");
    }
    let seen = |name: &str| load["seen"][name].as_f64().unwrap();
    assert!(seen("throttled") > 7.0, "{load}");
    let throttled: u64 = report
        .samples(&["state"])
        .iter()
        .filter(|(state, _)| state.contains("throttled"))
        .map(|(_, samples)| samples)
        .sum();
    assert!((seen("throttled") * report.completed() as f64 - throttled as f64).abs() < 0.5, "{load}");
}
