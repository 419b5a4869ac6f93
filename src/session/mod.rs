//! The wiring of a live run: discovery thread, clock, sampler or walker, aggregator, report.
//!
//! The caller's thread is the coordinator. It owns time and the stop flag, reads no file of any
//! task, and waits for every other thread with a deadline, so that whatever hangs, the run ends.

mod account;
mod budget;
mod error;
mod header;
pub mod sleepers;
mod status;
pub mod visibility;
mod walks;

use std::sync::Arc;
use std::time::Duration;

use crate::ask::column::Extract;
use crate::ask::measured::Measured;
use crate::ask::plan::{Keep, Plan, StateGate};
use crate::ask::select::{ProcessSelection, Selection};
use crate::config::Config;
use crate::config::Scan;
use crate::count::Aggregator;
use crate::count::memory::Memory;
use crate::observe::Context;
use crate::proc::ProcRoot;
use crate::proc::health::Health;
use crate::proc::rights;
use crate::record::tick::States;
use crate::record::{Recorder, TickInfo};
use crate::report::{Report, Sleepers};
use crate::sample::walker::Walker;
use crate::sample::{PassOutcome, Sampler};
use crate::text::sentence::shown;

use crate::tasks::TaskSet;
use crate::tasks::discover::{Discovered, Discoverer, Discovery, DiscoveryConfig};
use crate::tasks::facts::SideReaders;
use crate::tasks::users::Users;
use crate::time::clock::{Schedule, Wake, be_punctual, monotonic_ns, process_cpu, realtime_ns, sleep_until};
use crate::time::histogram::Histogram;
use crate::time::moment::nanoseconds;
use budget::fd_budget;
use walks::{Walks, must_walk, open_walks};

pub use error::SessionError;
pub use header::header;
pub use status::{Progress, Status, Stop};

/// How long the first task list may take: a million threads take ten seconds.
const LISTING_PATIENCE: Duration = Duration::from_secs(60);

/// How long names of users are waited for after the end of a run, all together.
const NAMES_PATIENCE: Duration = Duration::from_secs(1);

/// Samples the host as `config` says until its duration is over or `stop` says so.
///
/// # Errors
/// When there is nothing to report.
pub fn run(config: &Config, stop: &Stop, progress: &mut dyn Progress) -> Result<Report, SessionError> {
    Session::start(config, None)?.run(stop, progress)
}

/// The same, and hands every completed tick to `recorder`. A run that only records ends when that is no longer possible.
///
/// # Errors
/// When there is nothing to report.
pub fn record(
    config: &Config,
    stop: &Stop,
    progress: &mut dyn Progress,
    recorder: &mut Recorder,
) -> Result<Report, SessionError> {
    Session::start(config, Some(recorder))?.run(stop, progress)
}

struct Session<'a> {
    config: &'a Config,
    recorder: Option<&'a mut Recorder>,
    aggregator: Arc<Aggregator>,
    sampler: Sampler,
    discoverer: Discoverer,
    found: Discovered,
    /// What takes the ticks, unless /proc is read for them.
    walker: Option<Walker>,
    /// Why there is none, or no better one.
    scan_reason: Option<String>,
    passes: Histogram,
    lateness: Histogram,
    completed: u32,
    /// Passes that were given up.
    abandoned: u64,
    /// Ticks that were not recorded because their rows take too much memory.
    too_large: u64,
    cpu_at_start: Duration,
    discovery_health: Health,
    users: Arc<Users>,
    side_readers: Option<Arc<SideReaders>>,
    root: ProcRoot,
    /// psn's own process, if it is left out.
    excluded: Option<u32>,
    warnings: Vec<String>,
    measured: Measured,
    /// The most threads in state R in one tick taken through /proc.
    running_max: u64,
}

/// Where task lists come from, and the walks that take ticks over them.
struct Lists {
    discoverer: Discoverer,
    walker: Option<Walker>,
    /// Why there is no walk, or no better one.
    reason: Option<String>,
    side_readers: Option<Arc<SideReaders>>,
}

/// Starts the discovery of the tasks of `selection`, with walks if they may be had.
fn lists(
    config: &Config,
    root: Arc<ProcRoot>,
    selection: Selection,
    users: &Arc<Users>,
    names_users: bool,
) -> Result<Lists, SessionError> {
    let discovery = DiscoveryConfig {
        selection,
        sources: config.sources(),
        names_users,
        budget: fd_budget(config, &root),
        all_states: config.plan.gate.is_open(),
        period: config.discover_period,
    };
    let Walks { programs, reason } = open_walks(config, &root, &discovery.selection)?;
    let discovery = Discovery::new(root, discovery, Arc::clone(users));
    let (walker, discovery) = match programs {
        Some((walker, census)) => (Some(walker), discovery.with_census(census, must_walk(config))),
        None => (None, discovery),
    };
    let side_readers = discovery.side_readers().cloned();
    if let Some(readers) = &side_readers {
        readers.keep_lines_of(config.plan.columns.iter().copied());
    }
    let discoverer = Discoverer::start(discovery).map_err(|error| SessionError::Threads(error.to_string()))?;
    Ok(Lists { discoverer, walker, reason, side_readers })
}

impl<'a> Session<'a> {
    fn start(config: &'a Config, recorder: Option<&'a mut Recorder>) -> Result<Self, SessionError> {
        let cpu_at_start = process_cpu();
        let names_users = config.plan.columns.iter().any(|column| column.extract == Extract::User);
        let users = if names_users { Users::start(&config.root, &config.getent) } else { Ok(Users::default()) };
        let users = (Arc::new(users.map_err(|error| SessionError::Threads(error.to_string()))?), names_users);
        // The threads that read /proc are started with the right to; this one, and what it starts later, have it no longer.
        rights::raised(|| Self::start_readers(config, recorder, users, cpu_at_start)).map_err(SessionError::Rights)?
    }

    fn start_readers(
        config: &'a Config,
        recorder: Option<&'a mut Recorder>,
        (users, names_users): (Arc<Users>, bool),
        cpu_at_start: Duration,
    ) -> Result<Self, SessionError> {
        let root =
            ProcRoot::open(&config.root).map_err(|error| SessionError::Root { path: shown(&config.root), error })?;
        let root = Arc::new(root);
        let own_root = root.share();
        if recorder.is_some() {
            // The header was made before there was a report to say in that this cannot be had.
            let _ = own_root.host_path(c"sys/kernel/random/boot_id");
        }
        let mut selection = config.selection.clone();
        if !config.shows_itself {
            selection.excluded = root.own_pid();
        }
        let excluded = selection.excluded;
        let measured = Measured::by(&root);
        let plan = Plan { measured, ..config.plan.clone() };
        let context = Arc::new(Context { root: Arc::new(root.share()), plan, users: Arc::clone(&users) });
        let spare = recorder.as_ref().map(|recorder| recorder.spare_rows()).unwrap_or_default();
        let aggregator =
            Arc::new(Aggregator::within(&config.plan, &Memory::new(config.max_memory)).with_spare_rows(spare));
        let sampler = Sampler::new(context, Arc::clone(&aggregator), config.workers)
            .map_err(|error| SessionError::Threads(error.to_string()))?;
        let mut warnings = visibility::warnings(config, &root);
        warnings.extend(measured.warning(&config.plan.columns));
        let Lists { discoverer, walker, reason, side_readers } = lists(config, root, selection, &users, names_users)?;
        Ok(Self {
            config,
            recorder,
            aggregator,
            sampler,
            discoverer,
            found: Discovered::default(),
            walker,
            scan_reason: reason,
            passes: Histogram::default(),
            lateness: Histogram::default(),
            completed: 0,
            abandoned: 0,
            too_large: 0,
            cpu_at_start,
            discovery_health: Health::default(),
            users,
            side_readers,
            root: own_root,
            excluded,
            warnings,
            measured,
            running_max: 0,
        })
    }

    fn run(mut self, stop: &Stop, progress: &mut dyn Progress) -> Result<Report, SessionError> {
        self.found = self.first_tasks(stop, progress)?;
        self.brief_walker();
        be_punctual();
        let started_ns = realtime_ns();
        let start = monotonic_ns();
        let mut schedule = Schedule::new(start, self.config.hz, self.config.duration, self.config.jitter);
        let cpu_before = process_cpu();
        let stopped = || stop.is_stopped();
        while let Some(deadline) = schedule.deadline() {
            if sleep_until(deadline, &stopped) == Wake::Stopped {
                break;
            }
            let late_ns = monotonic_ns().saturating_sub(deadline);
            let time_ns = realtime_ns();
            self.lateness.record(late_ns);
            self.fetch_tasks();
            if self.has_ended() {
                self.warnings.push("every selected process has ended; sampling ended with them".to_owned());
                break;
            }
            let mut outcome = self.take_tick(schedule.due_after(), &stopped)?;
            if outcome.is_complete {
                self.completed += 1;
                self.note_running(&outcome);
                self.passes.record(outcome.duration_ns);
                self.hand_over(&mut outcome, &schedule, time_ns, late_ns);
                if self.can_no_longer_record() {
                    break;
                }
            } else if stop.is_stopped() {
                break;
            } else {
                self.abandoned += 1;
            }
            let now = monotonic_ns();
            let not_before = self.config.max_cpu.map_or(0, |share| {
                let used = process_cpu().saturating_sub(cpu_before);
                start.saturating_add(nanoseconds(used.div_f64(share)))
            });
            schedule.advance(now, not_before);
            progress.update(self.status(&schedule, outcome.duration_ns, now.saturating_sub(start)));
        }
        let elapsed_ns = monotonic_ns() - start;
        self.name_users();
        Ok(self.report(&schedule, started_ns, elapsed_ns))
    }

    /// Waits for the last names of users, and puts them in the place of the numbers by which their first samples were counted.
    fn name_users(&mut self) {
        self.warnings.extend(self.users.finish(NAMES_PATIENCE));
        // What is recorded is recorded: the report is that of its replay.
        if self.config.plan.keep == Keep::Counts {
            let slots =
                self.config.plan.columns.iter().map(|column| column.extract == Extract::User).collect::<Vec<_>>();
            self.aggregator.rename(&slots, &|text| {
                let uid = std::str::from_utf8(text).ok()?.parse().ok()?;
                self.users.name(uid)
            });
        }
    }

    /// Notes how many threads ran or waited to, if it can not be told which of them it is.
    fn note_running(&mut self, outcome: &PassOutcome) {
        if self.walker.is_none() && self.config.plan.gate.passes(b'R') {
            let running = outcome.states.iter().find(|(letter, _)| *letter == b'R').map_or(0, |(_, count)| count);
            self.running_max = self.running_max.max(running);
        }
    }

    /// Where threads sleep, if that is all they did.
    fn sleepers(&self) -> Option<Sleepers> {
        let plan = &self.config.plan;
        let is_wanted = self.completed > 0 && plan.keep.counts() && plan.gate == StateGate::active();
        if !is_wanted || !self.aggregator.is_empty() {
            return None;
        }
        let mut blockers = self.side_readers.as_ref().map(|readers| readers.blockers()).unwrap_or_default();
        blockers.extend(self.sampler.blockers().into_iter().map(|blocker| blocker.tgid));
        let is_blocker = |tgid| blockers.contains(&tgid);
        let look = || sleepers::look(self.config, &self.root, &self.users, &self.found.set, &is_blocker);
        rights::raised(look).ok().flatten()
    }

    /// Gives a completed tick to the recorder, if there is one.
    fn hand_over(&mut self, outcome: &mut PassOutcome, schedule: &Schedule, time_ns: u64, late_ns: u64) {
        let Some(recorder) = &mut self.recorder else { return };
        let tick = TickInfo {
            time_ns,
            late_ns,
            pass_ns: outcome.duration_ns,
            // The schedule has not gone on yet: this tick is not among those it counts.
            due: schedule.expected() + 1,
            throttled: schedule.throttled(),
            abandoned: self.abandoned,
            lost: 0,
            processes: self.found.set.processes().len() as u64,
            threads: outcome.states.total(),
            states: States::from(&outcome.states),
        };
        if outcome.has_lost_rows {
            recorder.leave_out();
            self.too_large += 1;
        } else {
            recorder.tick(tick, std::mem::take(&mut outcome.rows));
        }
    }

    /// Whether recording was all there was to do, and has failed.
    fn can_no_longer_record(&self) -> bool {
        self.config.plan.keep == Keep::Rows && self.recorder.as_ref().is_some_and(|recorder| recorder.has_failed())
    }

    /// Waits for the first task list, which on a large host takes a while.
    fn first_tasks(&mut self, stop: &Stop, progress: &mut dyn Progress) -> Result<Discovered, SessionError> {
        let path = || shown(&self.config.root);
        let deadline = monotonic_ns().saturating_add(nanoseconds(LISTING_PATIENCE));
        loop {
            if stop.is_stopped() {
                return Err(SessionError::StoppedEarly);
            }
            if monotonic_ns() > deadline {
                return Err(SessionError::ListingHangs { path: path(), seconds: LISTING_PATIENCE.as_secs() });
            }
            progress.update(Status::Listing);
            let Some(found) = self.discoverer.wait(Duration::from_millis(100)) else { continue };
            let found = found.map_err(|error| SessionError::List { path: path(), error })?;
            if found.set.threads() == 0 {
                // What is known already, such as that processes are hidden, may be why.
                let reasons = self.warnings.iter().cloned().chain(unlisted(&found));
                let reasons = reasons.map(|warning| format!("; {warning}")).collect::<String>();
                return Err(SessionError::NothingSelected(self.nothing_selected() + &reasons));
            }
            self.warn_of_missing_pids(&found.set);
            return Ok(found);
        }
    }

    fn nothing_selected(&self) -> String {
        let selection = &self.config.selection;
        let threads = match &selection.threads {
            Some(threads) => {
                let mut threads: Vec<String> = threads.iter().map(u32::to_string).collect();
                threads.sort();
                format!(" with a thread {}", threads.join(" or "))
            }
            None => String::new(),
        };
        if let Some(itself) = self.excluded_though_meant() {
            return itself;
        }
        match &selection.processes {
            ProcessSelection::Pids(pids) => {
                let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
                format!("-p: no process {}{threads} exists in {}", pids.join(" or "), shown(&self.config.root))
            }
            ProcessSelection::Name(regex) => format!(
                "-p: no process's name matches '{regex}'{threads}; the name is what ps -o comm shows, 15 characters of \
                 the program's file name"
            ),
            ProcessSelection::All if selection.threads.is_some() => {
                format!("-t: there is no process{threads} in {}", shown(&self.config.root))
            }
            ProcessSelection::All => format!("there are no processes in {}", shown(&self.config.root)),
        }
    }

    /// What to say when psn itself is meant, by its id or one of its threads', or by its name alone, and is left out.
    fn excluded_though_meant(&self) -> Option<String> {
        let pid = self.excluded?;
        let own = |file: &str| format!("{}/self/{file}", crate::proc::DEFAULT_ROOT);
        let is_meant = match &self.config.selection.processes {
            ProcessSelection::Pids(pids) => pids.contains(&pid),
            ProcessSelection::Name(regex) => {
                std::fs::read(own("comm")).is_ok_and(|comm| regex.is_match(comm.trim_ascii()))
            }
            ProcessSelection::All => self.config.selection.threads.iter().flatten().any(|tid| {
                // By psn's own PID namespace, which is that of the proc root nearly always.
                std::path::Path::new(&own(&format!("task/{tid}"))).exists()
            }),
        };
        is_meant.then(|| format!("process {pid} is psn itself, which it leaves out unless told to --show-yourself"))
    }

    fn warn_of_missing_pids(&mut self, set: &TaskSet) {
        if let ProcessSelection::Pids(pids) = &self.config.selection.processes {
            if let Some(itself) = self.excluded_though_meant() {
                self.warnings.push(itself);
            }
            let exists = |pid: &&u32| set.processes().iter().any(|process| process.tgid == **pid);
            let is_missing = |pid: &&u32| !exists(pid) && Some(**pid) != self.excluded;
            let missing: Vec<String> = pids.iter().filter(is_missing).map(u32::to_string).collect();
            if !missing.is_empty() {
                self.warnings.push(format!("-p: there was no process {}", missing.join(", ")));
            }
        }
    }

    /// Takes over the newest task list, if there is one.
    fn fetch_tasks(&mut self) {
        self.users.publish();
        if let Some(Ok(found)) = self.discoverer.newest(self.completed) {
            let old = std::mem::replace(&mut self.found, found);
            self.brief_walker();
            // Closing the files of threads that ended takes a while: not on the coordinator's time.
            self.sampler.drop_aside(old.set);
        }
    }

    /// Tells the walker of the newest task list, or does without one if walks turned out not to be worth while.
    fn brief_walker(&mut self) {
        let Some(walker) = &mut self.walker else { return };
        match &self.found.unseen {
            Some(unseen) => match rights::raised(|| walker.turn_to(&self.found.set, unseen)) {
                Ok(()) => {}
                Err(error) => {
                    self.walker = None;
                    self.scan_reason = Some(format!("the capabilities that psn was given can not be used: {error}"));
                }
            },
            None => {
                self.walker = None;
                self.scan_reason = Some(format!(
                    "the selection is of {} of the host's threads: to read their files costs less than a walk over all; \
                     --scan kernel walks all the same",
                    self.found.set.threads()
                ));
            }
        }
    }

    /// Visits every thread once.
    fn take_tick(&mut self, next_due_ns: u64, stopped: &dyn Fn() -> bool) -> Result<PassOutcome, SessionError> {
        let Some(walker) = &mut self.walker else {
            return Ok(self.sampler.pass(&self.found.set, self.completed, next_due_ns, stopped));
        };
        let sampler = &mut self.sampler;
        let walked = rights::raised(|| sampler.walk(walker, self.completed, next_due_ns, stopped));
        match walked.flatten() {
            Ok(outcome) => Ok(outcome),
            Err(error) if self.config.scan == Scan::Kernel => Err(SessionError::Walk(error)),
            Err(error) => {
                self.walker = None;
                self.scan_reason = Some(format!("a walk failed: {error}"));
                Ok(PassOutcome::default())
            }
        }
    }

    /// Whether there will never again be anything to sample.
    fn has_ended(&self) -> bool {
        self.found.set.threads() == 0
            && matches!(self.config.selection.processes, ProcessSelection::Pids(_))
            && !self.config.selection.recursive
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    fn status(&self, schedule: &Schedule, pass_ns: u64, elapsed_ns: u64) -> Status {
        let period_s = 1.0 / self.config.hz;
        let elapsed_s = (elapsed_ns as f64 / 1e9).max(schedule.expected() as f64 * period_s).max(1e-9);
        Status::Sampling {
            due: schedule.expected(),
            completed: self.completed.into(),
            total: schedule.total(),
            threads: self.found.set.threads(),
            pass: Duration::from_nanos(pass_ns),
            achieved_hz: f64::from(self.completed) / elapsed_s,
        }
    }
}

/// What to say of processes whose threads are not known.
fn unlisted(found: &Discovered) -> Option<String> {
    let processes = match found.unlisted {
        0 => return None,
        1 => "a process".to_owned(),
        many => format!("{many} processes"),
    };
    Some(format!("the threads of {processes} could not be listed, and some may be missing; the reads of task say why"))
}
