//! Listings while threads are born and end: a thread that lives is in every list.
//!
//! `PSN_SCANS` is the number of lists; each takes a millisecond or two.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use psn::ask::select::{ProcessSelection, Selection};
use psn::proc::ProcRoot;
use psn::proc::source::SourceSet;
use psn::tasks::TaskSet;
use psn::tasks::discover::{Discovery, DiscoveryConfig};
use psn::tasks::fds::FdBudget;
use psn::tasks::users::Users;

fn scans() -> u64 {
    let text = std::env::var("PSN_SCANS").ok();
    text.map_or(1000, |text| text.parse().unwrap_or_else(|_| panic!("PSN_SCANS is no number: {text}")))
}

/// Threads of this process that live for 1 to 256 ms, some hundreds at a time. The kernel lists threads in the order of their
/// births, so long-lived threads are listed after others that end meanwhile.
#[derive(Default)]
struct Crowd {
    living: Mutex<BTreeSet<u32>>,
    births: AtomicU64,
    is_over: AtomicBool,
}

impl Crowd {
    fn live(&self, lifetime: Duration) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.living.lock().unwrap().insert(tid);
        std::thread::sleep(lifetime);
        // From here on the thread may be missing from a list.
        self.living.lock().unwrap().remove(&tid);
    }

    /// Starts threads until the test ends, and waits for the last of them.
    fn churn(self: &Arc<Self>) {
        let mut children = Vec::new();
        let mut series = 1_u64;
        while !self.is_over.load(Ordering::Relaxed) {
            // Most live for a few milliseconds, some for as long as a hundred lists take.
            series = series.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let lifetime = Duration::from_millis(1 << (series >> 61)).mul_f64(2.0);
            let crowd = Arc::clone(self);
            let small = std::thread::Builder::new().stack_size(64 << 10);
            children.push(small.spawn(move || crowd.live(lifetime)).unwrap());
            self.births.fetch_add(1, Ordering::Relaxed);
            children.retain(|child| !child.is_finished());
            std::thread::sleep(Duration::from_micros(300));
        }
        children.into_iter().for_each(|child| child.join().unwrap());
    }

    fn living(&self) -> BTreeSet<u32> {
        self.living.lock().unwrap().clone()
    }
}

/// Finds the threads that have ended, as a tick does for the next list.
fn tick(set: &TaskSet) {
    for task in set.processes().iter().flat_map(|process| process.tasks.iter()) {
        if !Path::new(&format!("/proc/self/task/{}", task.tid)).exists() {
            task.mark_gone();
        }
    }
}

/// Ends the threads, even if the test panics.
struct Over<'a>(&'a Crowd);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn threads_that_live_are_in_every_list_while_others_come_and_go() {
    let crowd = Arc::<Crowd>::default();
    let config = DiscoveryConfig {
        selection: Selection { processes: ProcessSelection::Pids(vec![std::process::id()]), ..Selection::all() },
        sources: SourceSet::default(),
        names_users: false,
        budget: FdBudget { files: 0, dirs: 1, details_per_task: 0 },
        all_states: false,
        period: Duration::from_millis(10),
    };
    let root = Arc::new(ProcRoot::open("/proc".as_ref()).unwrap());
    let mut discovery = Discovery::new(root, config, Arc::new(Users::default()));
    let (mut done, mut checked, mut skipped) = (0, 0, 0);
    let mut set = Arc::<TaskSet>::default();
    // A thread that was just born may be missing from a list, but not from three lists. If as many threads ended as were born,
    // psn reuses the last list until a tick has found the ended ones gone; and the kernel may leave a thread out. A thread that
    // was in one list must be in all lists that follow.
    let mut known = BTreeSet::new();
    let mut newcomers = VecDeque::from([BTreeSet::new(), BTreeSet::new()]);
    std::thread::scope(|scope| {
        let _over = Over(&crowd);
        scope.spawn(|| crowd.churn());
        while done < scans() {
            let before = crowd.living();
            tick(&set);
            let Some(found) = discovery.refresh(0).unwrap() else { continue };
            let after = crowd.living();
            done += 1;
            let listed: BTreeSet<u32> =
                found.set.processes().iter().flat_map(|process| process.tasks.iter().map(|task| task.tid)).collect();
            known.extend(newcomers.pop_front().unwrap_or_default());
            newcomers.push_back(before);
            let stayed: Vec<u32> = known.intersection(&after).copied().collect();
            checked += stayed.len();
            let missing: Vec<&u32> = stayed.iter().filter(|tid| !listed.contains(tid)).collect();
            assert!(missing.is_empty(), "{missing:?} of {} threads are not in list {done}", stayed.len());
            known = listed;
            (set, skipped) = (found.set, found.skipped);
            let health = discovery.take_health();
            for (file, counts) in health.by_file() {
                assert_eq!(counts.attempts(), counts.ok + counts.gone, "{file}: {counts:?}");
            }
        }
    });
    let births = crowd.births.load(Ordering::Relaxed);
    assert!(checked as u64 > done && births > done / 2, "{checked} threads checked in {done} lists, {births} births");
    println!("{done} lists, {births} births, {checked} threads that stayed, {skipped} said to be missing");
}
