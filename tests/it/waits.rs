//! How long threads wait, and which sleepers wait for somebody: held against threads whose waits are known.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use psn_stress::{Kind, Storm};

use crate::support::child::{Running, command, run};
use crate::support::dir::Dir;
use crate::support::json::{self, text};
use crate::support::{skip, wait_until};
use crate::walk::has_walks;

/// Both scans where this machine has walks, else the one.
fn scans() -> &'static [&'static str] {
    if has_walks() { &["kernel", "proc"] } else { &["proc"] }
}

/// Runs `work`, which blocks, in a thread of this name, and waits until it sleeps.
fn blocked(name: &str, work: impl FnOnce() + Send + 'static) {
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
fn look(scan: &str, names: &str, args: &[&str]) -> json::Json {
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

/// Threads that nap again and again, and count their naps. Lengths are uniform, from nothing to twice the mean.
struct Nappers {
    stop: Arc<AtomicBool>,
    naps: Arc<AtomicU64>,
    slept_ns: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Nappers {
    fn new(name: &str, count: u64, mean: Duration) -> Self {
        let (stop, naps, slept_ns) = (Arc::default(), Arc::default(), Arc::default());
        let thread = |number: u64| {
            let (stop, naps, slept_ns) = (Arc::clone(&stop), Arc::clone(&naps), Arc::clone(&slept_ns));
            let work = move || {
                let mut random = number;
                while !AtomicBool::load(&stop, Ordering::Relaxed) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let began = Instant::now();
                    std::thread::sleep(mean.mul_f64((random >> 33) as f64 / f64::from(1_u32 << 30)));
                    AtomicU64::fetch_add(&slept_ns, began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                    AtomicU64::fetch_add(&naps, 1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().name(name.to_owned()).spawn(work).unwrap()
        };
        let threads = (1..=count).map(thread).collect();
        Self { stop, naps, slept_ns, threads }
    }

    /// How many naps there were so far, and how long they were together, milliseconds.
    fn counts(&self) -> (f64, f64) {
        (self.naps.load(Ordering::Relaxed) as f64, self.slept_ns.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

impl Drop for Nappers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn latencies_are_those_that_the_threads_count_themselves() {
    if !has_walks() {
        return;
    }
    let nappers = Nappers::new("sk-nap", 40, Duration::from_millis(8));
    let started = Instant::now();
    let before = nappers.counts();
    let select = "waits_s,waits_s:ci95,mean_wait_ms,mean_wait_ms:ci95,p95_wait_ms,p50_wait_ms:ci95";
    let own = std::process::id().to_string();
    let report = json::sample(&[
        "-p",
        &own,
        "-a",
        "--scan",
        "kernel",
        "-d",
        "4",
        "--hz",
        "50",
        "--jitter",
        "1",
        "-g",
        "comm2",
        "-s",
        select,
        "--where",
        "comm2 = sk-nap",
        "--where",
        "state_id = S",
    ]);
    let (after, seconds) = (nappers.counts(), started.elapsed().as_secs_f64());
    let (naps, slept_ms) = (after.0 - before.0, after.1 - before.1);
    let [row] = report.rows() else { panic!("{report:?}") };
    let told = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{row}"));
    // Of the whole run, its start and end too, in which a busy host may be slower: within the interval and a quarter.
    let rate = naps / seconds;
    assert!((told("waits_s") - rate).abs() < told("waits_s:ci95") + rate / 4.0, "{rate} naps a second: {row}");
    let mean = slept_ms / naps;
    assert!((told("mean_wait_ms") - mean).abs() < told("mean_wait_ms:ci95") + mean / 4.0, "{mean} ms: {row}");
    assert!((10.0..30.0).contains(&told("p95_wait_ms")), "of naps of up to 16 ms: {row}");
    // Through /proc nothing is claimed.
    let report = json::sample(&[
        "-p",
        &own,
        "-a",
        "--scan",
        "proc",
        "-d",
        "0.5",
        "-g",
        "comm2",
        "-s",
        "waits_s",
        "--where",
        "comm2 = sk-nap",
    ]);
    assert_eq!(text(&report.rows()[0]["waits_s"]), "-", "{report:?}");
    let wrong = run(&["-s", "waits_s:max"]);
    assert!(wrong.stderr.contains("waits_s:max") && wrong.stderr.contains(":ci95"), "{wrong:?}");
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
        let all = json::sample(&[&args[..], &["-a"]].concat()).samples(&["comm2", "idle"]);
        let told: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(
            told,
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
            report.samples(&["comm2"]).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(waits("--waits"), ["storm-pipe", "storm-vfork"], "{scan}");
        assert_eq!(waits("--waits=all"), ["storm-futex", "storm-pipe", "storm-vfork"], "{scan}");
    }
}

#[test]
fn a_socket_is_shown_as_its_connection() {
    if !has_walks() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, there) = listener.accept().unwrap();
    let own = there.port();
    let (mut one, _other) = UnixStream::pair().unwrap();
    let keep = (server.try_clone().unwrap(), client.try_clone().unwrap());
    blocked("sk-client", move || drop(client.read(&mut [0])));
    blocked("sk-server", move || drop(server.read(&mut [0])));
    blocked("sk-accept", move || drop(listener.accept()));
    blocked("sk-unix", move || drop(one.read(&mut [0])));
    let columns = "comm2,filename,proto,local,remote,remote_port,conn_state,peer_pid";
    let report = look("kernel", "sk-.*", &["-g", columns]);
    let columns: Vec<&str> = columns.split(',').collect();
    let pid = std::process::id();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let here = "127.0.0.1";
    let expected = [
        format!("sk-accept | listen tcp {here}:{port} | tcp | {here}:{port} | - | - | LISTEN | -"),
        format!(
            "sk-client | tcp {here}:{own}->{here}:{port} | tcp | {here}:{own} | {here}:{port} | {port} | ESTABLISHED | -"
        ),
        format!(
            "sk-server | tcp {here}:{port}->{here}:{own} | tcp | {here}:{port} | {here}:{own} | {own} | ESTABLISHED | -"
        ),
        format!("sk-unix | unix->pid {pid} ({}) | unix | - | - | - | ESTABLISHED | {pid}", comm.trim_end()),
    ];
    assert_eq!(report.samples(&columns).into_keys().collect::<Vec<_>>(), expected);
    let peer = look("kernel", "sk-unix", &["-g", "peer_comm"]);
    assert_eq!(text(&peer.rows()[0]["peer_comm"]), comm.trim_end());
    // A service's port is told from one of many.
    let sums = look("kernel", "sk-client", &["-g", "filenamesum"]);
    assert!(text(&sums.rows()[0]["filenamesum"]).starts_with(&format!("tcp {here}:*->")), "{sums:?}");
    drop(keep);
}

#[test]
fn what_only_a_walk_knows_is_unsupported_without() {
    let (mut one, _other) = UnixStream::pair().unwrap();
    blocked("sk-proc", move || drop(one.read(&mut [0])));
    let report = look("proc", "sk-proc", &["-g", "proto,iowait,wait_exact"]);
    let told = report.samples(&["proto", "iowait", "wait_exact"]).into_keys().collect::<Vec<_>>();
    assert_eq!(told, ["[unsupported] | [unsupported] | 0"]);
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
