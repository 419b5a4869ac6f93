//! The number of files that a run may keep open.

use crate::config::Config;
use crate::proc::parse::system::mem_available_kb;
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, raise_fd_limit};
use crate::tasks::DetailFiles;
use crate::tasks::facts::TITLES;
use crate::tasks::fds::FdBudget;

/// Kernel memory that one open file pins: its seq_file page, inode and dentry. KernelTimes in docs/performance.md.
pub(super) const KERNEL_KB_PER_FD: u64 = 5;

/// The number of files that may be kept open: as many as the limit on descriptors allows, and as fit in a twentieth of the
/// available memory.
pub(super) fn fd_budget(config: &Config, root: &ProcRoot) -> FdBudget {
    /// Descriptors for everything else: standard streams, listings, files that are closed after one read.
    const RESERVE: u64 = 64;
    let reserve = RESERVE + 8 * config.workers as u64;
    // A quarter of the descriptors is for directories.
    let wanted = config.fd_budget.map_or(0, |files| (files as u64).saturating_mul(4) / 3 + reserve);
    let limit = raise_fd_limit(wanted).saturating_sub(reserve);
    let mut buffer = Buffer::default();
    let available_kb = root.read_host(c"meminfo", &mut buffer).ok().and_then(mem_available_kb);
    let affordable = available_kb.map_or(limit, |kb| kb / 20 / KERNEL_KB_PER_FD);
    let dirs = limit / 4;
    let files = (limit - dirs).min(affordable);
    let to_usize = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let files = config.fd_budget.map_or(to_usize(files), |wanted| wanted.min(to_usize(limit - dirs)));
    let details = config.plan.sources.iter().filter(|source| DetailFiles::keeps(*source)).count();
    // One more for `schedstat`: it is read before and after the files of a waiting thread, and tells whether a title is current and
    // since when a thread sleeps.
    let has_titles = TITLES.iter().any(|title| config.plan.sources.contains(*title));
    let has_ages = config.plan.sources.contains(Source::Wait);
    let details_per_task =
        if details > 0 || has_titles || has_ages { (details + 1).min(DetailFiles::KEPT.len()) } else { 0 };
    FdBudget { files, dirs: to_usize(dirs), details_per_task }
}
