//! Soaks psn in churn: threads are born and die, processes fork and exec, names are hostile or carry
//! the thread's own id, for as long as asked. Then psn must have stayed as small as it was, have mixed up
//! nothing, have missed no thread that lived, and have accounted for every read.
//!
//! Two psn run beside the storm. One runs the whole time, grouped by few columns: its memory and
//! descriptors are watched. The others run one after another for a short while, grouped by thread: each row
//! whose name carries another thread's id is a mix-up, and each thread that lived all the while must have been
//! seen in every tick.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use psn_stress::{Kind, Storm};
use serde_json::Value;

/// Soak psn in churn, and say whether it held.
#[derive(Debug, Parser)]
#[command(name = "psn-soak", version)]
struct Cli {
    /// The psn to soak [default: the one beside this program]
    #[arg(long)]
    psn: Option<PathBuf>,
    /// How long, in seconds
    #[arg(short, long, default_value_t = 600)]
    duration: u64,
    /// Threads that live all the while
    #[arg(short, long, default_value_t = 2000)]
    threads: u32,
    /// Thread births a second
    #[arg(long, default_value_t = 10_000)]
    births: u32,
    /// Forks a second
    #[arg(long, default_value_t = 1000)]
    forks: u32,
    /// Forks with exec a second
    #[arg(long, default_value_t = 50)]
    execs: u32,
    /// Names of the threads: tid, so that mix-ups show, or hostile
    #[arg(long, default_value = "tid")]
    names: String,
    /// Further options of psn, for both kinds of run: for example --psn-option=--scan=kernel
    #[arg(long = "psn-option", allow_hyphen_values = true)]
    psn_options: Vec<String>,
}

/// One short run is this long.
const WINDOW_S: u64 = 15;

/// Memory may grow by this share and this much more while the soak goes on, for the allocator's sake.
const GROWTH: f64 = 1.10;
const GROWTH_KB: f64 = 4096.0;

/// What the long run was seen to hold.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    rss_kb: u64,
    fds: u64,
}

#[derive(Debug, Default)]
struct Verdict {
    failures: Vec<String>,
}

impl Verdict {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            println!("FAILED: {what}");
            self.failures.push(what);
        }
    }
}

fn main() -> ExitCode {
    match soak(&Cli::parse()) {
        Ok(verdict) if verdict.failures.is_empty() => {
            println!("held");
            ExitCode::SUCCESS
        }
        Ok(verdict) => {
            println!("{} failures", verdict.failures.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("psn-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn soak(cli: &Cli) -> Result<Verdict, Box<dyn Error>> {
    let beside = std::env::current_exe()?;
    let psn = cli.psn.clone().unwrap_or_else(|| beside.with_file_name("psn"));
    let storm = Storm::builder()
        .program(beside.with_file_name("psn-storm"))
        .processes(4)
        .threads(cli.threads)
        .names(&cli.names)
        .argument(format!("--births={}", cli.births))
        .argument(format!("--forks={}", cli.forks))
        .argument(format!("--execs={}", cli.execs))
        .argument("--list")
        .spawn()?;
    let root = storm.root_pid();
    let mut verdict = Verdict::default();
    let mut long = Background::start(&psn, cli, root)?;
    let started = Instant::now();
    let mut footprints = Vec::new();
    while started.elapsed() < Duration::from_secs(cli.duration) {
        let report = short_run(&psn, cli, root)?;
        check_window(&report, &storm, &mut verdict);
        let footprint = long.footprint()?;
        println!("{:>5} s: {footprint:?}", started.elapsed().as_secs());
        footprints.push(footprint);
    }
    let report = long.finish()?;
    check_accounting(&report, &mut verdict);
    check_growth(&footprints, &mut verdict);
    println!("long run: ticks {}, tasks {}, cost {}", report["ticks"], report["tasks"], report["cost"]);
    println!("churn: {:?}", storm.end()?.churn);
    Ok(verdict)
}

/// Memory and descriptors of the second half must be those of the first window that had settled.
fn check_growth(footprints: &[Footprint], verdict: &mut Verdict) {
    let Some(settled) = footprints.get(footprints.len() / 4) else { return };
    let Some(last) = footprints.last() else { return };
    #[expect(clippy::cast_precision_loss, reason = "kilobytes of one process")]
    let (before, after) = (settled.rss_kb as f64, last.rss_kb as f64);
    verdict.expect(after <= before * GROWTH + GROWTH_KB, || format!("memory grew: {settled:?} to {last:?}"));
    let most = footprints.iter().map(|footprint| footprint.fds).max().unwrap_or(0);
    verdict.expect(most <= settled.fds * 2 + 1000, || format!("descriptors grew: {settled:?} to {most}"));
}

fn check_window(report: &Value, storm: &Storm, verdict: &mut Verdict) {
    check_accounting(report, verdict);
    let ticks = report["ticks"]["completed"].as_u64().unwrap_or(0);
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let lasting = &storm.truth().threads;
    let is_lasting = |task: u64| lasting.iter().any(|(_, tid, _)| u64::from(*tid) == task);
    let is_parent = |task: u64| lasting.iter().any(|(_, tid, kind)| u64::from(*tid) == task && *kind == Kind::Harness);
    for row in report["rows"].as_array().into_iter().flatten() {
        let task = row["task"].as_u64().unwrap_or(0);
        *seen.entry(task).or_default() += row["samples"].as_u64().unwrap_or(0);
        let named = row["comm2"].as_str().and_then(|name| name.strip_prefix('t')?.parse::<u64>().ok());
        // A thread has its parent's name until it has given itself its own, and may be met before it has.
        let is_newborn = || named.is_some_and(is_parent) && !is_lasting(task);
        verdict.expect(named.is_none_or(|named| named == task) || is_newborn(), || format!("mixed up: {row}"));
    }
    for (pid, tid, kind) in lasting {
        let samples = seen.get(&u64::from(*tid)).copied().unwrap_or(0);
        verdict.expect(samples == ticks, || {
            format!("thread {tid} ({kind:?}) of {pid} was seen in {samples} of {ticks} ticks")
        });
    }
    verdict.expect(ticks > 0, || "a window without a tick".to_owned());
}

/// Reads of `stat` that succeeded and rows counted must be the same number where every state is shown.
fn check_accounting(report: &Value, verdict: &mut Verdict) {
    for file in report["health"].as_array().into_iter().flatten() {
        for class in ["denied", "unsupported", "timed_out", "dropped", "malformed"] {
            let count = file[class].as_u64().unwrap_or(0);
            verdict.expect(count == 0, || format!("{} {class} reads: {file}", count));
        }
    }
    let samples: u64 = report["rows"].as_array().into_iter().flatten().filter_map(|row| row["samples"].as_u64()).sum();
    let rows = report["coverage"]["rows"].as_u64().unwrap_or(0);
    verdict.expect(samples == rows, || format!("{rows} rows counted, {samples} reported"));
}

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

fn short_run(psn: &Path, cli: &Cli, root: u32) -> Result<Value, Box<dyn Error>> {
    let output = command(psn, cli, root, WINDOW_S, "pid,task,comm2").output()?;
    if !output.status.success() {
        return Err(format!("psn ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The psn that runs all the while; ended by SIGINT, like a user's.
struct Background(Option<Child>);

impl Background {
    fn start(psn: &Path, cli: &Cli, root: u32) -> Result<Self, Box<dyn Error>> {
        Ok(Self(Some(command(psn, cli, root, 0, "state,syscall,wchan").spawn()?)))
    }

    fn footprint(&mut self) -> Result<Footprint, Box<dyn Error>> {
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

    fn finish(mut self) -> Result<Value, Box<dyn Error>> {
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

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
