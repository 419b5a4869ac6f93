//! The engine of a live run, without a clock: discovery, the sampler or the kernel's walk, the counts and the accounts.
//!
//! The caller owns the time. [`Engine::refresh`] takes over the newest task list, [`Engine::tick`] looks at every task once,
//! and [`Engine::report`] makes the report of all ticks so far.

use std::sync::Arc;
use std::time::Duration;

use super::budget::fd_budget;
use super::error::SessionError;
use super::host_load::LoadSums;
use super::sleepers;
use super::walks::{Walks, must_walk};
use crate::ask::column::Extract;
use crate::ask::kernel_times::KernelTimes;
use crate::ask::plan::{Collected, Plan, StateGate};
use crate::ask::select::Selection;
use crate::config::{Config, Scan};
use crate::count::memory::Memory;
use crate::count::{Aggregator, TickStart};
use crate::observe::{Context, asks_about_descriptors};
use crate::proc::health::Health;
use crate::proc::{ProcRoot, ReadError, rights};
use crate::report::Sleepers;
use crate::row::rows::SpareRows;
use crate::sample::{PassOutcome, Sampler};
use crate::tasks::census::Census;
use crate::tasks::discover::{Discovered, Discovery, DiscoveryConfig};
use crate::tasks::discoverer::Discoverer;
use crate::tasks::facts::SideReaders;
use crate::tasks::lookups::LookupReaders;
use crate::tasks::users::Users;
use crate::time::clock::period_ns;
use crate::time::histogram::Histogram;

/// What an engine works with, beside its configuration.
pub struct EngineSetup {
    /// The proc root to read.
    pub root: ProcRoot,
    /// Names for user ids.
    pub users: Arc<Users>,
    /// Buffers for kept rows, shared with the recorder that empties them.
    pub spare_rows: SpareRows,
    /// Who lists the tasks.
    pub listing: ListingMode,
}

/// Who lists the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingMode {
    /// A thread of its own, every `--discover-hz`: [`Engine::refresh`] never blocks.
    Background,
    /// [`Engine::refresh`] itself, at each call.
    OnRefresh,
}

/// What only the owner of the clock knows of a run.
#[derive(Debug, Default)]
pub struct Timing {
    /// The start of the run, nanoseconds since 1970.
    pub started_ns: u64,
    /// The time covered by the ticks, seconds.
    pub duration_s: f64,
    /// Ticks due so far, taken or not.
    pub due: u64,
    /// Ticks skipped to keep within `--max-cpu`.
    pub throttled: u64,
    /// Ticks begun and given up.
    pub abandoned: u64,
    /// How late ticks began.
    pub lateness: Histogram,
    /// CPU time of the process since the start of the run.
    pub cpu: Duration,
}

/// Where task lists come from.
enum TaskSource {
    Background(Discoverer),
    OnRefresh(Box<Discovery>),
}

/// Discovery, sampler or walk, aggregator and accounts of one run.
pub struct Engine {
    pub(super) config: Config,
    pub(super) root: ProcRoot,
    tasks: TaskSource,
    /// The task list in force.
    pub(super) found: Discovered,
    pub(super) sampler: Sampler,
    pub(super) walks: Walks,
    pub(super) aggregator: Arc<Aggregator>,
    pub(super) users: Arc<Users>,
    pub(super) side_readers: Option<Arc<SideReaders>>,
    pub(super) lookups: Option<Arc<LookupReaders>>,
    /// psn's own process id, if psn is left out of the samples.
    pub(super) excluded: Option<u32>,
    pub(super) measured: KernelTimes,
    pub(super) counts: TickCounts,
    /// The reads of discovery and of the side readers.
    side_health: Health,
}

/// What completed ticks add up to.
#[derive(Default)]
pub(super) struct TickCounts {
    pub(super) completed: u32,
    /// How long they took.
    pub(super) passes: Histogram,
    /// The most threads in state R in one tick read from /proc.
    pub(super) running_max: u64,
    /// The threads in states R and D.
    pub(super) load: LoadSums,
}

/// When a tick is due, and when it begins.
#[derive(Debug, Clone, Copy)]
pub struct TickDue {
    /// When it is due (CLOCK_MONOTONIC): that is by chance, other than the time at which psn gets a CPU.
    pub due_ns: u64,
    /// How long after that it begins, nanoseconds.
    pub late_ns: u64,
    /// When it begins, nanoseconds since 1970.
    pub time_ns: u64,
}

impl Engine {
    /// An engine that has not listed any task yet. Threads that it starts inherit the capabilities of the caller: call it
    /// within [`rights::raised`].
    ///
    /// # Errors
    /// When threads cannot be started, or when the kernel's walk is required and cannot be had.
    pub fn new(config: &Config, setup: EngineSetup) -> Result<Self, SessionError> {
        let EngineSetup { root, users, spare_rows, listing } = setup;
        let (root, own_root) = (Arc::new(root.share()), root);
        let mut selection = config.selection.clone();
        if !config.shows_itself {
            selection.excluded = root.own_pid();
        }
        let excluded = selection.excluded;
        let measured = KernelTimes::by(&root);
        let plan = Plan { kernel_times: measured, ..config.plan.clone() };
        let lookups = LookupReaders::start(&root, plan.sources, asks_about_descriptors(&plan));
        let context = Arc::new(Context {
            root: Arc::new(root.share()),
            plan,
            users: Arc::clone(&users),
            lookups: lookups.clone(),
            links: Arc::default(),
        });
        let memory = Memory::new(config.max_memory);
        let aggregator = Arc::new(Aggregator::within(&config.plan, &memory).with_spare_rows(spare_rows));
        let sampler = Sampler::new(context, Arc::clone(&aggregator), config.workers)
            .map_err(|error| SessionError::Threads(error.to_string()))?;
        let (walks, census) = Walks::open(config, &root, &selection)?;
        let discovery = discovery(config, root, selection, &users, census);
        let side_readers = discovery.side_readers().cloned();
        if let Some(readers) = &side_readers {
            readers.keep_lines_of(config.plan.columns.iter().copied());
        }
        let tasks = match listing {
            ListingMode::OnRefresh => TaskSource::OnRefresh(Box::new(discovery)),
            ListingMode::Background => {
                let discoverer = Discoverer::start(discovery);
                TaskSource::Background(discoverer.map_err(|error| SessionError::Threads(error.to_string()))?)
            }
        };
        Ok(Self {
            config: config.clone(),
            root: own_root,
            tasks,
            found: Discovered::default(),
            sampler,
            walks,
            aggregator,
            users,
            side_readers,
            lookups,
            excluded,
            measured,
            counts: TickCounts::default(),
            side_health: Health::default(),
        })
    }

    /// Takes over the newest task list and user names. Returns whether there was a newer list.
    ///
    /// # Errors
    /// When the processes could not be listed: then the list in force stays.
    pub fn refresh(&mut self) -> Result<bool, ReadError> {
        self.users.publish();
        let tick = self.counts.completed;
        let found = match &mut self.tasks {
            TaskSource::Background(discoverer) => discoverer.newest(tick).transpose(),
            TaskSource::OnRefresh(discovery) => discovery.refresh(tick),
        };
        self.take_over(found)
    }

    /// The same, but waits up to `patience` for a list of [`ListingMode::Background`].
    ///
    /// # Errors
    /// When the processes could not be listed.
    pub fn wait_for_tasks(&mut self, patience: Duration) -> Result<bool, ReadError> {
        match &self.tasks {
            TaskSource::Background(discoverer) => {
                let found = discoverer.wait(patience).transpose();
                self.take_over(found)
            }
            TaskSource::OnRefresh(_) => self.refresh(),
        }
    }

    fn take_over(&mut self, found: Result<Option<Discovered>, ReadError>) -> Result<bool, ReadError> {
        let Some(found) = found? else { return Ok(false) };
        let old = std::mem::replace(&mut self.found, found);
        // The first call loads the kernel's symbols, which takes a while: not before there is a thread.
        if self.found.set.threads() > 0 || old.set.threads() > 0 {
            self.walks.set_tasks(&self.found);
        }
        // Closing the files of ended threads takes a while: not on the caller's time.
        self.sampler.drop_aside(old.set);
        Ok(true)
    }

    /// When the next tick is due and begins. Without it, nothing is told of how long waits last.
    pub fn set_due(&mut self, due: TickDue) {
        if let Some(walker) = &mut self.walks.walker {
            walker.set_due(due.due_ns);
        }
        self.aggregator.begin_tick(TickStart {
            now_ns: due.time_ns,
            late_ns: due.late_ns,
            period_ns: period_ns(self.config.hz),
            begins_run: false,
        });
    }

    /// Looks at every task once. Gives up when `stopped` says so, or when a thread is stuck in the kernel at `next_due_ns`
    /// (CLOCK_MONOTONIC): then the outcome is not complete, and nothing of the tick is counted.
    ///
    /// # Errors
    /// When a walk fails and `--scan kernel` rules out the files in /proc.
    pub fn tick(&mut self, next_due_ns: u64, stopped: &dyn Fn() -> bool) -> Result<PassOutcome, SessionError> {
        let (sampler, tick) = (&mut self.sampler, self.counts.completed);
        let outcome = match &mut self.walks.walker {
            None => sampler.pass(&self.found.set, tick, next_due_ns, stopped),
            Some(walker) => match rights::raised(|| sampler.walk(walker, tick, next_due_ns, stopped)).flatten() {
                Ok(outcome) => outcome,
                Err(error) if self.config.scan == Scan::Kernel => return Err(SessionError::Walk(error)),
                Err(error) => {
                    self.walks.give_up(format!("a walk failed: {error}"));
                    PassOutcome::default()
                }
            },
        };
        if outcome.is_complete {
            self.counts.completed += 1;
            self.aggregator.end_tick(outcome.duration_ns);
            self.counts.passes.record(outcome.duration_ns);
            self.note_load(&outcome);
        }
        Ok(outcome)
    }

    /// Notes how many threads were in states R and D.
    fn note_load(&mut self, outcome: &PassOutcome) {
        let in_state =
            |letter: u8| outcome.states.iter().find(|(other, _)| *other == letter).map_or(0, |(_, count)| count);
        let (running, blocked) = (in_state(b'R'), in_state(b'D'));
        // A walk counts psn's threads too: at least the one that walks, though its record may not pass the gate.
        let own = outcome.own_running.max(u64::from(self.walks.walker.is_some()));
        let others = running.saturating_sub(own).saturating_sub(outcome.throttled);
        self.counts.load.add(others, outcome.throttled, blocked);
        // By a walk, threads on a CPU are told from those that wait for one.
        if self.walks.walker.is_none() && self.config.plan.gate.passes(b'R') {
            self.counts.running_max = self.counts.running_max.max(running);
        }
    }

    /// How many threads were in states R and D, if psn looked at all threads of the host but its own.
    pub(super) fn load(&self) -> Option<&LoadSums> {
        let Config { selection, shows_itself, .. } = &self.config;
        let is_of_all = selection.is_everything() && selection.threads.is_none() && !shows_itself;
        is_of_all.then_some(&self.counts.load)
    }

    /// The task list in force.
    #[must_use]
    pub const fn tasks(&self) -> &Discovered {
        &self.found
    }

    /// Ticks completed so far.
    #[must_use]
    pub const fn completed(&self) -> u32 {
        self.counts.completed
    }

    /// Waits up to `patience` for the last user names and ends the lookup. In the counts, names replace the numbers of users
    /// that were unknown when they were first sampled. Returns a warning if some still are.
    pub fn finish_users(&self, patience: Duration) -> Option<String> {
        let warning = self.users.finish(patience);
        // Recorded rows keep the numbers, and so must the report: it is that of the replay.
        if self.config.plan.collected == Collected::Counts {
            let columns = &self.config.plan.columns;
            let is_user = columns.iter().map(|column| column.extract == Extract::User).collect::<Vec<_>>();
            self.aggregator.rename(&is_user, &|text| {
                let uid = std::str::from_utf8(text).ok()?.parse().ok()?;
                self.users.name(uid)
            });
        }
        warning
    }

    /// Where the threads sleep, if no tick saw an active one. Takes three samples, a second at most.
    #[must_use]
    pub fn sleepers(&self) -> Option<Sleepers> {
        let plan = &self.config.plan;
        let is_wanted = self.counts.completed > 0 && plan.collected.has_counts() && plan.gate == StateGate::active();
        if !is_wanted || !self.aggregator.is_empty() {
            return None;
        }
        let mut blocking = self.side_readers.as_ref().map(|readers| readers.blockers()).unwrap_or_default();
        blocking.extend(self.lookups.iter().flat_map(|readers| readers.blockers()));
        blocking.extend(self.sampler.blocking_processes().into_iter().map(|process| process.tgid));
        let is_blocking = |tgid| blocking.contains(&tgid);
        let look = || sleepers::look(&self.config, &self.root, &self.users, &self.found.set, &is_blocking);
        rights::raised(look).ok().flatten()
    }

    /// The outcome of every read so far.
    pub(super) fn health(&mut self) -> Health {
        let mut of_discovery = match &mut self.tasks {
            TaskSource::Background(discoverer) => discoverer.take_health(),
            TaskSource::OnRefresh(discovery) => discovery.take_health(),
        };
        self.side_health.take(&mut of_discovery);
        if let Some(readers) = &self.side_readers {
            self.side_health.take(&mut readers.take_health());
        }
        if let Some(readers) = &self.lookups {
            self.side_health.take(&mut readers.take_health());
        }
        let mut health = self.sampler.health().clone();
        health.take(&mut self.side_health.clone());
        health
    }

    /// How old the task list is, if its thread seems to be stuck.
    pub(super) fn stuck_since(&self) -> Option<Duration> {
        match &self.tasks {
            TaskSource::Background(discoverer) => discoverer.stuck_since(),
            TaskSource::OnRefresh(_) => None,
        }
    }
}

fn discovery(
    config: &Config,
    root: Arc<ProcRoot>,
    selection: Selection,
    users: &Arc<Users>,
    census: Option<Census>,
) -> Discovery {
    let options = DiscoveryConfig {
        selection,
        sources: config.sources(),
        names_users: names_users(config),
        budget: fd_budget(config, &root),
        all_states: config.plan.gate.is_open(),
        period: config.discover_period,
    };
    let discovery = Discovery::new(root, options, Arc::clone(users));
    match census {
        Some(census) => discovery.with_census(census, must_walk(config)),
        None => discovery,
    }
}

/// Whether a column shows user names.
#[must_use]
pub fn names_users(config: &Config) -> bool {
    config.plan.columns.iter().any(|column| column.extract == Extract::User)
}
