//! The course of a comparison: make a storm, find each step's memory and pace, then measure all steps run by run.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::cli::{CompareArgs, Layout};
use super::figures::{Comparison, Measurement, Probe, StepFigures, StormFigures};
use super::measure::floor::{FloorOutcome, Reach};
use super::measure::peer;
use super::measure::program::Program;
use super::measure::psn::{Psn, passes_s};
use super::output;
use super::scene::{Scene, rate};
use super::step::{Contender, Pace, Reads, Step, steps};
use crate::host::machine::{Machine, cores};
use crate::plan::kind::Kind;
use crate::storm::Storm;
use crate::storm::program::built_program;

/// The least number of passes that a step measures.
const PASSES: f64 = 5.0;

/// How long a new storm is left alone before it is measured.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs a comparison, or shows an earlier one.
pub(super) fn main(args: &CompareArgs) -> Result<(), Box<dyn Error>> {
    if let Some(last) = args.from.last() {
        let read =
            |path: &PathBuf| -> Result<Comparison, Box<dyn Error>> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
        let comparisons = args.from.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let Some(comparison) = comparisons.into_iter().reduce(Comparison::with) else { return Ok(()) };
        return output::write(args.update_docs.as_deref(), &comparison, &last.with_extension(""));
    }
    let session = Session::new(args)?;
    let base = session.base(args);
    fs::create_dir_all(&args.out)?;
    let mut comparison = session.comparison();
    for layout in &args.processes {
        for threads in &args.threads {
            comparison.storms.push(session.storm(*threads, *layout)?);
            // Written after each storm, so that a later failure loses nothing.
            output::write(args.update_docs.as_deref(), &comparison, &base)?;
        }
    }
    print!("{}", output::targets::text(&comparison));
    say(&format!("written: {}.md, .json, -cost.svg, -throughput.svg", base.display()));
    Ok(())
}

fn say(text: &str) {
    eprintln!("psn-compare: {text}");
}

struct Session<'a> {
    args: &'a CompareArgs,
    steps: Vec<Step>,
    this: String,
    psn: String,
    version: String,
}

impl<'a> Session<'a> {
    fn new(args: &'a CompareArgs) -> Result<Self, Box<dyn Error>> {
        let workers = if args.workers.is_empty() {
            std::iter::successors(Some(1), |workers| Some(workers * 2)).take_while(|n| *n <= cores()).collect()
        } else {
            args.workers.clone()
        };
        let psn = match &args.psn {
            Some(path) => path.clone(),
            None => built_program("psn", "psn")?,
        };
        let psn = psn.to_string_lossy().into_owned();
        let asks = Program {
            words: vec![psn.clone(), "--version".to_owned()],
            cores: None,
            wants_output: true,
            deadline: Duration::from_secs(10),
        };
        let version = asks.run()?.output.trim().to_owned();
        let this = std::env::current_exe()?.to_string_lossy().into_owned();
        Ok(Self { args, steps: steps(args, &workers), this, psn, version })
    }

    fn comparison(&self) -> Comparison {
        Comparison {
            version: self.version.clone(),
            started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::new(),
            runs: self.args.runs,
            seconds: self.args.seconds,
            storms: Vec::new(),
        }
    }

    /// The path of this comparison's files, without their endings.
    fn base(&self, args: &CompareArgs) -> PathBuf {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d-%H%M");
        args.out.join(format!("{date}-{}-cores", cores()))
    }

    /// Measures everything on one storm.
    fn storm(&self, threads: u32, layout: Layout) -> Result<StormFigures, Box<dyn Error>> {
        let processes = layout.processes(threads);
        say(&format!("making a storm of {threads} threads in {processes} processes"));
        let mut builder = Storm::builder().threads(threads).processes(processes);
        for (kind, share) in [(Kind::Futex, 6), (Kind::Epoll, 2), (Kind::Nanosleep, 1), (Kind::Pipe, 1)] {
            builder = builder.share(kind, share);
        }
        let storm = builder.deadline(Duration::from_secs(180)).spawn()?;
        std::thread::sleep(SETTLE);
        let truth = storm.truth().threads_total;
        let mut figures = StormFigures {
            threads,
            processes,
            is_many: layout == Layout::Many,
            truth,
            started: None,
            steps: self.steps.iter().map(empty).collect(),
        };
        let scene = self.prepare(&mut figures)?;
        for run in 0..self.args.runs {
            self.run(run, &figures.title(), &scene, &mut figures.steps);
        }
        Ok(figures)
    }

    /// Finds the memory, the open files and the pace of each step.
    fn prepare(&self, storm: &mut StormFigures) -> Result<Scene, Box<dyn Error>> {
        let mut scene = Scene { tasks: 0, kept: HashMap::new(), pass_s: HashMap::new() };
        // The first visit makes the kernel create an inode and a name for every file, which later visits find.
        for reads in [
            Reads { reach: Reach::Path, files: &["stat"], like: None },
            Reads { reach: Reach::Dir, files: &["stat", "syscall", "wchan", "schedstat"], like: None },
        ] {
            let outcome = self.floor(&reads, 1, 0.0, 0.1, &scene)?.0;
            scene.tasks = outcome.tasks;
            // The estimate for steps without a pace of their own yet: a pass that opens every file.
            scene.pass_s.insert(String::new(), outcome.cpu_s / outcome.passes);
        }
        for id in self.imitated() {
            self.probe_psn(id, &mut scene)?;
        }
        let title = storm.title();
        // A step that runs flat out takes as much memory as the same step at a pace.
        let paced = |(step, _): &(&Step, &mut StepFigures)| step.is_single();
        for (step, figures) in self.steps.iter().zip(&mut storm.steps).filter(paced) {
            say(&format!("{title}: memory and pace of {}", step.name));
            match self.look(step, &mut scene) {
                Ok(probe) => figures.probe = probe,
                Err(error) => figures.error = Some(error),
            }
        }
        for (step, figures) in self.steps.iter().zip(&mut storm.steps) {
            figures.hz = scene.hz(step);
        }
        Ok(scene)
    }

    /// The ids of the psn steps whose kept files a bare loop keeps too.
    fn imitated(&self) -> Vec<&'static str> {
        let like = |step: &Step| if let Contender::Floor(reads) = step.contender { reads.like } else { None };
        let mut ids: Vec<&str> = self.steps.iter().filter_map(like).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Finds which files psn keeps open, so that its floors keep them too.
    fn probe_psn(&self, id: &str, scene: &mut Scene) -> Result<(), String> {
        let mut arguments = vec!["-G".to_owned(), "syscall,wchan".to_owned()];
        if id == "psn-all" {
            arguments.push("-a".to_owned());
        }
        let pass_s = scene.pass_s.get("").copied().unwrap_or(1.0);
        let psn = Psn { program: &self.psn, arguments: &arguments, workers: 1, hz: rate(pass_s) };
        scene.kept.insert(id.to_owned(), psn.probe()?.kept);
        Ok(())
    }

    /// Returns the memory of a step, and notes the time of a pass of a bare loop.
    fn look(&self, step: &Step, scene: &mut Scene) -> Result<Probe, String> {
        match &step.contender {
            Contender::Floor(reads) => {
                let (outcome, probe) = self.probe_floor(reads, step.workers, scene)?;
                scene.pass_s.insert(step.id.clone(), outcome.cpu_s / outcome.passes);
                Ok(probe)
            }
            Contender::Psn(arguments) => {
                let hz = scene.hz(step).unwrap_or_else(|| rate(scene.pass_s.get("").copied().unwrap_or(1.0)));
                Psn { program: &self.psn, arguments, workers: step.workers, hz }.probe()
            }
            Contender::Peer(peer) => peer::probe(peer),
            Contender::Original(path) => peer::probe_original(path, scene.tasks),
        }
    }

    /// Measures all steps once, in reverse order in every second run.
    fn run(&self, run: u32, title: &str, scene: &Scene, figures: &mut [StepFigures]) {
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        if run % 2 == 1 {
            order.reverse();
        }
        for place in order {
            let (Some(step), Some(figures)) = (self.steps.get(place), figures.get_mut(place)) else { continue };
            let start = Instant::now();
            let result = self.measure(step, scene);
            let what = match &result {
                Ok(measurement) => format!(
                    "{:.2} µs a thread, {:.2} passes/s ({:.0} s)",
                    measurement.us_per_visit(),
                    measurement.passes_per_s,
                    start.elapsed().as_secs_f64()
                ),
                Err(error) => error.clone(),
            };
            say(&format!("{title}, run {} of {}: {}: {what}", run + 1, self.args.runs, step.name));
            if let Err(error) = &result {
                figures.error = Some(error.clone());
            }
            figures.runs.push(result.ok());
        }
    }

    fn measure(&self, step: &Step, scene: &Scene) -> Result<Measurement, String> {
        let hz = scene.hz(step);
        match &step.contender {
            Contender::Floor(reads) => {
                let seconds = self.seconds(step, scene);
                let (outcome, others_cpu) = self.floor(reads, step.workers, hz.unwrap_or(0.0), seconds, scene)?;
                Ok(Measurement {
                    tasks: outcome.tasks,
                    passes: outcome.passes,
                    seconds: outcome.seconds,
                    cpu_s: outcome.cpu_s,
                    own_cpu_s: None,
                    passes_per_s: outcome.passes_per_s,
                    missed: 0,
                    start_up_cpu_s: None,
                    others_cpu,
                })
            }
            Contender::Psn(arguments) => {
                // psn takes no rate above 1000 Hz.
                let psn = Psn { program: &self.psn, arguments, workers: step.workers, hz: hz.unwrap_or(1000.0) };
                match step.pace {
                    Pace::Half => psn.steady(self.seconds(step, scene)),
                    Pace::Full => psn.flat_out(self.seconds(step, scene)),
                }
            }
            Contender::Peer(peer) => peer::measure(peer, scene.tasks),
            Contender::Original(path) => peer::measure_original(path, scene.tasks),
        }
    }

    /// How long a step measures.
    fn seconds(&self, step: &Step, scene: &Scene) -> f64 {
        match scene.hz(step) {
            Some(hz) => passes_s(self.args.seconds, PASSES, hz),
            // Flat out there are more passes in less time, and the more workers, the shorter the pass.
            None => (self.args.seconds / 2.0).max(scene.pass_of(step) * 1.3 * PASSES / step.workers as f64),
        }
    }

    fn floor_program(&self, reads: &Reads, workers: usize, hz: f64, seconds: f64, scene: &Scene) -> Program {
        let reach = match reads.reach {
            Reach::Dir => "dir",
            Reach::Path => "path",
            Reach::List => "list",
        };
        let kept = reads.like.and_then(|like| scene.kept.get(like)).map(Vec::as_slice).unwrap_or_default();
        let mut words = vec![self.this.clone(), "floor".to_owned(), "--reach".to_owned(), reach.to_owned()];
        for kept in reads.files(kept) {
            words.extend(["--file".to_owned(), format!("{}={}", kept.file, kept.count)]);
        }
        for (name, value) in
            [("--workers", workers.to_string()), ("--hz", hz.to_string()), ("--seconds", seconds.to_string())]
        {
            words.extend([name.to_owned(), value]);
        }
        Program {
            words,
            cores: Some(workers),
            wants_output: true,
            deadline: Duration::from_secs_f64(seconds * 3.0 + 120.0),
        }
    }

    /// Runs a bare loop. Returns what it measured, and the CPU time of all other processes per second meanwhile.
    fn floor(
        &self,
        reads: &Reads,
        workers: usize,
        hz: f64,
        seconds: f64,
        scene: &Scene,
    ) -> Result<(FloorOutcome, f64), String> {
        let finished = self.floor_program(reads, workers, hz, seconds, scene).run()?;
        Ok((outcome(&finished.output)?, finished.others_cpu_s / finished.wall_s))
    }

    fn probe_floor(&self, reads: &Reads, workers: usize, scene: &Scene) -> Result<(FloorOutcome, Probe), String> {
        let (finished, probe) = self.floor_program(reads, workers, 0.0, 1.0, scene).probe()?;
        Ok((outcome(&finished.output)?, probe))
    }
}

fn empty(step: &Step) -> StepFigures {
    StepFigures {
        id: step.id.clone(),
        name: step.name.clone(),
        workers: step.workers,
        floor: step.floor.map(str::to_owned),
        ..StepFigures::default()
    }
}

fn outcome(output: &str) -> Result<FloorOutcome, String> {
    serde_json::from_str(output).map_err(|error| format!("cannot read the bare loop's figures: {error}"))
}
