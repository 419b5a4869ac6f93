//! The report of an engine: its accounts, and the warnings that a reader of the report must not miss.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::budget::KERNEL_KB_PER_FD;
use super::engine::{Engine, Timing};
use crate::config::allowed_cpus;
use crate::observe::Coverage;
use crate::proc::cpus;
use crate::report::{Cost, CoverageReport, Facts, Meta, Report, Tasks, Ticks};
use crate::sample::BlockingProcess;
use crate::sample::walker::Walker;
use crate::tasks::discover::Discovered;
use crate::text::escape::printable;
use crate::text::sentence::shown;

impl Engine {
    /// The report of all ticks so far.
    #[must_use]
    pub fn report(&mut self, timing: &Timing) -> Report {
        let health = self.health();
        let completed = u64::from(self.counts.completed);
        let uname = rustix::system::uname();
        let walker = self.walks.walker.as_ref();
        let facts = Facts {
            meta: Meta {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                host: uname.nodename().to_string_lossy().into_owned(),
                kernel: uname.release().to_string_lossy().into_owned(),
                started_ns: timing.started_ns,
                duration_s: timing.duration_s,
                hz: self.config.hz,
                scan: if walker.is_some() { "kernel" } else { "proc" }.to_owned(),
                scan_level: walker.map(|walker| walker.level().to_string()),
                scan_reason: self.walks.reason.clone(),
            },
            ticks: Ticks {
                expected: timing.due,
                completed,
                missed: timing.due.saturating_sub(completed),
                throttled: timing.throttled,
                abandoned: timing.abandoned,
            },
            tasks: self.task_counts(),
            cost: self.cost(timing),
            health: health.by_file().into_iter().map(|(file, counts)| (file.to_owned(), counts)).collect(),
            dropped: health.dropped().map(|(file, errno, count)| (file.to_owned(), message(errno), count)).collect(),
            coverage: coverage(self.sampler.coverage()),
            warnings: self.warnings(),
            unmeasured: self.measured.lacks().map(str::to_owned).collect(),
            sleepers: None,
            host_load: None,
            can_show_waits: true,
        };
        Report::new(&self.config.plan, &self.aggregator, self.config.limit, facts)
    }

    fn task_counts(&self) -> Tasks {
        let running_max = self.counts.running_max;
        // The host has at least the CPUs that psn may use: they are counted only if those are too few.
        let is_crowded = running_max > allowed_cpus() as u64;
        let cpus = if is_crowded { cpus::online().filter(|cpus| running_max > *cpus) } else { None };
        Tasks {
            processes: self.found.set.processes().len() as u64,
            threads: self.found.set.threads() as u64,
            skipped: self.found.skipped,
            unseen: self.found.unseen.as_ref().map_or(0, |unseen| unseen.set().threads() as u64),
            running_max,
            cpus: cpus.unwrap_or(0),
        }
    }

    fn cost(&self, timing: &Timing) -> Cost {
        let fds = (self.found.fds.files + self.found.fds.dirs) as u64;
        Cost {
            cpu_s: timing.cpu.as_secs_f64(),
            fds,
            workers: self.config.workers as u64,
            cpus: allowed_cpus() as u64,
            kernel_kb_est: fds * KERNEL_KB_PER_FD,
            ..Cost::of_passes(&self.counts.passes, &timing.lateness)
        }
    }

    fn warnings(&self) -> Vec<String> {
        let nameless = self.walks.walker.as_ref().and_then(Walker::nameless);
        let nameless = nameless.map(|why| format!("wchan and kstack were read from /proc: {why}"));
        let mut warnings: Vec<String> = nameless.into_iter().chain(unlisted(&self.found)).collect();
        warnings.extend(self.side_readers.iter().flat_map(|readers| readers.warnings()));
        warnings.extend(self.lookups.iter().flat_map(|readers| readers.warnings()));
        warnings.extend(self.root.host_warnings());
        warnings.extend(self.stuck_since().map(|age| stale_list(age, &self.config.root)));
        warnings.extend(self.blockers().into_iter().map(|BlockingProcess { tgid, name, status_blocked }| {
            let name = if name.is_empty() { String::new() } else { format!(" ({})", printable(&name)) };
            format!(
                "process {tgid}{name} blocks whoever reads its files in /proc: it is stuck in exec, or hung on I/O while \
                 it holds its memory lock{}",
                if status_blocked { "; not even its status could be read, so its threads were not counted" } else { "" }
            )
        }));
        warnings
    }

    /// The processes that blocked a reader, each once.
    fn blockers(&self) -> Vec<BlockingProcess> {
        let mut blockers = self.sampler.blocking_processes();
        let mut of_side_readers = self.side_readers.as_ref().map(|readers| readers.blockers()).unwrap_or_default();
        of_side_readers.extend(self.lookups.iter().flat_map(|readers| readers.blockers()));
        blockers.extend(of_side_readers.into_iter().map(|tgid| BlockingProcess {
            tgid,
            name: Vec::new(),
            status_blocked: false,
        }));
        // Of two entries for one process, the one with its name comes first and stays.
        blockers.sort_by_key(|blocker| (blocker.tgid, Reverse(blocker.name.clone())));
        blockers.dedup_by_key(|blocker| blocker.tgid);
        blockers
    }
}

/// A warning if the threads of some processes could not be listed.
pub(super) fn unlisted(found: &Discovered) -> Option<String> {
    let processes = match found.unlisted {
        0 => return None,
        1 => "a process".to_owned(),
        many => format!("{many} processes"),
    };
    Some(format!(
        "the threads of {processes} could not be listed, so some may be missing; the counts of reads of 'task' tell why"
    ))
}

/// The warning that the thread that lists the tasks is stuck, so that the list is `age` old.
fn stale_list(age: Duration, root: &Path) -> String {
    format!(
        "the task list is {:.0} seconds old: the thread that makes it is stuck in the kernel, reading something under {}; tasks \
         born since then were not seen",
        age.as_secs_f64(),
        shown(root)
    )
}

fn coverage(coverage: &Coverage) -> CoverageReport {
    let denied = coverage.denied.iter().filter(|(_, count)| **count > 0);
    CoverageReport {
        rows: coverage.rows,
        checked: coverage.checked,
        torn: coverage.torn,
        denied: denied.map(|(source, count)| (source.name().to_owned(), *count)).collect(),
        rejected: coverage.rejected,
        refused: coverage.refused,
    }
}

fn message(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string()
}
