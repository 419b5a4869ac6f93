//! The engine without its clock: a listing and a pass happen when a test says so, so the number of
//! ticks is exact and nothing waits.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use psn::ask::column::Extract;
use psn::ask::kernel_times::KernelTimes;
use psn::ask::plan::Plan;
use psn::config::Config;
use psn::config::cli::Cli;
use psn::count::Aggregator;
use psn::observe::Context;
use psn::proc::health::Health;
use psn::proc::{Faults, ProcRoot, ReadError};
use psn::report::{CoverageReport, Facts, Report, Tasks, Ticks};
use psn::sample::{PassOutcome, Sampler};
use psn::tasks::discover::{Discovery, DiscoveryConfig};
use psn::tasks::fds::FdBudget;
use psn::tasks::users::Users;
use psn::tasks::{DetailFiles, TaskSet};

use super::fake::FakeProc;

/// The configuration for `args`, of the proc root `proc`.
#[track_caller]
pub fn config(proc: &FakeProc, args: &[&str]) -> Config {
    let mut line: Vec<OsString> = vec!["psn".into(), "--procfs".into(), proc.path().into()];
    line.extend(args.iter().map(OsString::from));
    let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    Config::new(&cli.sample).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// Discovery and sampler, wired as a session wires them.
pub struct Engine {
    config: Config,
    discovery: Discovery,
    sampler: Sampler,
    aggregator: Arc<Aggregator>,
    set: Arc<TaskSet>,
    skipped: u64,
    discovery_health: Health,
    completed: u32,
    expected: u64,
}

impl Engine {
    /// An engine over `proc` that does what `args` say.
    #[track_caller]
    pub fn new(proc: &FakeProc, args: &[&str]) -> Self {
        let root = ProcRoot::open(proc.path()).unwrap();
        Self::with_root(root, config(proc, args), None)
    }

    /// The same, with these names for users.
    #[track_caller]
    pub fn with_users(proc: &FakeProc, args: &[&str], users: Users) -> Self {
        let root = ProcRoot::open(proc.path()).unwrap();
        Self::with_root(root, config(proc, args), Some(users))
    }

    /// The same, with failing calls.
    #[track_caller]
    pub fn with_faults(proc: &FakeProc, args: &[&str], faults: Arc<dyn Faults>) -> Self {
        let root = ProcRoot::open(proc.path()).unwrap().with_faults(faults);
        Self::with_root(root, config(proc, args), None)
    }

    fn with_root(root: ProcRoot, config: Config, users: Option<Users>) -> Self {
        let root = Arc::new(root);
        let names_users = config.plan.columns.iter().any(|column| column.extract == Extract::User);
        let users = users
            .unwrap_or_else(|| if names_users { Users::from_passwd("/etc/passwd".as_ref()) } else { Users::default() });
        let users = Arc::new(users);
        let kept = config.sources().iter().filter(|source| DetailFiles::keeps(*source)).count();
        let details_per_task = if kept > 0 { (kept + 1).min(DetailFiles::KEPT.len()) } else { 0 };
        let discovery = DiscoveryConfig {
            selection: config.selection.clone(),
            sources: config.sources(),
            names_users,
            budget: FdBudget { files: config.fd_budget.unwrap_or(4000), dirs: 100, details_per_task },
            all_states: config.plan.gate.is_open(),
            period: Duration::from_millis(500),
        };
        let plan = Plan { kernel_times: KernelTimes::by(&root), ..config.plan.clone() };
        let context = Arc::new(Context { root: Arc::clone(&root), plan, users: Arc::clone(&users) });
        let aggregator = Arc::new(Aggregator::new(&config.plan));
        let sampler = Sampler::new(context, Arc::clone(&aggregator), config.workers).unwrap();
        Self {
            discovery: Discovery::new(root, discovery, users),
            config,
            sampler,
            aggregator,
            set: Arc::default(),
            skipped: 0,
            discovery_health: Health::default(),
            completed: 0,
            expected: 0,
        }
    }

    /// Lists the tasks, as the discovery thread does now and then.
    #[track_caller]
    pub fn refresh(&mut self) {
        self.try_refresh().unwrap();
    }

    fn try_refresh(&mut self) -> Result<(), ReadError> {
        let found = self.discovery.refresh(self.completed);
        self.discovery_health.take(&mut self.discovery.take_health());
        if let Some(found) = found? {
            self.set = found.set;
            self.skipped = found.skipped;
        }
        Ok(())
    }

    /// Samples every thread once. The next tick is never due: on a host so busy that a plain file takes its time, no
    /// process is to blame for that.
    pub fn pass(&mut self) -> PassOutcome {
        self.pass_until(u64::MAX)
    }

    /// The same, with the next tick due at an instant of psn's clock.
    pub fn pass_until(&mut self, next_due_ns: u64) -> PassOutcome {
        let outcome = self.sampler.pass(&self.set, self.completed, next_due_ns, &|| false);
        if let Some(readers) = self.discovery.side_readers() {
            self.discovery_health.take(&mut readers.take_health());
        }
        self.expected += 1;
        self.completed += u32::from(outcome.is_complete);
        outcome
    }

    /// A listing, then `count` passes.
    pub fn run(mut self, count: usize) -> Report {
        self.refresh();
        for _ in 0..count {
            assert!(self.pass().is_complete);
        }
        self.report()
    }

    /// Two listings with `count` passes each; nothing if the root can not be listed.
    pub fn try_run(mut self, count: usize) -> Option<Report> {
        for _ in 0..2 {
            self.try_refresh().ok()?;
            for _ in 0..count {
                assert!(self.pass().is_complete);
            }
        }
        Some(self.report())
    }

    /// The report of everything so far.
    pub fn report(&self) -> Report {
        let mut health = self.sampler.health().clone();
        health.take(&mut self.discovery_health.clone());
        let coverage = self.sampler.coverage();
        let denied = coverage.denied.iter().filter(|(_, count)| **count > 0);
        let completed = u64::from(self.completed);
        let facts = Facts {
            ticks: Ticks {
                expected: self.expected,
                completed,
                missed: self.expected - completed,
                throttled: 0,
                abandoned: 0,
            },
            tasks: Tasks {
                processes: self.set.processes().len() as u64,
                threads: self.set.threads() as u64,
                skipped: self.skipped,
                ..Tasks::default()
            },
            health: health.by_file().into_iter().map(|(file, counts)| (file.to_owned(), counts)).collect(),
            dropped: health.dropped().map(|(file, errno, count)| (file.to_owned(), errno.to_string(), count)).collect(),
            coverage: CoverageReport {
                rows: coverage.rows,
                checked: coverage.checked,
                torn: coverage.torn,
                denied: denied.map(|(source, count)| (source.name().to_owned(), *count)).collect(),
                rejected: coverage.rejected,
            },
            ..Facts::default()
        };
        Report::new(&self.config.plan, &self.aggregator, self.config.limit, facts)
    }
}

/// The report of `count` passes over `proc`.
#[track_caller]
pub fn sample(proc: &FakeProc, args: &[&str], count: usize) -> Report {
    Engine::new(proc, args).run(count)
}
