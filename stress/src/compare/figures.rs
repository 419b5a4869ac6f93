//! What a comparison has measured, as the raw file keeps it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::host::machine::Machine;

/// A whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// psn's version.
    pub(crate) version: String,
    /// When the comparison started, RFC 3339.
    pub(crate) started: String,
    /// The machine that it ran on.
    pub(crate) machine: Machine,
    /// Runs asked for.
    pub(crate) runs: u32,
    /// The least number of seconds that each step measured.
    pub(crate) seconds: f64,
    /// The storms, in order.
    pub(crate) storms: Vec<StormFigures>,
}

/// All that was measured on one storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StormFigures {
    /// Threads asked for.
    pub(crate) threads: u32,
    /// Processes.
    pub(crate) processes: u32,
    /// Whether the storm has one process for every hundred threads.
    pub(crate) is_many: bool,
    /// Threads in the storm's ground truth, including those of the generator.
    pub(crate) truth: u32,
    /// When the storm was measured, if that was in an earlier comparison than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<String>,
    /// The steps, in order.
    pub(crate) steps: Vec<StepFigures>,
}

/// What was measured of one step on one storm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepFigures {
    /// Its name for other steps, `--only` and the raw file.
    pub(crate) id: String,
    /// Its name for readers.
    pub(crate) name: String,
    /// Workers.
    pub(crate) workers: usize,
    /// Passes per second asked for; `None` is as fast as possible.
    pub(crate) hz: Option<f64>,
    /// The id of the step that does the same reads and nothing else.
    pub(crate) floor: Option<String>,
    /// Memory and open files, from a run that is not timed.
    pub(crate) probe: Probe,
    /// One measurement for each run; none where it failed.
    pub(crate) runs: Vec<Option<Measurement>>,
    /// Why it failed, where it did.
    pub(crate) error: Option<String>,
}

/// The memory and the open files of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// The largest resident set, kB.
    pub(crate) peak_rss_kb: u64,
    /// Growth of the kernel's slabs while it ran, kB.
    pub(crate) kernel_kb: u64,
    /// The program's own estimate of that growth, kB.
    pub(crate) kernel_kb_est: Option<u64>,
    /// The files of tasks it kept open.
    pub(crate) kept: Vec<Kept>,
}

/// A file of each task, and the number of tasks of which it is kept open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The file's name.
    pub(crate) file: String,
    /// The number of tasks of which it is open.
    pub(crate) count: usize,
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (file, count) = text.split_once('=').ok_or("give NAME=KEPT")?;
        let count = count.parse().map_err(|_| "KEPT is a number")?;
        Ok(Self { file: file.to_owned(), count })
    }
}

/// One step of one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// Threads visited in each pass.
    pub(crate) tasks: u64,
    /// Passes measured.
    pub(crate) passes: f64,
    /// How long they took, with the pauses between them.
    pub(crate) seconds: f64,
    /// CPU time they took, user and system.
    pub(crate) cpu_s: f64,
    /// CPU time as the program itself reports it, if it does.
    pub(crate) own_cpu_s: Option<f64>,
    /// Passes per second at full speed, or at the rate asked for.
    pub(crate) passes_per_s: f64,
    /// Passes that the program left out because it was late.
    pub(crate) missed: u64,
    /// CPU time outside the measured passes: start, listing, opening, end.
    pub(crate) start_up_cpu_s: Option<f64>,
    /// CPU time of all other processes on the host meanwhile, per second.
    pub(crate) others_cpu: f64,
}

impl Comparison {
    /// Adds the storms of a `later` comparison. They replace storms of the same size and layout.
    #[must_use]
    pub(crate) fn with(mut self, mut later: Self) -> Self {
        let is_later = |storm: &StormFigures| {
            later.storms.iter().any(|other| (other.threads, other.is_many) == (storm.threads, storm.is_many))
        };
        self.storms.retain(|storm| !is_later(storm));
        for storm in &mut self.storms {
            storm.started.get_or_insert_with(|| self.started.clone());
        }
        self.storms.append(&mut later.storms);
        self.storms.sort_by_key(|storm| (!storm.is_many, storm.threads));
        Self { storms: self.storms, ..later }
    }
}

impl Measurement {
    /// CPU microseconds per thread and pass.
    #[must_use]
    pub(crate) fn us_per_visit(&self) -> f64 {
        self.cpu_s * 1e6 / (self.passes * self.tasks as f64)
    }

    /// Threads visited per second.
    #[must_use]
    pub(crate) fn visits_per_s(&self) -> f64 {
        self.passes_per_s * self.tasks as f64
    }
}

impl StormFigures {
    /// The step with this id.
    #[must_use]
    pub(crate) fn step(&self, id: &str) -> Option<&StepFigures> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The CPU time of `step` per thread and pass divided by that of step `of`, run by run.
    #[must_use]
    pub(crate) fn ratio(&self, step: &str, of: &str) -> Option<Spread> {
        self.step(step)?.ratio(self.step(of)?, Measurement::us_per_visit)
    }

    /// Whether both storms have the same layout.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.is_many == other.is_many && (self.is_many || self.processes == other.processes)
    }

    /// The rate of `workers` over that of one worker, run by run.
    pub(super) fn scaling(&self, id: &str, workers: usize) -> Option<Spread> {
        let (many, one) = (self.step(&format!("{id}@{workers}"))?, self.step(&format!("{id}@1"))?);
        many.ratio(one, Measurement::visits_per_s)
    }

    /// A title with the storm's size and layout.
    #[must_use]
    pub(crate) fn title(&self) -> String {
        let processes =
            if self.processes == 1 { "one process".to_owned() } else { format!("{} processes", self.processes) };
        format!("{} threads in {processes}", self.threads)
    }
}

/// The programs whose throughput is measured.
pub(super) const SERIES: [&str; 4] = ["floor-kept", "psn", "floor-open", "psn-nocache"];

impl StepFigures {
    /// The program of the step, without the number of workers.
    pub(super) fn base(&self) -> &str {
        self.id.split('@').next().unwrap_or_default()
    }

    /// Whether the step is one of those that go flat out with some number of workers.
    pub(super) fn is_throughput(&self) -> bool {
        SERIES.contains(&self.base()) && self.id.contains('@')
    }

    /// The spread of one figure over the runs.
    #[must_use]
    pub(crate) fn spread(&self, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().flatten().map(figure))
    }

    /// CPU microseconds per thread and pass.
    #[must_use]
    pub(crate) fn us(&self) -> Option<Spread> {
        self.spread(Measurement::us_per_visit)
    }

    /// This step's figure divided by that of `other`, run by run.
    #[must_use]
    pub(crate) fn ratio(&self, other: &Self, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        let pairs = self.runs.iter().zip(&other.runs);
        Spread::of(pairs.filter_map(|(mine, theirs)| Some(figure(mine.as_ref()?) / figure(theirs.as_ref()?))))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A measurement in which each visit took `us`.
    pub(crate) fn measurement(us: f64) -> Measurement {
        Measurement {
            tasks: 1000,
            passes: 100.0,
            seconds: 1.0,
            cpu_s: us * 0.1,
            own_cpu_s: None,
            passes_per_s: 100.0,
            missed: 0,
            start_up_cpu_s: None,
            others_cpu: 0.0,
        }
    }

    /// A comparison of one storm, with a floor, psn and a peer.
    pub(crate) fn comparison() -> Comparison {
        let step = |id: &str, floor: Option<&str>, us: [f64; 3]| StepFigures {
            id: id.to_owned(),
            name: format!("<{id}>"),
            workers: 1,
            hz: Some(100.0),
            floor: floor.map(str::to_owned),
            runs: us.into_iter().map(|us| Some(measurement(us))).collect(),
            ..StepFigures::default()
        };
        Comparison {
            version: "0.1.0".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            machine: Machine::new(),
            runs: 3,
            seconds: 1.0,
            storms: vec![StormFigures {
                threads: 1000,
                processes: 10,
                is_many: true,
                truth: 1001,
                started: None,
                steps: vec![
                    step("floor-kept", None, [4.0, 5.0, 4.5]),
                    step("psn", Some("floor-kept"), [4.4, 5.0, 4.95]),
                    step("top", None, [20.0, 21.0, 22.0]),
                ],
            }],
        }
    }

    #[test]
    fn ratios_are_of_one_run() {
        let comparison = comparison();
        let ratio = comparison.storms[0].ratio("psn", "floor-kept").unwrap();
        assert!((ratio.median - 1.1).abs() < 1e-9 && (ratio.min - 1.0).abs() < 1e-9, "{ratio:?}");
        assert_eq!(comparison.storms[0].ratio("psn", "nothing"), None);
        let us = comparison.storms[0].step("psn").unwrap().us().unwrap();
        assert!((us.median - 4.95).abs() < 1e-9);
    }

    #[test]
    fn figures_survive_the_raw_file() {
        let comparison = comparison();
        let text = serde_json::to_string(&comparison).unwrap();
        let read: Comparison = serde_json::from_str(&text).unwrap();
        // The last bit of a number may be lost.
        let shown = |comparison| crate::compare::output::table::document(comparison, "x");
        assert_eq!(shown(&read), shown(&comparison));
    }

    #[test]
    fn a_later_comparison_takes_the_place_of_what_it_measured_again() {
        let storm = |threads, is_many, truth| {
            let storm = StormFigures { steps: Vec::new(), ..comparison().storms.remove(0) };
            StormFigures { threads, is_many, truth, ..storm }
        };
        let of = |started: &str, storms| Comparison { started: started.to_owned(), storms, ..comparison() };
        let first = of("1", vec![storm(1000, true, 1), storm(10_000, true, 1)]);
        let later = of("2", vec![storm(1000, false, 2), storm(10_000, true, 2), storm(100_000, true, 2)]);
        let both = first.with(later);
        let storms: Vec<_> = both.storms.iter().map(|storm| (storm.threads, storm.is_many, storm.truth)).collect();
        assert_eq!(storms, [(1000, true, 1), (10_000, true, 2), (100_000, true, 2), (1000, false, 2)]);
        assert_eq!(both.started, "2");
        let started: Vec<_> = both.storms.iter().map(|storm| storm.started.as_deref()).collect();
        assert_eq!(started, [Some("1"), None, None, None]);
    }

    #[test]
    fn kept_files_are_named_with_their_number() {
        assert_eq!("stat=7".parse(), Ok(Kept { file: "stat".to_owned(), count: 7 }));
        assert!("stat".parse::<Kept>().is_err() && "stat=x".parse::<Kept>().is_err());
    }
}
