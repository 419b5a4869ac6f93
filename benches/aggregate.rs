//! Counting: one observation into a worker's fold, and the folds of a tick into the aggregate.
//!
//! ```text
//! cargo bench --bench aggregate
//! ```
//! - `add/GROUPS/WORKERS`: each of WORKERS workers counts one observation into its own fold, in a tick with GROUPS
//!   groups. No lock is involved, so the time per element should not depend on WORKERS.
//! - `commit/serial/GROUPS` and `commit/parallel/GROUPS`: one thread, or the pool, commits the folds of [`LANES`]
//!   workers, each of which holds all the groups. `PARALLEL_GROUPS` in `src/sample/` should be the number of groups at
//!   which both take the same time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use psn::ask::plan::{Plan, PlanRequest, StateGate};
use psn::count::{Aggregator, Fold};
use psn::row::last::LastValues;
use psn::row::observation::{Observation, Value};
use psn::sample::SPARE_THREADS;
use rayon::ThreadPool;

const GROUPS: [usize; 3] = [10, 1_000, 100_000];
/// Folds to commit: one for each of this many workers.
const LANES: usize = 2;

/// The dimensions of `-G syscall,wchan`.
fn plan() -> Plan {
    let group_by = ["comm", "state", "syscall", "wchan"].map(str::to_owned).to_vec();
    Plan::new(&PlanRequest { group_by, ..PlanRequest::default() }, StateGate::all()).unwrap()
}

/// One observation of each of `groups` groups, which differ in their comm.
fn rows(plan: &Plan, groups: usize) -> Vec<Observation> {
    (0..groups)
        .map(|group| {
            let mut row = Observation::default();
            (row.tid, row.state) = (u32::try_from(group).unwrap(), b'S');
            for column in &plan.columns {
                match column.name {
                    "comm" => row.push_text(format!("worker-{group}").as_bytes()),
                    "state" => row.push(Value::Text(b"Sleep (Interruptible)")),
                    "syscall" => row.push(Value::Text(b"futex")),
                    _ => row.push(Value::Text(b"futex_do_wait")),
                }
            }
            row
        })
        .collect()
}

/// A pool like the sampler's: with spare threads.
fn pool(workers: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap()
}

fn add(criterion: &mut Criterion) {
    /// Observations of each worker in a tick.
    const TICK: usize = 100_000;
    let plan = plan();
    let mut bench = criterion.benchmark_group("add");
    for groups in GROUPS {
        let rows = rows(&plan, groups);
        for workers in [1, 2] {
            let aggregator = Aggregator::new(&plan);
            let folds: Vec<Mutex<Fold>> = (0..workers).map(|_| Mutex::new(aggregator.fold())).collect();
            let pool = pool(workers);
            let tick = || {
                pool.broadcast(|context| {
                    let mut fold = folds[context.index()].lock().unwrap();
                    let mut last = LastValues::default();
                    rows.iter().cycle().take(TICK).for_each(|row| fold.add(black_box(row), 0, &mut last));
                    // Observations that are counted again stay in their tables: this is cheap, and bounds the sums.
                    fold.discard();
                });
            };
            tick();
            bench.throughput(Throughput::Elements(TICK as u64));
            bench.bench_function(BenchmarkId::new(groups.to_string(), workers), |bench| bench.iter(tick));
        }
    }
    bench.finish();
}

fn commit(criterion: &mut Criterion) {
    let plan = plan();
    let pool = pool(LANES + SPARE_THREADS);
    let mut bench = criterion.benchmark_group("commit");
    for groups in [10, 100, 512, 1_000, 2_048, 4_096, 10_000, 100_000] {
        let rows = rows(&plan, groups);
        bench.throughput(Throughput::Elements((groups * LANES) as u64));
        for parallel in [false, true] {
            let aggregator = Aggregator::new(&plan);
            let mut folds: Vec<Fold> = (0..LANES).map(|_| aggregator.fold()).collect();
            let name = if parallel { "parallel" } else { "serial" };
            let mut tick = 0;
            bench.bench_function(BenchmarkId::new(name, groups), |bench| {
                bench.iter_custom(|iterations| {
                    (0..iterations)
                        .map(|_| timed_commit(&aggregator, &mut folds, &rows, &mut tick, parallel.then_some(&pool)))
                        .sum()
                });
            });
        }
    }
    bench.finish();
}

/// Fills the folds, and measures the time to commit them.
fn timed_commit(
    aggregator: &Aggregator,
    folds: &mut [Fold],
    rows: &[Observation],
    tick: &mut u32,
    pool: Option<&ThreadPool>,
) -> Duration {
    let mut last = LastValues::default();
    for fold in &mut *folds {
        rows.iter().for_each(|row| fold.add(row, *tick, &mut last));
    }
    let now = *tick;
    *tick += 1;
    let start = Instant::now();
    match pool {
        None => folds.iter_mut().for_each(|fold| aggregator.commit(fold, now)),
        Some(pool) => pool.scope(|scope| {
            for fold in folds {
                scope.spawn(move |_| aggregator.commit(fold, now));
            }
        }),
    }
    start.elapsed()
}

criterion_group!(benches, add, commit);
criterion_main!(benches);
