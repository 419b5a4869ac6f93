//! Why the kernel's own walk is not available, and what would make it so.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::kernel::Level;
use crate::kernel::bpf::asm::AsmError;
use crate::kernel::bpf::btf::BtfError;
use crate::text::sentence::shown;

/// Why there is no walk. `Display` gives the reason and the cure on one line.
#[derive(Debug)]
pub enum Unavailable {
    /// psn lacks capabilities.
    Capability {
        /// The capabilities that it lacks.
        missing: Vec<&'static str>,
    },
    /// psn is in a user namespace other than the host's, where capabilities do not count for BPF.
    UserNamespace,
    /// The proc root is not a proc file system.
    NotProc(PathBuf),
    /// The proc root shows the ids of a PID namespace for which a walk cannot find the ids.
    PidNamespace(&'static str),
    /// The description of the kernel's types cannot be read.
    NoBtf {
        /// The file.
        path: PathBuf,
        /// The error of reading it.
        error: io::Error,
    },
    /// The description is not BTF that psn understands.
    Btf {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        error: BtfError,
    },
    /// The kernel lacks something that the walk needs.
    Kernel {
        /// What it lacks.
        lacks: &'static str,
        /// The first release that has it.
        since: &'static str,
    },
    /// The kernel refuses bpf(2) although psn has the capabilities.
    Refused(io::Error),
    /// The kernel counts the memory of maps as locked, and the limit is too low.
    LockedMemory,
    /// The verifier rejects the program.
    Verifier {
        /// The kind of program.
        level: Level,
        /// The error of bpf(2).
        error: io::Error,
        /// The log of the verifier.
        log: String,
        /// Whether the kernel is locked down to keep its memory confidential.
        is_locked_down: bool,
    },
    /// The program cannot be assembled for this kernel.
    Program(AsmError),
    /// A system call failed.
    System {
        /// What it was for.
        what: &'static str,
        /// The error.
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

    /// What the user can do to make the walk possible, if anything.
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

/// The last lines of the verifier's log, which say what it objects to, without its statistics.
fn last_words(log: &str) -> String {
    const LINES: usize = 4;
    let words: Vec<&str> = log.lines().filter(|line| !line.starts_with("processed ")).collect();
    let start = words.len().saturating_sub(LINES);
    words.get(start..).unwrap_or_default().join(" | ")
}
