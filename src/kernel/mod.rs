//! The kernel's own walk over its tasks.
//!
//! Reading /proc costs some microseconds a thread, whatever the reader does: each visit is a system call, a lookup and a text.
//! The kernel itself steps from one task to the next in a fraction of one. So, where psn may, it hands the kernel a small BPF
//! program that walks the tasks, applies the state gate, and writes what was asked for of those that pass into shared memory.
//! `docs/kernel-scan.md` tells the story for readers who have never seen BPF.
//!
//! ```text
//! host ── may we?          btf ──► layout ──┐
//! (capabilities,        (the kernel's own   ├──► program ──► sys ──► kernel
//!  namespaces)           description)       │   (written with asm)     │ shared memory
//!                        record, state ─────┘                         ▼
//!                     (what both sides agree on) ────────────► TaskRecord ──► symbols
//! ```
//!
//! Nothing is attached to anything: the program runs while psn waits in a system call, and goes with psn's descriptors.

mod bare;
pub mod bpf;
mod host;
pub mod layout;
mod program;
mod recipe;
mod record;
mod state;
mod unavailable;
mod waits;
mod walk;

use std::fmt;

pub use bare::BareWalk;
pub use recipe::Ground;
pub use record::{Call, Parts, Registers, TaskRecord};
pub use state::State;
pub use unavailable::Unavailable;
pub use walk::{KernelScan, Request, Walk};

/// Where a kernel describes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// How the kernel is made to walk, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A loop of our own over the task list, run by bpf(2): Linux 6.7 on.
    OpenCoded,
    /// The kernel's iterator over tasks, which calls us for each: Linux 5.8 on.
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
