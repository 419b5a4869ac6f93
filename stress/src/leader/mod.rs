//! The leader: the process that was started as `psn-storm`. It builds the storm, checks it, prints the
//! ground truth, holds the storm and ends it.

mod audit;
mod build;
mod children;
mod cli;
mod control;
mod error;
mod ground_truth;
mod own_state;
mod shortage;
mod watch;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use children::Children;
use clap::Parser as _;
use cli::{Check, Cli};
use control::Control;
use error::StormError;
use rustix::process::{getpid, set_child_subreaper};
use watch::{Event, Watch};

use crate::board::Board;
use crate::kinds::Behaviours;
use crate::plan::Plan;
use crate::plan::kind::Kind;
use crate::plan::rates::ChurnRates;
use crate::truth::Ending;
use crate::worker::context::{self, Context};

/// The program `psn-storm`: runs the storm that the command line describes.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit status says the rest.
            let _ = writeln!(io::stderr(), "psn-storm: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs a storm from beginning to end in the calling process, which must have one thread and no
/// children: kills and reaps all that it forks, and prints to standard output.
fn run(cli: &Cli) -> Result<(), StormError> {
    let start = Instant::now();
    if audit::threads_of(std::process::id()).is_ok_and(|threads| threads > 1) {
        return Err(StormError::Broken("a storm cannot start in a process with threads".to_owned()));
    }
    let total = cli.threads.or_else(|| cli.mix.own_total()).unwrap_or(100);
    let counts = cli.mix.counts(total).map_err(StormError::Usage)?;
    let watch = Watch::start(cli.parent).map_err(|e| StormError::Io("cannot watch", e))?;
    set_child_subreaper(Some(getpid())).map_err(|e| StormError::Io("PR_SET_CHILD_SUBREAPER", e.into()))?;
    let context = prepare(cli, &counts)?;
    let mut leader = Leader { control: Control { context, watch, children: Children::default() }, start };
    let result = leader.build_and_hold(cli, total);
    let gone = leader.control.children.end(&leader.control.watch);
    let ending = result?;
    if !gone {
        return Err(StormError::Broken("some processes have not ended in 60 s".to_owned()));
    }
    match print(&ending) {
        // The reader of standard output is gone.
        Err(_) if ending.reason == "parent" => Ok(()),
        printed => printed,
    }
}

/// Sets the context that every process of the storm inherits.
fn prepare(cli: &Cli, counts: &[(Kind, u32)]) -> Result<&'static Context, StormError> {
    let churn = ChurnRates { births: cli.births, forks: cli.forks, execs: cli.execs, lifetime_ms: cli.lifetime };
    let plan = Plan::new(counts, cli.processes, &churn);
    let dir = cli.dir.clone().unwrap_or_else(std::env::temp_dir);
    context::set(Context {
        leader: getpid(),
        names: cli.names,
        board: Board::new(plan.slots()).map_err(|e| StormError::Io("shared memory", e))?,
        behaviours: Behaviours::open(counts, &dir).map_err(|e| StormError::Io("cannot open", e))?,
        churn,
        plan,
        stacks: std::sync::OnceLock::new(),
    })
    .ok_or_else(|| StormError::Broken("a storm runs in this process already".to_owned()))
}

struct Leader {
    control: Control,
    start: Instant,
}

impl Leader {
    fn build_and_hold(&mut self, cli: &Cli, total: u32) -> Result<Ending, StormError> {
        let context = self.control.context;
        let deadline = self.start + Duration::from_secs_f64(cli.timeout);
        build::fork_all(&mut self.control, cli.best_effort)?;
        build::await_arrivals(&mut self.control, cli.best_effort, deadline)?;
        let full = cli.check == Check::Full;
        if full {
            // Before any thread spins and any churn starts, so that the check is quick and the count is exact.
            build::settle(&mut self.control, deadline, |kind| kind != Kind::Spin)?;
            audit::check_counts(&context.board).map_err(StormError::Broken)?;
        }
        context.board.open_gate();
        let gate_opened = Instant::now();
        if full {
            build::settle(&mut self.control, deadline, |kind| kind == Kind::Spin)?;
        }
        let own_state = own_state::observe(&mut self.control)?;
        let mut truth = ground_truth::truth(context, own_state, cli.list);
        truth.threads_requested = total;
        truth.limit_hit = context.board.failure().map(|failure| shortage::describe(context, failure));
        if let Some(text) = &truth.limit_hit {
            // Standard error may be closed; the text is in the ground truth too.
            let _ = writeln!(io::stderr(), "psn-storm: {text}");
        }
        truth.startup_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        print(&truth)?;
        let reason = self.hold(cli.duration.map(Duration::from_secs_f64))?;
        Ok(ground_truth::ending(context, reason, gate_opened.elapsed()))
    }

    /// Sleeps until something ends the storm, and returns what it was.
    fn hold(&mut self, duration: Option<Duration>) -> Result<&'static str, StormError> {
        let start = Instant::now();
        loop {
            let left = duration.map(|duration| duration.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok("duration");
            }
            match self.control.watch.wait(left) {
                Some(Event::Told(signal)) => return Ok(signal),
                Some(Event::ParentEnded) => return Ok("parent"),
                Some(Event::Child) => self.control.check_children()?,
                Some(Event::Readable) | None => {}
            }
        }
    }
}

/// Prints a value as one line of JSON.
fn print(value: &impl serde::Serialize) -> Result<(), StormError> {
    let failed = |error| StormError::Io("standard output", error);
    let mut line = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed)
}
