//! A storm for tests: a child process with a deadline, which ends when its handle is dropped.
//!
//! ```no_run
//! use psn_stress::{Kind, Storm};
//!
//! let storm = Storm::builder()
//!     .processes(4)
//!     .exactly(Kind::Vfork, 3)
//!     .exactly(Kind::Futex, 500)
//!     .names("hostile")
//!     .spawn()?;
//! assert_eq!(storm.truth().count(Kind::Vfork), 3);
//! // Look at the tree below storm.root_pid() …
//! # Ok::<(), psn_stress::storm::SpawnError>(())
//! ```
//!
//! The storm always runs in the program `psn-storm`, never in a fork of the test: a test process has
//! threads, and a fork of it must not even allocate. The program is, in this order,
//!
//! 1. the one given to [`Builder::program`] (in tests of this package:
//!    `env!("CARGO_BIN_EXE_psn-storm")`);
//! 2. the one named by the environment variable `PSN_STORM`;
//! 3. what `cargo build -p psn-stress --bin psn-storm` makes, run once per test process into the target
//!    directory the test itself is in. Cargo does not build the programs of a dev-dependency, and a
//!    program that is there may be old; building takes no time when it is up to date;
//! 4. without cargo, the one beside the test or in the directory above.

mod error;
pub(crate) mod program;

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub use self::error::SpawnError;
pub use self::program::find_program;
use crate::plan::kind::Kind;
use crate::truth::{Ending, Truth};

/// How long a storm that is told to end may take before it is killed.
const ENDING_TIME: Duration = Duration::from_secs(60);

/// A running storm. Dropping it ends it and waits until all of it is gone.
#[derive(Debug)]
pub struct Storm {
    child: Child,
    truth: Truth,
    lines: Receiver<String>,
}

/// The options of a storm; every method is an option of `psn-storm`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    mix: Vec<String>,
    deadline: Duration,
}

impl Storm {
    /// A storm of one process with the default mix, to be ready within a minute.
    pub fn builder() -> Builder {
        Builder { program: None, arguments: Vec::new(), mix: Vec::new(), deadline: Duration::from_secs(60) }
    }

    /// The ground truth that the storm printed when it was ready.
    #[must_use]
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The process from which all others of the storm descend.
    #[must_use]
    pub const fn root_pid(&self) -> u32 {
        self.truth.root_pid
    }

    /// Ends the storm, waits until all of it is gone, and returns the ending that it printed.
    pub fn end(mut self) -> io::Result<Ending> {
        self.stop()?;
        let line = self.lines.recv_timeout(Duration::from_secs(1));
        let line = line.map_err(|_| io::Error::other("the storm ended and printed no ending"))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Kills the leader with SIGKILL, as the out-of-memory killer would; the kernel kills its descendants. Returns
    /// once the leader is reaped, which may be before they have ended.
    pub fn kill(mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    fn stop(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        // After SIGTERM the leader reaps all its processes; after SIGKILL they would be left to init.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + ENDING_TIME;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // The error cannot be returned. The kernel kills what is left when this process ends.
        let _ = self.stop();
    }
}

impl Builder {
    /// The program to run, instead of the one that [`find_program`] finds.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Exactly `count` threads of a kind; may be called once for each kind.
    pub fn exactly(mut self, kind: Kind, count: u32) -> Self {
        self.mix.push(format!("{kind}:{count}"));
        self
    }

    /// A share of the threads no exact count takes; may be called once for each kind.
    pub fn share(mut self, kind: Kind, weight: u32) -> Self {
        self.mix.push(format!("{kind}={weight}"));
        self
    }

    /// `--processes`
    pub fn processes(self, processes: u32) -> Self {
        self.argument("--processes").argument(processes.to_string())
    }

    /// `--threads`
    pub fn threads(self, threads: u32) -> Self {
        self.argument("--threads").argument(threads.to_string())
    }

    /// `--names`, by the name on the command line
    pub fn names(self, names: &str) -> Self {
        self.argument("--names").argument(names)
    }

    /// Any other argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The deadline for the storm to be ready.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the storm and waits until it is ready.
    pub fn spawn(self) -> Result<Storm, SpawnError> {
        let program = match self.program {
            Some(program) => program,
            None => find_program()?,
        };
        let mut command = Command::new(&program);
        command.args(&self.arguments).arg("--parent").arg(std::process::id().to_string());
        if !self.mix.is_empty() {
            command.arg("--mix").arg(self.mix.join(","));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| SpawnError::Start(program, error))?;
        let lines = read_lines(&mut child);
        match lines.recv_timeout(self.deadline).map(|line| serde_json::from_str(&line)) {
            Ok(Ok(truth)) => Ok(Storm { child, truth, lines }),
            failure => {
                let late = matches!(failure, Err(mpsc::RecvTimeoutError::Timeout));
                let _ = child.kill();
                let mut said = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    let _ = stderr.read_to_string(&mut said);
                }
                let _ = child.wait();
                Err(if late { SpawnError::Late(said) } else { SpawnError::Failed(said) })
            }
        }
    }
}

/// Starts a thread that reads the lines the child prints. It ends when the child does.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}
