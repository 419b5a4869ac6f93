//! Programs that tests start: with a deadline each, killed and reaped when the test ends, and killed with the tests.
#![allow(unsafe_code)]

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How long a program may take that should take seconds.
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
    /// Starts `command`. What it prints is collected, unless the command says where it goes. It ends with the thread
    /// that starts it, at the latest.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        // SAFETY: a system call, which is all that may happen between fork and exec.
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

    /// The program's standard input; None unless the command says it is a pipe.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// What it has printed on its standard output so far.
    pub fn said(&self) -> String {
        self.stdout.as_ref().map(Collector::text).unwrap_or_default()
    }

    /// Waits until it has said `text` on its standard error.
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

    /// Waits for its end; panics when it is not there by the deadline.
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
    /// Waits for its end, as [`end`](Self::end) does: the most memory that it had at any time, in bytes, and how it ended.
    #[track_caller]
    pub fn end_with_peak(self) -> (u64, Ended) {
        let deadline = Instant::now() + DEADLINE;
        let pid = self.child.id().cast_signed();
        loop {
            // SAFETY: both are structures of numbers, for which zeros are as good as any.
            let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { std::mem::zeroed() };
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            // SAFETY: the structures are as large as the kernel takes them to be. The child is left to be waited for.
            let waited =
                unsafe { libc::syscall(libc::SYS_waitid, libc::P_PID, pid, &raw mut info, flags, &raw mut usage) };
            assert_eq!(waited, 0, "{}", std::io::Error::last_os_error());
            // SAFETY: it was filled in by waitid, or is zero.
            if unsafe { info.si_pid() } == pid {
                return (usage.ru_maxrss.cast_unsigned() * 1024, self.end());
            }
            assert!(Instant::now() < deadline, "still running after {DEADLINE:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has been waited for, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to its end, on a thread of its own.
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

/// A command whose output is collected, and that reads nothing.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// psn with these arguments.
pub fn psn(args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_psn"));
    // Help is wrapped to the width of the terminal.
    command.args(args).env("COLUMNS", "100");
    command
}

/// Runs psn to its end.
#[track_caller]
pub fn run(args: &[&str]) -> Ended {
    Running::start(&mut psn(args)).end()
}

/// Whether there is such a program.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(name).is_file())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
