//! The two lines that a storm prints: the ground truth and the ending.

use serde::{Deserialize, Serialize};

use crate::host::limits::Limit;
use crate::plan::kind::Kind;
pub use crate::plan::rates::ChurnRates;

/// The first line of output: what is there, once everything is in place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Always true; there so that a reader can tell the lines apart.
    pub ready: bool,
    /// The leader: all other processes of the storm descend from it.
    pub root_pid: u32,
    /// All processes of the storm as ranges, first and last included, in ascending order. Short-lived
    /// ones are not among them.
    pub pids: Vec<(u32, u32)>,
    /// How many processes these are.
    pub processes_total: u32,
    /// All threads of these processes, those of the generator itself included.
    pub threads_total: u32,
    /// How many threads `--threads` asked for.
    pub threads_requested: u32,
    /// The threads, grouped by kind and, where many share one, by name.
    pub tasks: Vec<TaskGroup>,
    /// The churn asked for; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<ChurnRates>,
    /// The limits of the host, as they stand now.
    pub limits: Vec<Limit>,
    /// What kept the storm from growing to its size, with `--best-effort`.
    pub limit_hit: Option<String>,
    /// Time from the start of the generator to this line.
    pub startup_ms: u64,
    /// With `--list`: every thread as process id, thread id and kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<(u32, u32, Kind)>,
}

/// Threads of one kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskGroup {
    /// Their kind.
    pub kind: Kind,
    /// How many they are.
    pub count: u32,
    /// The state letter all of them have; absent when it keeps changing.
    pub state: Option<char>,
    /// The name of the system call they are in, or `running`; absent when it keeps changing.
    pub syscall: Option<String>,
    /// The number of that system call.
    pub syscall_nr: Option<i64>,
    /// The kernel function one of them waits in; absent when it has none or keeps changing.
    pub wchan: Option<String>,
    /// Their name, with what is not UTF-8 replaced; absent when every thread has its own.
    pub comm: Option<String>,
    /// The bytes of their name in hexadecimal.
    pub comm_hex: Option<String>,
}

/// The second line of output: why the storm ended, the churn achieved, and the waits measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// Always true; there so that a reader can tell the lines apart.
    pub ended: bool,
    /// Why it ended: `duration`, `parent`, `SIGINT`, `SIGTERM` or `SIGHUP`.
    pub reason: String,
    /// Seconds between the start of the churn and its end.
    pub seconds: f64,
    /// The churn achieved; absent when none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Achieved>,
    /// The waits of the kinds that measure them, since the storm was complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitTruth>,
}

/// The waits of all threads of one kind, as the threads measured them: time asleep, without waiting for a CPU after that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitTruth {
    /// Their kind.
    pub kind: Kind,
    /// How many waits have ended.
    pub count: u64,
    /// How many ended per second.
    pub per_second: f64,
    /// The mean of their lengths.
    pub mean_ms: f64,
    /// The median of their lengths, to 1%, as all percentiles.
    pub p50_ms: f64,
    /// The length that 95% of them do not exceed.
    pub p95_ms: f64,
    /// The length that 99% of them do not exceed.
    pub p99_ms: f64,
}

/// The churn achieved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Achieved {
    /// Threads.
    pub births: AchievedRate,
    /// Forked processes.
    pub forks: AchievedRate,
    /// Executed programs.
    pub execs: AchievedRate,
}

/// What one churner has started.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AchievedRate {
    /// Tasks started.
    pub made: u64,
    /// Tasks left out, because the churner was late or too many tasks were alive.
    pub missed: u64,
    /// Tasks started per second.
    pub per_second: f64,
}

impl Truth {
    /// All threads of one kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u32 {
        self.tasks.iter().filter(|group| group.kind == kind).map(|group| group.count).sum()
    }

    /// Every process of the storm.
    pub fn all_pids(&self) -> impl Iterator<Item = u32> {
        self.pids.iter().flat_map(|(first, last)| *first..=*last)
    }
}

/// Groups sorted numbers into ranges of neighbours, first and last included.
pub(crate) fn ranges(sorted: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        let group = TaskGroup {
            kind: Kind::VforkChild,
            count: 3,
            state: Some('S'),
            syscall: Some("pause".into()),
            syscall_nr: Some(34),
            wchan: None,
            comm: Some("a\u{fffd}".into()),
            comm_hex: Some("61ff".into()),
        };
        Truth {
            ready: true,
            root_pid: 7,
            pids: vec![(7, 9), (12, 12)],
            processes_total: 4,
            threads_total: 6,
            threads_requested: 3,
            tasks: vec![group.clone(), TaskGroup { kind: Kind::Futex, ..group }],
            churn: None,
            limits: vec![],
            limit_hit: None,
            startup_ms: 1,
            threads: vec![],
        }
    }

    #[test]
    fn the_shape_is_stable() {
        let json = serde_json::to_value(truth()).unwrap();
        assert_eq!(json["ready"], true);
        assert_eq!(json["pids"], serde_json::json!([[7, 9], [12, 12]]));
        let group = serde_json::json!({
            "kind": "vfork-child", "count": 3, "state": "S", "syscall": "pause", "syscall_nr": 34,
            "wchan": null, "comm": "a\u{fffd}", "comm_hex": "61ff",
        });
        assert_eq!(json["tasks"][0], group);
        assert!(json.get("threads").is_none() && json.get("churn").is_none());
        assert_eq!(serde_json::from_value::<Truth>(json).unwrap(), truth());
    }

    #[test]
    fn groups_add_up_and_ranges_unfold() {
        assert_eq!(truth().count(Kind::Futex), 3);
        assert_eq!(truth().count(Kind::Spin), 0);
        assert_eq!(truth().all_pids().collect::<Vec<_>>(), [7, 8, 9, 12]);
    }

    #[test]
    fn neighbours_fold_into_ranges() {
        assert_eq!(ranges([1, 2, 2, 3, 5, 7, 8]), [(1, 3), (5, 5), (7, 8)]);
        assert!(ranges([]).is_empty());
    }
}
