//! The kernel walk in the place of /proc: the same groups, the same averages, and no row that mixes instants.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use clap::Parser as _;
use psn::config::Config;
use psn::config::cli::Cli;
use psn::session::{self, Progress, Status, Stop};
use psn_stress::storm::Builder;
use psn_stress::{Kind, Storm};
use serde_json::Value;

use crate::support::child::{DEADLINE, Ended, Running, command, has_program, is_root, psn, run};
use crate::support::fake::{FakeProc, Process, Thread};
use crate::support::json::{self, Json, text};
use crate::support::reader::{PublicCopy, Reader, can_become_anybody};
use crate::support::{skip, wait_until, within};

/// Whether the kernel walk works on this machine; prints a message if not.
pub fn has_walks() -> bool {
    let ended = run(&["--scan", "kernel", "-d", "0.1", "-q"]);
    if !ended.status.success() {
        skip(&ended.stderr);
    }
    ended.status.success()
}

/// Starts psn with these arguments and `--format json`.
fn started(args: &[&str]) -> Running {
    Running::start(&mut psn(&[&["-q", "--format", "json"], args].concat()))
}

/// The reports of both scans, taken at the same time.
fn both(args: &[&str]) -> (Json, Json) {
    let [kernel, proc] = ["kernel", "proc"].map(|scan| started(&[args, &["--scan", scan]].concat()));
    let (kernel, proc) = (json::parse(&kernel.end()), json::parse(&proc.end()));
    assert_eq!((&kernel.0["scan"], &proc.0["scan"]), (&Value::from("kernel"), &Value::from("proc")));
    assert!(kernel.0["scan_level"].is_string() && proc.0["scan_reason"].is_null());
    (kernel, proc)
}

/// The groups and their numbers of threads, for threads whose state does not change: each group must be in all ticks.
fn threads_by(report: &Json, columns: &[&str]) -> BTreeMap<String, u64> {
    let ticks = report.completed();
    let whole = |(key, samples): (String, u64)| {
        assert_eq!(samples % ticks, 0, "{key}: {samples} samples in {ticks} ticks of {}", report.0["scan"]);
        (key, samples / ticks)
    };
    report.samples(columns).into_iter().map(whole).collect()
}

/// Threads of every kind whose state does not change.
fn still() -> Builder {
    Storm::builder()
        .argument("--list")
        .processes(3)
        .exactly(Kind::Futex, 200)
        .exactly(Kind::Epoll, 9)
        .exactly(Kind::Nanosleep, 8)
        .exactly(Kind::Pipe, 7)
        .exactly(Kind::Vfork, 2)
        .exactly(Kind::Stopped, 3)
}

/// Leaves out the storm's own threads, which wake now and then.
const OF_STORM: &str = "comm2 ~ ^storm-";

#[test]
fn threads_that_stand_still_are_told_the_same_by_both_scans() {
    if !has_walks() {
        return;
    }
    let storm = still().spawn().unwrap();
    let root = storm.root_pid().to_string();
    for columns in [
        "comm2,state_id,syscall,wchan",
        "comm,state,state2,kthread,uid,user",
        "task,pid,starttime,flags,processor",
        "comm2,kstack,syscall_id,arg0,arg3,esp,eip",
        "comm2,wchan,filename,filename2,basename",
        "task,ppid,nice,vsize,gid,tracerpid,cgroup,pid_ns",
        "comm2,cmdline,exe,rchar",
    ] {
        let names: Vec<&str> = columns.split(',').collect();
        // Only a walk tells what an epoll instance watches, which it shows in the place of the name.
        let without = if columns.contains("filename") { "comm2 != storm-epoll" } else { "comm2 != x" };
        let epolls = if columns.contains("filename") { 9 } else { 0 };
        let args = ["-p", &root, "-r", "-a", "-d", "0.6", "-g", columns, "--where", OF_STORM, "--where", without];
        let mut reports = both(&args);
        // On a busy host a title may come too late for its tick. The row then says so.
        wait_until("no title comes too late", || {
            let is_late = |report| threads_by(report, &names).keys().any(|key| key.contains("[stale]"));
            let is_late = is_late(&reports.0) || is_late(&reports.1);
            if is_late {
                reports = both(&args);
            }
            !is_late
        });
        let (kernel, proc) = reports;
        let told = threads_by(&kernel, &names);
        assert_eq!(told, threads_by(&proc, &names), "{columns}");
        assert_eq!(told.values().sum::<u64>(), 200 + 9 + 8 + 7 + 2 + 2 + 3 - epolls, "{told:#?}");
        // No row can be torn: threads whose state does not change cannot move on.
        assert_eq!(kernel.0["coverage"]["torn"], 0, "{columns}: {}", kernel.0["coverage"]);
        assert_eq!(kernel.0["coverage"]["rows"], proc_rows(&kernel), "{columns}");
        for class in ["denied", "unsupported", "timed_out", "dropped", "malformed"] {
            for file in kernel.0["health"].as_array().unwrap() {
                assert_eq!(file[class], 0, "{columns}: {file}");
            }
        }
        assert!(kernel.health("kernel")["ok"] > 200 * kernel.completed(), "{}", kernel.0["health"]);
    }
}

fn proc_rows(report: &Json) -> u64 {
    report.rows().iter().map(|row| row["samples"].as_u64().unwrap()).sum()
}

#[test]
fn what_the_record_tells_is_not_read() {
    if !has_walks() {
        return;
    }
    let storm = still().spawn().unwrap();
    let root = storm.root_pid().to_string();
    let report = json::sample(&[
        "--scan",
        "kernel",
        "-p",
        &root,
        "-r",
        "-a",
        "-d",
        "0.4",
        "-g",
        "comm,state,syscall,wchan,kstack,cpu,user",
    ]);
    for file in ["syscall", "wchan", "stack", "schedstat", "io"] {
        assert!(report.health(file).is_empty(), "{file}: {:?}", report.health(file));
    }
    // Threads that the walk does not show may have torn rows.
    if report.0["tasks"]["unseen"] == 0 {
        assert!(report.health("stat").is_empty(), "{:?}", report.health("stat"));
    }
}

#[test]
fn restless_threads_are_told_with_the_same_averages_by_both_scans() {
    if !has_walks() {
        return;
    }
    let storm = Storm::builder().processes(2).exactly(Kind::Fsync, 8).exactly(Kind::Spin, 3).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let args = ["-p", &root, "-r", "-a", "-d", "4", "--hz", "100", "-s", "ci95", "--where", OF_STORM];
    let (kernel, proc) = both(&[&args[..], &["-g", "comm2,state_id,syscall,wchan"]].concat());
    let by_state = |report: &Json| {
        let mut states: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for row in report.rows() {
            let state = states.entry(format!("{} {}", text(&row["comm2"]), text(&row["state_id"]))).or_default();
            state.0 += row["avg_threads"].as_f64().unwrap();
            // The sum of the intervals of a state's groups is at least the interval of their sum.
            state.1 += row["ci95"].as_f64().unwrap_or(0.0);
        }
        states
    };
    let (walked, read) = (by_state(&kernel), by_state(&proc));
    for state in walked.keys().chain(read.keys()) {
        let of = |states: &BTreeMap<String, (f64, f64)>| states.get(state).copied().unwrap_or_default();
        let ((walked, width), (read, other)) = (of(&walked), of(&read));
        assert!((walked - read).abs() <= 4.0 * (width + other) + 0.5, "{state}: {walked} walked, {read} read");
    }
    for row in kernel.rows() {
        let [state, syscall, wchan] = ["state_id", "syscall", "wchan"].map(|column| text(&row[column]));
        assert!(!(state == "R" && !(syscall == "[running]" && wchan == "0")), "running, and in a wait: {row}");
        assert!(!(state != "R" && syscall == "[running]"), "waiting, and running: {row}");
        let syncs = wchan.contains("fsync") || wchan.contains("jbd2") || wchan == "folio_wait_bit_common";
        assert!(!syncs || !matches!(&*syscall, "[torn]" | "-"), "a wait without its call: {row}");
    }
    let coverage = &kernel.0["coverage"];
    let [checked, torn] = ["checked", "torn"].map(|member| coverage[member].as_u64().unwrap());
    eprintln!("{torn} of {checked} waiting threads moved on while they were looked at");
    assert!(checked > 0 && torn * 50 <= checked, "{coverage}");
}

#[test]
fn every_thread_is_in_every_tick() {
    if !has_walks() {
        return;
    }
    const THREADS: u32 = 10_000;
    let storm = Storm::builder().processes(20).exactly(Kind::Futex, THREADS);
    let storm = match storm.spawn() {
        Ok(storm) => storm,
        Err(error) => return skip(&error.to_string()),
    };
    let report = json::sample(&["--scan", "kernel", "-a", "-G", "syscall,wchan,pid", "-d", "2", "--hz", "10"]);
    let pids: Vec<String> = storm.truth().all_pids().map(|pid| pid.to_string()).collect();
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for row in report.rows().iter().filter(|row| pids.contains(&text(&row["pid"])) && row["comm"] == "storm-futex") {
        let key = ["state", "syscall", "wchan"].map(|column| text(&row[column])).join(" | ");
        *groups.entry(key).or_default() += row["samples"].as_u64().unwrap();
    }
    assert_eq!(groups.len(), 1, "{groups:#?}");
    assert_eq!(groups.into_values().sum::<u64>(), u64::from(THREADS) * report.completed());
}

#[test]
fn threads_of_any_name_and_by_their_ids_are_selected_as_through_proc() {
    if !has_walks() {
        return;
    }
    let storm = Storm::builder().threads(120).processes(3).names("hostile").argument("--list").spawn().unwrap();
    let threads = &storm.truth().threads;
    let root = storm.root_pid().to_string();
    let asleep = ["--where", "comm2 != psn-storm"];
    let (kernel, proc) = both(&[&["-p", &root, "-r", "-a", "-g", "comm2,state_id", "-d", "0.4"], &asleep[..]].concat());
    let columns = ["comm2", "comm2_bytes", "state_id"];
    assert_eq!(threads_by(&kernel, &columns), threads_by(&proc, &columns));

    let (pid, tid, _) = threads.iter().rfind(|(pid, tid, _)| pid != tid).unwrap();
    let one = ["--scan", "kernel", "-a", "-d", "0.3", "-g", "pid,task"];
    let of_thread = json::sample(&[&one[..], &["-t", &tid.to_string()]].concat());
    assert_eq!(threads_by(&of_thread, &["pid", "task"]), BTreeMap::from([(format!("{pid} | {tid}"), 1)]));
    let of_process = json::sample(&[&one[..], &["-p", &pid.to_string()]].concat());
    let expected = threads.iter().filter(|(of, ..)| of == pid).map(|(pid, tid, _)| (format!("{pid} | {tid}"), 1));
    assert_eq!(threads_by(&of_process, &["pid", "task"]), expected.collect());
    let of_name = json::sample(&["--scan", "kernel", "-a", "-d", "0.3", "-g", "pid", "-p", "^psn-storm$"]);
    assert!(threads_by(&of_name, &["pid"]).contains_key(&root));
}

#[test]
fn running_is_told_from_waiting_for_a_cpu() {
    if !has_walks() {
        return;
    }
    let cpus = std::thread::available_parallelism().unwrap().get();
    let spinners = u32::try_from(2 * cpus + 1).unwrap();
    let storm = Storm::builder().exactly(Kind::Spin, spinners).spawn().unwrap();
    let root = storm.root_pid().to_string();
    // Each look at an instant of its own (--jitter): a psn is on a CPU while it looks, and psns in step, be they of other
    // tests, would leave a host of two CPUs none for the spinners.
    let args =
        ["-p", &root, "-r", "-d", "1.5", "--hz", "50", "--jitter", "1", "--where", "comm2 = storm-spin", "--scan"];
    let look = |scan| json::sample(&[&args[..], &[scan, "-g", "comm2,state,oncpu,state2"]].concat());
    // On a busy host it may take a while until a look finds a spinner on a CPU.
    wait_until("a spinner is seen on a CPU", || {
        let kernel = look("kernel");
        let states = kernel.samples(&["state", "oncpu", "state2"]);
        let of = |key: &str| states.get(key).copied().unwrap_or(0);
        let ticks = kernel.completed();
        let running = of("Running (ON CPU) | 1 | Running (ON CPU)");
        let waiting = of("Runnable (waiting for CPU) | 0 | Runnable (waiting for CPU)");
        assert_eq!(running + waiting, u64::from(spinners) * ticks, "{states:#?}");
        assert!(running <= cpus as u64 * ticks, "{states:#?}");
        assert_eq!(kernel.0["tasks"]["running_max"], 0, "it was told");
        running > 0 || cpus == 1
    });
    let proc = look("proc");
    let shown = proc.samples(&["state", "oncpu", "state2"]);
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["Running (ON CPU) | [unsupported] | [unsupported]"]);
    // And the report says that it did not distinguish them.
    assert!(proc.0["tasks"]["running_max"].as_u64().unwrap() >= u64::from(spinners), "{}", proc.0["tasks"]);
    let online = proc.0["tasks"]["cpus"].as_u64().unwrap();
    assert!(online == 0 || online < u64::from(spinners), "{}", proc.0["tasks"]);
    if cpus == 1 {
        return skip("psn itself has the only CPU while it looks");
    }
    // The letter finds both, the name finds one of them.
    let both = ["Runnable (waiting for CPU) | R", "Running (ON CPU) | R"];
    for (condition, found) in [
        ("state=R", &both[..]),
        ("state = Running (ON CPU)", &both[1..]),
        ("state in ('Runnable (waiting for CPU)')", &both[..1]),
    ] {
        wait_until(condition, || {
            let report = json::sample(&[&args[..], &["kernel", "-g", "state,state_id", "--where", condition]].concat());
            let states = report.samples(&["state", "state_id"]);
            assert!(states.keys().all(|state| found.contains(&state.as_str())), "{condition}: {states:?}");
            states.len() == found.len()
        });
    }
}

#[test]
fn threads_count_from_their_birth() {
    if !has_walks() {
        return;
    }
    let storm = Storm::builder().argument("--births").argument("300").argument("--lifetime").argument("20");
    let storm = storm.exactly(Kind::Futex, 50).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let args = ["-p", &root, "-r", "-a", "-d", "2", "--hz", "50", "--discover-hz", "0.01"];
    for columns in ["comm2", "comm2,nice,sched_run_ns:delta"] {
        let (group_by, select) = columns.split_once(',').unwrap_or((columns, "max_threads"));
        let report = json::sample(&[&args[..], &["--scan", "kernel", "-g", group_by, "-s", select]].concat());
        let samples = report.samples(&["comm2"]);
        assert_eq!(samples.get("storm-futex"), Some(&(50 * report.completed())), "{samples:?}");
        // Six threads are alive at any time, on a machine that is not too busy.
        let met = samples.get("churn-birth").copied().unwrap_or(0);
        assert!(met >= report.completed() / 2, "{samples:?} in {} ticks", report.completed());
    }
}

#[test]
fn what_a_walk_does_not_show_is_read_through_proc() {
    if !has_walks() {
        return;
    }
    let tasks = || {
        let names = fs::read_dir("/proc/1/task").unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_str().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = tasks();
    let report = json::sample(&["--scan", "kernel", "-a", "-p", "1", "-g", "task,syscall", "-d", "0.5"]);
    let lasting: Vec<String> = before.intersection(&tasks()).cloned().collect();
    let samples = report.samples(&["task"]);
    for task in &lasting {
        assert_eq!(samples.get(task), Some(&report.completed()), "thread {task}: {samples:?}");
    }
    let unseen = report.0["tasks"]["unseen"].as_u64().unwrap();
    if unseen == 0 {
        skip("this host hides no process from programs: there is nothing to be read through /proc");
        return;
    }
    assert!(unseen >= lasting.len() as u64, "{}", report.0["tasks"]);
    let ended = run(&["--scan", "kernel", "-a", "-p", "1", "-d", "0.3"]);
    assert!(ended.stdout.contains("it cannot see"), "{}", ended.stdout);
}

#[test]
fn kernel_threads_have_their_long_names() {
    if !has_walks() {
        return;
    }
    // The name of a kernel worker, and how often it has run.
    let workers = || {
        let tids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let named = tids.filter_map(|tid| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{tid}/{file}")).ok();
            let name = read("comm").filter(|name| name.starts_with("kworker/"))?;
            Some((format!("{tid} | {} | [kernel_thread]", name.trim_end()), read("schedstat")?))
        });
        named.collect::<BTreeMap<_, _>>()
    };
    let before = workers();
    let report = json::sample(&["--scan", "kernel", "-a", "-p", "^kworker/", "-g", "task,comm2,syscall", "-d", "1"]);
    let after = workers();
    let samples = report.samples(&["task", "comm2", "syscall"]);
    let at_rest: Vec<&String> =
        before.iter().filter(|(key, runs)| after.get(*key) == Some(runs)).map(|(k, _)| k).collect();
    if at_rest.is_empty() {
        skip("this PID namespace has no idle workers of the kernel");
        return;
    }
    for worker in &at_rest {
        assert_eq!(samples.get(*worker), Some(&report.completed()), "{worker}: {samples:#?}");
    }
    assert!(at_rest.iter().any(|key| key.len() > "1 | fifteen letters | [kernel_thread]".len()), "{at_rest:?}");
}

#[test]
fn few_of_many_threads_are_read_through_proc_unless_told_otherwise() {
    if !has_walks() {
        return;
    }
    let _others = Storm::builder().exactly(Kind::Futex, 100).spawn().unwrap();
    let sleeper = Running::start(command("sleep").arg("60"));
    let pid = sleeper.pid().to_string();
    let args = ["-a", "-p", &pid, "-d", "0.2"];
    let scan = |more: &[&str]| json::sample(&[&args[..], more].concat());
    let auto = scan(&[]);
    assert_eq!((&auto.0["scan"], auto.rows().len()), (&Value::from("proc"), 1));
    assert!(
        auto.0["scan_reason"].as_str().unwrap().contains("cheaper than a kernel walk"),
        "{}",
        auto.0["scan_reason"]
    );
    assert_eq!(scan(&["--scan", "kernel"]).0["scan"], "kernel");
    assert_eq!(scan(&["-g", "comm,oncpu"]).0["scan"], "kernel", "only a walk tells it");
    assert_eq!(json::sample(&["-d", "0.2"]).0["scan"], "kernel", "everything is selected");
}

#[test]
fn a_budget_and_an_end_are_kept_as_ever() {
    if !has_walks() {
        return;
    }
    let report = json::sample(&["--scan", "kernel", "--hz", "1000", "-a", "-d", "1.5", "--max-cpu", "2"]);
    assert!(report.0["ticks"]["throttled"].as_u64().unwrap() > 0, "{}", report.0["ticks"]);
    let cli = Cli::try_parse_from(["psn", "--scan", "kernel", "-d", "0", "-a", "--hz", "100"]).unwrap();
    let config = Config::new(&cli.sample).unwrap();
    let stop = Stop::default();
    let mut ten_ticks = StopsAfter(10, stop.clone());
    let report = within(DEADLINE, move || session::run(&config, &stop, &mut ten_ticks).unwrap());
    assert!(
        report.facts.meta.scan == "kernel" && report.facts.ticks.completed >= 9,
        "{:?} {:?}",
        report.facts.meta,
        report.facts.ticks
    );
}

/// Ends the run after this many ticks.
struct StopsAfter(u32, Stop);

impl Progress for StopsAfter {
    fn update(&mut self, status: Status) {
        if matches!(status, Status::Sampling { .. }) {
            self.0 = self.0.saturating_sub(1);
            if self.0 == 0 {
                self.1.stop();
            }
        }
    }
}

#[test]
fn a_made_up_root_is_read_as_ever() {
    let proc = FakeProc::of([Process::new(7).thread(Thread::new(7).state('D'))]);
    let root = proc.path().to_str().unwrap();
    let report = json::sample(&["--procfs", root, "-d", "0.2"]);
    assert_eq!((&report.0["scan"], report.rows().len()), (&Value::from("proc"), 1));
    assert!(report.0["scan_reason"].as_str().unwrap().contains("is not a mounted proc file system"));
    let ended = run(&["--procfs", root, "--scan", "kernel"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("--scan kernel:") && ended.stderr.contains("is not a mounted proc"), "{ended:?}");
    let told = run(&["--procfs", root, "--scan", "proc", "-d", "0.2", "--format", "json"]);
    assert!(json::parse(&told).0["scan_reason"].is_null());
}

/// psn in surroundings without a walk: it reads /proc, its report is right and says why there was no walk. With `--scan kernel` it
/// fails and says why.
fn assert_falls_back(wrap: &dyn Fn() -> Command, storm: &Storm, reason: &str) {
    let root = storm.root_pid().to_string();
    let run = |args: &[&str]| -> Ended { Running::start(wrap().args(args)).end() };
    let args = ["-a", "-r", "-p", &root, "-g", "comm2,state_id", "-d", "0.4", "--format", "json"];
    let ended = run(&args);
    if ended.stdout.is_empty() && !ended.stderr.contains("psn") {
        return skip(&format!("{:?}: {}", wrap(), ended.stderr));
    }
    let report = json::parse(&ended);
    assert_eq!(report.0["scan"], "proc");
    let told = report.0["scan_reason"].as_str().unwrap_or_else(|| panic!("{}", report.0));
    assert!(told.contains(reason), "{told}");
    let samples = report.samples(&["comm2", "state_id"]);
    assert_eq!(samples.get("storm-futex | S"), Some(&(30 * report.completed())), "{samples:?}");
    let footer = run(&["-a", "-r", "-p", &root, "-d", "0.2"]);
    assert!(footer.status.success() && footer.stdout.contains(&format!("scan:     /proc ({told})")), "{footer:?}");
    let refused = run(&["--scan", "kernel", "-d", "0.2"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&format!("psn: --scan kernel: {told}")), "{refused:?}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn where_there_is_no_walk_proc_is_read_and_the_report_says_why() {
    let storm = Storm::builder().exactly(Kind::Futex, 30).spawn().unwrap();
    if can_become_anybody() {
        let copy = PublicCopy::new();
        let lacks = "psn lacks CAP_BPF and CAP_PERFMON";
        assert_falls_back(&|| Reader::Nobody(&[]).command(&copy.path()), &storm, lacks);
        let without = || {
            let mut without = command("setpriv");
            let capabilities = "-bpf,-perfmon,-sys_admin";
            without.args(["--inh-caps", capabilities, "--bounding-set", capabilities]).arg(copy.path());
            without
        };
        assert_falls_back(&without, &storm, lacks);
    }
    if !is_root() || !has_program("unshare") {
        return skip("without root and unshare (util-linux) there are no other surroundings");
    }
    let psn = env!("CARGO_BIN_EXE_psn");
    let unshared = |args: &[&str]| {
        let mut unshared = command("unshare");
        unshared.args(args);
        unshared
    };
    assert_falls_back(&|| unshared(&["--user", "--map-root-user", psn]), &storm, "in a user namespace");
    if has_walks() {
        let script = format!("mount -t tmpfs none /sys && exec {psn} \"$@\"");
        let hidden = || unshared(&["--mount", "sh", "-c", &script, "psn"]);
        assert_falls_back(&hidden, &storm, "the kernel's type description /sys/kernel/btf/vmlinux cannot be read");
    }
}

#[test]
fn in_a_pid_namespace_ids_are_those_of_its_own_proc() {
    if !has_walks() || !has_program("unshare") {
        return;
    }
    let mut inside = command("unshare");
    let script = format!(
        "sleep 60 & {} --scan kernel -a -g pid,task,comm2 -d 0.3 --format json --show-yourself; kill $!",
        env!("CARGO_BIN_EXE_psn")
    );
    let ended = Running::start(inside.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script])).end();
    if ended.stdout.is_empty() {
        return skip(&format!("unshare may not: {}", ended.stderr));
    }
    let report = json::parse(&ended);
    let found = report.samples(&["pid", "task", "comm2"]);
    assert_eq!(found.get("1 | 1 | sh"), Some(&report.completed()), "{found:?}");
    assert_eq!(found.get("2 | 2 | sleep"), Some(&report.completed()), "{found:?}");
    assert!(
        found.keys().all(|key| key.starts_with("1 ") || key.starts_with("2 ") || key.starts_with("3 ")),
        "{found:?}"
    );
}

/// Two capabilities are enough for a walk, and it shows the system calls of all threads. The kernel may hide the names of its
/// functions from a process without further rights. psn then asks /proc for them, which refuses, and the report says so.
#[test]
fn with_two_capabilities_the_calls_of_others_are_told_and_what_is_refused_is_marked() {
    if !has_walks() || !can_become_anybody() {
        return;
    }
    let storm = Storm::builder().exactly(Kind::Pipe, 30).spawn().unwrap();
    let copy = PublicCopy::new();
    let mut capable = command("setpriv");
    capable.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        capable.args([set, "-all,+bpf,+perfmon"]);
    }
    let root = storm.root_pid().to_string();
    capable.arg(copy.path()).args(["--scan", "kernel", "-a", "-r", "-p", &root, "-d", "0.5", "--format", "json"]);
    capable.args(["-g", "comm2,state_id,syscall,wchan,kstack", "--where", OF_STORM]);
    let ended = Running::start(&mut capable).end();
    if ended.stderr.contains("refuses bpf(2)") {
        return skip(&ended.stderr);
    }
    let report = json::parse(&ended);
    let told = threads_by(&report, &["comm2", "state_id", "syscall"]);
    assert_eq!(told, BTreeMap::from([("storm-pipe | S | read".to_owned(), 30)]));
    let waits = threads_by(&report, &["wchan", "kstack"]);
    let are_hidden = report.0["warnings"].to_string().contains("the kernel hides its addresses");
    let is_refused = waits.keys().all(|wait| wait == "[denied] | [denied]");
    assert_eq!(is_refused, are_hidden, "{waits:?} {}", report.0["warnings"]);
}
