//! What discovery asks other threads for: slow facts of processes, names of users.

use std::sync::Arc;
use std::time::Duration;

use crate::proc::source::{Source, SourceSet};
use crate::tasks::facts::SideReaders;
use crate::tasks::reads::Reads;
use crate::tasks::set::Process;
use crate::tasks::users::Users;

/// Facts of processes are read again after this time.
const FACTS_AGE_NS: u64 = 10_000_000_000;

/// How long the first task set waits for the facts of its processes, and how long later ones do.
const FIRST_FACTS: Duration = Duration::from_secs(2);
const LATER_FACTS: Duration = Duration::from_millis(50);

/// How long the first task set waits for the names of its users, and how long later ones do.
const FIRST_NAMES: Duration = Duration::from_millis(500);
const LATER_NAMES: Duration = Duration::from_millis(50);

/// Asks side readers for facts, and the user directory for names.
pub(super) struct Requests {
    side_readers: Option<Arc<SideReaders>>,
    /// The users, if the plan shows their names.
    users: Option<Arc<Users>>,
    /// Facts older than this are asked for again.
    max_age_ns: u64,
}

impl Requests {
    pub(super) fn new(side_readers: Option<Arc<SideReaders>>, users: Option<Arc<Users>>, sources: SourceSet) -> Self {
        // Mappings change all the time.
        let max_age_ns = if sources.contains(Source::Smaps) { 0 } else { FACTS_AGE_NS };
        Self { side_readers, users, max_age_ns }
    }

    pub(super) const fn side_readers(&self) -> Option<&Arc<SideReaders>> {
        self.side_readers.as_ref()
    }

    /// Whether there is nothing to ask for.
    pub(super) const fn are_none(&self) -> bool {
        self.side_readers.is_none() && self.users.is_none()
    }

    /// Asks for the name of the user that owns a process.
    pub(super) fn ask_for_owner(&self, reads: &Reads, tgid: u32) {
        if let Some(users) = &self.users
            && let Some(uid) = reads.root.owner(tgid)
        {
            users.want(uid);
        }
    }

    /// Asks for the facts of a process if they are old or unknown. `asked_ns` is when they were last asked for.
    pub(super) fn ask_for_facts(&self, process: &Process, asked_ns: &mut u64, now_ns: u64) {
        let Some(facts) = &process.facts else { return };
        if facts.take_stale() || *asked_ns == 0 || now_ns.saturating_sub(*asked_ns) > self.max_age_ns {
            let other = process.tasks.iter().find(|task| task.tid != process.tgid && !task.is_gone());
            if let Some(task) = other {
                facts.note_other(task.tid);
            }
            *asked_ns = if facts.refresh(process.tgid) { now_ns } else { 0 };
        }
        facts.forget_threads_beyond(process.tasks.len());
    }

    /// Waits for the answers, longer for the first task set than for later ones.
    pub(super) fn settle(&self, is_first: bool) {
        if let Some(users) = &self.users {
            users.settle(if is_first { FIRST_NAMES } else { LATER_NAMES });
        }
        if let Some(readers) = &self.side_readers {
            readers.settle(if is_first { FIRST_FACTS } else { LATER_FACTS });
        }
    }
}
