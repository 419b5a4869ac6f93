//! How long threads wait, and which sleepers wait for somebody: held against threads whose waits are known.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use psn_stress::{Kind, Storm};

use crate::support::child::{Running, command, run};
use crate::support::dir::Dir;
use crate::support::json;
use crate::support::{skip, wait_until};
use crate::walk::has_walks;

/// Both scans where this machine has walks, else the one.
pub fn scans() -> &'static [&'static str] {
    if has_walks() { &["kernel", "proc"] } else { &["proc"] }
}

/// Runs `work`, which blocks, in a thread of this name, and waits until it sleeps.
pub fn blocked(name: &str, work: impl FnOnce() + Send + 'static) {
    let (tell, tid) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
            work();
        })
        .unwrap();
    let tid = tid.recv().unwrap();
    wait_until("the thread sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
        stat.contains(") S ")
    });
    // It may have slept for something else at first.
    std::thread::sleep(Duration::from_millis(20));
}

/// The report on this process's threads of these names.
pub fn look(scan: &str, names: &str, args: &[&str]) -> json::Json {
    let own = std::process::id().to_string();
    let condition = format!("comm2 ~ '^({names})$'");
    json::sample(&[&["-p", &own, "-a", "--scan", scan, "-d", "0.5", "--where", &condition], args].concat())
}

#[test]
fn ages_are_those_of_the_waits() {
    let before = Instant::now();
    let storm = Storm::builder().exactly(Kind::Futex, 20).exactly(Kind::Nanosleep, 20).spawn().unwrap();
    let after = Instant::now();
    let root = storm.root_pid().to_string();
    std::thread::sleep(Duration::from_millis(300));
    for scan in scans() {
        let started = Instant::now();
        let select = "wait_ms:max,wait_ms:avg,wait_ns:max,wait_exact:max";
        let args = ["-p", &root, "-r", "-a", "--scan", scan, "-d", "0.5", "-g", "comm2", "-s", select];
        let report = json::sample(&[&args[..], &["--where", "comm2 ~ ^storm-(futex|nanosleep)$"]].concat());
        assert_eq!(report.rows().len(), 2, "{report:?}");
        for row in report.rows() {
            let max_ms = row["wait_ms:max"].as_f64().unwrap();
            assert!(max_ms <= before.elapsed().as_secs_f64() * 1e3, "{row}");
            assert!((row["wait_ns:max"].as_f64().unwrap() / 1e6 - max_ms).abs() < 0.002, "{row}");
            let is_exact = row["wait_exact:max"].as_i64().unwrap();
            assert_eq!(is_exact, i64::from(*scan == "kernel"), "{row}");
            let least = if is_exact == 1 { started - after } else { Duration::ZERO };
            assert!(max_ms >= least.as_secs_f64() * 1e3, "{row}: they have slept for {least:?}");
            // A bound of what psn has seen itself.
            assert!(is_exact == 1 || max_ms <= started.elapsed().as_secs_f64() * 1e3, "{row}");
            assert!(row["wait_ms:avg"].as_f64().unwrap() <= max_ms, "{row}");
        }
    }
}

#[test]
fn a_wait_for_a_cpu_has_an_age_too() {
    if !has_walks() {
        return;
    }
    let cpus = std::thread::available_parallelism().unwrap().get();
    let storm = Storm::builder().exactly(Kind::Spin, u32::try_from(2 * cpus).unwrap()).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let args = ["-p", &root, "-r", "--scan", "kernel", "-d", "1", "-g", "state", "-s", "wait_ms:max,wait_exact:common"];
    let report = json::sample(&[&args[..], &["--where", "comm2 = storm-spin"]].concat());
    let waiting = report.rows().iter().find(|row| row["state"] == "Runnable (waiting for CPU)").unwrap();
    let max_ms = waiting["wait_ms:max"].as_f64().unwrap();
    assert!(max_ms > 0.0 && max_ms < 60_000.0, "{waiting}");
    if let Some(running) = report.rows().iter().find(|row| row["state"] == "Running (ON CPU)") {
        assert_eq!(running["wait_exact:common"], "[running]", "{running}");
    }
}

#[test]
fn the_age_of_a_wait_follows_in_a_replay() {
    let before = Instant::now();
    let storm = Storm::builder().exactly(Kind::Futex, 5).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let directory = Dir::new();
    let file = directory.path("x.db");
    let of_storm = ["-a", "-g", "comm2", "--where", "comm2 = storm-futex"];
    std::thread::sleep(Duration::from_millis(200));
    for scan in scans() {
        let live = ["-p", &root, "-r", "--scan", scan, "-d", "0.5", "-o", &file, "--force"];
        json::sample(&[&live[..], &of_storm[..]].concat());
        let most_ms = before.elapsed().as_secs_f64() * 1e3;
        // Nothing was recorded but since when they wait.
        let select = "wait_ms:max,wait_exact:max,wait_ns:max";
        let replay = json::sample(&[&["-i", &file, "-s", select][..], &of_storm[..]].concat());
        let of = |name: &str| replay.rows()[0][name].as_f64().unwrap();
        assert!(of("wait_ms:max") > 100.0 && of("wait_ms:max") <= most_ms, "{most_ms} {replay:?}");
        assert!((of("wait_ns:max") / 1e6 - of("wait_ms:max")).abs() < 0.01, "{replay:?}");
        assert_eq!(of("wait_exact:max") as i32, i32::from(*scan == "kernel"));
    }
}

/// Live by either scan, and in a replay of both.
#[test]
fn ages_that_are_bounds_are_marked_in_tables_and_nowhere_else() {
    let storm = Storm::builder().exactly(Kind::Futex, 5).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let directory = Dir::new();
    let dataset = directory.path("runs/");
    let condition = ["-a", "-q", "--where", "comm2 = storm-futex"];
    let columns = ["-g", "comm2", "-s", "wait_ms:max,wait_ms:avg,wait_ms:p99,wait_ms:sum,wait_ns:distinct"];
    let signs = |args: &[&str]| {
        let table = run(&[&condition[..], &columns, args].concat());
        assert!(table.status.success(), "{table:?}");
        let row = table.stdout.lines().find(|line| line.contains("(storm-futex)")).unwrap();
        let cells = row.split('|').map(|cell| cell.trim().starts_with('≥')).collect::<Vec<_>>();
        assert_eq!((cells[0], cells[1], cells[6], cells[7]), (false, false, false, false), "{row}");
        assert!(cells[2..6].iter().all(|sign| *sign == cells[2]), "{row}");
        cells[2]
    };
    for scan in scans() {
        let live = ["-p", &root, "-r", "--scan", scan, "-d", "0.3"];
        assert_eq!(signs(&live), *scan == "proc", "{scan}");
        assert_eq!(signs(&[&live[..], &["-o", &dataset]].concat()), *scan == "proc", "{scan}");
        // What was recorded first, by walks, has exact ages; with the second recording, bounds are among them.
        assert_eq!(signs(&["-i", &dataset]), *scan == "proc", "a replay of {scan}");
        let dimension = run(&[&condition[..], &live, &["-g", "wait_ms", "--limit", "1"]].concat());
        assert_eq!(dimension.stdout.contains("≥"), *scan == "proc", "{dimension:?}");
        for format in ["csv", "json", "folded"] {
            let of_programs = run(&[&condition[..], &columns, &live, &["--format", format]].concat());
            assert!(of_programs.status.success() && !of_programs.stdout.contains('≥'), "{of_programs:?}");
        }
    }
}

/// Without a walk, `schedstat` tells since when a thread sleeps. It stays open like `stat`, so both count.
#[test]
fn the_files_that_tell_ages_keep_within_the_limit_on_open_files() {
    let storm = Storm::builder().processes(4).exactly(Kind::Futex, 400).spawn().unwrap();
    let psn = env!("CARGO_BIN_EXE_psn");
    for columns in ["-s wait_ms:max", "-s mean_wait_ms", "-g comm2,wait_exact"] {
        let args = format!("-q -p {} -r -a --scan proc -d 1 --format json {columns}", storm.root_pid());
        let script = format!("ulimit -n 300; exec {psn} {args} --where 'comm2 = storm-futex'");
        let report = json::parse(&Running::start(command("sh").args(["-c", &script])).end());
        assert_eq!(report.0["dropped"].to_string(), "[]", "{columns}");
        let samples: u64 = report.rows().iter().map(|row| row["samples"].as_u64().unwrap()).sum();
        assert_eq!(samples, 400 * report.completed(), "{columns}");
    }
}

#[test]
fn the_ages_of_real_time_threads_are_marked_as_the_bounds_that_they_are() {
    if !has_walks() {
        return skip("only walks know the age of a real-time thread's wait");
    }
    let args = ["-a", "-q", "-d", "0.3", "--scan", "kernel", "--where", "comm2 = migration/0"];
    let table = run(&[&args[..], &["-g", "comm2", "-s", "wait_ms,wait_exact"]].concat());
    let Some(row) = table.stdout.lines().find(|line| line.contains("migration")) else {
        return skip("there is no thread migration/0, as in a PID namespace");
    };
    assert!(row.contains("≤") && row.contains(" -1 "), "{row}");
}

#[test]
fn sleepers_are_told_by_what_they_wait_for() {
    let kinds = [Kind::Futex, Kind::Epoll, Kind::Nanosleep, Kind::Pipe, Kind::Vfork];
    let builder = kinds.into_iter().fold(Storm::builder(), |builder, kind| builder.exactly(kind, 3));
    let storm = builder.spawn().unwrap();
    let root = storm.root_pid().to_string();
    for scan in scans() {
        let args = ["-p", &root, "-r", "--scan", scan, "-d", "0.3", "-g", "comm2,idle", "--where", "comm2 ~ ^storm-"];
        let report = json::sample(&[&args[..], &["-a"]].concat());
        assert_eq!(
            idle_of(&report, through_proc(scan, &[("storm-epoll", "maybe: wake-up", "yes: poll")])),
            [
                "storm-epoll | yes: poll",
                "storm-futex | maybe: condition",
                "storm-nanosleep | yes: time",
                "storm-pipe | no: pipe",
                "storm-vfork | no: uninterruptible",
                "storm-vfork-chi | yes: time",
            ],
            "{scan}"
        );
        let waits = |which: &str| {
            let report = json::sample(&[&args[..], &[which]].concat());
            let mut told: Vec<String> = report.samples(&["comm2"]).into_keys().collect();
            told.retain(|name| *scan == "kernel" || name != "storm-epoll");
            told
        };
        assert_eq!(waits("--waits"), ["storm-pipe", "storm-vfork"], "{scan}");
        assert_eq!(waits("--waits=all"), ["storm-futex", "storm-pipe", "storm-vfork"], "{scan}");
    }
}

/// What the column `idle` says of each name. What is read beside the sampling may not be known, or not at each tick: which file a
/// poll is for, and through /proc which end of a connection a process is and what an epoll instance watches. Where `late` has such
/// a name and what is said as long as it is not known, what is right is taken instead.
fn idle_of(report: &json::Json, late: &[(&str, &str, &str)]) -> Vec<String> {
    let mut told: Vec<String> = report.samples(&["comm2", "idle"]).into_keys().collect();
    for (name, otherwise, right) in late {
        let (otherwise, right) = (format!("{name} | {otherwise}"), format!("{name} | {right}"));
        told.iter_mut().filter(|row| **row == otherwise).for_each(|row| row.clone_from(&right));
    }
    told.sort_unstable();
    told.dedup();
    told
}

/// `late`, which only is so through /proc.
fn through_proc<'a, T>(scan: &str, late: &'a [T]) -> &'a [T] {
    if scan == "proc" { late } else { &[] }
}

/// Waits by epoll without a time limit for a pipe and an eventfd, of which neither ever has anything.
fn wait_for_a_wake_up(name: &str, events: usize) {
    use rustix::event::{EventfdFlags, epoll};
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let eventfd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    epoll::add(&set, &reader, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
    epoll::add(&set, &eventfd, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
    std::mem::forget((reader, writer, eventfd));
    blocked(name, move || {
        let mut told = Vec::with_capacity(events);
        epoll::wait(&set, rustix::buffer::spare_capacity(&mut told), None).unwrap();
    });
}

#[test]
fn a_wait_for_one_event_is_told_from_an_event_loop() {
    wait_for_a_wake_up("sl-one", 1);
    wait_for_a_wake_up("sl-many", 64);
    for scan in scans() {
        let report = look(scan, "sl-.*", &["-g", "comm2,idle"]);
        let told = idle_of(&report, through_proc(scan, &[("sl-one", "maybe: wake-up", "no: wake-up")]));
        assert_eq!(told, ["sl-many | yes: poll", "sl-one | no: wake-up"], "{scan}");
    }
}

/// A listener on a port that the kernel gives to no client.
fn service() -> TcpListener {
    (20_000..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap()
}

/// Threads of this process that wait, each named `sw-` and what it waits for, in ways that only a thread's own memory, or
/// nothing, tells apart from idleness, and in ways that are told.
fn wait_in_many_ways(directory: &Dir) {
    static LOCK: Mutex<()> = Mutex::new(());
    let forever = Duration::from_secs(3600);
    std::mem::forget(LOCK.lock().unwrap());
    blocked("sw-mutex", || drop(LOCK.lock()));
    blocked("sw-park", std::thread::park);
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::mem::forget(sender);
    blocked("sw-channel", move || assert!(receiver.recv().is_ok()));
    let sleeper = std::thread::spawn(move || std::thread::sleep(forever));
    blocked("sw-join", move || drop(sleeper.join()));
    blocked("sw-sleep", move || std::thread::sleep(forever));

    let fifo = directory.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    blocked("sw-open", move || drop(std::fs::File::open(fifo)));
    let path = directory.path("locked");
    let [held, wanted] = [(); 2].map(|()| std::fs::File::create(&path).unwrap());
    held.lock().unwrap();
    std::mem::forget(held);
    blocked("sw-flock", move || drop(wanted.lock()));
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::mem::forget(reader);
    blocked("sw-full", move || drop(writer.write_all(&[0; 1 << 20])));

    let listener = service();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    std::mem::forget((client.try_clone().unwrap(), server.try_clone().unwrap()));
    let polled = client.try_clone().unwrap();
    blocked("sw-poll", move || {
        let mut files = [rustix::event::PollFd::new(&polled, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut files, None).unwrap();
    });
    blocked("sw-client", move || drop(client.read(&mut [0])));
    blocked("sw-server", move || drop(server.read(&mut [0])));
    let (mut one, other) = UnixStream::pair().unwrap();
    std::mem::forget(other);
    blocked("sw-pair", move || drop(one.read(&mut [0])));
}

#[test]
fn waits_of_many_kinds_are_told_or_said_to_be_unknown() {
    let directory = Dir::new();
    wait_in_many_ways(&directory);
    for scan in scans() {
        let report = look(scan, "sw-.*", &["-g", "comm2,idle"]);
        let late = [
            ("sw-client", "maybe: socket", "no: server"),
            ("sw-server", "maybe: socket", "yes: client"),
            ("sw-pair", "no: server", "maybe: socket"),
        ];
        let late = [through_proc(scan, &late), &[("sw-poll", "maybe: one file", "no: server")]].concat();
        let expected = [
            ("channel", "maybe: condition"),
            ("client", "no: server"),
            ("flock", "no: file lock"),
            ("full", "no: write"),
            ("join", "no: thread end"),
            ("mutex", "no: lock"),
            ("open", "no: open"),
            ("pair", "maybe: socket"),
            ("park", "maybe: condition"),
            ("poll", "no: server"),
            ("server", "yes: client"),
            ("sleep", "yes: time"),
        ]
        .map(|(name, idle)| format!("sw-{name} | {idle}"));
        assert_eq!(idle_of(&report, &late), expected, "{scan}");
    }
}

#[test]
fn what_only_a_walk_knows_is_unsupported_without() {
    blocked("wt-proc", std::thread::park);
    let report = look("proc", "wt-proc", &["-g", "iowait,wait_exact"]);
    let told = report.samples(&["iowait", "wait_exact"]).into_keys().collect::<Vec<_>>();
    assert_eq!(told, ["[unsupported] | 0"]);
}

#[test]
fn waits_shows_for_what_by_default() {
    let columns = |options: &[&str]| {
        let csv = run(&[options, &["-d", "0.1", "--format", "csv", "-q"]].concat()).stdout;
        let header = csv.lines().find(|line| !line.starts_with('#')).unwrap_or_default().to_owned();
        header.split_once("avg_threads,").map(|(_, columns)| columns.to_owned()).unwrap_or(header)
    };
    assert_eq!(columns(&["--waits"]), "comm,state,idle");
    assert_eq!(columns(&["--waits=all", "-G", "syscall"]), "comm,state,idle,syscall");
    assert_eq!(columns(&["--waits", "-g", "comm"]), "comm");
    assert_eq!(columns(&["-a"]), "comm,state");
}

#[test]
fn waits_goes_with_no_other_choice_of_states() {
    for other in [&["-a"][..], &["--states", "D"]] {
        let ended = run(&[&["--waits"], other].concat());
        assert!(!ended.status.success() && ended.stderr.contains("--waits"), "{ended:?}");
    }
    let wrong = run(&["--waits=none"]);
    assert!(wrong.stderr.contains("all"), "{wrong:?}");
    if !has_walks() {
        skip("without walks a wait has no exact age");
    }
}
