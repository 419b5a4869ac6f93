//! Rows that wait for facts of their process, or for what they ask of their waits, until the pass is over.
//!
//! Such a row is complete but for the columns that show these. When the pass is over and the side readers have had their
//! time, it is completed with what is known then, and counted in the same tick.

use std::sync::{Arc, Mutex};

use super::lookups::LookupsWanted;
use super::thread::Thread;
use super::titles::{FactsWanted, Title};
use crate::row::observation::Observation;
use crate::row::rows::Rows;
use crate::tasks::TaskMemory;
use crate::tasks::facts::{ProcessFacts, SideReaders};

/// The deferred rows of one lane.
#[derive(Debug, Default)]
pub(super) struct DeferredRows {
    rows: Rows,
    waiting: Vec<Waiting>,
    /// The bytes of what rows wait for, beside the rows.
    bytes: usize,
}

/// The thread of a deferred row, and what the row waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) tid: u32,
    pub(super) tgid: u32,
    pub(super) starttime_ticks: u64,
    pub(super) state: u8,
    pub(super) facts: Option<Arc<ProcessFacts>>,
    pub(super) title: Title,
    /// The thread's name, if the row waits for mappings.
    pub(super) comm: Option<Box<[u8]>>,
    pub(super) lookups: LookupsWanted,
    pub(super) memory: Option<Arc<Mutex<TaskMemory>>>,
}

/// What a deferred row waits for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The facts of its process, if the plan shows any.
    pub(super) facts: Option<Arc<ProcessFacts>>,
    pub(super) of_facts: FactsWanted,
    pub(super) lookups: LookupsWanted,
}

impl DeferredRows {
    /// The memory that a lane's rows may take, in bytes. Beyond that, rows do not wait.
    const MAX_BYTES: usize = 32 << 20;

    /// No rows. Rows to come are complete up to the slot `slots`.
    pub(super) fn new(slots: usize) -> Self {
        Self { rows: Rows::new(slots), waiting: Vec::new(), bytes: 0 }
    }

    /// Drops all rows.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Whether there is memory for another row.
    pub(super) fn has_room(&self) -> bool {
        self.rows.size() + size_of_val(&*self.waiting) + self.bytes < Self::MAX_BYTES
    }

    /// Defers the row of a thread. `memory` is what is kept with the thread.
    pub(super) fn push(
        &mut self,
        row: &Observation,
        thread: &Thread<'_>,
        wanted: Wanted,
        memory: Option<Arc<Mutex<TaskMemory>>>,
    ) {
        let Wanted { facts, of_facts, lookups } = wanted;
        self.rows.push_row(row);
        self.bytes += lookups.bytes();
        self.waiting.push(Waiting {
            tid: row.tid,
            tgid: row.tgid,
            starttime_ticks: row.starttime_ticks,
            state: row.state,
            facts,
            title: of_facts.title,
            comm: of_facts.awaits_mappings.then(|| thread.comm.into()),
            lookups,
            memory,
        });
    }

    /// Calls `each` with every row, by its index among the rows, and with its thread; then drops all rows.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&Rows, usize, Waiting)) {
        for (index, waiting) in self.waiting.drain(..).enumerate() {
            each(&self.rows, index, waiting);
        }
        self.rows.clear();
        self.bytes = 0;
    }

    /// Whether a row waits for mappings.
    #[must_use]
    pub(super) fn wait_for_mappings(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.comm.is_some())
    }

    /// Whether there are no rows.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The side readers of facts that rows wait for; `None` if there are none.
    #[must_use]
    pub(super) fn readers(&self) -> Option<&Arc<SideReaders>> {
        self.waiting.iter().find_map(|waiting| waiting.facts.as_ref()).map(|facts| facts.readers())
    }

    /// Whether a row waits for what it asks of its own wait.
    #[must_use]
    pub(super) fn wait_for_lookups(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.lookups.must_wait())
    }
}
