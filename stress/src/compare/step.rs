//! The steps of a run: the contenders, and the floor that each is compared with.

use super::cli::CompareArgs;
use super::figures::Kept;
use super::measure::floor::Reach;
use super::measure::peer::{self, PeerCommand};

/// One step of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) contender: Contender,
    pub(crate) workers: usize,
    pub(crate) pace: Pace,
    /// The step that does the same reads and nothing else.
    pub(crate) floor: Option<&'static str>,
}

/// What a step runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Contender {
    /// A bare loop.
    Floor(Reads),
    /// psn, with these arguments.
    Psn(Vec<String>),
    /// Another program.
    Peer(PeerCommand),
    /// The original psn.
    Original(std::path::PathBuf),
}

/// What a bare loop reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reads {
    pub(crate) reach: Reach,
    pub(crate) files: &'static [&'static str],
    /// The id of the psn step whose kept files it keeps too; `None` keeps no files.
    pub(crate) like: Option<&'static str>,
}

/// How fast a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At about half the rate that one core could reach with these reads, as a sampler would run.
    Half,
    /// As fast as it can.
    Full,
}

const STAT: &[&str] = &["stat"];
/// The files that psn reads of a sleeping thread with `-a -G syscall,wchan`. `schedstat` comes last, to check that the thread
/// was not switched in between the other reads.
const ALL: &[&str] = &["stat", "syscall", "wchan", "schedstat"];

const LIKE_PSN: Reads = Reads { reach: Reach::Dir, files: STAT, like: Some("psn") };
const OPENED: Reads = Reads { reach: Reach::Dir, files: STAT, like: None };
const LIKE_PSN_ALL: Reads = Reads { reach: Reach::Dir, files: ALL, like: Some("psn-all") };
const BY_PATH: Reads = Reads { reach: Reach::Path, files: STAT, like: None };
const LISTED: Reads = Reads { reach: Reach::List, files: STAT, like: None };

/// All steps that were asked for, in order.
pub(super) fn steps(args: &CompareArgs, workers: &[usize]) -> Vec<Step> {
    let mut steps = steady();
    for workers in workers {
        steps.extend(throughput(*workers));
    }
    let peers = peer::installed().into_iter().chain(args.peers.iter().cloned());
    steps.extend(peers.map(|peer| step(&peer.name.clone(), &peer.name.clone(), Contender::Peer(peer), None)));
    if let Some(path) = &args.original {
        let name = "the original psn, -G syscall,wchan";
        steps.push(step("original", name, Contender::Original(path.clone()), None));
    }
    steps.retain(|step| args.only.is_empty() || args.only.iter().any(|wanted| is_meant(wanted, &step.id)));
    steps
}

/// Whether `--only wanted` means the step `id`.
fn is_meant(wanted: &str, id: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == id, |beginning| id.starts_with(beginning))
}

/// The steps with one worker at a steady pace.
fn steady() -> Vec<Step> {
    let floor = |id, name, reads| Step { pace: Pace::Half, ..step(id, name, Contender::Floor(reads), None) };
    let psn = |id, arguments: &str, floor| {
        let name = format!("psn {arguments}");
        Step { pace: Pace::Half, ..step(id, &name, Contender::Psn(words(arguments)), floor) }
    };
    vec![
        floor("floor-kept", "bare loop, stat, the same files kept", LIKE_PSN),
        psn("psn", "-G syscall,wchan", Some("floor-kept")),
        floor("floor-open", "bare loop, stat, openat + pread + close", OPENED),
        psn("psn-nocache", "-G syscall,wchan --fd-budget 0", Some("floor-open")),
        floor("floor-all", "bare loop, stat syscall wchan schedstat, the same files kept", LIKE_PSN_ALL),
        psn("psn-all", "-a -G syscall,wchan", Some("floor-all")),
        floor("floor-path", "bare loop, stat by its full path: open + read + close", BY_PATH),
        psn("psn-unlisted", "-G syscall,wchan --discover-hz 0.01", Some("floor-kept")),
        psn("psn-walk", "-G syscall,wchan --scan kernel", None),
        psn("psn-walk-all", "-a -G syscall,wchan --scan kernel", None),
        Step {
            pace: Pace::Full,
            ..step("floor-list", "bare loop, listing: getdents on kept directories", Contender::Floor(LISTED), None)
        },
    ]
}

/// The steps with this many workers, as fast as they can go.
fn throughput(workers: usize) -> Vec<Step> {
    let with =
        |text: &str| if workers == 1 { format!("{text}, 1 worker") } else { format!("{text}, {workers} workers") };
    let floor = |id: &str, name, reads| Step {
        workers,
        ..step(&format!("{id}@{workers}"), &with(name), Contender::Floor(reads), None)
    };
    let psn = |id: &str, arguments: &str| Step {
        workers,
        ..step(&format!("{id}@{workers}"), &with(&format!("psn {arguments}")), Contender::Psn(words(arguments)), None)
    };
    vec![
        floor("floor-kept", "bare loop, the same files kept", LIKE_PSN),
        psn("psn", "-G syscall,wchan"),
        floor("floor-open", "bare loop, openat + pread + close", OPENED),
        psn("psn-nocache", "-G syscall,wchan --fd-budget 0"),
    ]
}

fn step(id: &str, name: &str, contender: Contender, floor: Option<&'static str>) -> Step {
    Step { id: id.to_owned(), name: name.to_owned(), contender, workers: 1, pace: Pace::Full, floor }
}

fn words(arguments: &str) -> Vec<String> {
    arguments.split_whitespace().map(str::to_owned).collect()
}

impl Step {
    /// Whether the step is run with one number of workers only.
    pub(super) fn is_single(&self) -> bool {
        !self.id.contains('@')
    }
}

impl Reads {
    /// The files, with how many of each are kept, given what psn kept.
    pub(super) fn files(&self, kept_by_psn: &[Kept]) -> Vec<Kept> {
        let kept = |file: &str| kept_by_psn.iter().find(|kept| kept.file == file).map_or(0, |kept| kept.count);
        self.files.iter().map(|file| Kept { file: (*file).to_owned(), count: kept(file) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::compare::cli::Cli;

    fn args(line: &str) -> CompareArgs {
        Cli::parse_from(line.split_whitespace()).compare
    }

    #[test]
    fn every_floor_that_is_named_exists() {
        let steps = steps(&args("psn-compare --original /x/psn --peer one=two"), &[1, 2]);
        for step in &steps {
            let named = [step.floor, if let Contender::Floor(reads) = &step.contender { reads.like } else { None }];
            for name in named.into_iter().flatten() {
                assert!(steps.iter().any(|step| step.id == name), "{name}");
            }
        }
        assert!(steps.iter().any(|step| step.id == "psn@2" && step.workers == 2));
        assert!(steps.iter().any(|step| step.id == "one") && steps.iter().any(|step| step.id == "original"));
    }

    #[test]
    fn only_some_steps() {
        let steps = steps(&args("psn-compare --only floor-path,psn-nocache*"), &[1, 2]);
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["psn-nocache", "floor-path", "psn-nocache@1", "psn-nocache@2"]);
    }

    #[test]
    fn a_floor_keeps_what_psn_kept() {
        let kept = [Kept { file: "stat".to_owned(), count: 7 }];
        let files = LIKE_PSN_ALL.files(&kept);
        assert_eq!(files.iter().map(|kept| kept.count).collect::<Vec<_>>(), [7, 0, 0, 0]);
    }
}
