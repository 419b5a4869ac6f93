//! The kernel walk: a BPF program that goes through the kernel's own list of tasks.
//!
//! Reading /proc costs some microseconds for each thread: a system call, a path lookup, and a text to format and to parse. The
//! kernel itself steps from one task to the next in a fraction of a microsecond. So if psn has the rights, it loads a small BPF
//! program. The program walks the tasks, applies the state gate, and writes records of the tasks that pass into memory that psn
//! shares. `docs/kernel-scan.md` explains it for readers who do not know BPF.
//!
//! ```text
//! host                     btf ──► types ──► layout ──┐
//! (capabilities,           (where the kernel keeps    ├──► program ──► builder ──► sys ──► kernel
//!  namespaces)              what is read)             │    (instructions,                    │ shared
//!                          parts ─────────────────────┤     by asm)                          │ maps
//!                          (a file for each fact)     │                                      ▼
//!                                                     └────────────► record, waits ◄──── walk
//!                                                                    (TaskRecord)
//! ```
//!
//! The program is attached to nothing. It runs only while psn waits in a system call, and the kernel frees it when psn's
//! descriptors are closed.

mod bare;
pub mod bpf;
mod builder;
mod clock;
mod control;
mod host;
pub mod layout;
mod parts;
mod program;
mod record;
mod record_words;
mod registers;
mod sched_clock;
mod types;
mod unavailable;
mod waits;
mod walk;

use std::fmt;

pub use bare::BareWalk;
pub use builder::HostInfo;
pub use clock::Waited;
pub use parts::state::TaskState;
pub use parts::{EpollSet, OpenFile, Parts, RecordedCall, Registers, Socket, TaskRecord, WaitFacts};
pub use unavailable::Unavailable;
pub use walk::{KernelScan, WalkCounts, WalkRequest};

/// The file with the BTF of the running kernel: the description of its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// How the tasks are walked, best way first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The program contains the loop over the tasks, and bpf(2) runs it: since Linux 6.7.
    OpenCoded,
    /// The kernel loops over the tasks and calls the program for each: since Linux 5.8.
    Iterator,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenCoded => "the open-coded walk",
            Self::Iterator => "the task iterator",
        })
    }
}
