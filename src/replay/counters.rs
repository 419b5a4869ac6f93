//! What threads' counters showed last, for `:delta`.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::ask::plan::{Aggregate, Plan};
use crate::row::last::LastValues;
use crate::row::memory::table_entry;

/// A thread: its id and start time.
type Identity = (i128, i128);

type Last = HashMap<Identity, LastValues, RandomState>;

/// The last values of each thread's counters, in one recording.
///
/// There may be any number of threads, and most of them are not seen again. There are two generations: when the recent one is
/// full it becomes the older one, and what was in that is forgotten.
#[derive(Debug)]
pub(super) struct ThreadCounters {
    recent: Last,
    older: Last,
    /// Threads in a generation, at most.
    max: usize,
    /// Whether any thread was forgotten.
    pub(super) has_forgotten: bool,
    /// Stands for every thread if no measure is a delta.
    none: LastValues,
    /// Whether a measure is a delta.
    is_needed: bool,
}

impl ThreadCounters {
    /// The counters may take this part (1/8) of the memory for counts, in addition to it.
    const SHARE: usize = 8;

    pub(super) fn new(plan: &Plan, max_memory: u64) -> Self {
        let cost = table_entry(size_of::<(Identity, LastValues)>()) + LastValues::cost(plan.measures.len());
        let bytes = usize::try_from(max_memory).unwrap_or(usize::MAX) / Self::SHARE / 2;
        Self {
            recent: Last::default(),
            older: Last::default(),
            max: (bytes / cost).max(1),
            has_forgotten: false,
            none: LastValues::default(),
            is_needed: plan.measures.iter().any(|measure| measure.aggregate == Aggregate::Delta),
        }
    }

    /// The last values of this thread.
    pub(super) fn last_values(&mut self, identity: Identity) -> &mut LastValues {
        if !self.is_needed {
            return &mut self.none;
        }
        if self.recent.len() >= self.max && !self.recent.contains_key(&identity) {
            let forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
            self.has_forgotten |= !forgotten.is_empty();
        }
        let older = &mut self.older;
        self.recent.entry(identity).or_insert_with(|| older.remove(&identity).unwrap_or_default())
    }
}

/// The warning if a thread's last values were forgotten.
pub(super) fn forgotten(has_forgotten: bool) -> Vec<String> {
    let warning = "there was no memory for the counters of all threads: those of threads that were not seen for long were \
                   forgotten, and their growth meanwhile is missing from :delta; allow more than --max-memory";
    if has_forgotten { vec![warning.to_owned()] } else { Vec::new() }
}
