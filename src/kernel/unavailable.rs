//! Why there is no kernel walk, and what the user can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::kernel::Level;
use crate::kernel::bpf::asm::AsmError;
use crate::kernel::bpf::btf::BtfError;
use crate::text::sentence::shown;

/// Why there is no walk. `Display` shows the reason and what to do on one line.
#[derive(Debug)]
pub enum Unavailable {
    /// psn lacks capabilities.
    Capability {
        /// The capabilities that it lacks.
        missing: Vec<&'static str>,
    },
    /// psn is in a user namespace other than the initial one. The kernel does not accept capabilities of such a namespace for BPF.
    UserNamespace,
    /// The proc root is not a proc file system.
    NotProc(PathBuf),
    /// A walk cannot find the ids of the PID namespace that the proc root shows.
    PidNamespace(&'static str),
    /// The BTF of the kernel cannot be read.
    NoBtf {
        /// The file.
        path: PathBuf,
        /// The error of reading it.
        error: io::Error,
    },
    /// psn cannot parse the BTF of the kernel.
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
    /// The kernel counts the memory of maps as locked memory, and the limit is too low.
    LockedMemory,
    /// The verifier rejects the program.
    Verifier {
        /// How the program walks.
        level: Level,
        /// The error of bpf(2).
        error: io::Error,
        /// The log of the verifier.
        log: String,
        /// Whether the kernel is in lockdown mode `confidentiality`.
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
                write!(f, "psn runs in a user namespace, whose capabilities the kernel does not accept for BPF")
            }
            Self::NotProc(path) => write!(f, "{} is not a mounted proc file system", shown(path)),
            Self::PidNamespace(why) => f.write_str(why),
            Self::NoBtf { path, error } => {
                write!(f, "the kernel's type description {} cannot be read: {error}", shown(path))
            }
            Self::Btf { path, error } => write!(f, "cannot parse {}: {error}", shown(path)),
            Self::Kernel { lacks, .. } => write!(f, "this kernel has no {lacks}"),
            Self::Refused(error) => write!(f, "the kernel refuses bpf(2): {error}"),
            Self::LockedMemory => write!(f, "the limit on locked memory is too low for BPF maps"),
            Self::Verifier { level, error, log, .. } => {
                write!(f, "the kernel rejected the program for {level}: {error}: {}", last_words(log))
            }
            Self::Program(error) => write!(f, "psn cannot build a program for this kernel: {error}"),
            Self::System { what, error } => write!(f, "{what}: {error}"),
        }
    }

    /// What the user can do to make the walk possible, if anything.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let cure = match self {
            Self::Capability { .. } => {
                "run psn as root, or grant it these: setcap cap_bpf,cap_perfmon=ep psn (before Linux 5.8: cap_sys_admin)"
            }
            Self::UserNamespace => "run psn outside it",
            Self::NotProc(_) => "use the proc file system of this host",
            Self::PidNamespace(_) => {
                "run psn in the PID namespace of the proc root, or use the proc file system of psn's own"
            }
            Self::NoBtf { .. } => "this needs a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted",
            Self::Kernel { since, .. } => return Some(format!("this needs Linux {since} or later")),
            Self::Refused(_) => "a seccomp filter or a security module may forbid it; in a container, allow bpf(2)",
            Self::LockedMemory => "raise it: ulimit -l unlimited",
            Self::Verifier { is_locked_down: true, .. } => {
                "the kernel is in lockdown mode confidentiality, which forbids it: boot without that"
            }
            Self::Btf { .. } | Self::Verifier { .. } | Self::Program(_) | Self::System { .. } => return None,
        };
        Some(cure.to_owned())
    }
}

/// The last lines of the verifier's log, which say why it rejects the program, without its statistics.
fn last_words(log: &str) -> String {
    const LINES: usize = 4;
    let words: Vec<&str> = log.lines().filter(|line| !line.starts_with("processed ")).collect();
    let start = words.len().saturating_sub(LINES);
    words.get(start..).unwrap_or_default().join(" | ")
}
