//! The kernel walk, compared with /proc: same tasks, same states, same waits.
//!
//! A test that needs a privilege or a kernel feature that the machine lacks says so on standard error and passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use psn::ask::plan::StateGate;
use psn::kernel::{BareWalk, KernelScan, Level, Parts, RecordedCall, TaskRecord, Unavailable, WalkCounts, WalkRequest};
use psn::proc::ProcRoot;
use psn::proc::parse::{stack, stat, syscall};
use psn::symbol::kernel::{Symbols, SymbolsError};
use psn_stress::{Kind, Storm};

const EVERYTHING: Parts = Parts::everything();

fn root() -> ProcRoot {
    ProcRoot::open("/proc".as_ref()).unwrap()
}

/// Every task, at this level, with these parts.
fn request(level: Level, parts: Parts) -> WalkRequest {
    WalkRequest { gate: StateGate::all(), parts, levels: vec![level], ..WalkRequest::default() }
}

/// The scan, or `None` if this machine has none; any other refusal is a failure.
fn open(request: &WalkRequest) -> Option<KernelScan> {
    match KernelScan::open(&root(), request) {
        Ok(scan) => Some(scan),
        Err(error @ (Unavailable::Verifier { .. } | Unavailable::Program(_) | Unavailable::Btf { .. })) => {
            panic!("{error}")
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Every scan that works on this machine.
fn scans(parts: Parts) -> Vec<KernelScan> {
    [Level::OpenCoded, Level::Iterator].into_iter().filter_map(|level| open(&request(level, parts))).collect()
}

/// A record without its borrows.
#[derive(Debug, Clone)]
struct Owned {
    tid: u32,
    tgid: u32,
    state: char,
    is_on_cpu: bool,
    uid: Option<u32>,
    starttime_ticks: u64,
    flags: u32,
    cpu: u32,
    comm: Vec<u8>,
    has_longer_comm: bool,
    call: RecordedCall,
    frames: Vec<u64>,
    has_moved: bool,
}

impl Owned {
    fn of(record: &TaskRecord<'_>) -> Self {
        Self {
            tid: record.tid,
            tgid: record.tgid,
            state: record.state.letter().into(),
            is_on_cpu: record.is_on_cpu,
            uid: record.uid,
            starttime_ticks: record.starttime_ticks,
            flags: record.flags,
            cpu: record.cpu,
            comm: record.comm().to_vec(),
            has_longer_comm: record.may_have_longer_comm(),
            call: record.call(),
            frames: record.frames.to_vec(),
            has_moved: record.has_moved,
        }
    }
}

/// One walk: its records by thread id. Each id must occur once.
fn walk(scan: &mut KernelScan) -> (BTreeMap<u32, Owned>, WalkCounts) {
    let mut records = BTreeMap::new();
    let walk = scan.walk(&mut |record| {
        let twice = records.insert(record.tid, Owned::of(record));
        assert!(twice.is_none(), "{twice:?}");
    });
    let walk = walk.unwrap();
    assert_eq!(walk.records, records.len() as u64);
    (records, walk)
}

/// The file of a thread, if it exists.
fn read(tgid: u32, tid: u32, file: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{tgid}/task/{tid}/{file}")).ok()
}

/// Compares a record with /proc. The thread must be at rest.
fn assert_same_as_proc(record: &Owned, symbols: Option<&mut Symbols>) {
    let Owned { tgid, tid, .. } = *record;
    let line = read(tgid, tid, "stat").unwrap();
    let stat = stat::Stat::parse(&line, 52).unwrap();
    assert_eq!(char::from(stat.state), record.state, "{record:?}");
    assert_eq!(stat.starttime(), Some(record.starttime_ticks), "{record:?}");
    assert_eq!(stat.flags(), Some(record.flags.into()), "{record:?}");
    assert_eq!(stat.number(stat::field::PROCESSOR), Some(record.cpu.into()), "{record:?}");
    if !record.has_longer_comm {
        assert_eq!(stat.comm.escape_ascii().to_string(), record.comm.escape_ascii().to_string());
    }
    let status = read(tgid, tid, "status").unwrap();
    let uid = psn::proc::parse::status::value(&status, b"Uid").and_then(psn::proc::parse::status::first_number);
    assert_eq!(uid, record.uid.map(Into::into), "{record:?}");
    assert!(!record.has_moved && !record.is_on_cpu, "{record:?}");
    assert_same_wait(record, &read(tgid, tid, "syscall"));
    if let (Some(symbols), Some(text)) = (symbols, read(tgid, tid, "stack")) {
        let mut expected = Vec::new();
        stack::render(&text, &mut expected);
        let shown = symbols.stack(&record.frames).escape_ascii().to_string();
        assert_eq!(shown, expected.escape_ascii().to_string(), "{record:?}");
        assert_eq!(symbols.wait_channel(&record.frames), stack::wait_channel(&text), "{record:?}");
    }
}

fn assert_same_wait(record: &Owned, line: &Option<Vec<u8>>) {
    let Some(line) = line else { return };
    match (record.call, syscall::parse(line).unwrap()) {
        (RecordedCall::KernelThread, line) => assert!(line.is_all_zero(), "{line:?}"),
        (RecordedCall::Some { number, args, registers, is_compat }, line) => {
            let expected = syscall::SyscallLine::Call { number, args, sp: registers.sp, pc: registers.ip };
            assert_eq!(line, expected);
            assert!(!is_compat);
        }
        (RecordedCall::None(registers), line) => {
            assert_eq!(line, syscall::SyscallLine::Blocked { sp: registers.sp, pc: registers.ip });
        }
        // A zombie has no registers.
        (RecordedCall::Unknown, _) => assert!(matches!(record.state, 'Z' | 'X'), "{record:?}"),
    }
}

/// Names for addresses, or `None` if the kernel hides them.
fn symbols() -> Option<Symbols> {
    match Symbols::load(&root()) {
        Ok(symbols) => Some(symbols),
        Err(error @ SymbolsError::Hidden) => {
            eprintln!("skipped in part: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A child that is killed and reaped when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for_state(tid: u32, state: u8) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while read(tid, tid, "stat").is_none_or(|line| stat::state(&line) != Ok(state)) {
        assert!(Instant::now() < deadline, "thread {tid} is not in state {}", state.escape_ascii());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A child that has ended and is not reaped.
fn zombie() -> Killed {
    let child = Killed(Command::new("true").spawn().unwrap());
    wait_for_state(child.0.id(), b'Z');
    child
}

/// A child that is traced, and stopped at its start.
fn traced() -> Killed {
    let mut command = Command::new("true");
    #[allow(unsafe_code)]
    // SAFETY: the hook makes one system call and touches no memory.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let child = Killed(command.spawn().unwrap());
    wait_for_state(child.0.id(), b't');
    child
}

#[test]
fn every_state_is_what_proc_shows() {
    let zombie = zombie();
    let traced = traced();
    let storm = Storm::builder()
        .processes(2)
        .argument("--list")
        .exactly(Kind::Futex, 5)
        .exactly(Kind::Epoll, 5)
        .exactly(Kind::Nanosleep, 5)
        .exactly(Kind::Pipe, 5)
        .exactly(Kind::Vfork, 5)
        .exactly(Kind::Stopped, 3)
        .exactly(Kind::Spin, 2)
        .spawn()
        .unwrap();
    for mut scan in scans(EVERYTHING) {
        let mut symbols = symbols();
        // From the second walk on, no wait is described again.
        for _ in 0..3 {
            let (records, _) = walk(&mut scan);
            for (tgid, tid, kind) in &storm.truth().threads {
                let record = &records[tid];
                assert_eq!(record.tgid, *tgid);
                match kind {
                    Kind::Harness => {}
                    Kind::Spin => assert_eq!((record.state, record.call), ('R', RecordedCall::Unknown)),
                    _ => assert_same_as_proc(record, symbols.as_mut()),
                }
            }
            assert_eq!((records[&zombie.0.id()].state, records[&traced.0.id()].state), ('Z', 't'));
            assert_same_as_proc(&records[&traced.0.id()], symbols.as_mut());
            assert!(records[&zombie.0.id()].frames.is_empty());
            let states: BTreeSet<char> = records.values().map(|record| record.state).collect();
            for state in ['R', 'S', 'D', 'T', 't', 'Z'] {
                assert!(states.contains(&state), "no task in {state}");
            }
        }
    }
}

#[test]
fn kernel_threads_are_what_proc_shows() {
    for level in [Level::OpenCoded, Level::Iterator] {
        let request = WalkRequest { selects_threads: true, ..request(level, EVERYTHING) };
        let Some(mut scan) = open(&request) else { return };
        let mut symbols = symbols();
        let mut compared = BTreeMap::new();
        for (tid, _) in listed().into_iter().take_while(|(tid, _)| *tid < 200) {
            scan.select_threads([tid]);
            let before = read(tid, tid, "schedstat");
            let Some(record) = walk(&mut scan).0.remove(&tid) else { continue };
            if record.flags & 0x0020_0000 != 0 && !record.is_on_cpu && !record.has_moved && record.state != 'R' {
                assert_same_as_proc_unless_it_runs(&record, symbols.as_mut(), &before);
                *compared.entry(record.state).or_insert(0) += 1;
            }
        }
        assert!(compared.contains_key(&'S') && compared.contains_key(&'I'), "{compared:?}");
    }
}

/// Like [`assert_same_as_proc`], for a thread that may start to run at any time.
fn assert_same_as_proc_unless_it_runs(record: &Owned, symbols: Option<&mut Symbols>, before: &Option<Vec<u8>>) {
    let compare = std::panic::AssertUnwindSafe(|| assert_same_as_proc(record, symbols));
    if std::panic::catch_unwind(compare).is_err() {
        assert_ne!(&read(record.tgid, record.tid, "schedstat"), before, "{record:?} was at rest and differs");
    }
}

/// The tasks that /proc lists, with their processes.
fn listed() -> BTreeMap<u32, u32> {
    let numbers = |path: String| {
        let names = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse::<u32>().ok()).collect::<Vec<_>>()
    };
    let processes = numbers("/proc".to_owned());
    let tasks = processes
        .into_iter()
        .flat_map(|tgid| numbers(format!("/proc/{tgid}/task")).into_iter().map(move |tid| (tid, tgid)));
    tasks.collect()
}

#[test]
fn a_walk_shows_what_proc_lists() {
    for mut scan in scans(Parts::default()) {
        let before = listed();
        let (records, walk) = walk(&mut scan);
        let after = listed();
        let lasting: BTreeMap<_, _> = before.into_iter().filter(|(tid, tgid)| after.get(tid) == Some(tgid)).collect();
        let missing: Vec<_> = lasting.iter().filter(|(tid, _)| !records.contains_key(tid)).collect();
        if !missing.is_empty() {
            eprintln!("{}: {} tasks of /proc are not walked: {missing:?}", scan.level(), missing.len());
        }
        // Some hosts hide their first process from programs.
        assert!(missing.iter().all(|(_, tgid)| **tgid == 1), "{missing:?}");
        let wrong: Vec<_> =
            lasting.iter().filter(|(tid, tgid)| records.get(tid).is_some_and(|r| r.tgid != **tgid)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(!records.contains_key(&0), "pid 0 is no task");
        assert_eq!(walk.tasks(), records.len() as u64);
        assert_eq!(walk.overflowed, 0);
        let mut counts = BTreeMap::new();
        records.values().for_each(|record| *counts.entry(record.state).or_insert(0) += 1);
        assert_eq!(
            walk.states().map(|(state, count)| (state.letter().into(), count)).collect::<BTreeMap<_, _>>(),
            counts
        );
    }
}

#[test]
fn the_gate_and_the_filters_let_pass_what_they_say() {
    let storm = Storm::builder().processes(2).argument("--list").exactly(Kind::Futex, 50).exactly(Kind::Vfork, 5);
    let storm = storm.spawn().unwrap();
    for level in [Level::OpenCoded, Level::Iterator] {
        let request =
            WalkRequest { selects_processes: true, selects_threads: true, ..request(level, Parts::default()) };
        let Some(mut scan) = open(&request) else { return };
        assert!(walk(&mut scan).0.is_empty(), "nothing is selected at first");

        let threads = &storm.truth().threads;
        let process = threads.iter().find(|(_, _, kind)| *kind == Kind::Vfork).unwrap().0;
        assert!(scan.select_threads(threads.iter().map(|(_, tid, _)| *tid)));
        assert!(scan.select_processes([process]));
        let expected = |wanted: &dyn Fn(u32, u32, Kind) -> bool| -> Vec<u32> {
            let threads = threads.iter().filter(|(tgid, tid, kind)| wanted(*tgid, *tid, *kind));
            threads.map(|(_, tid, _)| *tid).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let seen = |scan: &mut KernelScan| walk(scan).0.into_keys().collect::<Vec<_>>();
        assert_eq!(seen(&mut scan), expected(&|tgid, _, _| tgid == process));

        scan.set_gate(&StateGate::only(b"D"));
        assert_eq!(seen(&mut scan), expected(&|tgid, _, kind| tgid == process && kind == Kind::Vfork));

        scan.set_gate(&StateGate::all());
        let one = threads.last().unwrap();
        scan.select_processes([0, one.0, 1 << 22, u32::MAX]);
        scan.select_threads([one.1]);
        assert_eq!(seen(&mut scan), [one.1]);

        let Some(mut unselected) = open(&self::request(level, Parts::default())) else { return };
        assert!(!unselected.select_threads([1]) && !unselected.select_processes([1]));
    }
}

#[test]
fn too_little_room_loses_nothing() {
    let storm = Storm::builder().processes(3).argument("--list").exactly(Kind::Futex, 3000).spawn().unwrap();
    let tids: BTreeSet<u32> = storm.truth().threads.iter().map(|(_, tid, _)| *tid).collect();
    for level in [Level::OpenCoded, Level::Iterator] {
        // It may grow, or it may not.
        for (buffer_bytes, max_buffer_bytes) in [(4096, 64 << 20), (16384, 16384)] {
            let request = WalkRequest { buffer_bytes, max_buffer_bytes, ..request(level, EVERYTHING) };
            let Some(mut scan) = open(&request) else { return };
            for round in 0..3 {
                let (records, walk) = walk(&mut scan);
                let missing = tids.iter().filter(|tid| !records.contains_key(tid)).count();
                assert_eq!((missing, walk.overflowed), (0, 0), "{level}, {buffer_bytes} bytes, round {round}");
                let of_storm = records.values().filter(|record| tids.contains(&record.tid));
                let vague: Vec<_> = of_storm.filter(|record| record.call == RecordedCall::Unknown).collect();
                assert!(vague.len() <= 4, "{level}, {buffer_bytes} bytes, round {round}: {vague:?}");
                if walk.passes == 1 {
                    assert_eq!(walk.tasks(), walk.records, "each is counted once");
                }
                if level == Level::OpenCoded && max_buffer_bytes == buffer_bytes {
                    assert!(walk.passes > 4, "{walk:?}");
                }
            }
        }
    }
}

#[test]
fn a_hundred_thousand_threads_are_all_walked() {
    let threads = 100_000;
    let storm = Storm::builder().processes(100).argument("--list").exactly(Kind::Futex, threads);
    let storm = match storm.deadline(Duration::from_secs(120)).spawn() {
        Ok(storm) => storm,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let mut bare = match BareWalk::open(&root()) {
        Ok(bare) => bare,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let request = WalkRequest { parts: EVERYTHING, ..request(Level::OpenCoded, EVERYTHING) };
    let Some(mut scan) = open(&request) else { return };
    for _ in 0..2 {
        let (records, walk) = walk(&mut scan);
        assert_eq!(walk.overflowed, 0);
        let of_storm = storm.truth().threads.iter().filter(|(_, tid, _)| records.contains_key(tid)).count();
        assert_eq!(of_storm, storm.truth().threads.len());
        let asleep = storm.truth().threads.iter().filter(|(_, _, kind)| *kind == Kind::Futex);
        for (_, tid, _) in asleep {
            let record = &records[tid];
            assert!(matches!(record.call, RecordedCall::Some { number: libc::SYS_futex, .. }), "{record:?}");
            assert!(!record.frames.is_empty(), "{record:?}");
        }
    }
    assert!(bare.run().unwrap() > u64::from(threads));
}

/// Threads that never rest for long: their records must be of one instant nevertheless.
#[test]
fn no_row_is_torn() {
    let storm = Storm::builder().exactly(Kind::Fsync, 8).exactly(Kind::Spin, 2).spawn().unwrap();
    for level in [Level::OpenCoded, Level::Iterator] {
        let Some(mut scan) = open(&WalkRequest { selects_processes: true, ..request(level, EVERYTHING) }) else {
            return;
        };
        scan.select_processes(storm.truth().all_pids());
        let mut symbols = symbols();
        let (mut rows, mut moved) = (0, 0);
        for _ in 0..1000 {
            for record in walk(&mut scan).0.values() {
                rows += 1;
                moved += u32::from(record.has_moved);
                assert!(record.call == RecordedCall::Unknown || record.state != 'R', "{record:?}");
                assert!(record.call == RecordedCall::Unknown || !(record.is_on_cpu || record.has_moved), "{record:?}");
                let is_at_rest = matches!(record.state, 'S' | 'D') && !record.is_on_cpu && !record.has_moved;
                assert!(!is_at_rest || record.call != RecordedCall::Unknown, "{record:?}");
                if let (Some(symbols), true) = (symbols.as_mut(), is_at_rest) {
                    // Whoever sleeps does so in the call that its registers name.
                    let stack = String::from_utf8_lossy(symbols.stack(&record.frames)).into_owned();
                    let syncs = stack.contains("fsync");
                    let is_sync = matches!(record.call, RecordedCall::Some { number: libc::SYS_fsync, .. });
                    assert!(!syncs || is_sync, "{record:?} {stack}");
                    let is_write = matches!(record.call, RecordedCall::Some { number: libc::SYS_pwrite64, .. });
                    assert!(!stack.contains("pwrite64") || is_write, "{record:?} {stack}");
                }
            }
        }
        eprintln!("{}: {rows} rows, {moved} moved on while they were looked at", scan.level());
        assert!(moved * 20 < rows, "{moved} of {rows}");
    }
}

/// The role of this program when the tests below run it in other surroundings: it does a task and prints the result.
#[test]
fn child() {
    let Ok(task) = std::env::var("KERNEL_SCAN_CHILD") else { return };
    #[cfg(target_arch = "x86_64")]
    if task == "pause" {
        println!("pausing: {}", rustix::thread::gettid().as_raw_nonzero());
        return pause_as_32_bit();
    }
    let root = ProcRoot::open(std::env::var_os("KERNEL_SCAN_ROOT").unwrap_or_else(|| "/proc".into()).as_ref()).unwrap();
    let mut request = request(Level::OpenCoded, EVERYTHING);
    if task.contains("iterator") {
        request.levels = vec![Level::Iterator];
    }
    let mut scan = match KernelScan::open(&root, &request) {
        Ok(scan) => scan,
        Err(error) => return println!("refused: {error}"),
    };
    let own = root.own_pid().unwrap();
    let records = walk(&mut scan).0;
    let record = &records[&own];
    let line = fs::read(format!("{}/{own}/stat", root.path().display())).unwrap();
    let stat = stat::Stat::parse(&line, 52).unwrap();
    assert_eq!((stat.comm, stat.starttime()), (&record.comm[..], Some(record.starttime_ticks)));
    assert_eq!(record.tgid, own);
    println!("walked: {own} of {} tasks", records.len());
    if task.contains("hold") {
        println!("holding");
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// Waits for ever in a system call of the 32-bit table, which a 64-bit program may use too.
#[cfg(target_arch = "x86_64")]
fn pause_as_32_bit() {
    const PAUSE: u32 = 29;
    #[allow(unsafe_code)]
    // SAFETY: the call takes no arguments and touches no memory; the registers that it may change are declared.
    unsafe {
        std::arch::asm!("int 0x80", inout("eax") PAUSE => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bit_programs_are_told() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("KERNEL_SCAN_CHILD", "pause").stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    let mut said = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let Some(tid) = said.find_map(|line| line.strip_prefix("pausing: ")?.parse::<u32>().ok()) else {
        panic!("the child says nothing");
    };
    let pid = child.0.id();
    let deadline = Instant::now() + Duration::from_secs(20);
    while read(pid, tid, "syscall").is_none_or(|line| !line.starts_with(b"29 ")) {
        if child.0.try_wait().unwrap().is_some() {
            return eprintln!("skipped: this kernel runs no 32-bit programs");
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(2));
    }
    for mut scan in scans(EVERYTHING) {
        for _ in 0..2 {
            let record = walk(&mut scan).0.remove(&tid).unwrap();
            let RecordedCall::Some { number, is_compat, args, registers } = record.call else { panic!("{record:?}") };
            assert!(is_compat);
            let expected = syscall::SyscallLine::Call { number, args, sp: registers.sp, pc: registers.ip };
            assert_eq!(syscall::parse(&read(pid, tid, "syscall").unwrap()).unwrap(), expected);
        }
    }
}

/// Runs [`child`] through another program; `None` if the program does not exist or may not do what it is asked to.
fn run_child(wrapper: &[&str], environment: &[(&str, &str)]) -> Option<String> {
    let exe = std::env::current_exe().unwrap();
    let (program, arguments) = wrapper.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).arg(exe).args(["--exact", "child", "--nocapture"]);
    command.env("KERNEL_SCAN_CHILD", "walk").envs(environment.iter().copied()).stdin(Stdio::null());
    let output: Output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = said.lines().find(|line| line.starts_with("refused: ") || line.starts_with("walked: "));
    if answer.is_none() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!complaint.contains("panicked"), "{wrapper:?}: {said}{complaint}");
        eprintln!("skipped: {wrapper:?}: {complaint}");
    }
    answer.map(str::to_owned)
}

/// Whether the walk works on this machine at all, so that a refusal in other surroundings means something.
fn has_walk() -> bool {
    open(&WalkRequest::default()).is_some()
}

const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

#[test]
fn without_privilege_the_reason_is_the_capability() {
    let Some(answer) = run_child(&NOBODY, &[]) else { return };
    assert!(answer.contains("lacks CAP_BPF and CAP_PERFMON"), "{answer}");
    assert!(answer.contains("setcap cap_bpf,cap_perfmon=ep"), "{answer}");
}

#[test]
fn two_capabilities_suffice() {
    if !has_walk() {
        return;
    }
    for (capabilities, expected) in [("+bpf,+perfmon", "walked: "), ("+bpf", "lacks CAP_PERFMON")] {
        let wrapper = [&NOBODY[..], &["--inh-caps", capabilities, "--ambient-caps", capabilities]].concat();
        let Some(answer) = run_child(&wrapper, &[]) else { return };
        assert!(answer.contains(expected), "{answer}");
    }
}

#[test]
fn in_a_user_namespace_the_reason_is_the_namespace() {
    let Some(answer) = run_child(&["unshare", "--user", "--map-root-user"], &[]) else { return };
    assert!(answer.contains("user namespace"), "{answer}");
}

#[test]
fn in_a_pid_namespace_ids_are_those_of_the_proc_root() {
    if !has_walk() {
        return;
    }
    for task in ["walk", "walk iterator"] {
        let inside = run_child(&["unshare", "--pid", "--fork", "--mount-proc"], &[("KERNEL_SCAN_CHILD", task)]);
        // The child is the namespace's first process, and alone but for the test's own thread.
        if let Some(answer) = inside {
            assert_eq!(answer, "walked: 1 of 2 tasks", "{task}");
        }
        // With the outer proc still mounted, the outer ids are wanted.
        let Some(answer) = run_child(&["unshare", "--pid", "--fork"], &[("KERNEL_SCAN_CHILD", task)]) else { continue };
        if task == "walk" {
            let words: Vec<u32> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
            assert!(words[0] > 2 && words[1] > 20, "{answer}");
        } else {
            assert!(answer.contains("PID namespace above psn's own"), "{answer}");
        }
        let twice = ["unshare", "--pid", "--fork", "unshare", "--pid", "--fork", "--mount-proc"];
        if let Some(answer) = run_child(&twice, &[("KERNEL_SCAN_CHILD", task)]) {
            assert_eq!(answer, "walked: 1 of 2 tasks", "{task}");
        }
    }
}

#[test]
fn in_a_time_namespace_start_times_are_those_of_the_proc_root() {
    if has_walk() {
        // The child compares its own.
        let _ = run_child(&["unshare", "--time", "--boottime", "5000", "--fork"], &[]);
    }
}

#[test]
fn a_root_that_is_no_proc_of_ours_is_refused() {
    if !has_walk() {
        return;
    }
    let answer = run_child(&["env"], &[("KERNEL_SCAN_ROOT", "/sys")]).unwrap();
    assert!(answer.contains("/sys is not a mounted proc file system"), "{answer}");

    // The proc root of a namespace that the test is not in.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo ready; exec sleep 60"]);
    let Ok(child) = command.stdout(Stdio::piped()).spawn() else { return eprintln!("skipped: no unshare") };
    let mut child = Killed(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        return eprintln!("skipped: unshare may not");
    }
    let other = format!("/proc/{}/root/proc", child.0.id());
    let inside =
        listed().keys().copied().filter(|tid| *tid > child.0.id()).find(|tid| {
            fs::read(format!("/proc/{tid}/comm")).is_ok_and(|comm| matches!(&comm[..], b"sleep\n" | b"sh\n"))
        });
    let other = inside.map_or(other, |tid| format!("/proc/{tid}/root/proc"));
    let answer = run_child(&["env"], &[("KERNEL_SCAN_ROOT", &other)]).unwrap();
    assert!(answer.contains("psn itself is not visible"), "{other}: {answer}");
}

#[test]
fn without_btf_the_reason_is_its_absence() {
    let open = |path: &str| {
        let request = WalkRequest { btf_path: path.into(), ..WalkRequest::default() };
        KernelScan::open(&root(), &request).unwrap_err()
    };
    if let error @ Unavailable::Capability { .. } = open("/nowhere") {
        return eprintln!("skipped: {error}");
    }
    let missing = open("/nowhere");
    assert!(matches!(missing, Unavailable::NoBtf { .. }));
    assert!(missing.to_string().contains("/nowhere") && missing.to_string().contains("CONFIG_DEBUG_INFO_BTF"));
    assert!(matches!(open("/proc/self/exe"), Unavailable::Btf { .. }));
}

/// The ids of the programs and maps that a process holds.
fn held(pid: u32) -> Vec<(String, u32)> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let ids = texts.flat_map(|text| {
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        let ids = lines.filter(|(key, _)| matches!(*key, "prog_id" | "map_id"));
        ids.filter_map(|(key, id)| Some((key.to_owned(), id.trim().parse().ok()?))).collect::<Vec<_>>()
    });
    ids.collect()
}

/// Whether the kernel still has the program or map: `BPF_PROG_GET_FD_BY_ID`, `BPF_MAP_GET_FD_BY_ID`.
fn exists((key, id): &(String, u32)) -> bool {
    let command = if key == "prog_id" { 13 } else { 14 };
    let attr = [*id, 0, 0];
    #[allow(unsafe_code)]
    // SAFETY: the kernel reads the array, within its size.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr)) };
    #[allow(unsafe_code)]
    if let Ok(fd @ 0..) = i32::try_from(fd) {
        // SAFETY: the descriptor is ours and used nowhere else.
        unsafe { libc::close(fd) };
        return true;
    }
    false
}

/// Kills a process that holds at least this many programs and maps, which must then be gone.
fn assert_leaves_nothing(child: Killed, at_least: usize) {
    let held = held(child.0.id());
    assert!(held.len() >= at_least && held.iter().all(exists), "{held:?}");
    drop(child);
    // The kernel frees them once no CPU can still use them.
    let deadline = Instant::now() + Duration::from_secs(20);
    while held.iter().any(exists) {
        assert!(Instant::now() < deadline, "{held:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_scan_leaves_nothing() {
    if !has_walk() {
        return;
    }
    for task in ["hold", "hold iterator"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env("KERNEL_SCAN_CHILD", task).stdout(Stdio::piped());
        let mut child = Killed(command.spawn().unwrap());
        let said = BufReader::new(child.0.stdout.take().unwrap());
        assert!(said.lines().map_while(Result::ok).any(|line| line == "holding"));
        assert_leaves_nothing(child, 3);
    }
}

#[test]
fn a_killed_psn_leaves_nothing() {
    if !has_walk() {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_psn"));
    command.args(["--scan", "kernel", "-a", "-G", "syscall,wchan", "-d", "0", "--hz", "50"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    // Two programs with a control map each; the records of both, and what one has seen.
    let all = 2 + 2 + 2 + 1;
    let deadline = Instant::now() + Duration::from_secs(20);
    while held(child.0.id()).len() < all {
        if let Some(status) = child.0.try_wait().unwrap() {
            panic!("{status}: {}", std::io::read_to_string(child.0.stderr.take().unwrap()).unwrap());
        }
        assert!(Instant::now() < deadline, "{:?}", held(child.0.id()));
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_leaves_nothing(child, all);
}

/// A thread that sleeps again and again, and says when it goes to sleep.
fn sleeper(nap: Duration, asleep_ns: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> impl FnOnce() -> Duration {
    move || {
        while !stop.load(Ordering::Relaxed) {
            asleep_ns.store(psn::time::clock::monotonic_ns(), Ordering::SeqCst);
            std::thread::sleep(nap);
        }
        nap
    }
}

/// By the sleepers' own clocks. A sleeper may lose its CPU between the look at the clock and the sleep, so that its wait is
/// shorter than it believes; never longer. Half of them at least do not.
#[test]
fn a_wait_is_as_old_as_its_thread_knows() {
    for mut scan in scans(Parts { queued: true, left: true, ..Parts::default() }) {
        let stop = Arc::new(AtomicBool::new(false));
        let naps = [3, 20, 150, 10_000].map(Duration::from_millis);
        let sleepers: Vec<_> = naps
            .into_iter()
            .map(|nap| {
                let asleep_ns = Arc::new(AtomicU64::new(0));
                let (tell, tid) = std::sync::mpsc::channel();
                let work = sleeper(nap, Arc::clone(&asleep_ns), Arc::clone(&stop));
                std::thread::spawn(move || {
                    tell.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).unwrap();
                    work()
                });
                (tid.recv().unwrap(), asleep_ns, nap)
            })
            .collect();
        let mut off: BTreeMap<Duration, Vec<i64>> = BTreeMap::new();
        for _ in 0..200 {
            std::thread::sleep(Duration::from_micros(5300));
            let before = sleepers.iter().map(|(_, asleep_ns, _)| asleep_ns.load(Ordering::SeqCst)).collect::<Vec<_>>();
            let mut seen = BTreeMap::new();
            scan.walk(&mut |record| {
                seen.insert(record.tid, (record.waited, record.queued.seen_ns));
            })
            .unwrap();
            for ((tid, asleep_ns, nap), before) in sleepers.iter().zip(before) {
                let (waited, seen_ns) = seen[tid];
                if before == asleep_ns.load(Ordering::SeqCst)
                    && let Some(waited) = waited
                {
                    assert!(!waited.is_most);
                    let known = seen_ns.saturating_sub(before).cast_signed();
                    off.entry(*nap).or_default().push(known - waited.ns.cast_signed());
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        for (nap, mut off) in off {
            off.sort_unstable();
            eprintln!(
                "{:?} {nap:?}: {} waits, {:?} {:?} {:?}",
                scan.level(),
                off.len(),
                off[0],
                off[off.len() / 2],
                off[off.len() - 1]
            );
            assert!(off.len() >= 20, "{nap:?}: {off:?}");
            assert!(off[0] > -100_000, "{nap:?}: no wait is older than its thread: {off:?}");
            assert!(off[off.len() / 2] < 200_000, "{nap:?}: {off:?}");
        }
    }
}

/// A control group with a twentieth of a CPU; `None` where none can be made. It goes with the value.
struct SlowGroup(std::path::PathBuf);

impl SlowGroup {
    fn new() -> Option<Self> {
        let name = format!("psn-test-{}", std::process::id());
        let version_2 = (std::path::Path::new("/sys/fs/cgroup"), "cpu.max", "5000 100000");
        let version_1 = (std::path::Path::new("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", "5000");
        for (parent, file, limit) in [version_2, version_1] {
            // What is no file system of control groups would make an ordinary directory.
            if !parent.join("cgroup.procs").exists() {
                continue;
            }
            let group = parent.join(&name);
            if fs::create_dir(&group).is_ok() {
                let group = Self(group);
                if fs::write(group.0.join(file), limit).is_ok() {
                    return Some(group);
                }
            }
        }
        None
    }
}

impl Drop for SlowGroup {
    fn drop(&mut self) {
        // Its processes have been killed; the kernel needs a moment to see them gone.
        for _ in 0..500 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_task_whose_group_has_used_up_its_time_is_throttled() {
    let Some(group) = SlowGroup::new() else {
        return eprintln!("skipped: no control group with a CPU limit can be made here");
    };
    let spinner = Killed(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    fs::write(group.0.join("cgroup.procs"), spinner.0.id().to_string()).unwrap();
    for mut scan in scans(Parts { queued: true, throttled: true, left: true, ..Parts::default() }) {
        let (mut throttled, mut others) = (0, 0);
        for _ in 0..100 {
            std::thread::sleep(Duration::from_micros(9700));
            scan.walk(&mut |record| {
                if record.tid != spinner.0.id() {
                    others += u32::from(record.throttled && record.tgid == std::process::id());
                } else if let (true, Some(waited)) = (record.throttled, record.waited) {
                    // In the instant in which it leaves its CPU, the time of its wait may not be there yet.
                    throttled += 1;
                    assert!(
                        record.state.letter() == b'R' && !record.is_on_cpu && waited.ns < 10_000_000_000,
                        "{record:?}"
                    );
                }
            })
            .unwrap();
        }
        assert!(
            throttled >= 50 && others == 0,
            "{:?}: {throttled} of 100, {others} times this test itself",
            scan.level()
        );
    }
    drop(spinner);
}

/// A thread that blocks in what it is given to do, by its id.
fn blocked(work: impl FnOnce() + Send + 'static) -> u32 {
    let (tell, tid) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).unwrap();
        work();
    });
    let tid = tid.recv().unwrap();
    wait_for_state(tid, b'S');
    // It may have waited for something else first.
    std::thread::sleep(Duration::from_millis(20));
    tid
}

/// Threads that wait on each kind of socket, and on a pipe, with what is to be told of the file.
#[test]
fn the_file_that_is_waited_for_is_told_with_both_its_ends() {
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    let inode = |fd: i32| fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
    // Thread, inode, and of a socket: family, type, state, both ends, the process at the other one.
    type Told = (u16, u16, u8, Option<(SocketAddr, SocketAddr)>, Option<u32>);
    let mut expected: Vec<(u32, u64, Option<Told>)> = Vec::new();
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else { continue };
        let here = listener.local_addr().unwrap();
        let family = if here.is_ipv4() { 2 } else { 10 };
        let mut client = TcpStream::connect(here).unwrap();
        let (server, there) = listener.accept().unwrap();
        let fd = client.as_raw_fd();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let tid = blocked(move || drop(client.read(&mut [0])));
        expected.push((tid, inode(fd), Some((family, 1, 1, Some(ends), None))));
        let fd = server.as_raw_fd();
        let mut reader = server.try_clone().unwrap();
        let number = inode(reader.as_raw_fd());
        assert_eq!(number, inode(fd));
        let tid = blocked(move || drop(reader.read(&mut [0])));
        expected.push((tid, number, Some((family, 1, 1, Some((here, there)), None))));
        kept.push(Box::new(server));
        let number = inode(listener.as_raw_fd());
        let nobody = SocketAddr::new(if here.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() }, 0);
        let tid = blocked(move || drop(listener.accept()));
        expected.push((tid, number, Some((family, 1, 10, Some((here, nobody)), None))));
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (here, number) = (udp.local_addr().unwrap(), inode(udp.as_raw_fd()));
    let tid = blocked(move || drop(udp.recv(&mut [0])));
    expected.push((tid, number, Some((2, 2, 7, Some((here, "0.0.0.0:0".parse().unwrap())), None))));
    let (mut one, other) = UnixStream::pair().unwrap();
    let number = inode(one.as_raw_fd());
    let tid = blocked(move || drop(one.read(&mut [0])));
    expected.push((tid, number, Some((1, 1, 1, None, Some(std::process::id())))));
    kept.push(Box::new(other));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let number = inode(reader.as_raw_fd());
    let tid = blocked(move || drop(reader.read(&mut [0])));
    expected.push((tid, number, None));
    kept.push(Box::new(writer));

    for mut scan in scans(Parts { file: true, ..Parts::default() }) {
        let mut files = BTreeMap::new();
        for _ in 0..2 {
            scan.walk(&mut |record| {
                files.insert(record.tid, record.file());
            })
            .unwrap();
            for (tid, inode, socket) in &expected {
                let file = files[tid].unwrap_or_else(|| panic!("{:?}: {socket:?}", scan.level()));
                assert_eq!(file.inode, *inode);
                let told =
                    file.socket.map(|socket| (socket.family, socket.kind, socket.state, socket.ends, socket.peer_pid));
                assert_eq!(told, *socket, "{:?}", scan.level());
                if let Some(peer) = file.socket.filter(|socket| socket.peer_pid.is_some()) {
                    let own = fs::read("/proc/self/comm").unwrap();
                    assert_eq!(peer.peer_comm[..own.len() - 1], own[..own.len() - 1], "{:?}", scan.level());
                    assert!(!peer.is_named);
                }
            }
        }
    }
    drop(kept);
}

/// A thread that waits for an epoll instance to which these are added.
fn waits_for(files: Vec<std::os::fd::OwnedFd>) -> u32 {
    use rustix::event::epoll;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for file in &files {
        epoll::add(&set, file, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
    }
    blocked(move || {
        let mut events = Vec::with_capacity(1);
        let _ = epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None);
        drop(files);
    })
}

#[test]
fn the_set_of_an_epoll_instance_is_told_by_kinds() {
    let event = || rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let pair = || std::os::unix::net::UnixStream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let (one, other) = pair();
    let expected = [
        (waits_for(vec![event()]), (0, 0, 1, false)),
        (waits_for(vec![event(), one.into(), reader.into()]), (1, 1, 1, false)),
        (waits_for((0..40).map(|_| event()).collect()), (0, 0, 7, true)),
        (waits_for(vec![]), (0, 0, 0, false)),
    ];
    for mut scan in scans(Parts { epoll: true, ..Parts::default() }) {
        let mut sets = BTreeMap::new();
        for _ in 0..2 {
            scan.walk(&mut |record| {
                sets.insert(record.tid, record.epoll());
            })
            .unwrap();
            for (tid, expected) in expected {
                let set = sets[&tid].unwrap();
                assert_eq!((set.sockets, set.pipes, set.others, set.has_more), expected, "{:?}", scan.level());
            }
        }
    }
    drop((writer, other));
}
