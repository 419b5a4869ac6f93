//! Slow facts of a process, read beside the sampling: command line, executable, mappings.
//!
//! Reading them can block for ever: `cmdline` and `smaps` take the target's mmap_lock, `exe` its exec lock (fs/proc/base.c).
//! So only side readers ([`reader`]) read them, at two desks (`tasks::desk`). One that does not return is left behind and replaced, and its process is marked as
//! one that blocks its readers.

mod fact;
pub mod files;
mod limits;
mod process;
pub mod reader;
mod request;
mod store;
mod visit;
mod witness;

pub use fact::{FACTS, Fact, FactBudget, TITLES};
pub use process::ProcessFacts;
pub use reader::SideReaders;
pub use store::TitleStatus;
pub use witness::{RunCount, Witness};
