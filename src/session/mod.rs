//! A live run: an engine, the clock that drives it, the recorder, and the warnings about the selection.
//!
//! The caller's thread is the coordinator. It owns the clock and the stop flag, reads no file of any task, and waits for every
//! other thread with a deadline: the run ends even if a reader is stuck in the kernel.

mod account;
mod budget;
pub mod engine;
mod error;
mod header;
mod host_load;
mod selected;
pub mod sleepers;
mod status;
mod visibility;
mod walks;

use std::sync::Arc;
use std::time::Duration;

use crate::ask::plan::Collected;
use crate::config::Config;
use crate::proc::{ProcRoot, rights};
use crate::record::tick::StateTotals;
use crate::record::{Recorder, TickInfo};
use crate::report::Report;
use crate::sample::PassOutcome;
use crate::tasks::users::Users;
use crate::text::sentence::shown;
use crate::time::clock::{Schedule, Wake, be_punctual, monotonic_ns, process_cpu, realtime_ns, sleep_until};
use crate::time::moment::nanoseconds;
use account::unlisted;
use engine::{Engine, EngineSetup, ListingMode, TickDue, Timing, names_users};
use host_load::HostLoadReader;
use selected::{has_ended, missing_pids, nothing_selected};

pub use error::SessionError;
pub use header::header;
pub use status::{Progress, Status, Stop};

/// The longest wait for the first task list. Listing a million threads takes ten seconds.
const LISTING_PATIENCE: Duration = Duration::from_secs(60);

/// The longest wait for user names after the last tick.
const NAMES_PATIENCE: Duration = Duration::from_secs(1);

/// Samples the host as `config` says until its duration is over or `stop` is set.
///
/// # Errors
/// When there is nothing to report.
pub fn run(config: &Config, stop: &Stop, progress: &mut dyn Progress) -> Result<Report, SessionError> {
    Session::start(config, None)?.run(stop, progress)
}

/// Like [`run`], and sends the rows of every completed tick to `recorder`. If the plan keeps rows only, the run ends when
/// they can no longer be written.
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
    engine: Engine,
    recorder: Option<&'a mut Recorder>,
    timing: Timing,
    /// Ticks that were not recorded because their rows take too much memory.
    too_large: u64,
    /// CPU time of the process when the session was started.
    cpu_at_start: Duration,
    warnings: Vec<String>,
    /// Whether processes of the host are hidden from psn.
    is_blinded: bool,
    host_load: Option<HostLoadReader>,
}

impl<'a> Session<'a> {
    fn start(config: &'a Config, recorder: Option<&'a mut Recorder>) -> Result<Self, SessionError> {
        let cpu_at_start = process_cpu();
        let users = if names_users(config) { Users::start(&config.root, &config.getent) } else { Ok(Users::default()) };
        let users = Arc::new(users.map_err(|error| SessionError::Threads(error.to_string()))?);
        // The threads that read /proc inherit raised capabilities. Those of this thread, and of what it starts later, are
        // lowered again.
        rights::raised(|| Self::start_readers(config, recorder, users, cpu_at_start)).map_err(SessionError::Rights)?
    }

    fn start_readers(
        config: &'a Config,
        recorder: Option<&'a mut Recorder>,
        users: Arc<Users>,
        cpu_at_start: Duration,
    ) -> Result<Self, SessionError> {
        let root =
            ProcRoot::open(&config.root).map_err(|error| SessionError::Root { path: shown(&config.root), error })?;
        if recorder.is_some() {
            // Read again, only for the warning if it fails: the header was made before there was a report to warn in.
            let _ = root.check_host(c"sys/kernel/random/boot_id");
        }
        let mut warnings = visibility::warnings(config, &root);
        let is_blinded = !warnings.is_empty();
        let host_load = HostLoadReader::start(root.share()).ok();
        let spare_rows = recorder.as_ref().map(|recorder| recorder.spare_rows()).unwrap_or_default();
        let setup = EngineSetup { root, users, spare_rows, listing: ListingMode::Background };
        let engine = Engine::new(config, setup)?;
        warnings.extend(engine.measured.warning(&config.plan.columns));
        Ok(Self {
            config,
            engine,
            recorder,
            timing: Timing::default(),
            too_large: 0,
            cpu_at_start,
            warnings,
            is_blinded,
            host_load,
        })
    }

    fn run(mut self, stop: &Stop, progress: &mut dyn Progress) -> Result<Report, SessionError> {
        self.wait_for_tasks(stop, progress)?;
        be_punctual();
        self.timing.started_ns = realtime_ns();
        let start = monotonic_ns();
        self.host_load.iter().for_each(|reader| reader.begin(start, self.config.hz));
        let mut schedule = Schedule::new(start, self.config.hz, self.config.duration, self.config.jitter);
        let cpu_before = process_cpu();
        let stopped = || stop.is_stopped();
        while let Some(deadline) = schedule.deadline() {
            if sleep_until(deadline, &stopped) == Wake::Stopped {
                break;
            }
            let late_ns = monotonic_ns().saturating_sub(deadline);
            let time_ns = realtime_ns();
            self.timing.lateness.record(late_ns);
            // If the processes could not be listed, the list in force stays; the accounts tell of the failure.
            let _ = self.engine.refresh();
            if has_ended(&self.config.selection, &self.engine.tasks().set) {
                self.warnings.push("every selected process has ended, so the run ended early".to_owned());
                break;
            }
            self.engine.set_due(TickDue { due_ns: deadline, late_ns, time_ns });
            let mut outcome = self.engine.tick(schedule.due_after(), &stopped)?;
            if outcome.is_complete {
                self.record(&mut outcome, &schedule, time_ns, late_ns);
                if self.can_no_longer_record() {
                    break;
                }
            } else if stop.is_stopped() {
                break;
            } else {
                self.timing.abandoned += 1;
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
        self.warnings.extend(self.engine.finish_users(NAMES_PATIENCE));
        Ok(self.report(&schedule, elapsed_ns))
    }

    /// Waits for the first task list, which takes seconds on a large host.
    fn wait_for_tasks(&mut self, stop: &Stop, progress: &mut dyn Progress) -> Result<(), SessionError> {
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
            let listed = self.engine.wait_for_tasks(Duration::from_millis(100));
            if listed.map_err(|error| SessionError::List { path: path(), error })? {
                break;
            }
        }
        let (found, excluded) = (self.engine.tasks(), self.engine.excluded);
        if found.set.threads() == 0 {
            // An earlier warning, such as that processes are hidden, may be the reason.
            let reasons = self.warnings.iter().cloned().chain(unlisted(found));
            let reasons = reasons.map(|warning| format!("; {warning}")).collect::<String>();
            return Err(SessionError::NothingSelected(nothing_selected(self.config, excluded) + &reasons));
        }
        self.warnings.extend(missing_pids(&self.config.selection, excluded, &found.set));
        Ok(())
    }

    /// Sends a completed tick to the recorder, if there is one.
    fn record(&mut self, outcome: &mut PassOutcome, schedule: &Schedule, time_ns: u64, late_ns: u64) {
        let Some(recorder) = &mut self.recorder else { return };
        let tick = TickInfo {
            time_ns,
            late_ns,
            pass_ns: outcome.duration_ns,
            // The schedule counts this tick only once it is advanced.
            due: schedule.expected() + 1,
            throttled: schedule.throttled(),
            abandoned: self.timing.abandoned,
            lost: 0,
            processes: self.engine.tasks().set.processes().len() as u64,
            threads: outcome.states.total(),
            states: StateTotals::from(&outcome.states),
        };
        if outcome.has_lost_rows {
            recorder.leave_out();
            self.too_large += 1;
        } else {
            recorder.tick(tick, std::mem::take(&mut outcome.rows));
        }
    }

    /// Whether recording is all there is to do, and has failed.
    fn can_no_longer_record(&self) -> bool {
        self.config.plan.collected == Collected::Rows
            && self.recorder.as_ref().is_some_and(|recorder| recorder.has_failed())
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    fn status(&self, schedule: &Schedule, pass_ns: u64, elapsed_ns: u64) -> Status {
        let period_s = 1.0 / self.config.hz;
        let elapsed_s = (elapsed_ns as f64 / 1e9).max(schedule.expected() as f64 * period_s).max(1e-9);
        let completed = self.engine.completed();
        Status::Sampling {
            due: schedule.expected(),
            completed: completed.into(),
            total: schedule.total(),
            threads: self.engine.tasks().set.threads(),
            pass: Duration::from_nanos(pass_ns),
            achieved_hz: f64::from(completed) / elapsed_s,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times to be shown")]
    fn report(mut self, schedule: &Schedule, elapsed_ns: u64) -> Report {
        let host_load = self.host_load.take();
        let saw = self.engine.load().filter(|_| !self.is_blinded);
        let host_load = host_load.and_then(|reader| reader.finish(saw));
        let sleepers = self.engine.sleepers();
        // A run that reached its end covers the time of all its ticks; one that was stopped, the time until then.
        let whole_s = self.config.duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64());
        let covered_s = if schedule.deadline().is_none() { schedule.expected() as f64 / self.config.hz } else { 0.0 };
        self.timing.duration_s = (elapsed_ns as f64 / 1e9).max(covered_s.min(whole_s));
        self.timing.due = schedule.expected();
        self.timing.throttled = schedule.throttled();
        self.timing.cpu = process_cpu().saturating_sub(self.cpu_at_start);
        let mut report = self.engine.report(&self.timing);
        report.facts.sleepers = sleepers;
        report.facts.host_load = host_load;
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.append(&mut report.facts.warnings);
        warnings.extend(self.unrecorded());
        report.facts.warnings = warnings;
        report
    }

    /// Warnings about ticks that are missing from the recording.
    fn unrecorded(&self) -> impl Iterator<Item = String> {
        let too_large = (self.too_large > 0).then(|| {
            format!(
                "{} ticks were not recorded: their rows take more than --max-memory; record fewer columns, or raise it",
                self.too_large
            )
        });
        let too_slow = self.recorder.as_ref().map_or(0, |recorder| recorder.lost()).saturating_sub(self.too_large);
        let too_slow =
            (too_slow > 0).then(|| format!("{too_slow} ticks were not recorded: the disk was too slow for them"));
        too_large.into_iter().chain(too_slow)
    }
}
