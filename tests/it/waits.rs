//! How long threads wait, and which sleepers wait for somebody: held against threads whose waits are known.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use psn_stress::{Kind, Storm};

use crate::support::child::run;
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
