//! What a walk costs for each task, by what its records have, compared with a walk that only counts tasks; and what a whole pass
//! of psn costs that uses a walk, including its counts.
//!
//! `cargo bench --bench kernel_walk [-- THREADS…]`, as root, with storms of 1,000, 10,000 and 100,000 sleeping threads unless
//! others are given. All walks of a storm are run in turns, so that other load on the host affects them alike. The ratio is that
//! of the fastest runs, which were disturbed least. Ratios can be compared between machines, nanoseconds cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use psn::ask::plan::{Plan, PlanRequest, StateGate};
use psn::ask::select::Selection;
use psn::count::Aggregator;
use psn::kernel::{BareWalk, KernelScan, Level, Parts, Unavailable, WalkRequest};
use psn::observe::Context;
use psn::proc::ProcRoot;
use psn::sample::Sampler;
use psn::sample::walker;
use psn::symbol::kernel::Symbols;
use psn::tasks::census::Unseen;
use psn::tasks::users::Users;
use psn_stress::{Kind, Storm};

const ROUNDS: usize = 15;

/// A walk, and the times of its runs.
struct Contestant {
    name: &'static str,
    walk: Box<dyn FnMut() -> std::io::Result<u64>>,
    tasks: u64,
    times: Vec<Duration>,
}

fn main() {
    let sizes: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 100_000] } else { sizes };
    let result = start_up().and_then(|()| sizes.into_iter().try_for_each(storm));
    if let Err(error) = result {
        println!("kernel_walk: skipped: {error}");
    }
}

/// Measures what is done once at start-up.
fn start_up() -> Result<(), Box<dyn std::error::Error>> {
    let root = ProcRoot::open("/proc".as_ref())?;
    let started = Instant::now();
    KernelScan::open(&root, &WalkRequest::default())?;
    println!("open                {:>9.1?}", started.elapsed());
    let started = Instant::now();
    Symbols::load(&root)?;
    println!("load symbols        {:>9.1?}", started.elapsed());
    Ok(())
}

fn storm(threads: u32) -> Result<(), Box<dyn std::error::Error>> {
    let processes = (threads / 1000).max(1);
    let _storm = Storm::builder().processes(processes).exactly(Kind::Futex, threads).spawn()?;
    let mut contestants = contestants()?;
    let count = contestants.len();
    for round in 0..=ROUNDS {
        // A walk that follows one with much memory finds the caches cold. So the order differs in each round.
        for place in 0..count {
            let index = (place * (1 + round % (count - 1)) + round) % count;
            let Some(contestant) = contestants.get_mut(index) else { continue };
            let started = Instant::now();
            contestant.tasks = (contestant.walk)()?;
            // In the first round the maps grow.
            if round > 0 {
                contestant.times.push(started.elapsed());
            }
        }
    }
    println!("\n{threads} threads                tasks  quickest    median   a task    ratio");
    let mut floor = None;
    for Contestant { name, tasks, times, .. } in &mut contestants {
        times.sort();
        let quickest = times.first().copied().unwrap_or_default();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let ns = quickest.as_secs_f64() * 1e9 / *tasks as f64;
        let ratio = ns / *floor.get_or_insert(ns);
        println!("{name:<26} {tasks:>8} {quickest:>9.1?} {median:>9.1?} {ns:>5.0} ns {ratio:>8.2}");
    }
    Ok(())
}

fn contestants() -> Result<Vec<Contestant>, Unavailable> {
    let (active, all) = (StateGate::active(), StateGate::all());
    let nothing = Parts::default();
    let call = Parts { call: true, ..nothing };
    let wchan = Parts { uid: true, frames: 1, ..call };
    let everything = Parts::everything();
    Ok(vec![
        bare()?,
        scan("active", &active, nothing, Level::OpenCoded)?,
        scan("active, everything", &active, everything, Level::OpenCoded)?,
        scan("-a", &all, nothing, Level::OpenCoded)?,
        scan("-a, uid", &all, Parts { uid: true, ..nothing }, Level::OpenCoded)?,
        scan("-a, syscall", &all, call, Level::OpenCoded)?,
        scan("-a, 1 frame", &all, Parts { frames: 1, ..nothing }, Level::OpenCoded)?,
        scan("-a, syscall, wchan, uid", &all, wchan, Level::OpenCoded)?,
        scan("-a, everything", &all, everything, Level::OpenCoded)?,
        scan("iterator, active", &active, nothing, Level::Iterator)?,
        scan("iterator, -a everything", &all, everything, Level::Iterator)?,
        pass("psn", &active, "comm,state")?,
        pass("psn -G syscall,wchan", &active, "comm,state,syscall,wchan")?,
        pass("psn -a", &all, "comm,state")?,
        pass("psn -a -G syscall,wchan", &all, "comm,state,syscall,wchan")?,
    ])
}

/// A whole pass of psn, without the threads that walks do not show.
fn pass(name: &'static str, gate: &StateGate, columns: &str) -> Result<Contestant, Unavailable> {
    let failed = |what| move |error: std::io::Error| Unavailable::System { what, error };
    let group_by = columns.split(',').map(str::to_owned).collect();
    let plan = Plan::new(&PlanRequest { group_by, ..PlanRequest::default() }, gate.clone());
    let plan = plan.map_err(std::io::Error::other).map_err(failed("planning"))?;
    let root = Arc::new(proc_root()?);
    let (mut walker, _) = walker::open(&root, walker::WalkScope { plan: &plan, selection: &Selection::all() })?;
    walker.set_tasks(&Arc::default(), &Unseen::default());
    let aggregator = Arc::new(Aggregator::new(&plan));
    let context =
        Arc::new(Context { root, plan, users: Arc::new(Users::default()), lookups: None, links: Arc::default() });
    let sampler = Sampler::new(context, aggregator, 1).map_err(std::io::Error::other);
    let mut sampler = sampler.map_err(failed("starting a sampler"))?;
    let mut tick = 0;
    let walk = move || {
        let outcome = sampler.walk(&mut walker, tick, u64::MAX, &|| false)?;
        tick += 1;
        Ok(outcome.states.total())
    };
    Ok(Contestant { name, walk: Box::new(walk), tasks: 0, times: Vec::new() })
}

fn bare() -> Result<Contestant, Unavailable> {
    let mut bare = BareWalk::open(&proc_root()?)?;
    Ok(Contestant { name: "count only", walk: Box::new(move || bare.run()), tasks: 0, times: Vec::new() })
}

fn scan(name: &'static str, gate: &StateGate, parts: Parts, level: Level) -> Result<Contestant, Unavailable> {
    let request = WalkRequest { gate: gate.clone(), parts, levels: vec![level], ..WalkRequest::default() };
    let mut scan = KernelScan::open(&proc_root()?, &request)?;
    let walk = move || {
        let walk = scan.walk(&mut |record| {
            std::hint::black_box(record);
        })?;
        Ok(walk.tasks())
    };
    Ok(Contestant { name, walk: Box::new(walk), tasks: 0, times: Vec::new() })
}

fn proc_root() -> Result<ProcRoot, Unavailable> {
    ProcRoot::open("/proc".as_ref()).map_err(|error| Unavailable::System { what: "opening /proc", error })
}
