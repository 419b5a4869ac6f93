//! The runs of psn: one for the whole soak, and short ones.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::cli::Cli;

/// Seconds that a short run takes.
const WINDOW_S: u64 = 15;

/// The memory and the descriptors of the long run at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footprint {
    pub(super) rss_kb: u64,
    pub(super) fds: u64,
}

/// The command psn on all threads of the storm, in all states; 0 seconds means until SIGINT.
fn command(psn: &Path, cli: &Cli, root: u32, seconds: u64, group_by: &str) -> Command {
    let mut command = Command::new(psn);
    command
        .args(["-q", "-a", "-r", "-p", &root.to_string(), "-d", &seconds.to_string(), "-g", group_by])
        .args(["--format", "json"])
        .args(&cli.psn_options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Runs psn for a short while, grouped by thread, and returns its report.
pub(super) fn short_run(psn: &Path, cli: &Cli, root: u32) -> Result<Value, Box<dyn Error>> {
    let output = command(psn, cli, root, WINDOW_S, "pid,task,comm2").output()?;
    if !output.status.success() {
        return Err(format!("psn ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The psn that runs for the whole soak, grouped by few columns; killed when dropped.
pub(super) struct LongRun(Option<Child>);

impl LongRun {
    pub(super) fn start(psn: &Path, cli: &Cli, root: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Some(command(psn, cli, root, 0, "state,syscall,wchan").spawn()?)))
    }

    /// Reads its memory and descriptors from /proc. Fails if it has ended.
    pub(super) fn footprint(&mut self) -> Result<Footprint, Box<dyn Error>> {
        let child = self.0.as_mut().ok_or("psn has ended")?;
        if let Some(status) = child.try_wait()? {
            return Err(format!("psn ended by itself with {status}").into());
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss_kb = rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok()).ok_or("no VmRSS")?;
        let fds = std::fs::read_dir(format!("/proc/{}/fd", child.id()))?.count() as u64;
        Ok(Footprint { rss_kb, fds })
    }

    /// Ends it by SIGINT, as a user would, and returns its report.
    pub(super) fn finish(mut self) -> Result<Value, Box<dyn Error>> {
        let child = self.0.take().ok_or("psn has ended")?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("psn ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for LongRun {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
