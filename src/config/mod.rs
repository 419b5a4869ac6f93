//! From arguments to one validated, immutable configuration.

pub mod cli;
mod scan;

pub use scan::Scan;
pub mod options;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::ask::filter::{Filter, FilterError};
use crate::ask::plan::{Collected, Plan, PlanError, PlanRequest, StateGate};
use crate::ask::select::{ProcessSelection, Selection};
use crate::config::cli::{RecordArgs, SampleArgs};
use crate::proc::host::within;
use crate::proc::source::SourceSet;
use crate::record::Format;
use crate::record::header::{BASE, IDENTITY};
use crate::record::open::SinkOptions;
use crate::tasks::users::directory::GETENT;

/// Everything a run needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The proc root.
    pub root: PathBuf,
    /// How threads are to be found.
    pub scan: Scan,
    /// How long to sample; for ever without.
    pub duration: Option<Duration>,
    /// Samples per second.
    pub hz: f64,
    /// Time between two refreshes of the task list.
    pub discover_period: Duration,
    /// The tasks to visit. psn itself is added to the exclusions when the proc root is open.
    pub selection: Selection,
    /// Whether psn's own threads are among them.
    pub shows_itself: bool,
    /// What to read and count.
    pub plan: Plan,
    /// Rows to report at most.
    pub limit: Option<usize>,
    /// Pool size.
    pub workers: usize,
    /// Share of a period by which a tick may be put off.
    pub jitter: f64,
    /// CPU seconds that psn may use a second.
    pub max_cpu: Option<f64>,
    /// Files of threads to keep open at most; chosen from the limits without.
    pub fd_budget: Option<usize>,
    /// Memory that groups and their texts may take, bytes.
    pub max_memory: u64,
    /// The program that names users who are in no passwd file.
    pub getent: PathBuf,
    /// The conditions of `--where` as they were given, for a recording to tell.
    pub filters: Vec<String>,
    /// Where what is observed is recorded.
    pub recording: Option<SinkOptions>,
}

/// An argument that makes no sense; the message names it and says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// In the columns.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// In `--where`.
    #[error("--where: {0}")]
    Filter(FilterError),
    /// In `-p`.
    #[error("-p: '{given}' {reason}")]
    Processes {
        /// The argument as given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `psn record` alone.
    #[error("psn record: where to? -o FILE.db, -o FILE.csv, or -o DIR/ for a dataset")]
    RecordWithoutOutput,
    /// `-o` of a name that says nothing.
    #[error("-o: {0}")]
    Output(String),
    /// `--keep` or `--max-size` of a single file.
    #[error("--keep and --max-size bound datasets: give -o a directory, ending in /")]
    BoundedFile,
    /// `--from` after `--to`.
    #[error("--from and --to: the first must be before the second, and {from} is not before {to}")]
    EmptyWindow {
        /// The first.
        from: String,
        /// The second.
        to: String,
    },
    /// The window of a recording to be compared.
    #[error("{0}; a recording to compare is PATH or PATH@FROM..TO")]
    Window(String),
    /// `-r` alone.
    #[error("-r: descendants of what? name processes with -p; without it every process is sampled already")]
    RecursiveWithoutPid,
}

/// Columns that `psn record` records beside the base ones, and those that are asked for.
const SERVICE: [&str; 3] = ["syscall", "wchan", "filename"];

impl Config {
    /// The configuration that `args` ask for.
    ///
    /// # Errors
    /// The first argument that makes no sense.
    pub fn new(args: &SampleArgs) -> Result<Self, UsageError> {
        let collected = if args.recording.output.is_some() { Collected::Both } else { Collected::Counts };
        Self::with(args, collected, Some(Duration::from_secs(5)))
    }

    /// The configuration of a run that records until it is stopped, and reports nothing.
    ///
    /// # Errors
    /// The first argument that makes no sense.
    pub fn recording_only(args: &RecordArgs) -> Result<Self, UsageError> {
        let mut sample = args.sample.clone();
        if sample.recording.output.is_none() {
            return Err(UsageError::RecordWithoutOutput);
        }
        // Who waits for a lock sleeps.
        sample.all_states |= !args.active && sample.states.is_none();
        Self::with(&sample, Collected::Rows, None)
    }

    fn with(args: &SampleArgs, collected: Collected, default: Option<Duration>) -> Result<Self, UsageError> {
        Ok(Self {
            root: args.procfs.clone(),
            scan: args.scan,
            duration: args.duration.or(default).filter(|duration| !duration.is_zero()),
            hz: args.hz,
            discover_period: Duration::from_secs_f64(1.0 / args.discover_hz),
            selection: selection(args)?,
            shows_itself: args.show_yourself,
            plan: plan(args, collected)?,
            limit: args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            workers: args.workers.map_or_else(allowed_cpus, usize::from),
            jitter: args.jitter,
            max_cpu: args.max_cpu.map(|percent| percent / 100.0),
            fd_budget: args.fd_budget,
            max_memory: args.max_memory,
            getent: GETENT.into(),
            filters: args.filters.clone(),
            recording: recording(args)?,
        })
    }

    /// The files that the run reads.
    #[must_use]
    pub const fn sources(&self) -> SourceSet {
        self.plan.sources
    }
}

/// What is to be counted, and what recorded.
///
/// # Errors
/// The first argument that makes no sense.
pub fn plan(args: &SampleArgs, collected: Collected) -> Result<Plan, UsageError> {
    let mut record = names(&args.recording.record);
    if collected == Collected::Rows {
        record.extend(SERVICE.map(str::to_owned));
    }
    if collected.has_rows() {
        record.extend(IDENTITY.into_iter().chain(BASE).map(str::to_owned));
    }
    let request = PlanRequest {
        group_by: [names(&args.group_by), names(&args.append_group_by)].concat(),
        select: names(&args.select),
        filters: filters(&args.filters)?,
        sort: args.sort.clone(),
        record,
        collected,
    };
    let gate = match &args.states {
        Some(letters) => StateGate::only(letters.as_bytes()),
        None if args.all_states => StateGate::all(),
        None => StateGate::active(),
    };
    Ok(Plan::new(&request, gate)?)
}

/// The conditions of `--where`.
///
/// # Errors
/// The first that makes no sense.
pub fn filters(given: &[String]) -> Result<Vec<Filter>, UsageError> {
    given.iter().map(|filter| Filter::parse(filter)).collect::<Result<_, _>>().map_err(UsageError::Filter)
}

/// The names in a list, without spaces around them.
#[must_use]
pub fn names(list: &[String]) -> Vec<String> {
    list.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn recording(args: &SampleArgs) -> Result<Option<SinkOptions>, UsageError> {
    let args = &args.recording;
    let Some(path) = args.output.clone() else { return Ok(None) };
    let format = Format::of(&path).map_err(|error| UsageError::Output(error.to_string()))?;
    if format != Format::Parquet && (args.keep.is_some() || args.max_size.is_some()) {
        return Err(UsageError::BoundedFile);
    }
    Ok(Some(SinkOptions { path, force: args.force, flush: args.flush, keep: args.keep, max_size: args.max_size }))
}

/// The processes that `-p` names.
///
/// # Errors
/// When it names none.
pub fn processes(args: &SampleArgs) -> Result<ProcessSelection, UsageError> {
    match &args.pid {
        None => Ok(ProcessSelection::All),
        Some(given) => {
            Selection::parse_processes(given).map_err(|reason| UsageError::Processes { given: given.clone(), reason })
        }
    }
}

fn selection(args: &SampleArgs) -> Result<Selection, UsageError> {
    let processes = processes(args)?;
    if args.recursive && matches!(processes, ProcessSelection::All) {
        return Err(UsageError::RecursiveWithoutPid);
    }
    let threads = (!args.thread.is_empty()).then(|| args.thread.iter().copied().collect());
    Ok(Selection { processes, recursive: args.recursive, threads, excluded: None })
}

/// The CPUs this process may run on: affinity and cgroup quota.
#[must_use]
pub fn allowed_cpus() -> usize {
    /// How long the control group's files may take, which tell of its share.
    const PATIENCE: Duration = Duration::from_millis(500);
    static ALLOWED: OnceLock<usize> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let allowed = within(PATIENCE, || std::thread::available_parallelism().map_or(1, usize::from));
        // Those that the scheduler lets psn have: the kernel itself says so.
        allowed.unwrap_or_else(|| {
            rustix::thread::sched_getaffinity(None).map_or(1, |cpus| usize::try_from(cpus.count()).unwrap_or(1).max(1))
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::cli::Cli;

    fn config(line: &str) -> Result<Config, UsageError> {
        Config::new(&Cli::try_parse_from(line.split_whitespace()).unwrap().sample)
    }

    #[test]
    fn defaults_are_the_originals() {
        let config = config("psn").unwrap();
        assert_eq!(config.duration, Some(Duration::from_secs(5)));
        assert_eq!(config.plan.headers(), ["samples", "avg_threads", "comm", "state"]);
        assert!(config.selection.is_everything() && config.workers > 0);
    }

    #[test]
    fn columns_may_be_appended_and_a_duration_of_zero_is_for_ever() {
        let config = config("psn -G syscall,wchan -d 0").unwrap();
        assert_eq!(config.duration, None);
        assert_eq!(config.plan.headers(), ["samples", "avg_threads", "comm", "state", "syscall", "wchan"]);
    }

    #[test]
    fn errors_name_the_option() {
        let error = |line: &str| config(line).unwrap_err().to_string();
        assert!(error("psn -G sycall").starts_with("-g/-G: there is no column 'sycall'; did you mean syscall"));
        assert!(error("psn -r").starts_with("-r:"));
        assert!(error("psn -p (").starts_with("-p:"));
        assert!(error("psn --where comm").starts_with("--where:"));
    }
}
