//! Listing while threads and processes come and go: one that lives is in every list.
//!
//! `PSN_SCANS` is the number of lists, 300 without; at a few milliseconds each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use psn::column::SourceSet;
use psn::discover::{Discovery, DiscoveryConfig};
use psn::fds::FdBudget;
use psn::procfs::ProcRoot;
use psn::select::{ProcessSelection, Selection};
use psn::task::TaskSet;
use psn::users::Users;
use psn_stress::Storm;

fn scans() -> u64 {
    let text = std::env::var("PSN_SCANS").ok();
    text.map_or(300, |text| text.parse().unwrap_or_else(|_| panic!("PSN_SCANS is no number: {text}")))
}

/// The threads of a set, by process.
fn listed(set: &TaskSet) -> BTreeMap<u32, BTreeSet<u32>> {
    let of = |process: &Arc<psn::task::Process>| process.tasks.iter().map(|task| task.tid).collect();
    set.processes().iter().map(|process| (process.tgid, of(process))).collect()
}

#[test]
fn threads_that_live_are_in_every_list_while_others_come_and_go() {
    let churn = ["--births=2000", "--forks=200", "--lifetime=5", "--list"];
    let storm = churn.into_iter().fold(Storm::builder().processes(3).threads(600), |storm, arg| storm.argument(arg));
    let storm = storm.spawn().unwrap();
    let mut living: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (pid, tid, _) in &storm.truth().threads {
        living.entry(*pid).or_default().insert(*tid);
    }
    assert!(living.len() >= 3 && living.values().map(BTreeSet::len).sum::<usize>() >= 600);
    let config = DiscoveryConfig {
        selection: Selection {
            processes: ProcessSelection::Pids(vec![storm.root_pid()]),
            recursive: true,
            ..Selection::all()
        },
        sources: SourceSet::default(),
        names_users: false,
        budget: FdBudget { files: 0, dirs: 1000, details_per_task: 0 },
        all_states: false,
        period: Duration::from_millis(10),
    };
    let root = Arc::new(ProcRoot::open("/proc".as_ref()).unwrap());
    let mut discovery = Discovery::new(root, config, Arc::new(Users::default()));
    let (mut done, mut others, mut skipped) = (0, BTreeSet::new(), 0);
    while done < scans() {
        let Some(found) = discovery.refresh(0).unwrap() else { continue };
        done += 1;
        let listed = listed(&found.set);
        for (pid, tids) in &living {
            let here = listed.get(pid).unwrap_or_else(|| panic!("process {pid} is not in list {done}"));
            let missing: Vec<&u32> = tids.difference(here).collect();
            assert!(missing.is_empty(), "threads {missing:?} of {pid} are not in list {done}");
        }
        others.extend(listed.iter().flat_map(|(pid, tids)| {
            let known = living.get(pid).cloned().unwrap_or_default();
            tids.difference(&known).copied().collect::<Vec<_>>()
        }));
        skipped = found.skipped;
        // The accounts are settled, as the discovery thread does after each list.
        let health = discovery.take_health();
        for (file, counts) in health.by_file() {
            assert_eq!(counts.attempts(), counts.ok + counts.gone, "{file}: {counts:?}");
        }
    }
    // Those that are in many a list were not seen by chance: others came and went between them.
    assert!(others.len() as u64 > done / 2, "{} others in {done} lists", others.len());
    println!("{done} lists, {} threads that came and went seen, {skipped} said to be missing", others.len());
}
