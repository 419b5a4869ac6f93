//! Drives psn's engine tick by tick: a listing and a tick happen when a test says so, so the number of ticks is exact and
//! nothing waits.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Parser as _;
use psn::config::Config;
use psn::config::cli::Cli;
use psn::proc::{Faults, ProcRoot};
use psn::report::Report;
use psn::row::rows::SpareRows;
use psn::sample::PassOutcome;
use psn::session::engine::{Engine, EngineSetup, ListingMode, Timing, names_users};
use psn::tasks::users::Users;

use super::fake::FakeProc;

/// The configuration for `args`, of the proc root `proc`.
#[track_caller]
pub fn config(proc: &FakeProc, args: &[&str]) -> Config {
    let mut line: Vec<OsString> = vec!["psn".into(), "--procfs".into(), proc.path().into()];
    line.extend(args.iter().map(OsString::from));
    let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    Config::new(&cli.sample).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// An engine over a fake proc root, and the ticks it was made to take.
pub struct Driver {
    engine: Engine,
    timing: Timing,
}

impl Driver {
    /// A driver of an engine over `proc` with the options `args`.
    #[track_caller]
    pub fn new(proc: &FakeProc, args: &[&str]) -> Self {
        Self::over(ProcRoot::open(proc.path()).unwrap(), &config(proc, args), None)
    }

    /// The same, with these names for users.
    #[track_caller]
    pub fn with_users(proc: &FakeProc, args: &[&str], users: Users) -> Self {
        Self::over(ProcRoot::open(proc.path()).unwrap(), &config(proc, args), Some(users))
    }

    /// The same, with failing calls.
    #[track_caller]
    pub fn with_faults(proc: &FakeProc, args: &[&str], faults: Arc<dyn Faults>) -> Self {
        let root = ProcRoot::open(proc.path()).unwrap().with_faults(faults);
        Self::over(root, &config(proc, args), None)
    }

    #[track_caller]
    fn over(root: ProcRoot, config: &Config, users: Option<Users>) -> Self {
        let host = || if names_users(config) { Users::from_passwd("/etc/passwd".as_ref()) } else { Users::default() };
        let users = Arc::new(users.unwrap_or_else(host));
        let setup = EngineSetup { root, users, spare_rows: SpareRows::default(), listing: ListingMode::OnRefresh };
        Self { engine: Engine::new(config, setup).unwrap(), timing: Timing::default() }
    }

    /// Lists the tasks.
    #[track_caller]
    pub fn refresh(&mut self) {
        self.engine.refresh().unwrap();
    }

    /// Looks at every thread once. The next tick is never due: on a host so busy that a plain file takes its time, no
    /// process is to blame for that.
    #[track_caller]
    pub fn pass(&mut self) -> PassOutcome {
        self.pass_until(u64::MAX)
    }

    /// The same, with the next tick due at this time of CLOCK_MONOTONIC.
    #[track_caller]
    pub fn pass_until(&mut self, next_due_ns: u64) -> PassOutcome {
        self.timing.due += 1;
        self.engine.tick(next_due_ns, &|| false).unwrap()
    }

    /// A listing, then `count` ticks.
    #[track_caller]
    pub fn run(mut self, count: usize) -> Report {
        self.refresh();
        for _ in 0..count {
            assert!(self.pass().is_complete);
        }
        self.report()
    }

    /// Two listings with `count` ticks each; nothing if the root cannot be listed.
    #[track_caller]
    pub fn try_run(mut self, count: usize) -> Option<Report> {
        for _ in 0..2 {
            self.engine.refresh().ok()?;
            for _ in 0..count {
                assert!(self.pass().is_complete);
            }
        }
        Some(self.report())
    }

    /// The report of everything so far.
    pub fn report(&mut self) -> Report {
        self.engine.report(&self.timing)
    }
}

/// The report of `count` ticks over `proc`.
#[track_caller]
pub fn sample(proc: &FakeProc, args: &[&str], count: usize) -> Report {
    Driver::new(proc, args).run(count)
}
