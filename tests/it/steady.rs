//! What a tick costs when nothing changes: one read for each idle thread, and nothing else.

use std::collections::BTreeMap;
use std::process::Command;

use psn::proc::Call;
use psn::proc::source::Source;
use psn_stress::{Kind, Storm};

use crate::support::alloc::allocations;
use crate::support::child::{DEADLINE, Running, command, has_program};
use crate::support::driver::Driver;
use crate::support::fake::{FakeProc, Process, Thread};
use crate::support::faults::Script;
use crate::support::{json, skip};

/// Set for the test process that counts allocations. It runs one test, so nothing else allocates.
const ALONE: &str = "PSN_TEST_ALONE";

/// Runs the test `name` in a separate process.
#[track_caller]
fn alone(name: &str) {
    let mut this = command(std::env::current_exe().unwrap().to_str().unwrap());
    this.args(["--exact", name, "--test-threads", "1", "--nocapture"]).env(ALONE, "1");
    let ended = Running::start(&mut this).end();
    assert!(ended.status.success() && ended.stdout.contains("1 passed"), "{}\n{}", ended.stdout, ended.stderr);
}

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Threads in these states, `count` of each, in a few processes.
fn crowd(count: u32, states: &str) -> FakeProc {
    let mut tid = 1000;
    let processes = states.chars().flat_map(|state| (0..4).map(move |_| state)).map(|state| {
        let first = tid;
        tid += count / 4;
        Process::new(first)
            .threads((first..tid).map(|tid| Thread::new(tid).comm(format!("worker-{}", tid % 10)).state(state)))
    });
    FakeProc::of(processes)
}

/// Allocations of a pass over this many threads of each state, after all buffers have grown to their size.
fn allocations_of_a_pass(count: u32, states: &str, args: &[&str]) -> u64 {
    const PASSES: u64 = 16;
    let proc = crowd(count, states);
    let mut engine = Driver::new(&proc, &[args, &["--workers", "1", "--fd-budget", "100000"]].concat());
    engine.refresh();
    for _ in 0..4 {
        engine.pass();
    }
    // The second listing gives busy threads files to keep.
    engine.refresh();
    for _ in 0..4 {
        engine.pass();
    }
    let before = allocations();
    for _ in 0..PASSES {
        assert!(engine.pass().is_complete);
    }
    (allocations() - before) / PASSES
}

#[test]
fn a_pass_allocates_nothing_for_a_thread() {
    if !is_alone() {
        alone("steady::a_pass_allocates_nothing_for_a_thread");
        return;
    }
    for (states, args) in [
        // Threads that do not pass the gate, and threads that do.
        ("SI", &["-g", "comm,state"][..]),
        ("RD", &["-g", "comm,state"]),
        ("RDS", &["-a", "-g", "comm,state,syscall,wchan"]),
        ("RDS", &["-a", "-g", "comm2,state,pid", "-s", "utime,max_threads,ci95,nice:max", "--where", "cpu < 1"]),
        ("DS", &["-a", "-g", "comm,kstack,rchar,sched_run_ns,vmrss_kb"]),
        ("DS", &["-a", "-g", "comm,uid,cgroup,pid_ns"]),
    ] {
        let (few, many) = (allocations_of_a_pass(40, states, args), allocations_of_a_pass(400, states, args));
        // The pool's wake-ups and the lanes' messages allocate a few times for a pass, and never for a thread.
        assert!(few < 64, "{args:?}: {few} allocations a pass");
        assert!(many <= few + 8, "{args:?}: {few} allocations for few threads, {many} for many");
    }
}

#[test]
fn at_steady_state_every_file_is_open_and_a_tick_only_reads() {
    let proc = crowd(200, "SD");
    for (args, reads_of_active) in [
        // For threads in state D: no further read; the files between two readings of the switch counters; the file.
        (&["-g", "comm,state"][..], &[][..]),
        (&["-g", "syscall,wchan"], &[(Source::Schedstat, 1), (Source::Syscall, 1), (Source::Wchan, 1)]),
        (&["-g", "rchar"], &[(Source::Io, 1)]),
    ] {
        let script = Script::new().shared();
        let mut engine = Driver::with_faults(&proc, args, script.clone());
        for _ in 0..2 {
            engine.refresh();
            (0..3).for_each(|_| drop(engine.pass()));
        }
        let calls = |call| Source::ALL.map(|source| script.calls(call, Some(source)));
        let (opens, reads) = (calls(Call::Open), calls(Call::Read));
        (0..10).for_each(|_| drop(engine.pass()));
        assert_eq!(calls(Call::Open), opens, "{args:?}");
        for (source, (now, before)) in Source::ALL.into_iter().zip(calls(Call::Read).into_iter().zip(reads)) {
            let active = reads_of_active.iter().find(|(known, _)| *known == source).map_or(0, |(_, reads)| *reads);
            let idle = if source == Source::Stat { 400 } else { 0 };
            assert_eq!(now - before, 10 * (idle + 200 * active), "{source:?} of {args:?}");
        }
    }
}

/// How often each system call was made, as `strace -f -c` counted, and how many ticks were completed.
fn system_calls(pid: u32, hz: u32) -> (BTreeMap<String, u64>, u64) {
    let summary = std::env::temp_dir().join(format!("psn-strace-{}-{pid}-{hz}", std::process::id()));
    let mut strace: Command = command("strace");
    strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&summary).arg(env!("CARGO_BIN_EXE_psn"));
    strace.args(["-p", &pid.to_string(), "-d", "3", "--hz", &hz.to_string(), "--discover-hz", "1", "--format", "json"]);
    strace.args(["--workers", "2", "--scan", "proc"]);
    let report = json::parse(&Running::start(&mut strace).end());
    let text = std::fs::read_to_string(&summary).unwrap();
    let _ = std::fs::remove_file(&summary);
    let calls = text.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(' ')?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    });
    (calls.collect(), report.completed())
}

#[test]
fn an_idle_thread_costs_one_read_a_tick_and_no_open_and_no_close() {
    if !has_program("strace") {
        skip("strace is missing");
        return;
    }
    let probe = Running::start(command("strace").args(["-c", "true"])).end();
    if !probe.status.success() {
        skip(&format!("strace may not trace here: {}", probe.stderr));
        return;
    }
    const THREADS: u64 = 200;
    let storm = Storm::builder().exactly(Kind::Futex, THREADS as u32).deadline(DEADLINE).spawn().unwrap();
    let pid = storm.truth().all_pids().find(|pid| *pid != storm.root_pid()).unwrap();
    let (slow, slow_ticks) = system_calls(pid, 2);
    let (fast, fast_ticks) = system_calls(pid, 8);
    let of = |calls: &BTreeMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0);
    let ticks = fast_ticks.checked_sub(slow_ticks).filter(|ticks| *ticks >= 3);
    let Some(ticks) = ticks else {
        skip(&format!("the machine is too busy: {slow_ticks} ticks at 2 Hz, {fast_ticks} at 8"));
        return;
    };
    // Both runs list and open nearly the same; they differ in their ticks.
    let reads = of(&fast, "pread64") - of(&slow, "pread64");
    let expected = ticks * THREADS;
    assert!(reads.abs_diff(expected) <= 20, "{reads} reads in {ticks} ticks of {THREADS} threads: {fast:?}");
    // At the end psn may close the files one by one, or leave that to the kernel.
    for (name, at_the_end) in [("openat", 0), ("close", THREADS)] {
        let more = of(&fast, name).abs_diff(of(&slow, name));
        assert!(
            more < at_the_end + 30,
            "{name}: {} in {slow_ticks} ticks, {} in {fast_ticks}",
            of(&slow, name),
            of(&fast, name)
        );
    }
    assert!(of(&fast, "openat") >= THREADS, "every thread's file was opened once: {fast:?}");
}
