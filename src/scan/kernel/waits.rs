//! What each task was last described to wait for.
//!
//! The program describes a task's wait once, and from then on only says that it is the same, until the task has run. So what
//! it said is kept here. Stacks are kept once each, for thousands of tasks wait in the same place.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::record::{Call, Raw, RawWait};

/// One task's wait.
#[derive(Debug, Clone, Copy)]
struct Wait {
    start: u64,
    switches: u64,
    call: Call,
    /// Its stack's place among all.
    stack: usize,
    /// The walk in which the task was last seen.
    walk: u64,
}

/// All tasks' waits.
#[derive(Debug, Default)]
pub struct Waits {
    tasks: HashMap<u32, Wait, RandomState>,
    stacks: Vec<Box<[u64]>>,
    places: HashMap<Box<[u64]>, usize, RandomState>,
    walk: u64,
    /// Tasks with a wait in this walk.
    seen: usize,
    is_incomplete: bool,
}

impl Waits {
    /// Different stacks kept: far more than any kernel has been seen to have at once. Then all is forgotten.
    const MAX_STACKS: usize = 1 << 16;

    /// What the task of this record waits for; nothing if that is not known.
    #[inline]
    pub(super) fn resolve(&mut self, raw: &Raw<'_>) -> (Call, &[u64]) {
        let wait = match raw.wait {
            RawWait::None | RawWait::Moved => None,
            RawWait::Same => self.recall(raw),
            RawWait::Taken { call, frames } => Some(self.keep(raw, call, frames)),
        };
        match wait {
            Some((call, stack)) => (call, self.stacks.get(stack).map_or(&[], AsRef::as_ref)),
            None => (Call::Unknown, &[]),
        }
    }

    fn recall(&mut self, raw: &Raw<'_>) -> Option<(Call, usize)> {
        let (tid, start, switches) = raw.identity();
        let wait = self.tasks.get_mut(&tid).filter(|wait| wait.start == start && wait.switches == switches);
        self.seen += 1;
        match wait {
            Some(wait) => {
                wait.walk = self.walk;
                Some((wait.call, wait.stack))
            }
            None => {
                self.is_incomplete = true;
                None
            }
        }
    }

    fn keep(&mut self, raw: &Raw<'_>, call: Call, frames: &[u64]) -> (Call, usize) {
        let (tid, start, switches) = raw.identity();
        let stack = match self.places.get(frames) {
            Some(place) => *place,
            None => {
                let place = self.stacks.len();
                self.stacks.push(frames.into());
                self.places.insert(frames.into(), place);
                place
            }
        };
        self.tasks.insert(tid, Wait { start, switches, call, stack, walk: self.walk });
        self.seen += 1;
        (call, stack)
    }

    /// Begins a walk: forgets tasks that were not in the last one, once they are many.
    pub fn begin(&mut self) {
        let spare = 1024;
        if self.tasks.len() > 2 * self.seen + spare {
            let last = self.walk;
            self.tasks.retain(|_, wait| wait.walk == last);
        }
        self.walk += 1;
        self.seen = 0;
    }

    /// Whether the program has to describe everything again: it took something for known that is not known here, or there is
    /// too much to keep.
    #[must_use]
    pub fn must_be_told(&self) -> bool {
        self.is_incomplete || self.stacks.len() > Self::MAX_STACKS
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tasks.clear();
        self.stacks.clear();
        self.places.clear();
        self.is_incomplete = false;
    }
}
