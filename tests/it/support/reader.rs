//! Runs psn as other users and with other rights than those of the tests.

use std::fs;
use std::process::Command;

use rustix::thread::{CapabilitySet, capabilities};

use super::child::{Running, command, has_program, is_root};
use super::dir::Dir;
use super::skip;

const NOBODY: &str = "65534";

/// A copy of psn in a place where any user may run it; removed when dropped.
pub struct PublicCopy(Dir);

impl PublicCopy {
    pub fn new() -> Self {
        let dir = Dir::with_mode(0o755);
        fs::copy(env!("CARGO_BIN_EXE_psn"), dir.path("psn")).unwrap();
        Self(dir)
    }

    pub fn path(&self) -> String {
        self.0.path("psn")
    }
}

/// The user that runs psn, and that user's rights.
#[derive(Debug, Clone, Copy)]
pub enum Reader {
    /// The user `nobody` with only these capabilities, named as setpriv(1) does.
    Nobody(&'static [&'static str]),
    /// Root without this capability.
    RootLess(&'static str),
    /// Root.
    Root,
}

impl Reader {
    /// The command line that runs `program` as this reader.
    pub fn command_line(self, program: &str) -> Vec<String> {
        let mut line: Vec<String> = match self {
            Self::Root => Vec::new(),
            Self::RootLess(capability) => {
                vec!["setpriv".into(), format!("--inh-caps=-{capability}"), format!("--bounding-set=-{capability}")]
            }
            Self::Nobody(capabilities) => {
                let set = ["-all".to_owned()].into_iter().chain(capabilities.iter().map(|name| format!("+{name}")));
                let set = set.collect::<Vec<_>>().join(",");
                let mut line =
                    ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"].map(str::to_owned).to_vec();
                line.extend(["inh-caps", "ambient-caps", "bounding-set"].map(|which| format!("--{which}={set}")));
                // The kernel clears this when the user changes.
                line.extend(["--pdeathsig", "KILL"].map(str::to_owned));
                line
            }
        };
        line.push(program.to_owned());
        line
    }

    /// A command that runs `program` as this reader.
    pub fn command(self, program: &str) -> Command {
        let line = self.command_line(program);
        let mut command = command(&line[0]);
        command.args(&line[1..]);
        command
    }

    /// Starts `program` as this reader, and returns once it has replaced setpriv.
    #[track_caller]
    pub fn start(self, program: &str, configure: impl FnOnce(&mut Command) -> &mut Command) -> Running {
        let running = Running::start(configure(&mut self.command(program)));
        super::wait_until("setpriv has become the program", || {
            fs::read_to_string(format!("/proc/{}/comm", running.pid())).unwrap() == format!("{program}\n")
        });
        running
    }
}

/// Whether the tests may become any user on this machine; prints a message if not.
pub fn can_become_anybody() -> bool {
    let needed = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_ADMIN;
    if !is_root() || !capabilities(None).is_ok_and(|sets| sets.effective.contains(needed)) {
        skip("only root, with its capabilities, can become another user");
        return false;
    }
    if !has_program("setpriv") {
        skip("setpriv (util-linux) is missing");
        return false;
    }
    true
}
