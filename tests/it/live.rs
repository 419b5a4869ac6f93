//! The host's real /proc, with threads whose states are known.
//!
//! A sleeping thread is asleep in every sample, so its average is exact however busy the machine is. The same holds for a
//! spinning thread, which is in state R whether it has a CPU or waits for one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser as _;
use psn::ask::registry::COLUMNS;
use psn::config::Config;
use psn::config::cli::Cli;
use psn::proc::source::Source;
use psn::report::Report;
use psn::session::{self, Progress, SessionError, Status, Stop};
use psn_stress::storm::Builder;
use psn_stress::{Kind, Storm, TaskGroup, Truth};
use rustix::process::Signal;

use crate::support::child::{DEADLINE, Running, command, has_program, is_root, psn, run};
use crate::support::dir::Dir;
use crate::support::report::{column, only, samples, value};
use crate::support::{json, skip, within};

#[track_caller]
fn config(args: &[&str]) -> Config {
    let cli = Cli::try_parse_from([&["psn"], args].concat()).unwrap_or_else(|error| panic!("{error}"));
    Config::new(&cli.sample).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn try_sample(args: &[&str]) -> Result<Report, SessionError> {
    let config = config(args);
    within(Duration::from_secs(60), move || session::run(&config, &Stop::default(), &mut ()))
}

#[track_caller]
fn sample(args: &[&str]) -> Report {
    let report = try_sample(args).unwrap();
    assert!(report.facts.ticks.completed > 0, "{:?}", report.facts.ticks);
    report
}

/// Every kind of thread whose state does not change.
fn all_kinds() -> Builder {
    Storm::builder()
        .argument("--list")
        .processes(3)
        .exactly(Kind::Futex, 20)
        .exactly(Kind::Epoll, 9)
        .exactly(Kind::Nanosleep, 8)
        .exactly(Kind::Pipe, 7)
        .exactly(Kind::Spin, 2)
        .exactly(Kind::Vfork, 2)
        .exactly(Kind::Stopped, 3)
}

/// The groups of threads whose state does not change.
fn settled(truth: &Truth) -> impl Iterator<Item = &TaskGroup> {
    truth.tasks.iter().filter(|group| group.kind.settled_state().is_some())
}

#[test]
fn threads_are_reported_in_their_states_system_calls_and_wait_channels() {
    let storm = all_kinds().spawn().unwrap();
    let root = storm.root_pid().to_string();
    let report = sample(&["-p", &root, "-r", "-a", "-g", "comm2,state_id,syscall,wchan", "-d", "1", "--hz", "40"]);
    let ticks = report.facts.ticks.completed;
    let found = samples(&report);
    let mut known = 0;
    for group in settled(storm.truth()) {
        let syscall = match group.syscall.as_deref() {
            Some("running") | None => "[running]",
            Some(name) => name,
        };
        let comm = group.comm.as_deref().unwrap();
        let key = format!("{comm} | {} | {syscall} | {}", group.state.unwrap(), group.wchan.as_deref().unwrap_or("0"));
        assert_eq!(found.get(&key), Some(&(u64::from(group.count) * ticks)), "{key} of {found:#?}");
        known += group.count;
    }
    assert_eq!(known, 20 + 9 + 8 + 7 + 2 + 2 + 3 + 2, "every kind, and the children of the vforks");
    assert_eq!(report.facts.tasks.threads, u64::from(storm.truth().threads_total));
    assert_eq!(report.facts.tasks.processes, u64::from(storm.truth().processes_total));
    assert_eq!(samples(&report).values().sum::<u64>(), u64::from(storm.truth().threads_total) * ticks);
}

#[test]
fn only_active_threads_are_reported_unless_told_otherwise() {
    let storm = all_kinds().spawn().unwrap();
    let root = storm.root_pid().to_string();
    let report = sample(&["-p", &root, "-r", "-g", "comm2,state_id", "-d", "0.5"]);
    let mut averages = crate::support::report::averages(&report);
    // The storm's own thread wakes up now and then to check the others.
    averages.retain(|key, _| !key.starts_with("psn-storm "));
    let of = |key: &str| averages.get(key).map(String::as_str);
    assert_eq!(of("storm-spin | R"), Some("2.0000"), "{averages:?}");
    assert_eq!(of("storm-vfork | D"), Some("2.0000"), "{averages:?}");
    assert_eq!(of("storm-stopped | T"), Some("3.0000"), "{averages:?}");
    assert_eq!(averages.len(), 3, "{averages:?}");
    let disk = sample(&["-p", &root, "-r", "-g", "comm2", "-d", "0.2", "--states", "D"]);
    assert_eq!(column(&disk, "comm2"), ["storm-vfork"]);
}

#[test]
fn the_program_prints_what_the_library_reports() {
    let storm = all_kinds().spawn().unwrap();
    let root = storm.root_pid().to_string();
    let report = json::sample(&["-p", &root, "-r", "-a", "-G", "syscall", "-d", "0.5"]);
    let found = report.samples(&["comm", "state", "syscall"]);
    for (key, threads) in [
        ("storm-futex | Sleep (Interruptible) | futex", 20),
        ("storm-pipe | Sleep (Interruptible) | read", 7),
        ("storm-stopped | (stopped) | kill", 3),
    ] {
        assert_eq!(found.get(key), Some(&(threads * report.completed())), "{key} of {found:#?}");
    }
    // The kernel walk distinguishes threads that wait for a CPU from those that have one.
    let spinning = ["Running (ON CPU)", "Runnable (waiting for CPU)"]
        .map(|state| found.get(&format!("storm-spin | {state} | [running]")).copied().unwrap_or(0));
    assert_eq!(spinning.iter().sum::<u64>(), 2 * report.completed(), "{found:#?}");
    assert_eq!(report.0["tasks"]["threads"], storm.truth().threads_total);
}

/// What psn prints if none of the threads is active.
fn printed(args: &[&str]) -> String {
    let mut psn = command(env!("CARGO_BIN_EXE_psn"));
    Running::start(psn.args(args).args(["-d", "0.3", "-q"])).end().stdout
}

#[test]
fn where_threads_sleep_is_told_if_none_is_active() {
    let storm = Storm::builder().exactly(Kind::Epoll, 13).exactly(Kind::Futex, 2).deadline(DEADLINE).spawn().unwrap();
    let pids = storm.truth().all_pids().filter(|pid| *pid != storm.root_pid());
    let pids = pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(",");
    for scan in ["proc", "auto"] {
        let text = printed(&["--scan", scan, "-p", &pids]);
        let told = "no active threads; 15 slept: 13.00 in epoll_pwait, 2.00 in futex (-a shows them)";
        assert!(text.contains(told), "{scan}: {text}");
        let text = printed(&["--scan", scan, "-p", &pids, "--where", "comm2 = storm-futex"]);
        assert!(text.contains("no active threads; 2 slept: 2.00 in futex (-a shows them)"), "{scan}: {text}");
    }
    let with_footer = run(&["-p", &pids, "-d", "0.3"]).stdout;
    let last = with_footer.lines().last().unwrap();
    assert_eq!(last, "sleepers: --waits shows those that wait for somebody or something");
    assert!(!run(&["-p", &pids, "-d", "0.3", "--waits"]).stdout.contains("sleepers:"));
    let text = printed(&["-p", &pids, "-a", "--where", "comm2 = nobody"]);
    assert!(text.contains("no threads met the conditions of --where (15.00 on average did not)"), "{text}");
    let text = printed(&["-p", &pids, "--states", "D"]);
    assert!(text.contains("no threads in these states were seen"), "{text}");
}

#[test]
fn hostile_names_are_counted_byte_for_byte() {
    let storm = Storm::builder().threads(120).processes(3).names("hostile").spawn().unwrap();
    let root = storm.root_pid().to_string();
    let report = json::sample(&["-p", &root, "-r", "-a", "-g", "comm2,state_id", "-d", "0.5"]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for row in report.rows() {
        // No name forges a state: all threads sleep, except the storm's own thread now and then.
        assert!(row["state_id"] == "S" || row["comm2"] == "psn-storm", "{row}");
        let bytes =
            row["comm2_bytes"].as_str().map_or_else(|| hex(row["comm2"].as_str().unwrap().as_bytes()), str::to_owned);
        *found.entry(bytes).or_default() += row["samples"].as_u64().unwrap();
    }
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for group in &storm.truth().tasks {
        *told.entry(group.comm_hex.clone().unwrap()).or_default() += u64::from(group.count) * report.completed();
    }
    assert_eq!(found, told);
}

#[test]
fn stable_threads_are_counted_in_every_tick_while_others_come_and_go() {
    let churn = ["--births", "300", "--forks", "100", "--lifetime", "7"];
    let storm = churn.into_iter().fold(Storm::builder().processes(4), Builder::argument);
    let storm = storm.exactly(Kind::Futex, 400).exactly(Kind::Pipe, 100).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let args =
        ["-p", &root, "-r", "-a", "-g", "comm2,state_id,syscall", "-d", "2", "--hz", "25", "--discover-hz", "20"];
    let report = sample(&args);
    let found = samples(&report);
    let ticks = report.facts.ticks.completed;
    assert_eq!(found.get("storm-futex | S | futex"), Some(&(400 * ticks)), "{found:#?}");
    assert_eq!(found.get("storm-pipe | S | read"), Some(&(100 * ticks)), "{found:#?}");
    for (file, counts) in &report.facts.health {
        assert_eq!(counts.attempts(), counts.ok + counts.gone, "{file}: {counts:?}");
    }
    assert_eq!(report.facts.tasks.skipped, 0);
}

#[test]
fn single_threads_are_sampled_by_their_ids_whosever_they_are() {
    let storm = all_kinds().spawn().unwrap();
    let of = |kind| storm.truth().threads.iter().rfind(|(_, _, known)| *known == kind).unwrap();
    let (pipe_pid, pipe, _) = of(Kind::Pipe);
    let (futex_pid, futex, _) = of(Kind::Futex);
    assert!(pipe != pipe_pid && futex != futex_pid, "neither leads its process");
    let report = sample(&["-a", "-t", &format!("{pipe},{futex}"), "-g", "pid,task,syscall", "-d", "0.3"]);
    let ticks = report.facts.ticks.completed;
    let wanted = [(format!("{pipe_pid} | {pipe} | read"), ticks), (format!("{futex_pid} | {futex} | futex"), ticks)];
    assert_eq!(samples(&report), wanted.into_iter().collect());
    let root = storm.root_pid().to_string();
    let of_descendant = sample(&["-a", "-p", &root, "-r", "-t", &pipe.to_string(), "-g", "task", "-d", "0.2"]);
    assert_eq!(column(&of_descendant, "task"), [pipe.to_string()]);
}

#[test]
fn a_process_counts_once_even_if_one_of_its_threads_is_named_as_well() {
    let storm = Storm::builder().argument("--list").exactly(Kind::Futex, 5).spawn().unwrap();
    let (pid, tid, _) = storm.truth().threads.iter().find(|(pid, tid, _)| pid != tid).unwrap();
    let report = sample(&["-a", "-p", &format!("{pid},{tid}"), "-g", "pid", "-d", "0.2"]);
    assert_eq!(samples(&report), BTreeMap::from([(pid.to_string(), 5 * report.facts.ticks.completed)]));
    assert!(
        report.facts.warnings.iter().any(|warning| warning.contains(&format!("no process {tid}"))),
        "{:?}",
        report.facts.warnings
    );
}

/// Calls a function at the first tick.
struct AtFirstTick<F: FnMut()>(Option<F>);

impl<F: FnMut()> Progress for AtFirstTick<F> {
    fn update(&mut self, status: Status) {
        if matches!(status, Status::Sampling { .. })
            && let Some(mut act) = self.0.take()
        {
            act();
        }
    }
}

#[test]
fn a_descendant_born_while_psn_runs_is_sampled() {
    // A shell that starts a sleeping child when the test tells it to.
    let mut shell = command("sh");
    shell.args(["-c", "trap 'kill $!' TERM; read line; sleep 30 & wait"]).stdin(Stdio::piped());
    let mut shell = Running::start(&mut shell);
    let mut stdin = shell.stdin().unwrap();
    let config =
        config(&["-p", &shell.pid().to_string(), "-r", "-a", "-g", "comm,syscall", "-d", "3", "--discover-hz", "10"]);
    let report = within(Duration::from_secs(60), move || {
        let mut birth = AtFirstTick(Some(move || stdin.write_all(b"now\n").unwrap()));
        session::run(&config, &Stop::default(), &mut birth).unwrap()
    });
    let found = samples(&report);
    assert!(found.keys().any(|key| key.starts_with("sleep | clock_nanosleep")), "{found:?}");
    assert!(found.keys().any(|key| key.starts_with("sh | ")), "{found:?}");
    // The shell ends its child before itself.
    shell.signal(Signal::TERM);
    shell.end();
}

#[test]
fn sampling_ends_when_the_only_process_ends() {
    let mut sleep = Running::start(command("sleep").arg("2"));
    let pid = sleep.pid().to_string();
    let config = config(&["-p", &pid, "-a", "-d", "40", "--discover-hz", "20"]);
    let sampler = std::thread::spawn(move || {
        within(Duration::from_secs(30), move || session::run(&config, &Stop::default(), &mut ()))
    });
    sleep.stdin();
    let ended = sleep.end();
    assert!(ended.status.success());
    let report = sampler.join().unwrap().unwrap();
    assert!(report.facts.meta.duration_s < 20.0, "{:?}", report.facts.meta);
    assert!(report.facts.warnings.iter().any(|warning| warning.contains("ended")), "{:?}", report.facts.warnings);
}

#[test]
fn a_process_that_has_ended_and_is_not_reaped_is_a_zombie() {
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    let pid = ended.id().to_string();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !stat().contains(") Z ") {
        std::thread::sleep(Duration::from_millis(1));
    }
    let columns = "comm,state,syscall,wchan,kstack,filename,cmdline,exe,vmrss_kb,rss_kb";
    let report = try_sample(&["-p", &pid, "-a", "-g", columns, "-d", "0.2"]);
    ended.wait().unwrap();
    let report = report.unwrap();
    let row = only(&report);
    let shown = columns.split(',').map(|name| value(&report, row, name)).collect::<Vec<_>>().join(" ");
    assert_eq!(shown, "true (zombie) - 0 - - - - - -");
}

/// For a thread of the test's own process, every column that this kernel supports has a value.
#[test]
fn no_column_of_a_live_thread_is_malformed() {
    let storm = Storm::builder().argument("--list").exactly(Kind::Pipe, 2).spawn().unwrap();
    let (pid, tid, _) = *storm.truth().threads.iter().find(|(_, _, kind)| *kind == Kind::Pipe).unwrap();
    let tid_text = tid.to_string();
    for costly in [false, true] {
        let columns: Vec<&str> = COLUMNS
            .iter()
            .filter(|column| (column.source == Source::Smaps) == costly)
            .map(|column| column.name)
            .collect();
        let report = sample(&["-a", "-t", &tid_text, "-g", &columns.join(","), "-d", "0.2"]);
        assert!(!report.rows.is_empty());
        for row in &report.rows {
            for name in &columns {
                let shown = value(&report, row, name);
                assert!(
                    !["[malformed]", "[torn]", "[gone]", "[unread]", "[blocked]"].contains(&&*shown),
                    "{name}: {shown}"
                );
            }
        }
    }
    // Compare some of them with the files, read in another way.
    let path = format!("/proc/{pid}/task/{tid}");
    let status = fs::read_to_string(format!("{path}/status")).unwrap();
    let line = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t")).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let stat = fs::read_to_string(format!("{path}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let first = cmdline.split(|byte| *byte == 0).next().unwrap();
    let link = |name: &str| fs::read_link(format!("{path}/{name}")).unwrap().display().to_string();
    let fd = fs::read_to_string(format!("{path}/syscall")).unwrap();
    let fd = u32::from_str_radix(fd.split_whitespace().nth(1).unwrap().trim_start_matches("0x"), 16).unwrap();
    let wanted = [
        ("pid", pid.to_string()),
        ("ppid", fields[1].to_owned()),
        ("starttime", fields[19].to_owned()),
        ("vsize", fields[20].to_owned()),
        ("exit_code", fields[49].to_owned()),
        ("vmsize_kb", line("VmSize")),
        ("threads", line("Threads")),
        ("uid", line("Uid")),
        ("capeff", line("CapEff")),
        ("voluntary_ctxt_switches", line("voluntary_ctxt_switches")),
        ("cmdline", String::from_utf8(first.to_vec()).unwrap()),
        ("exe", link("exe")),
        ("filename2", link(&format!("fd/{fd}"))),
        ("pid_ns", link("ns/pid").trim_matches(|c: char| !c.is_ascii_digit()).to_owned()),
        ("wchan", fs::read_to_string(format!("{path}/wchan")).unwrap()),
        (
            "sched_run_ns",
            fs::read_to_string(format!("{path}/schedstat")).unwrap().split(' ').next().unwrap().to_owned(),
        ),
    ];
    let columns: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    let report = sample(&["-a", "-t", &tid_text, "-g", &columns.join(","), "-d", "0.2"]);
    let row = only(&report);
    for (name, wanted) in &wanted {
        assert_eq!(value(&report, row, name), *wanted, "{name}");
    }
}

#[test]
fn kernel_threads_are_selected_and_told_like_any_other() {
    let report = sample(&["-a", "-p", "^kthreadd$|^kworker/", "-g", "comm2,kthread,syscall,exe,cmdline", "-d", "0.3"]);
    let kthreadd = report.rows.iter().find(|row| value(&report, row, "comm2") == "kthreadd");
    let Some(kthreadd) = kthreadd else {
        crate::support::skip("this PID namespace has no kernel threads");
        return;
    };
    assert_eq!(value(&report, kthreadd, "kthread"), "1");
    assert_eq!(value(&report, kthreadd, "syscall"), "[kernel_thread]");
    assert_eq!(value(&report, kthreadd, "cmdline"), "-");
}

#[test]
fn psn_leaves_itself_out_unless_asked_for() {
    let rows_of = |args: &[&str]| {
        let sampler = Running::start(&mut psn(&[&["--format", "json", "-a", "-g", "pid", "-d", "0.3"], args].concat()));
        let pid = sampler.pid();
        let report = json::parse(&sampler.end());
        (report.samples(&["pid"]).get(&pid.to_string()).copied(), report.completed())
    };
    assert_eq!(rows_of(&[]).0, None);
    let (samples, ticks) = rows_of(&["--show-yourself"]);
    assert!(samples.is_some_and(|samples| samples >= 3 * ticks), "coordinator, discovery and workers: {samples:?}");
}

#[test]
fn what_is_mounted_over_a_file_of_the_host_is_not_believed() {
    if !is_root() || !has_program("unshare") {
        return skip("mounting takes root and unshare");
    }
    let dir = Dir::new();
    let (fixed, program) = (dir.path("loadavg"), dir.path("short-lived"));
    fs::write(&fixed, "0.00 0.00 0.00 1/10 99\n").unwrap();
    fs::copy("/bin/sleep", &program).unwrap();
    let psn = format!("{} -q --scan proc -a -d 2.5 -g comm2 --discover-hz 20 --format json", env!("CARGO_BIN_EXE_psn"));
    let script = format!("mount --bind {fixed} /proc/loadavg || exit 77; (sleep 0.7; {program} 1.5; :) & exec {psn}");
    let mut shell = command("unshare");
    shell.args(["-m", "sh", "-c", &script]);
    let ended = Running::start(&mut shell).end();
    if ended.status.code() == Some(77) {
        return skip(&format!("nothing can be mounted here: {}", ended.stderr));
    }
    let report = json::parse(&ended);
    let seen = report.samples(&["comm2"]).get("short-lived").copied().unwrap_or_default();
    // A full listing, which is made without any sign of a birth, would come too late.
    assert!(seen * 4 > report.completed(), "{seen} of {} ticks", report.completed());
    let warnings = report.0["warnings"].to_string();
    assert!(warnings.contains("/proc/loadavg is not of the proc file system"), "{warnings}");
}
