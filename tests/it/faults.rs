//! Every failure at every call on every file: the run goes on, the thread counts wherever its `stat` could be read, and
//! each attempt is in exactly one class, the right one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use psn::ask::registry::COLUMNS;
use psn::proc::health::Counts;
use psn::proc::source::Source;
use psn::proc::{Call, Fault, Faults, ReadError};
use psn::report::Report;
use psn::tasks::DetailFiles;
use rustix::io::Errno;

use crate::support::driver::Driver;
use crate::support::fake::{Content, FSYNC, FakeProc, Process, Thread, syscall_line};
use crate::support::faults::errno_name;
use crate::support::report::{column, counts};

/// How a call can fail or be cut short.
const FAULTS: [Fault; 12] = [
    Fault::Fail(Errno::ACCESS),
    Fault::Fail(Errno::PERM),
    Fault::Fail(Errno::SRCH),
    Fault::Fail(Errno::NOENT),
    Fault::Fail(Errno::MFILE),
    Fault::Fail(Errno::NFILE),
    Fault::Fail(Errno::NOMEM),
    Fault::Fail(Errno::IO),
    Fault::Fail(Errno::INTR),
    Fault::Short(0),
    Fault::Short(3),
    Fault::Short(1 << 20),
];

/// The sources that are files of a process or thread, or links, and that are not read for a row alone (`fake_proc/lookups.rs`).
fn sources() -> impl Iterator<Item = Source> {
    Source::ALL.into_iter().filter(|source| source.is_file() && !is_lookup(*source))
}

const fn is_lookup(source: Source) -> bool {
    matches!(source, Source::Fdinfo | Source::Mounts | Source::Path)
}

const fn is_link(source: Source) -> bool {
    matches!(source, Source::Fd | Source::PidNs | Source::Exe)
}

const fn is_side_file(source: Source) -> bool {
    matches!(source, Source::Cmdline | Source::Smaps)
}

/// Whether `fault` can happen to a call on `source`.
fn applies(source: Source, call: Call, fault: Fault) -> bool {
    match (call, fault) {
        (Call::Open, Fault::Short(_)) => false,
        (Call::Open, Fault::Fail(_)) => true,
        // A link is looked up and read by the same call.
        (Call::Read, _) => !is_link(source),
    }
}

/// Injects a fault into one call of a kind, or into all of them, and counts every call.
struct Scripted {
    source: Source,
    call: Call,
    fault: Fault,
    /// The index of the call that fails, from 0; `None` for every call.
    at: Option<u64>,
    seen: Mutex<BTreeMap<(Source, bool), Seen>>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { source, call, fault, at, .. } = self;
        write!(f, "{} at call {at:?}: {:?}", case(*source, *call, *fault), self.seen(*source, *call))
    }
}

/// The name of a case: `faults/stat/read/EIO`.
fn case(source: Source, call: Call, fault: Fault) -> String {
    // The ids in status are a separate source.
    let file = if source == Source::Owner { "status-ids" } else { source.name() };
    let call = if call == Call::Open { "open" } else { "read" };
    let fault = match fault {
        Fault::Fail(errno) => errno_name(errno).to_owned(),
        Fault::Short(len) => format!("short-{len}"),
    };
    format!("faults/{file}/{call}/{fault}")
}

/// Every file and call with every fault that can happen to it. Each combination is run for every single call of the kind, and,
/// except for interruptions, for all calls of the kind at once.
fn pairs() -> impl Iterator<Item = (Source, Call, Fault)> {
    let calls = sources().flat_map(|source| [(source, Call::Open), (source, Call::Read)]);
    let all = calls.flat_map(|(source, call)| FAULTS.map(|fault| (source, call, fault)));
    all.filter(|(source, call, fault)| applies(*source, *call, *fault))
}

/// The names of the cases.
pub fn cases() -> Vec<String> {
    pairs().map(|(source, call, fault)| case(source, call, fault)).collect()
}

/// The calls of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    calls: u64,
    failed: u64,
    interrupted: u64,
    /// How many of these calls had the fault.
    hit: u64,
}

impl Scripted {
    fn new(source: Source, call: Call, fault: Fault, at: Option<u64>) -> Arc<Self> {
        Arc::new(Self { source, call, fault, at, seen: Mutex::default() })
    }

    fn seen(&self, source: Source, call: Call) -> Seen {
        self.seen.lock().unwrap().get(&(source, call == Call::Open)).copied().unwrap_or_default()
    }

    /// The number of attempts on `source`, derived from the calls. An attempt reads a kept file once and opens any other
    /// file once. An interrupted call is repeated.
    fn attempts(&self, source: Source) -> u64 {
        let (opens, reads) = (self.seen(source, Call::Open), self.seen(source, Call::Read));
        if source == Source::Stat || DetailFiles::keeps(source) {
            opens.failed + reads.calls - reads.interrupted
        } else {
            opens.calls - opens.interrupted
        }
    }
}

impl Faults for Scripted {
    fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault> {
        let source = source?;
        let mut seen = self.seen.lock().unwrap();
        let seen = seen.entry((source, call == Call::Open)).or_default();
        let number = seen.calls;
        seen.calls += 1;
        if (source, call) != (self.source, self.call) || self.at.is_some_and(|at| at != number) {
            return None;
        }
        seen.hit += 1;
        match self.fault {
            Fault::Fail(Errno::INTR) => seen.interrupted += 1,
            Fault::Fail(_) => seen.failed += 1,
            Fault::Short(_) => {}
        }
        Some(self.fault)
    }
}

/// The class of an attempt with this fault: `Ok` if the answer can be parsed.
fn class(source: Source, call: Call, fault: Fault) -> Result<(), ReadError> {
    let error = match fault {
        Fault::Fail(Errno::INTR) => return Ok(()),
        Fault::Fail(errno) => ReadError::from(errno),
        Fault::Short(limit) => {
            // A name that was cut short looks like any other name. An empty stack is valid too.
            let may_be_short = is_side_file(source) || matches!(source, Source::Comm | Source::Wchan);
            let is_understood = limit > 3 || may_be_short || (source == Source::Stack && limit == 0);
            return if is_understood { Ok(()) } else { Err(ReadError::Malformed) };
        }
    };
    match (error, source, call) {
        // A missing link means a kernel thread without a program.
        (ReadError::Gone, Source::Exe, _) => Ok(()),
        // The thread or process exists, but its file does not.
        (ReadError::Gone, Source::Cmdline | Source::Smaps, _) => Err(ReadError::Unsupported),
        (ReadError::Gone, Source::Stat | Source::Comm | Source::Fd, _) => Err(ReadError::Gone),
        (ReadError::Gone, _, Call::Open) => Err(ReadError::Unsupported),
        (error, ..) => Err(error),
    }
}

const fn in_class(counts: &Counts, class: Result<(), ReadError>) -> u64 {
    match class {
        Ok(()) => counts.ok,
        Err(ReadError::Gone) => counts.gone,
        Err(ReadError::Denied) => counts.denied,
        Err(ReadError::Unsupported) => counts.unsupported,
        Err(ReadError::TimedOut) => counts.timed_out,
        Err(ReadError::Dropped(_)) => counts.dropped,
        Err(ReadError::Malformed) => counts.malformed,
    }
}

const PASSES: u64 = 4;

/// The thread on whose files the faults are injected.
fn victim() -> Process {
    let thread = Thread::new(40)
        .state('D')
        .file("syscall", syscall_line(FSYNC, &[7]))
        .file("fd/7", Content::Link("/data/redo.log".to_owned()));
    Process::new(40).thread(thread)
}

fn root() -> FakeProc {
    FakeProc::of([victim(), Process::single(50, "other", 'S')])
}

/// Every column of these sources, and of none. Selection by name reads `comm`.
fn arguments() -> [String; 5] {
    let columns: Vec<&str> =
        COLUMNS.iter().filter(|column| !is_lookup(column.source)).map(|column| column.name).collect();
    ["-a".to_owned(), "-p".to_owned(), "fake|other".to_owned(), "-g".to_owned(), columns.join(",")]
}

fn run(root: &FakeProc, script: &Arc<Scripted>) -> Report {
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let faults: Arc<dyn Faults> = Arc::<Scripted>::clone(script);
    // One listing. It waits for reads beside the sampling, so that all of them are in the accounts.
    Driver::with_faults(root, &arguments, faults).run(usize::try_from(PASSES).unwrap())
}

/// Samples of each thread.
fn samples(report: &Report) -> BTreeMap<u32, u64> {
    let (tasks, samples) = (column(report, "task"), column(report, "samples"));
    let mut sums = BTreeMap::new();
    for (task, samples) in tasks.iter().zip(&samples) {
        *sums.entry(task.parse().unwrap()).or_default() += samples.parse::<u64>().unwrap();
    }
    sums
}

/// Checks what must hold for every run: the sums are right, and no other thread loses anything.
#[track_caller]
fn check(report: &Report, script: &Scripted) {
    for file in sources().map(Source::name) {
        let attempts: u64 =
            sources().filter(|source| source.name() == file).map(|source| script.attempts(source)).sum();
        assert_eq!(counts(report, file).attempts(), attempts, "attempts on {file}: {script:?}");
    }
    let wanted = class(script.source, script.call, script.fault);
    let hit = script.seen(script.source, script.call).hit;
    let total = counts(report, script.source.name());
    for (file, counts) in &report.facts.health {
        let failed = counts.attempts() - counts.ok;
        let expected = if file == script.source.name() && wanted.is_err() { hit } else { 0 };
        assert_eq!(failed, expected, "{file} {counts:?}: {script:?}");
    }
    if wanted.is_err() {
        assert_eq!(in_class(&total, wanted), hit, "{total:?}: {script:?}");
    }
    let dropped: u64 = report.facts.dropped.iter().map(|(_, _, count)| count).sum();
    assert_eq!(dropped, report.facts.health.iter().map(|(_, counts)| counts.dropped).sum::<u64>());
    if let Err(ReadError::Dropped(errno)) = wanted {
        assert_eq!(report.facts.dropped, [(script.source.name().to_owned(), errno.to_string(), hit)]);
    }
}

#[test]
fn a_run_without_faults_reads_every_file() {
    let script = Scripted::new(Source::Task, Call::Open, Fault::Short(0), None);
    let report = run(&root(), &script);
    for source in sources() {
        assert!(script.attempts(source) > 0, "{source:?} is not read");
    }
    check(&report, &script);
    assert_eq!(samples(&report), BTreeMap::from([(40, PASSES), (50, PASSES)]));
}

#[test]
fn a_file_that_always_fails_costs_its_columns_and_nothing_else() {
    let root = root();
    for (source, call, fault) in pairs() {
        // A call that is always interrupted would be repeated for ever. No kernel does that.
        if fault == Fault::Fail(Errno::INTR) {
            continue;
        }
        let script = Scripted::new(source, call, fault, None);
        let report = run(&root, &script);
        check(&report, &script);
        let is_counted = match source {
            Source::Stat => class(source, call, fault).is_ok(),
            // A process whose name cannot be read is not selected by name.
            Source::Comm => class(source, call, fault).is_ok() && !matches!(fault, Fault::Short(0..=3)),
            _ => true,
        };
        let expected = if is_counted { BTreeMap::from([(40, PASSES), (50, PASSES)]) } else { BTreeMap::new() };
        assert_eq!(samples(&report), expected, "{script:?}");
    }
}

#[test]
fn a_single_call_that_fails_costs_at_most_one_observation() {
    let root = FakeProc::of([victim()]);
    let clean = Scripted::new(Source::Task, Call::Open, Fault::Short(0), None);
    run(&root, &clean);
    for (source, call, fault) in pairs() {
        for at in 0..clean.seen(source, call).calls {
            let script = Scripted::new(source, call, fault, Some(at));
            let report = run(&root, &script);
            check(&report, &script);
            let samples: u64 = samples(&report).values().sum();
            let least = match (source, class(source, call, fault)) {
                // The next listing looks again for a thread that is gone, and for a name.
                (Source::Stat, Err(ReadError::Gone)) | (Source::Comm, _) => 0,
                (Source::Stat, Err(_)) => PASSES - 1,
                _ => PASSES,
            };
            assert!((least..=PASSES).contains(&samples), "{samples} samples: {script:?}");
        }
    }
}

#[test]
fn a_directory_that_can_not_be_opened_or_listed_costs_its_process() {
    /// Directories have no source.
    struct Directories(Call, Errno);
    impl Faults for Directories {
        fn fault(&self, call: Call, source: Option<Source>) -> Option<Fault> {
            (source.is_none() && call == self.0).then_some(Fault::Fail(self.1))
        }
    }
    let root = root();
    let errnos = FAULTS.iter().filter_map(|fault| match fault {
        Fault::Fail(errno) if *errno != Errno::INTR => Some(*errno),
        _ => None,
    });
    for errno in errnos {
        for call in [Call::Open, Call::Read] {
            let report = Driver::with_faults(&root, &["-a", "-g", "task"], Arc::new(Directories(call, errno)))
                .try_run(2)
                .unwrap();
            assert!(report.rows.is_empty(), "{errno} {call:?}");
            let counts = counts(&report, "task");
            // Two processes, two listings each; a process that is gone has none.
            let expected = if ReadError::from(errno) == ReadError::Gone { 0 } else { 4 };
            assert_eq!(counts.attempts(), expected, "{errno} {call:?}");
            assert_eq!(in_class(&counts, Err(errno.into())), expected, "{errno} {call:?}");
        }
    }
}
