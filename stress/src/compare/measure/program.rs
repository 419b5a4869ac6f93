//! Runs a program as a child process on certain cores and with a deadline, and measures its CPU time.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::compare::figures::{Kept, Probe};
use crate::host::machine;
use crate::sys::process::wait_for_usage;

/// Time between two looks at the memory of a child.
const LOOK: Duration = Duration::from_millis(100);

/// Open files are counted only at every fifth look, because counting takes longer.
const LOOKS_PER_COUNT: u32 = 5;

/// A program to run.
#[derive(Clone, Debug)]
pub(in crate::compare) struct Program {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// The number of cores it may use; `None` is all.
    pub(crate) cores: Option<usize>,
    /// Whether its standard output is wanted.
    pub(crate) wants_output: bool,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

/// What a program used and printed.
#[derive(Clone, Debug)]
pub(in crate::compare) struct Finished {
    /// CPU seconds, user and system.
    pub(crate) cpu_s: f64,
    /// Seconds from start to end.
    pub(crate) wall_s: f64,
    /// CPU seconds that all other processes on the host used meanwhile.
    pub(crate) others_cpu_s: f64,
    /// Its standard output, if that was wanted.
    pub(crate) output: String,
}

impl Program {
    /// Runs it to its end.
    pub(in crate::compare) fn run(&self) -> Result<Finished, String> {
        self.run_watched(None)
    }

    /// Runs it to its end, and looks at its memory and its open files from time to time. The looks disturb it, so its time is
    /// not used.
    pub(in crate::compare) fn probe(&self) -> Result<(Finished, Probe), String> {
        let mut probe = Probe::default();
        let finished = self.run_watched(Some(&mut probe))?;
        Ok((finished, probe))
    }

    fn run_watched(&self, probe: Option<&mut Probe>) -> Result<Finished, String> {
        self.try_run(probe).map_err(|error| format!("{self}: {error}"))
    }

    fn try_run(&self, probe: Option<&mut Probe>) -> io::Result<Finished> {
        let (program, arguments) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut output = memory_file("output")?;
        let mut errors = memory_file("errors")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(errors.try_clone()?);
        command.stdout(if self.wants_output { Stdio::from(output.try_clone()?) } else { Stdio::null() });
        let busy = machine::busy_s();
        let start = Instant::now();
        let child = self.pinned(|| command.spawn())?;
        let pid = Pid::from_child(&child);
        let ended_in_time = watch(pid, start + self.deadline, probe)?;
        if !ended_in_time {
            // Fails only if the process has ended.
            let _ = kill_process(pid, Signal::KILL);
        }
        let usage = wait_for_usage(pid)?;
        let wall_s = start.elapsed().as_secs_f64();
        let cpu_s = usage.cpu.as_secs_f64();
        let others_cpu_s = (machine::busy_s() - busy - cpu_s).max(0.0);
        if !ended_in_time {
            return Err(io::Error::other(format!("not done after {} s", self.deadline.as_secs())));
        }
        if !usage.succeeded {
            // The last line says what went wrong; the ones before it, where.
            let errors = contents(&mut errors)?;
            return Err(io::Error::other(format!("it failed: {}", errors.trim().lines().last().unwrap_or_default())));
        }
        Ok(Finished { cpu_s, wall_s, others_cpu_s, output: contents(&mut output)? })
    }

    /// Calls `start` while this thread, and so the process it starts, is bound to the last cores: the first
    /// cores take more of the host's interrupts.
    fn pinned<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(cores) = self.cores else { return start() };
        let before = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
        let mut wanted = CpuSet::new();
        allowed.iter().rev().take(cores).for_each(|core| wanted.set(*core));
        sched_setaffinity(None, &wanted)?;
        let started = start();
        sched_setaffinity(None, &before)?;
        started
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// Waits for the child to end; false when the deadline came first.
fn watch(pid: Pid, deadline: Instant, mut probe: Option<&mut Probe>) -> io::Result<bool> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let slab_before = machine::slab_kb();
    for look in 0.. {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let pause = if probe.is_some() { left.min(LOOK) } else { left };
        let timeout = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: i64::from(pause.subsec_nanos()) };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        if let Some(probe) = probe.as_deref_mut() {
            look_at(pid, look % LOOKS_PER_COUNT == LOOKS_PER_COUNT - 1, slab_before, probe);
        }
    }
    Ok(false)
}

/// Raises the figures of `probe` to the child's present ones. A child that has just ended has none.
fn look_at(pid: Pid, counts_files: bool, slab_before: u64, probe: &mut Probe) {
    let dir = format!("/proc/{}", pid.as_raw_nonzero());
    probe.peak_rss_kb = probe.peak_rss_kb.max(machine::field_kb(&format!("{dir}/status"), "VmHWM:"));
    probe.kernel_kb = probe.kernel_kb.max(machine::slab_kb().saturating_sub(slab_before));
    if counts_files {
        for kept in kept_files(&format!("{dir}/fd")) {
            match probe.kept.iter_mut().find(|known| known.file == kept.file) {
                Some(known) => known.count = known.count.max(kept.count),
                None => probe.kept.push(kept),
            }
        }
    }
}

/// The per-task files among the open ones, by name.
fn kept_files(dir: &str) -> Vec<Kept> {
    let mut kept: Vec<Kept> = Vec::new();
    let links = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for link in links.filter_map(|entry| std::fs::read_link(entry.path()).ok()) {
        if !is_task_file(&link) {
            continue;
        }
        let Some(name) = link.file_name().and_then(|name| name.to_str()) else { continue };
        match kept.iter_mut().find(|kept| kept.file == name) {
            Some(known) => known.count += 1,
            None => kept.push(Kept { file: name.to_owned(), count: 1 }),
        }
    }
    kept
}

/// Whether a path is `/proc/PID/task/TID/FILE`.
fn is_task_file(path: &Path) -> bool {
    let parts: Vec<_> = path.components().collect();
    path.starts_with("/proc") && parts.len() == 6 && parts[3].as_os_str() == "task"
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(words: &[&str], deadline: Duration) -> Program {
        let words = words.iter().map(ToString::to_string).collect();
        Program { words, cores: Some(1), wants_output: true, deadline }
    }

    #[test]
    fn a_program_tells_its_cpu_time_and_its_output() {
        let loops = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done";
        let finished = program(&["sh", "-c", loops], Duration::from_secs(30)).run().unwrap();
        assert_eq!(finished.output, "done\n");
        assert!(finished.cpu_s > 0.0 && finished.cpu_s <= finished.wall_s * 1.5, "{finished:?}");
    }

    #[test]
    fn failures_and_deadlines_are_told() {
        let failed = program(&["sh", "-c", "echo why >&2; exit 3"], Duration::from_secs(30)).run();
        assert!(failed.unwrap_err().ends_with("it failed: why"));
        let late = program(&["sleep", "60"], Duration::from_millis(50)).run();
        assert!(late.unwrap_err().contains("not done"));
        assert!(program(&["/nonexistent"], Duration::from_secs(1)).run().is_err());
    }

    #[test]
    fn a_probe_sees_memory() {
        let (_, probe) = program(&["sleep", "0.3"], Duration::from_secs(30)).probe().unwrap();
        assert!(probe.peak_rss_kb > 0, "{probe:?}");
    }

    #[test]
    fn only_files_of_tasks_are_counted() {
        assert!(is_task_file("/proc/5/task/6/stat".as_ref()));
        assert!(!is_task_file("/proc/5/task".as_ref()) && !is_task_file("/proc/5/stat".as_ref()));
    }
}
