//! The kernel's own walk over its tasks.
//!
//! Reading /proc costs some microseconds a thread, whatever the reader does: each thread is a system call, a lookup and a text.
//! The kernel itself steps from one task to the next in a fraction of a microsecond. So, where psn may, it loads a small BPF
//! program into the kernel. The program walks the tasks, applies the state gate, and writes records of the tasks that pass into
//! memory that psn shares. `docs/kernel-scan.md` explains it for readers who have never seen BPF.
//!
//! ```text
//! host                     btf ──► types ──► layout ──┐
//! (capabilities,           (where the kernel keeps    ├──► program ──► recipe ──► sys ──► kernel
//!  namespaces)              what is read)             │    (instructions,                   │ shared
//!                          parts ─────────────────────┤     by asm)                         │ memory
//!                          (a file for each fact)     │                                     ▼
//!                                                     └────────────► record, waits ◄── scan
//!                                                                    (TaskRecord)
//! ```
//!
//! The program is attached to nothing: it runs while psn waits in a system call, and goes when psn's descriptors are closed.

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
mod types;
mod unavailable;
mod waits;
mod walk;

use std::fmt;

pub use bare::BareWalk;
pub use builder::HostInfo;
pub use parts::state::TaskState;
pub use parts::{Parts, RecordedCall, Registers, TaskRecord};
pub use unavailable::Unavailable;
pub use walk::{KernelScan, WalkCounts, WalkRequest};

/// Where the kernel describes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The way the kernel is made to walk, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The program has the loop over the tasks, and bpf(2) runs it: Linux 6.7 on.
    OpenCoded,
    /// The kernel has the loop and calls the program for each task: Linux 5.8 on.
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
