//! One pass of the sampler over a fake proc root made of plain files.
//!
//! ```text
//! cargo bench --bench sample
//! ```
//! Reading a plain file on tmpfs takes a fraction of the time in which the kernel generates a `stat`. So psn's own
//! share of the time is larger here than over /proc, and a change of it shows. Every thread sleeps, so the state gate
//! rejects it. Its `stat` is kept open as far as the limit on open files allows.
//!
//! - `pass/TASKS/WORKERS`: processes of 100 threads.
//! - `layout/…/WORKERS`: the same number of threads, once in one process and once in processes of one thread each.
//! - `chunk/WORKERS`: many processes of very different size, where the chunks decide how evenly the work
//!   is dealt. The size is the constant `TaskSet::CHUNK`; to compare sizes, change it between two runs with
//!   `--save-baseline` and `--baseline`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use psn::ask::plan::{Plan, PlanRequest, StateGate};
use psn::count::Aggregator;
use psn::observe::Context;
use psn::proc::{ProcRoot, raise_fd_limit};
use psn::sample::Sampler;
use psn::tasks::users::Users;
use psn::tasks::{Permit, Process, Task, TaskSet};

/// A directory whose files are in memory.
const TMPFS: &str = "/dev/shm";

/// A proc root of plain files, removed when dropped.
struct FakeRoot {
    path: PathBuf,
    set: Arc<TaskSet>,
    root: Arc<ProcRoot>,
}

impl FakeRoot {
    /// A root with processes of these numbers of threads.
    fn new(name: &str, processes: impl IntoIterator<Item = usize>) -> std::io::Result<Self> {
        let path = Path::new(TMPFS).join(format!("psn-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        let root = Arc::new(ProcRoot::open(&path)?);
        let mut open_files = usize::try_from(raise_fd_limit(0)).unwrap_or(usize::MAX) / 2;
        let mut tid = 300;
        let mut set = Vec::new();
        for threads in processes {
            let tgid = tid + 1;
            let dir = path.join(format!("{tgid}/task"));
            let mut tasks = Vec::with_capacity(threads);
            for _ in 0..threads {
                tid += 1;
                write_task(&dir, tid, tgid)?;
                let task = Task::new(tid);
                if open_files > 0 {
                    task.raise_permit(Permit::Stat);
                    open_files -= 1;
                }
                tasks.push(Arc::new(task));
            }
            let held = (threads > 1).then(|| fs::File::open(&dir)).transpose()?;
            let dir = held.map(|dir| Arc::new(OwnedFd::from(dir)));
            set.push(Arc::new(Process { tgid, dir, tasks: tasks.into(), facts: None }));
        }
        Ok(Self { path, set: Arc::new(TaskSet::new(set)), root })
    }

    fn sampler(&self, workers: usize) -> Sampler {
        let group_by = ["comm", "state", "syscall", "wchan"].map(str::to_owned).to_vec();
        let request = PlanRequest { group_by, ..PlanRequest::default() };
        let plan = Plan::new(&request, StateGate::active()).unwrap();
        let aggregator = Arc::new(Aggregator::new(&plan));
        let users = Arc::new(Users::default());
        let context = Context { root: Arc::clone(&self.root), plan, users, lookups: None, links: Arc::default() };
        Sampler::new(Arc::new(context), aggregator, workers).unwrap()
    }
}

impl Drop for FakeRoot {
    fn drop(&mut self) {
        // Files that could not be removed are in memory, under a name that says whose they are.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn write_task(dir: &Path, tid: u32, tgid: u32) -> std::io::Result<()> {
    let dir = dir.join(tid.to_string());
    fs::create_dir_all(&dir)?;
    let mut file = fs::File::create(dir.join("stat"))?;
    writeln!(
        file,
        "{tid} (worker) S 1 {tgid} {tgid} 0 -1 4194368 59 0 0 0 0 0 0 0 20 0 8 0 406836 4050944 420 18446744073709551615 \
         94178396381376 94178397252640 140737449905024 0 0 0 81923 4096 1088 1 0 0 17 0 0 0 0 0 0 94178397285120 \
         94178397288224 94178858045440 140737449912505 140737449912600 140737449912600 140737449914320 0"
    )
}

/// Sizes of the pool: 1, 2, 4 … up to the number of cores.
fn pool_sizes() -> impl Iterator<Item = usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::iter::successors(Some(1), move |workers| (workers * 2 <= cores).then_some(workers * 2))
}

/// Measures passes over `root`, at every pool size.
fn passes(criterion: &mut Criterion, group: &str, name: &str, root: std::io::Result<FakeRoot>) {
    let root = match root {
        Ok(root) => root,
        Err(error) => {
            eprintln!("SKIPPED {group}/{name}: no proc root can be made up in {TMPFS}: {error}");
            return;
        }
    };
    let mut bench = criterion.benchmark_group(group);
    bench.sample_size(10).throughput(Throughput::Elements(root.set.threads() as u64));
    for workers in pool_sizes() {
        let mut sampler = root.sampler(workers);
        let mut tick = 0;
        let mut pass = || {
            let outcome = sampler.pass(&root.set, tick, 0, &|| false);
            tick += 1;
            assert!(outcome.is_complete, "a pass over plain files can not get stuck");
            assert_eq!(outcome.states.total(), root.set.threads() as u64, "every thread is seen");
        };
        pass();
        let id = if name.is_empty() { BenchmarkId::from_parameter(workers) } else { BenchmarkId::new(name, workers) };
        bench.bench_function(id, |bench| bench.iter(&mut pass));
    }
    bench.finish();
}

fn pass(criterion: &mut Criterion) {
    for tasks in [1_000, 10_000, 100_000] {
        let name = tasks.to_string();
        passes(criterion, "pass", &name, FakeRoot::new(&name, std::iter::repeat_n(100, tasks / 100)));
    }
}

fn layout(criterion: &mut Criterion) {
    const TASKS: usize = 10_000;
    passes(criterion, "layout", "one-process", FakeRoot::new("one", [TASKS]));
    passes(criterion, "layout", "single-threaded-processes", FakeRoot::new("single", std::iter::repeat_n(1, TASKS)));
}

fn chunk(criterion: &mut Criterion) {
    // 1, 2, 4 … 4096 threads, then again from 1.
    let sizes = (0..13).cycle().take(39).map(|power| 1 << power);
    passes(criterion, "chunk", "", FakeRoot::new("chunk", sizes));
}

criterion_group!(benches, pass, layout, chunk);
criterion_main!(benches);
