//! The account of a run: its report, and the sentences that a reader of the report must not miss.

use super::budget::KERNEL_KB_PER_FD;
use super::{Session, unlisted};
use crate::config::allowed_cpus;
use crate::observe::Coverage;
use crate::proc::cpus;
use crate::report::{Cost, CoverageReport, Facts, Meta, Report, Tasks, Ticks};
use crate::sample::Blocker;
use crate::sample::walker::Walker;
use crate::text::escape::printable;
use crate::text::sentence::shown;
use crate::time::clock::{Schedule, process_cpu};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::time::Duration;

impl Session<'_> {
    #[expect(clippy::cast_precision_loss, reason = "times to be shown")]
    pub(super) fn report(mut self, schedule: &Schedule, started_ns: u64, elapsed_ns: u64) -> Report {
        let sleepers = self.sleepers();
        self.discovery_health.take(&mut self.discoverer.take_health());
        if let Some(readers) = &self.side_readers {
            self.discovery_health.take(&mut readers.take_health());
        }
        let mut health = self.sampler.health().clone();
        health.take(&mut self.discovery_health);
        let expected = schedule.expected();
        let completed = u64::from(self.completed);
        // A run that ended by itself covered all its ticks' time; one that was stopped, the time it ran.
        let whole_s = self.config.duration.map_or(f64::INFINITY, |duration| duration.as_secs_f64());
        let covered_s = if schedule.deadline().is_none() { expected as f64 / self.config.hz } else { 0.0 };
        let covered_s = covered_s.min(whole_s);
        let uname = rustix::system::uname();
        let facts = Facts {
            meta: Meta {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                host: uname.nodename().to_string_lossy().into_owned(),
                kernel: uname.release().to_string_lossy().into_owned(),
                started_ns,
                duration_s: (elapsed_ns as f64 / 1e9).max(covered_s),
                hz: self.config.hz,
                scan: if self.walker.is_some() { "kernel" } else { "proc" }.to_owned(),
                scan_level: self.walker.as_ref().map(|walker| walker.level().to_string()),
                scan_reason: self.scan_reason.take(),
            },
            ticks: Ticks {
                expected,
                completed,
                missed: expected.saturating_sub(completed),
                throttled: schedule.throttled(),
                abandoned: self.abandoned,
            },
            tasks: self.tasks(),
            cost: self.cost(),
            health: health.by_file().into_iter().map(|(file, counts)| (file.to_owned(), counts)).collect(),
            dropped: health.dropped().map(|(file, errno, count)| (file.to_owned(), message(errno), count)).collect(),
            coverage: coverage(self.sampler.coverage()),
            warnings: self.all_warnings(),
            unmeasured: self.measured.lacks().map(str::to_owned).collect(),
            sleepers,
        };
        Report::new(&self.config.plan, &self.aggregator, self.config.limit, facts)
    }

    /// What was seen.
    fn tasks(&self) -> Tasks {
        // Only who has fewer than there were threads to run is asked for: what psn may use is the least there is.
        let is_crowded = self.running_max > allowed_cpus() as u64;
        let cpus = if is_crowded { cpus::online().filter(|cpus| self.running_max > *cpus) } else { None };
        Tasks {
            processes: self.found.set.processes().len() as u64,
            threads: self.found.set.threads() as u64,
            skipped: self.found.skipped,
            unseen: self.found.unseen.as_ref().map_or(0, |unseen| unseen.set().threads() as u64),
            running_max: self.running_max,
            cpus: cpus.unwrap_or(0),
        }
    }

    /// What the run cost so far.
    fn cost(&self) -> Cost {
        let fds = (self.found.fds.files + self.found.fds.dirs) as u64;
        Cost {
            cpu_s: process_cpu().saturating_sub(self.cpu_at_start).as_secs_f64(),
            fds,
            workers: self.config.workers as u64,
            cpus: allowed_cpus() as u64,
            kernel_kb_est: fds * KERNEL_KB_PER_FD,
            ..Cost::of_passes(&self.passes, &self.lateness)
        }
    }

    fn all_warnings(&mut self) -> Vec<String> {
        let mut blockers = self.sampler.blockers();
        let beside = self.side_readers.as_ref().map(|readers| readers.blockers()).unwrap_or_default();
        blockers.extend(beside.into_iter().map(|tgid| Blocker { tgid, name: Vec::new(), is_mute: false }));
        // Of two of the same process, the one that has its name.
        blockers.sort_by_key(|blocker| (blocker.tgid, Reverse(blocker.name.clone())));
        blockers.dedup_by_key(|blocker| blocker.tgid);
        let mut warnings = std::mem::take(&mut self.warnings);
        let nameless = self.walker.as_ref().and_then(Walker::nameless);
        warnings.extend(nameless.map(|why| format!("wchan and kstack were read from /proc: {why}")));
        warnings.extend(unlisted(&self.found));
        let lost = self.recorder.as_ref().map_or(0, |recorder| recorder.lost()).saturating_sub(self.too_large);
        if self.too_large > 0 {
            warnings.push(format!(
                "of {} ticks nothing was recorded: their rows take more than --max-memory; record fewer columns, or allow more",
                self.too_large
            ));
        }
        warnings.extend(self.side_readers.iter().flat_map(|readers| readers.warnings()));
        warnings.extend(self.root.host_warnings());
        warnings.extend(self.discoverer.stuck_since().map(|since| frozen_list(since, &self.config.root)));
        if lost > 0 {
            warnings.push(format!("of {lost} ticks nothing was recorded: the disk was too slow for them"));
        }
        warnings.extend(blockers.into_iter().map(|Blocker { tgid, name, is_mute }| {
            let name = if name.is_empty() { String::new() } else { format!(" ({})", printable(&name)) };
            format!(
                "process {tgid}{name} blocks whoever reads its files in /proc: it is stuck in exec, or hung on I/O while \
                 it holds its memory lock{}",
                if is_mute { "; not even its status could be read, so its threads were not counted" } else { "" }
            )
        }));
        warnings
    }
}

/// What to say of a task list that is not made anew because whoever makes it does not come back.
fn frozen_list(since: Duration, root: &std::path::Path) -> String {
    format!(
        "the task list is {:.0} seconds old: whoever lists the tasks is stuck in the kernel, in something under {}; what was born \
         since was not seen",
        since.as_secs_f64(),
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
    }
}

fn message(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string()
}
