//! Programs that tests start: with a deadline each, killed and reaped when the test ends, and killed with the tests.
#![allow(unsafe_code)]

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// The deadline of a program that should take seconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running program.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<Collector>,
    stderr: Option<Collector>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Running {
    /// Starts `command` and collects its output, unless the command says where the output goes. The kernel kills the
    /// program at the latest when the thread that started it ends.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        // SAFETY: the closure only makes a system call, which is allowed between fork and exec.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(Collector::start);
        let stderr = child.stderr.take().map(Collector::start);
        Self { child, stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The program's standard input; `None` unless the command makes it a pipe.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What the program has printed on standard output so far.
    pub fn said(&self) -> String {
        self.stdout.as_ref().map(Collector::text).unwrap_or_default()
    }

    /// Waits until the program has printed `text` on standard error.
    #[track_caller]
    pub fn wait_until_it_says(&self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while let said = self.stderr.as_ref().unwrap().text()
            && !said.contains(text)
        {
            assert!(Instant::now() < deadline, "it does not say {text}: {said}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the program's end; panics if it has not ended by the deadline.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running after {DEADLINE:?}");
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |collector: Option<Collector>| collector.map(Collector::end).unwrap_or_default();
        Ended { status, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Running {
    /// Waits for the program's end, like [`end`](Self::end). Returns its largest memory at any time, in bytes, and how it ended.
    /// Memory that it takes in its last two milliseconds may be missed. After the given time the program is told to end. It has
    /// ten seconds for that: psn promises one, but this host may be busy.
    #[track_caller]
    pub fn end_with_peak(self, patience: Duration) -> (u64, Ended) {
        // Not with getrusage, which includes the parent's memory at the fork.
        let begin = Instant::now();
        let path = format!("/proc/{}/status", self.child.id());
        let (mut peak_kb, mut is_told) = (0, false);
        loop {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let now_kb = value("VmHWM:").and_then(|kb| kb.trim_end_matches(" kB").parse::<u64>().ok());
            peak_kb = peak_kb.max(now_kb.unwrap_or(0));
            // A process that has ended is in /proc until it has been waited for.
            if value("State:").is_none_or(|state| state.starts_with('Z')) {
                return (peak_kb * 1024, self.end());
            }
            if begin.elapsed() > patience && !is_told {
                self.signal(Signal::INT);
                is_told = true;
            }
            assert!(begin.elapsed() < patience + Duration::from_secs(10), "it does not end when told to");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If the program has been waited for, both calls do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end, on a separate thread.
#[derive(Debug)]
struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collector {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = pipe.read(&mut piece) {
                shared.lock().unwrap().extend_from_slice(&piece[..len]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn end(self) -> String {
        self.reader.join().unwrap();
        let bytes = self.bytes.lock().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A command whose output is collected and whose standard input is empty.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The command psn with these arguments.
pub fn psn(args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_psn"));
    // psn wraps its help to the width of the terminal.
    command.args(args).env("COLUMNS", "100");
    command
}

/// Runs psn to its end.
#[track_caller]
pub fn run(args: &[&str]) -> Ended {
    Running::start(&mut psn(args)).end()
}

/// Whether this machine has the program.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(name).is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
