//! The facts of one process, with the readers that read them.

use std::sync::Arc;

use crate::proc::source::Source;
use crate::tasks::facts::fact::Fact;
use crate::tasks::facts::reader::SideReaders;
use crate::tasks::facts::store::{FactStore, TitleStatus};
use crate::tasks::facts::witness::Witness;

/// The facts of one process.
#[derive(Debug)]
pub struct ProcessFacts {
    store: Arc<FactStore>,
    readers: Arc<SideReaders>,
}

impl ProcessFacts {
    /// Facts that `readers` read, within their budget.
    #[must_use]
    pub fn of(readers: &Arc<SideReaders>) -> Self {
        Self { store: Arc::new(readers.store()), readers: Arc::clone(readers) }
    }

    /// The fact from `source`.
    #[must_use]
    pub(crate) fn fact(&self, source: Source) -> Fact {
        self.store.fact(source)
    }

    /// The readers.
    #[must_use]
    pub const fn readers(&self) -> &Arc<SideReaders> {
        &self.readers
    }

    /// Whether the title that was last read belongs to the row of this thread. If it may not, has it read again.
    pub fn look(&self, tgid: u32, witness: Witness) -> TitleStatus {
        self.store.look(tgid, witness, || self.readers.ask_for_title(tgid, &self.store))
    }

    /// Whether the fact that was last read from `source` belongs to the row of this thread, for which a [look](Self::look)
    /// awaited this reading.
    #[must_use]
    pub fn holds(&self, source: Source, witness: Witness, reading: u64) -> bool {
        self.store.holds(source, witness, reading)
    }

    /// Whether all facts were read while the process had this name, as far as is known.
    #[must_use]
    pub(crate) fn is_of(&self, comm: &[u8]) -> bool {
        self.store.is_of(comm)
    }

    /// Has all facts read again; false if that is not possible now.
    pub fn refresh(&self, tgid: u32) -> bool {
        self.readers.request(tgid, &self.store)
    }

    /// Whether the facts became invalid since the last call.
    pub(crate) fn take_stale(&self) -> bool {
        self.store.take_stale()
    }

    /// Notes a thread that exists and is not the leader.
    pub(crate) fn note_other(&self, tid: u32) {
        self.store.note_other(tid);
    }

    /// Forgets the threads if many of them must have ended, because the process has only so many now.
    pub(crate) fn forget_threads_beyond(&self, threads: usize) {
        self.store.forget_threads_beyond(threads);
    }
}
