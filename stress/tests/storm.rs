//! Whole storms, checked in `/proc` by code that shares nothing with the generator's own audit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use psn_stress::storm::SpawnError;
use psn_stress::{Kind, Storm};

fn builder() -> psn_stress::storm::Builder {
    Storm::builder().program(env!("CARGO_BIN_EXE_psn-storm"))
}

/// Whether threads of this kind change their state all the time, or take a CPU.
fn is_busy(kind: Kind) -> bool {
    kind == Kind::Spin || kind.settled_state().is_none()
}

/// Twenty threads of each kind that sleeps, and few of the kinds that take the CPU or the disk from other tests.
fn everything() -> psn_stress::storm::Builder {
    let mut builder = builder().argument("--list");
    for kind in Kind::MIXABLE {
        let busy = is_busy(kind);
        builder = builder.exactly(kind, if busy { 2 } else { 20 });
    }
    builder
}

/// State, parent and name of a thread, from its `stat`.
fn stat(pid: u32, tid: u32) -> Option<(char, u32, Vec<u8>)> {
    let stat = fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&stat[close + 2..]).into_owned();
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?, stat[open + 1..close].to_vec()))
}

fn numbers_in(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// All threads of a process and its descendants.
fn tree(root: u32) -> BTreeSet<(u32, u32)> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in numbers_in("/proc") {
        if let Some((_, parent, _)) = stat(pid, pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut threads = BTreeSet::new();
    let mut pids = vec![root];
    while let Some(pid) = pids.pop() {
        threads.extend(numbers_in(&format!("/proc/{pid}/task")).into_iter().map(|tid| (pid, tid)));
        pids.extend(children.remove(&pid).into_iter().flatten());
    }
    threads
}

/// Whether a process is still alive; a zombie that waits for init to reap it is not.
fn alive(pid: u32) -> bool {
    stat(pid, pid).is_some_and(|(state, _, _)| state != 'Z' && state != 'X')
}

#[track_caller]
fn assert_gone(pids: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Some(pid) = pids.iter().find(|pid| alive(**pid)) {
        assert!(Instant::now() < deadline, "process {pid} of the storm is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_truth_is_what_proc_says() {
    let storm = everything().processes(3).spawn().unwrap();
    let truth = storm.truth();
    let listed: BTreeSet<(u32, u32)> = truth.threads.iter().map(|(p, t, _)| (*p, *t)).collect();
    assert_eq!(tree(storm.root_pid()), listed);
    assert_eq!(truth.threads_total as usize, listed.len());
    assert_eq!(truth.threads_total, truth.tasks.iter().map(|group| group.count).sum::<u32>());
    assert_eq!(truth.threads_total, 1 + 6 * 20 + 8 * 2 + 20, "leader, mix, vfork children");
    assert_eq!(truth.processes_total, 1 + 3 + 20 + 20, "leader, shared, stopped, vfork children");
    assert_eq!(truth.all_pids().count(), truth.processes_total as usize);

    for (pid, tid, kind) in &truth.threads {
        let (state, _, comm) = stat(*pid, *tid).unwrap();
        if *kind == Kind::Harness {
            // It may still be on its way to sleep, having just printed the truth.
            assert_eq!(comm, b"psn-storm");
            continue;
        }
        assert!(comm.starts_with(b"storm-"));
        if let Some(settled) = kind.settled_state() {
            assert_eq!(state, settled, "{kind} thread {tid}");
        }
    }
    for group in &truth.tasks {
        let wanted = if is_busy(group.kind) { 2 } else { 20 };
        assert_eq!(group.count, if group.kind == Kind::Harness { 1 } else { wanted });
    }
    let of = |kind| truth.tasks.iter().find(|group| group.kind == kind).unwrap();
    assert_eq!(of(Kind::Vfork).state, Some('D'));
    assert_eq!(of(Kind::Fsync).state, None);
    let ending = storm.end().unwrap();
    assert_eq!(ending.reason, "SIGTERM");
    assert_eq!(ending.waits.len(), 6);
}

#[test]
fn waits_are_measured() {
    let kinds = [Kind::NapConstant, Kind::FutexExponential, Kind::FutexHumps];
    let builder = kinds.into_iter().fold(builder(), |builder, kind| builder.exactly(kind, 10));
    let storm = builder.processes(2).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let ending = storm.end().unwrap();
    let [constant, exponential, humps] = ending.waits.as_slice() else { panic!("{ending:?}") };
    for (waits, kind) in [constant, exponential, humps].into_iter().zip(kinds) {
        // Ten threads that do nothing but wait; on a host that is busy, they do not even do that all the time.
        let waiting = waits.per_second * waits.mean_ms / 1e3;
        assert!(waits.kind == kind && waits.count > 200 && (3.0..10.2).contains(&waiting), "{waits:?}");
        assert!(waits.p50_ms <= waits.p95_ms && waits.p95_ms <= waits.p99_ms, "{waits:?}");
    }
    assert!(constant.mean_ms >= 40.0 && constant.p50_ms < 50.0, "{constant:?}");
    assert!((34.0..50.0).contains(&exponential.mean_ms) && exponential.p99_ms > 120.0, "{exponential:?}");
    assert!(humps.p50_ms < 20.0 && humps.p95_ms > 140.0, "{humps:?}");
}

#[test]
fn nothing_remains_after_sigkill() {
    let storm = everything().processes(2).argument("--forks").argument("50").spawn().unwrap();
    let pids: Vec<u32> = storm.truth().all_pids().collect();
    let seen: Vec<u32> = tree(storm.root_pid()).into_iter().map(|(pid, _)| pid).collect();
    storm.kill().unwrap();
    assert_gone(&pids);
    assert_gone(&seen);
}

#[test]
fn nothing_remains_after_the_end() {
    let storm = everything().processes(2).spawn().unwrap();
    let pids: Vec<u32> = storm.truth().all_pids().collect();
    drop(storm);
    // All of it has been reaped, so not even a zombie is there.
    assert!(pids.iter().all(|pid| stat(*pid, *pid).is_none()));
}

#[test]
fn the_storm_ends_with_its_parent() {
    // The shell is the parent; it prints what the storm says and dies by SIGKILL.
    let script = format!(
        "exec 3<&0; {} --mix futex:5,stopped:3,vfork:3 <&3 & read line; kill -9 $$",
        env!("CARGO_BIN_EXE_psn-storm")
    );
    let mut shell = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = shell.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let truth: psn_stress::Truth = serde_json::from_str(&line).unwrap();
    let pids: Vec<u32> = truth.all_pids().collect();
    assert!(alive(truth.root_pid));
    drop(shell.stdin.take()); // `read` returns, and the shell kills itself
    shell.wait().unwrap();
    assert_gone(&pids);
}

#[test]
fn hostile_names_are_counted_byte_for_byte() {
    let storm = builder().threads(100).processes(4).names("hostile").spawn().unwrap();
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for group in &storm.truth().tasks {
        *told.entry(group.comm_hex.clone().unwrap()).or_default() += group.count;
    }
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for (pid, tid) in tree(storm.root_pid()) {
        let (_, _, comm) = stat(pid, tid).unwrap();
        let hex = comm.iter().map(|byte| format!("{byte:02x}")).collect();
        *found.entry(hex).or_default() += 1;
    }
    assert_eq!(found, told);
}

#[test]
fn threads_are_named_by_their_tids() {
    let storm = builder().names("tid").exactly(Kind::Futex, 10).exactly(Kind::Vfork, 3);
    let storm = storm.exactly(Kind::Stopped, 2).processes(2).spawn().unwrap();
    let threads = tree(storm.root_pid());
    assert_eq!(threads.len(), 1 + 15 + 3);
    for (pid, tid) in threads.iter().filter(|(pid, _)| *pid != storm.root_pid()) {
        assert_eq!(stat(*pid, *tid).unwrap().2, format!("t{tid}").into_bytes());
    }
}

#[test]
fn churn_is_made_and_counted() {
    let storm = builder().threads(10).argument("--lifetime").argument("5");
    let storm = ["--births", "200", "--forks", "50", "--execs", "20"]
        .into_iter()
        .fold(storm, psn_stress::storm::Builder::argument);
    let storm = storm.spawn().unwrap();
    assert_eq!(storm.truth().count(Kind::Harness), 1 + 3);
    let pids: Vec<u32> = storm.truth().all_pids().collect();
    std::thread::sleep(Duration::from_millis(500));
    let ending = storm.end().unwrap();
    let churn = ending.churn.unwrap();
    for (rate, asked) in [(churn.births, 200.0), (churn.forks, 50.0), (churn.execs, 20.0)] {
        let due = asked * ending.seconds;
        let accounted = (rate.made + rate.missed) as f64;
        assert!(rate.made > 0, "{churn:?}");
        // Tasks that were due but neither started nor counted as left out can only be those of the last moments.
        assert!(accounted <= due + 1.0, "{accounted} of {due}");
    }
    assert_gone(&pids);
}

#[test]
fn a_mix_that_cannot_be_is_a_usage_error() {
    let program = env!("CARGO_BIN_EXE_psn-storm");
    for arguments in [&["--mix", "futex:5", "--threads", "4"][..], &["--mix", "sleepy"]] {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("--mix"));
    }
    let error = builder().threads(4).exactly(Kind::Futex, 5).spawn().unwrap_err();
    assert!(matches!(&error, SpawnError::Failed(said) if said.contains("more than the 4")));
}

#[test]
fn the_program_is_found_or_built() {
    let storm = Storm::builder().threads(3).spawn().unwrap();
    assert_eq!(storm.truth().threads_total, 4);
}
