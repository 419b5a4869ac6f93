//! What is asked of recordings.

use std::collections::HashSet;

use crate::ask::plan::Plan;
use crate::ask::select::ProcessSelection;
use crate::record::RecordError;

/// What is asked of recordings.
#[derive(Debug, Clone)]
pub struct Question {
    /// What to count.
    pub plan: Plan,
    /// The plan's conditions as they were typed, to tell which of them the recording was made with.
    pub filters: Vec<String>,
    /// Rows to report at most.
    pub limit: Option<usize>,
    /// Only these processes.
    pub processes: ProcessSelection,
    /// Only these threads.
    pub threads: Option<HashSet<u32>>,
    /// From this time on, nanoseconds since 1970.
    pub from_ns: Option<u64>,
    /// Before this time.
    pub to_ns: Option<u64>,
    /// Memory for groups and their texts, bytes.
    pub max_memory: u64,
}

impl Question {
    /// Whether it is about whole recordings.
    pub(super) const fn is_of_all(&self) -> bool {
        self.from_ns.is_none() && self.to_ns.is_none()
    }

    /// Its start and its end, nanoseconds since 1970.
    pub(super) fn window(&self) -> (u64, u64) {
        (self.from_ns.unwrap_or(0), self.to_ns.unwrap_or(u64::MAX))
    }

    /// Whether all processes and threads are selected.
    pub(super) const fn selects_everything(&self) -> bool {
        matches!(self.processes, ProcessSelection::All) && self.threads.is_none()
    }
}

/// Called with the share of all recordings that was read, from 0 to 1. An error ends the replay.
pub type Watch<'a> = dyn FnMut(f64) -> Result<(), RecordError> + 'a;
