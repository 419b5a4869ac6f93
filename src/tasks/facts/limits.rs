//! Limits on the facts that are kept, and what the report says of those that were met.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::proc::source::Source;
use crate::tasks::facts::fact::FactBudget;
use crate::tasks::facts::files::{CMDLINE_BYTES, SMAPS_BYTES};
use crate::tasks::facts::store::FactStore;

/// How many processes met each limit.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Command lines that are shown in part.
    long_titles: AtomicU64,
    /// Mappings that are counted in part.
    cut_mappings: AtomicU64,
    /// Facts for which the budget had no room.
    left_out: AtomicU64,
}

impl Limits {
    /// Counts a limit that the facts of a process have met, once for each process.
    pub(super) fn count(&self, facts: &FactStore, source: Source, fits: bool, is_cut: bool) {
        if (fits && !is_cut) || !facts.mark_limited() {
            return;
        }
        let Self { long_titles, cut_mappings, left_out } = self;
        let count = match source {
            _ if !fits => left_out,
            Source::Smaps => cut_mappings,
            _ => long_titles,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A sentence for each limit that was met.
    pub(super) fn warnings(&self) -> Vec<String> {
        let many = |count: &AtomicU64, one: &str, of: &str| match count.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(one.to_owned()),
            many => Some(format!("{many} {of}")),
        };
        let Self { long_titles, cut_mappings, left_out } = self;
        let long = many(long_titles, "a command line is", "command lines are").map(|who| {
            format!(
                "{who} longer than {CMDLINE_BYTES} bytes: as many are shown, from both ends, with a mark between them"
            )
        });
        let cut = many(cut_mappings, "a process", "processes").map(|who| {
            let mib = SMAPS_BYTES >> 20;
            format!("not all mappings of {who} are counted: of each, {mib} MiB of smaps are kept; [dropped] stands for the rest")
        });
        let out = many(left_out, "a process", "processes").map(|who| {
            let mib = FactBudget::BYTES >> 20;
            format!(
                "facts of {who} show [dropped]: command lines, executables and mappings of all others take {mib} MiB"
            )
        });
        [long, cut, out].into_iter().flatten().collect()
    }
}
