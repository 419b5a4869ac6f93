//! Who is in which state: by reading a file for each thread, or by a walk inside the kernel.
//!
//! The sampler reads /proc by itself. Where psn may, and where it pays, a [`walker`] takes the ticks instead: it has the
//! [`kernel`] walk over its tasks, makes observations of what was found, and hands on what has to be looked up in /proc.
//! The task list is kept as ever, and each listing is held against a walk ([`census`]): what /proc shows and a walk does
//! not is read through /proc.

pub mod census;
pub mod kernel;
mod roster;
pub mod walker;

use crate::procfs::ProcRoot;
use census::Census;
use kernel::{BTF_PATH, Ground, Unavailable};
use walker::Walker;

/// How threads are to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scan {
    /// The kernel's own walk where psn may have it and it costs less, else /proc
    #[default]
    Auto,
    /// The kernel's own walk; if there is none, psn fails and says why
    Kernel,
    /// /proc, a read for each thread
    Proc,
}

/// A walk looks at all tasks of the host, each for this share of what it takes to read one thread's `stat`: 180 ns and
/// 4.2 µs on the machine of docs/kernel-scan.md (`benches/kernel_walk.rs`, and `psn-compare` for the read).
const WALKED_FOR_ONE_READ: u64 = 20;

/// Whether a walk over all `tasks` of the host costs less than reading the files of the `selected` ones.
#[must_use]
pub const fn is_worth_a_walk(selected: u64, tasks: u64) -> bool {
    selected.saturating_mul(WALKED_FOR_ONE_READ) >= tasks
}

/// Makes the programs for the walks of a run.
///
/// # Errors
/// Why there can be none.
pub fn open(root: &ProcRoot, request: walker::Request<'_>) -> Result<(Walker, Census), Unavailable> {
    let ground = Ground::survey(root, BTF_PATH.as_ref())?;
    let walker = Walker::open(&ground, root, request)?;
    let census = Census::open(&ground, !request.selection.is_everything())?;
    Ok((walker, census))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_selection_on_a_large_host_is_not_worth_a_walk() {
        assert!(is_worth_a_walk(100_000, 100_000) && is_worth_a_walk(5_000, 100_000));
        assert!(!is_worth_a_walk(4_999, 100_000) && !is_worth_a_walk(1, 100));
        assert!(is_worth_a_walk(1, 0) && is_worth_a_walk(u64::MAX, u64::MAX), "unknown, or absurd");
    }
}
