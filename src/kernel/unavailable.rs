//! Why the kernel's own walk can not be had, and what would cure it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::kernel::Level;
use crate::kernel::bpf::asm::AsmError;
use crate::kernel::bpf::btf::BtfError;
use crate::output::sentence::shown;

/// Why there is no walk. `Display` says why and what would cure it, on one line each.
#[derive(Debug)]
pub enum Unavailable {
    /// psn lacks capabilities.
    Capability {
        /// Those it lacks.
        missing: Vec<&'static str>,
    },
    /// psn is in a user namespace of its own, where capabilities do not count for BPF.
    UserNamespace,
    /// The proc root is no proc file system.
    NotProc(PathBuf),
    /// The proc root shows the ids of a PID namespace that the walk can not translate to.
    PidNamespace(&'static str),
    /// The kernel does not describe its types.
    NoBtf {
        /// Where it would.
        path: PathBuf,
        /// What came of reading it.
        error: io::Error,
    },
    /// The description is not understood.
    Btf {
        /// Where it was read.
        path: PathBuf,
        /// What is wrong with it.
        error: BtfError,
    },
    /// The kernel has not got something that the walk is built on.
    Kernel {
        /// What it lacks.
        lacks: &'static str,
        /// The first release that has it.
        since: &'static str,
    },
    /// The kernel refuses bpf(2) to psn in spite of its capabilities.
    Refused(io::Error),
    /// The kernel accounts the memory of maps as locked, and the limit is too low.
    LockedMemory,
    /// The verifier does not accept the program.
    Verifier {
        /// The program.
        level: Level,
        /// The kernel's answer.
        error: io::Error,
        /// The verifier's log.
        log: String,
        /// Whether the kernel is locked down to keep its memory confidential.
        is_locked_down: bool,
    },
    /// The program can not be assembled for this kernel.
    Program(AsmError),
    /// A system call failed that should not.
    System {
        /// What it was for.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason(f)?;
        match self.cure() {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unavailable {}

impl Unavailable {
    fn reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability { missing } => write!(f, "psn lacks {}", missing.join(" and ")),
            Self::UserNamespace => {
                write!(f, "psn runs in a user namespace, where its capabilities do not count for BPF")
            }
            Self::NotProc(path) => write!(f, "{} is not a mounted proc file system", shown(path)),
            Self::PidNamespace(why) => f.write_str(why),
            Self::NoBtf { path, error } => {
                write!(f, "the kernel's type description {} can not be read: {error}", shown(path))
            }
            Self::Btf { path, error } => write!(f, "{} is not understood: {error}", shown(path)),
            Self::Kernel { lacks, .. } => write!(f, "this kernel has no {lacks}"),
            Self::Refused(error) => write!(f, "the kernel refuses bpf(2): {error}"),
            Self::LockedMemory => write!(f, "the limit on locked memory is too low for BPF maps"),
            Self::Verifier { level, error, log, .. } => {
                write!(f, "the kernel does not accept the program for {level}: {error}: {}", last_words(log))
            }
            Self::Program(error) => write!(f, "no program can be made for this kernel: {error}"),
            Self::System { what, error } => write!(f, "{what}: {error}"),
        }
    }

    /// What would make the walk possible, if anything short of a report to us would.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let cure = match self {
            Self::Capability { .. } => {
                "run psn as root, or give it these: setcap cap_bpf,cap_perfmon=ep psn (before Linux 5.8: cap_sys_admin)"
            }
            Self::UserNamespace => "run psn outside it",
            Self::NotProc(_) => "give the proc file system of this host",
            Self::PidNamespace(_) => "run psn in the PID namespace of the proc root, or give the proc root of its own",
            Self::NoBtf { .. } => "it takes a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted",
            Self::Kernel { since, .. } => return Some(format!("it takes Linux {since}")),
            Self::Refused(_) => "a seccomp filter or a security module may be in the way: in a container, allow bpf(2)",
            Self::LockedMemory => "raise it: ulimit -l unlimited",
            Self::Verifier { is_locked_down: true, .. } => "the kernel is in lockdown=confidentiality: boot it without",
            Self::Btf { .. } | Self::Verifier { .. } | Self::Program(_) | Self::System { .. } => return None,
        };
        Some(cure.to_owned())
    }
}

/// The end of the verifier's log, where it says what it objects to; its statistics left out.
fn last_words(log: &str) -> String {
    const LINES: usize = 4;
    let words: Vec<&str> = log.lines().filter(|line| !line.starts_with("processed ")).collect();
    let start = words.len().saturating_sub(LINES);
    words.get(start..).unwrap_or_default().join(" | ")
}
