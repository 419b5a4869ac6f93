//! Makes a validated, immutable configuration of the command line's arguments.

pub mod cli;
pub mod options;
mod scan;
mod value;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::ask::filter::{Filter, FilterError};
use crate::ask::plan::{Collected, Plan, PlanError, PlanRequest, StateGate};
use crate::ask::select::{ProcessSelection, Selection};
use crate::config::cli::{RecordArgs, SampleArgs, WaitingSleepers};
use crate::proc::host::within;
use crate::proc::source::SourceSet;
use crate::record::RecordingFormat;
use crate::record::header::{BASE, IDENTITY};
use crate::record::open::SinkOptions;
use crate::tasks::users::directory::GETENT;

pub use scan::Scan;

/// The configuration of a run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory where proc is mounted.
    pub root: PathBuf,
    /// How threads and their states are found.
    pub scan: Scan,
    /// How long to sample; `None` for until stopped.
    pub duration: Option<Duration>,
    /// Samples per second.
    pub hz: f64,
    /// The time between two refreshes of the task list.
    pub discover_period: Duration,
    /// The processes and threads to look at. psn itself is excluded once the proc root is open.
    pub selection: Selection,
    /// Whether psn's own threads are looked at.
    pub shows_itself: bool,
    /// What is read, counted and shown.
    pub plan: Plan,
    /// The largest number of rows to report.
    pub limit: Option<usize>,
    /// The number of threads that read /proc.
    pub workers: usize,
    /// The fraction of a period by which a tick may be delayed.
    pub jitter: f64,
    /// The number of CPUs that psn may use, on average.
    pub max_cpu: Option<f64>,
    /// The largest number of files of threads to keep open; `None` for as many as limits and memory allow.
    pub fd_budget: Option<usize>,
    /// The memory limit for groups and their texts, bytes.
    pub max_memory: u64,
    /// The program that looks up the names of users who are not in `/etc/passwd`.
    pub getent: PathBuf,
    /// The conditions of `--where` as typed, for the header of a recording.
    pub filters: Vec<String>,
    /// Where samples are recorded; `None` if they are not.
    pub recording: Option<SinkOptions>,
}

/// An argument that is invalid; the message names the option and says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// `-g`, `-G`, `-s`, `--sort` or `--record`
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// `--where`
    #[error("--where: {0}")]
    Filter(FilterError),
    /// `-p`
    #[error("-p: '{given}' {reason}")]
    Processes {
        /// The argument as typed.
        given: String,
        /// What is wrong with it: `is empty; …`.
        reason: String,
    },
    /// `psn record` without `-o`.
    #[error("psn record: name the file or dataset to write with -o FILE.db, -o FILE.csv or -o DIR/")]
    RecordWithoutOutput,
    /// `-o` with a name that does not determine a format.
    #[error("-o: {0}")]
    Output(String),
    /// `--keep` or `--max-size` with a single file.
    #[error("--keep and --max-size apply to datasets: give -o a directory, ending in /")]
    BoundedFile,
    /// `--from` not before `--to`.
    #[error("--from must be before --to, but {from} is not before {to}")]
    EmptyWindow {
        /// The time of `--from`.
        from: String,
        /// The time of `--to`.
        to: String,
    },
    /// The time window of a recording to compare.
    #[error("{0}; give a recording to compare as PATH or PATH@FROM..TO")]
    Window(String),
    /// `-r` without `-p`.
    #[error("-r: requires -p, which names the processes; without -p every process is sampled already")]
    RecursiveWithoutPid,
}

/// The columns that `psn record` records in addition to [`BASE`] and to those that are asked for.
const SERVICE: [&str; 4] = ["syscall", "wchan", "filename", "idle"];

impl Config {
    /// The configuration of a run that reports, and records if `args` say so.
    ///
    /// # Errors
    /// The first invalid argument.
    pub fn new(args: &SampleArgs) -> Result<Self, UsageError> {
        let collected = if args.recording.output.is_some() { Collected::Both } else { Collected::Counts };
        Self::with(args, collected, Some(Duration::from_secs(5)))
    }

    /// The configuration of `psn record`, which records until it is stopped, and does not report.
    ///
    /// # Errors
    /// The first invalid argument.
    pub(crate) fn recording_only(args: &RecordArgs) -> Result<Self, UsageError> {
        let mut sample = args.sample.clone();
        if sample.recording.output.is_none() {
            return Err(UsageError::RecordWithoutOutput);
        }
        // Threads that wait for a lock sleep, so sleeping threads are recorded by default.
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
            filters: conditions(args),
            recording: recording(args)?,
        })
    }

    /// The files that the run reads for a thread.
    #[must_use]
    pub const fn sources(&self) -> SourceSet {
        self.plan.sources
    }
}

/// The plan for `args`.
///
/// # Errors
/// The first invalid argument.
pub(crate) fn plan(args: &SampleArgs, collected: Collected) -> Result<Plan, UsageError> {
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
        filters: filters(&conditions(args))?,
        sort: args.sort.clone(),
        record,
        collected,
    };
    let gate = match &args.states {
        Some(letters) => StateGate::only(letters.as_bytes()),
        None if args.all_states => StateGate::all(),
        None if args.waits.is_some() => StateGate::waiting(),
        None => StateGate::active(),
    };
    Ok(Plan::new(&request, gate)?)
}

/// The conditions of `--where`, and that of `--waits`.
#[must_use]
pub fn conditions(args: &SampleArgs) -> Vec<String> {
    let waits = args.waits.map(condition).map(str::to_owned);
    waits.into_iter().chain(args.filters.iter().cloned()).collect()
}

/// The condition that `--waits` stands for.
const fn condition(waits: WaitingSleepers) -> &'static str {
    match waits {
        WaitingSleepers::Sure => "state_id != S or idle ~ '^no'",
        WaitingSleepers::All => "state_id != S or idle !~ '^yes'",
    }
}

/// Parses the conditions of `--where`.
///
/// # Errors
/// The first invalid condition.
pub(crate) fn filters(given: &[String]) -> Result<Vec<Filter>, UsageError> {
    given.iter().map(|filter| Filter::parse(filter)).collect::<Result<_, _>>().map_err(UsageError::Filter)
}

/// The names in `list`, without surrounding spaces and empty ones.
#[must_use]
pub(crate) fn names(list: &[String]) -> Vec<String> {
    list.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The recording that `args` ask for.
fn recording(args: &SampleArgs) -> Result<Option<SinkOptions>, UsageError> {
    let args = &args.recording;
    let Some(path) = args.output.clone() else { return Ok(None) };
    let format = RecordingFormat::of(&path).map_err(|error| UsageError::Output(error.to_string()))?;
    if format != RecordingFormat::Parquet && (args.keep.is_some() || args.max_size.is_some()) {
        return Err(UsageError::BoundedFile);
    }
    Ok(Some(SinkOptions { path, force: args.force, flush: args.flush, keep: args.keep, max_size: args.max_size }))
}

/// The processes that `-p` selects.
///
/// # Errors
/// The argument is invalid.
pub(crate) fn processes(args: &SampleArgs) -> Result<ProcessSelection, UsageError> {
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

/// The number of CPUs that this process may use, by its affinity and the quota of its control group.
#[must_use]
pub(crate) fn allowed_cpus() -> usize {
    /// The deadline for reading the control group's files.
    const PATIENCE: Duration = Duration::from_millis(500);
    static ALLOWED: OnceLock<usize> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let allowed = within(PATIENCE, || std::thread::available_parallelism().map_or(1, usize::from));
        // The affinity alone, which is a system call that cannot block.
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
