//! Processes that really block their readers, as on a host whose network file system died: one hangs while it holds its
//! memory lock, one in the middle of an exec. The tests need root and FUSE.

use std::fs;
use std::process::Stdio;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use psn_stress::{Hang, storm};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::child::{DEADLINE, Running, command, psn};
use crate::support::json::{self, Json};
use crate::support::{skip, wait_until};
use crate::walk::has_walks;

/// The two hung processes, and three processes that only sleep.
struct Host {
    hang: Hang,
    bystanders: Vec<Running>,
}

impl Host {
    /// Starts the processes. Prints a message and returns `None` if that is not possible here.
    fn start() -> Option<Self> {
        let hang = match Hang::start() {
            Ok(hang) => hang,
            Err(error) => {
                skip(&format!("no FUSE file system can be mounted here: {error}"));
                return None;
            }
        };
        for (pid, file) in [(hang.holder, "cmdline"), (hang.execer, "stat")] {
            if !comes_to_block(pid, file) {
                skip(&format!("this kernel does not block readers of {file} here"));
                return None;
            }
        }
        let sleep = || Running::start(command("sleep").arg("600").stdout(Stdio::null()).stderr(Stdio::null()));
        Some(Self { hang, bystanders: (0..3).map(|_| sleep()).collect() })
    }

    /// `-p` and the ids of all five.
    fn selection(&self) -> [String; 2] {
        let Hang { holder, execer, .. } = self.hang;
        let pids = self.bystanders.iter().map(Running::pid).chain([holder, execer]);
        ["-p".to_owned(), pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(",")]
    }

    /// Starts psn on the five processes, with `--scan proc`.
    fn psn(&self, args: &[&str]) -> Running {
        self.psn_by("proc", args)
    }

    fn psn_by(&self, scan: &str, args: &[&str]) -> Running {
        let selection = self.selection();
        let selection = selection.iter().map(String::as_str);
        let common = ["--scan", scan, "--format", "json", "-a", "--hz", "50", "--workers", "2"];
        Running::start(&mut psn(&common.into_iter().chain(selection).chain(args.iter().copied()).collect::<Vec<_>>()))
    }

    /// The report of a run of one second. The run must end although some reads are never answered.
    fn sample(&self, columns: &str) -> Json {
        json::parse(&self.psn(&["-d", "1", "-g", columns]).end())
    }
}

/// Whether reads of this file of the process block for good once the process hangs.
fn comes_to_block(pid: u32, file: &str) -> bool {
    /// How many times in a row a reader must be found blocked before it counts as blocked for good.
    const LOOKS: u32 = 50;
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let (sender, answer) = mpsc::channel();
        let (own, reader) = mpsc::channel();
        let path = format!("/proc/{pid}/task/{pid}/{file}");
        // A stuck reader ends when the process that it reads ends.
        std::thread::spawn(move || {
            own.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            sender.send(fs::read(path))
        });
        let reader = reader.recv().unwrap();
        let mut looks = 0;
        while matches!(answer.try_recv(), Err(TryRecvError::Empty)) && Instant::now() < deadline {
            looks = if state(&format!("/proc/self/task/{reader}/stat")) == Some('D') { looks + 1 } else { 0 };
            if looks == LOOKS {
                return true;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    false
}

/// The state letter in the `stat` of a thread whose name has no parenthesis or space.
fn state(path: &str) -> Option<char> {
    fs::read_to_string(path).ok()?.rsplit_once(") ")?.1.chars().next()
}

/// Waits until psn has lost a reader to a thread of each name, and has gone on without it.
fn wait_until_stuck(psn: &Running, names: &[&str]) {
    let proc = format!("/proc/{}", psn.pid());
    let is_stuck = |name: &str| {
        let tasks = fs::read_dir(format!("{proc}/task")).unwrap().flatten().map(|task| task.path());
        tasks.into_iter().any(|task| {
            let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
            comm.starts_with(name) && state(&task.join("stat").display().to_string()) == Some('D')
        })
    };
    for name in names {
        wait_until(&format!("{name} is stuck"), || is_stuck(name));
    }
    wait_until_read(psn);
}

/// Waits until psn has made enough reads for a few passes.
fn wait_until_read(psn: &Running) {
    let reads = || {
        let io = fs::read_to_string(format!("/proc/{}/io", psn.pid())).unwrap();
        io.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse::<u64>().ok()).unwrap()
    };
    let before = reads();
    wait_until("psn goes on reading", || reads() >= before + 300);
}

fn names(report: &Json, pid: u32) -> bool {
    let warnings = report.0["warnings"].as_array().unwrap();
    let says = |warning: &Value| warning.as_str().unwrap().contains(&format!("process {pid} "));
    warnings.iter().any(|warning| says(warning) && warning.as_str().unwrap().contains("blocks whoever reads"))
}

fn abandoned(report: &Json) -> u64 {
    report.0["ticks"]["abandoned"].as_u64().unwrap()
}

#[test]
fn a_process_that_hangs_with_its_memory_lock_held_shows_blocked_and_costs_no_tick() {
    let Some(host) = Host::start() else { return };
    let Hang { holder, execer, .. } = host.hang;
    for (column, known) in [("cmdline", "sleep"), ("cmdline2", "sleep 600"), ("exe", "sleep")] {
        let report = host.sample(&format!("pid,{column}"));
        let samples = report.samples(&["pid", column]);
        let completed = report.completed();
        for bystander in &host.bystanders {
            let own = format!("{} | ", bystander.pid());
            let shown: Vec<_> = samples.iter().filter_map(|(key, n)| Some((key.strip_prefix(&own)?, *n))).collect();
            // The path of the program depends on the host.
            assert!(matches!(shown[..], [(shown, n)] if shown.ends_with(known) && n == completed), "{shown:?}");
        }
        if column != "exe" {
            assert_eq!(samples.get(&format!("{holder} | [blocked]")), Some(&completed), "{samples:?}");
            assert!(names(&report, holder), "{}", report.0["warnings"]);
        }
        // The other process costs a tick, because its stat blocks; this one costs none.
        assert_eq!(abandoned(&report), 1, "{}", report.0["ticks"]);
        assert!(names(&report, execer), "{}", report.0["warnings"]);
    }
}

#[test]
fn mappings_of_a_process_that_holds_its_memory_lock_block_no_tick() {
    let Some(host) = Host::start() else { return };
    let report = host.sample("pid,perms");
    let samples = report.samples(&["pid", "perms"]);
    let completed = report.completed();
    assert_eq!(samples.get(&format!("{} | [blocked]", host.hang.holder)), Some(&completed), "{samples:?}");
    for bystander in &host.bystanders {
        assert!(samples.get(&format!("{} | r-xp", bystander.pid())) >= Some(&completed), "{samples:?}");
    }
    assert_eq!(abandoned(&report), 1, "{}", report.0["ticks"]);
}

#[test]
fn a_process_that_is_stuck_in_exec_costs_one_tick_and_its_state_comes_from_status() {
    let Some(host) = Host::start() else { return };
    let Hang { holder, execer, .. } = host.hang;
    let report = host.sample("pid,state_id,syscall,wchan,ppid");
    let completed = report.completed();
    let states = report.samples(&["pid", "state_id"]);
    for bystander in &host.bystanders {
        assert_eq!(states.get(&format!("{} | S", bystander.pid())), Some(&completed), "{states:?}");
    }
    let of =
        |pid: u32| states.iter().filter(|(key, _)| key.starts_with(&format!("{pid} | "))).map(|(_, n)| n).sum::<u64>();
    assert_eq!((of(holder), of(execer)), (completed, completed), "{states:?}");
    assert_eq!(abandoned(&report), 1, "{}", report.0["ticks"]);
    assert!(names(&report, execer) && !names(&report, holder), "{}", report.0["warnings"]);
    assert_eq!(report.health("stat")["timed_out"], 1);
    let blocked = report.samples(&["pid", "syscall", "wchan", "ppid"]);
    assert_eq!(blocked.get(&format!("{execer} | [blocked] | [blocked] | [blocked]")), Some(&completed), "{blocked:?}");
    let told = report.rows().iter().filter(|row| row["syscall"] == "clock_nanosleep").count();
    assert_eq!(told, host.bystanders.len());
}

#[test]
fn a_walk_tells_what_hangs_and_only_what_is_read_besides_costs_a_tick() {
    let Some(host) = Host::start() else { return };
    if !has_walks() {
        return;
    }
    let Hang { holder, execer, .. } = host.hang;
    let hung = [holder, execer].map(|pid| pid.to_string());
    let walk = |columns| json::parse(&host.psn_by("kernel", &["-d", "1", "-g", columns]).end());
    let told = walk("pid,state_id,syscall,wchan");
    assert_eq!(abandoned(&told), 0, "{}", told.0["ticks"]);
    for row in told.rows().iter().filter(|row| hung.contains(&json::text(&row["pid"]))) {
        assert!(!["[blocked]", "[running]", "-"].contains(&row["syscall"].as_str().unwrap()), "{row}");
        assert_eq!(row["samples"], told.completed(), "{row}");
    }
    assert!(!names(&told, holder) && !names(&told, execer), "{}", told.0["warnings"]);

    let read = walk("pid,syscall,rchar");
    let samples = read.samples(&["pid", "syscall", "rchar"]);
    assert_eq!(abandoned(&read), 1, "{}", read.0["ticks"]);
    assert!(names(&read, execer), "{}", read.0["warnings"]);
    let of_execer: Vec<_> = samples.iter().filter(|(key, _)| key.starts_with(&format!("{execer} | "))).collect();
    let [(key, count)] = of_execer[..] else { panic!("{samples:?}") };
    assert!(key.contains("execve") && key.ends_with(" | [blocked]") && *count == read.completed(), "{samples:?}");
    for bystander in &host.bystanders {
        let own = format!("{} | clock_nanosleep | ", bystander.pid());
        assert_eq!(samples.iter().find(|(key, _)| key.starts_with(&own)).map(|(_, n)| *n), Some(read.completed()));
    }
}

#[test]
fn a_run_with_hung_processes_stops_when_told_with_its_report() {
    let Some(host) = Host::start() else { return };
    for (signal, scan) in [(Signal::INT, "proc"), (Signal::TERM, "proc"), (Signal::INT, "auto")] {
        let psn = host.psn_by(scan, &["-d", "0", "-g", "pid,cmdline,ppid"]);
        wait_until_stuck(&psn, &["psn-worker", "psn-facts"]);
        psn.signal(signal);
        let report = json::parse(&psn.end());
        let samples = report.samples(&["pid"]);
        for bystander in &host.bystanders {
            assert_eq!(samples.get(&bystander.pid().to_string()), Some(&report.completed()));
        }
        assert!(names(&report, host.hang.holder) && names(&report, host.hang.execer));
    }
}

#[test]
fn a_reader_that_is_let_go_counts_as_what_it_was_told_then() {
    let Some(host) = Host::start() else { return };
    let psn = host.psn(&["-d", "0", "-g", "pid,ppid"]);
    wait_until_stuck(&psn, &["psn-worker"]);
    let Hang { execer, .. } = host.hang;
    // The requests that were never answered fail, and the execer is killed. Nothing waits for them any more.
    drop(host.hang);
    wait_until_read(&psn);
    psn.signal(Signal::INT);
    let report = json::parse(&psn.end());
    let samples = report.samples(&["pid", "ppid"]);
    for bystander in &host.bystanders {
        let own = format!("{} | {}", bystander.pid(), std::process::id());
        assert_eq!(samples.get(&own), Some(&report.completed()), "{samples:?}");
    }
    assert!(samples.get(&format!("{execer} | [blocked]")).is_some_and(|blocked| *blocked < report.completed()));
    // The stuck reader got the answer that the thread is gone, and its read counts as gone.
    assert_eq!(report.health("stat")["timed_out"], 0, "{}", report.0["health"]);
}

/// Whether a process exists and is not a zombie.
fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("\nState:") && !status.contains("\nState:\tZ")
}

#[test]
fn nothing_is_left_of_what_hung_however_its_owner_ends() {
    let Some(Host { hang, .. }) = Host::start() else { return };
    let victims = [hang.holder, hang.execer, hang.caller, hang.locker];
    assert!(victims.into_iter().all(lives));
    drop(hang);
    assert!(!victims.into_iter().any(lives), "let go");

    // A killed owner cannot release anything.
    let program = storm::find_program().unwrap();
    let mut owner = command("sh");
    owner.arg("-c").arg("\"$0\" --hang $$; :").arg(program).stdin(Stdio::piped());
    let owner = Running::start(&mut owner);
    let mut pids = Vec::new();
    wait_until("all hang", || {
        pids = owner.said().split_whitespace().map(|pid| pid.parse::<u32>().unwrap()).collect();
        pids.len() == 4
    });
    assert!(comes_to_block(pids[0], "cmdline") && comes_to_block(pids[1], "stat"));
    owner.signal(Signal::KILL);
    wait_until("all have ended", || !pids.iter().any(|pid| lives(*pid)));
}
