//! What each task was last described to wait for.
//!
//! The program describes a task's wait once, and from then on only says that it is the same, until the task has run. So what
//! it said is kept here. Stacks are kept once each, for thousands of tasks wait in the same place.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::kernel::record::{Call, Raw, RawWait};

/// One task's wait.
#[derive(Debug, Clone, Copy)]
struct Wait {
    tid: u32,
    /// Its stack's place among all.
    stack: u32,
    start: u64,
    switches: u64,
    /// The walk in which the task was last seen.
    walk: u64,
    call: Call,
}

/// All tasks' waits.
///
/// They lie in the order in which tasks were first seen, which is nearly the order in which each walk comes by: so the next
/// one asked for is mostly the next in memory, and need not be searched.
#[derive(Debug, Default)]
pub struct Waits {
    waits: Vec<Wait>,
    /// Each thread's place among them.
    places: HashMap<u32, usize, RandomState>,
    /// Where the next is likely to be.
    next: usize,
    stacks: Vec<Box<[u64]>>,
    stack_places: HashMap<Box<[u64]>, u32, RandomState>,
    walk: u64,
    /// Tasks with a wait in this walk.
    seen: usize,
    is_incomplete: bool,
}

impl Waits {
    /// Different stacks kept: far more than any kernel has been seen to have at once. Then all is forgotten.
    const MAX_STACKS: usize = 1 << 16;

    /// What the task of this record waits for, if that is known.
    #[inline]
    pub(super) fn resolve(&mut self, raw: &Raw<'_>) -> Option<(Call, &[u64])> {
        let (call, stack) = match raw.wait {
            RawWait::None | RawWait::Moved => return None,
            RawWait::Same => self.recall(raw)?,
            RawWait::Taken { call, frames } => self.keep(raw, call, frames),
        };
        Some((call, self.stacks.get(stack as usize).map_or(&[], AsRef::as_ref)))
    }

    #[inline]
    fn recall(&mut self, raw: &Raw<'_>) -> Option<(Call, u32)> {
        let (tid, start, switches) = raw.identity();
        self.seen += 1;
        let place = self.place(tid);
        let wait = place.and_then(|place| self.waits.get_mut(place));
        let Some(wait) = wait.filter(|wait| wait.start == start && wait.switches == switches) else {
            self.is_incomplete = true;
            return None;
        };
        wait.walk = self.walk;
        Some((wait.call, wait.stack))
    }

    fn keep(&mut self, raw: &Raw<'_>, call: Call, frames: &[u64]) -> (Call, u32) {
        let (tid, start, switches) = raw.identity();
        self.seen += 1;
        let stack = self.keep_stack(frames);
        let wait = Wait { tid, stack, start, switches, walk: self.walk, call };
        match self.place(tid).and_then(|place| self.waits.get_mut(place)) {
            Some(known) => *known = wait,
            None => {
                self.places.insert(tid, self.waits.len());
                self.waits.push(wait);
            }
        }
        (call, stack)
    }

    /// Where the thread's wait is, if there is one.
    #[inline]
    fn place(&mut self, tid: u32) -> Option<usize> {
        let place = match self.waits.get(self.next) {
            Some(wait) if wait.tid == tid => self.next,
            _ => *self.places.get(&tid)?,
        };
        self.next = place + 1;
        Some(place)
    }

    fn keep_stack(&mut self, frames: &[u64]) -> u32 {
        if let Some(place) = self.stack_places.get(frames) {
            return *place;
        }
        let place = u32::try_from(self.stacks.len()).unwrap_or(u32::MAX);
        self.stacks.push(frames.into());
        self.stack_places.insert(frames.into(), place);
        place
    }

    /// Begins a walk: forgets tasks that were not in the last one, once they are many.
    pub fn begin(&mut self) {
        /// So that a few are not worth the trouble.
        const SPARE: usize = 1024;
        if self.waits.len() > 2 * self.seen + SPARE {
            let last = self.walk;
            self.waits.retain(|wait| wait.walk == last);
            self.places = self.waits.iter().enumerate().map(|(place, wait)| (wait.tid, place)).collect();
        }
        self.walk += 1;
        self.seen = 0;
        self.next = 0;
    }

    /// Whether the program has to describe everything again: it took something for known that is not known here, or there is
    /// too much to keep.
    #[must_use]
    pub fn must_be_told(&self) -> bool {
        self.is_incomplete || self.stacks.len() > Self::MAX_STACKS
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { walk: self.walk, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::record::Registers;

    /// The fixed part of a thread's record.
    fn fixed(tid: u32, start: u64, switches: u64) -> [u64; 7] {
        [u64::from(tid).to_le(), start, 0, 0, switches, 0, 0]
    }

    fn taken(waits: &mut Waits, tid: u32, start: u64, switches: u64, frames: &[u64]) {
        let call = Call::None(Registers { sp: tid.into(), ip: switches });
        let raw = Raw { fixed: &fixed(tid, start, switches), leader: None, wait: RawWait::Taken { call, frames } };
        assert_eq!(waits.resolve(&raw), Some((call, frames)));
    }

    fn same(waits: &mut Waits, tid: u32, start: u64, switches: u64) -> Option<(u64, Vec<u64>)> {
        let raw = Raw { fixed: &fixed(tid, start, switches), leader: None, wait: RawWait::Same };
        match waits.resolve(&raw)? {
            (Call::None(registers), frames) => {
                assert_eq!(registers.sp, u64::from(tid));
                Some((registers.ip, frames.to_vec()))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_said_once_is_remembered_in_any_order() {
        let mut waits = Waits::default();
        waits.begin();
        for tid in 1..=100 {
            taken(&mut waits, tid, 7, 1, &[u64::from(tid % 3)]);
        }
        assert_eq!(waits.stacks.len(), 3, "each stack once");
        for order in [(1..=100).collect::<Vec<u32>>(), (1..=100).rev().collect(), vec![50, 51, 2, 99, 3, 100]] {
            waits.begin();
            for tid in order {
                assert_eq!(same(&mut waits, tid, 7, 1), Some((1, vec![u64::from(tid % 3)])));
            }
        }
        taken(&mut waits, 50, 7, 2, &[9]);
        assert_eq!(same(&mut waits, 50, 7, 2), Some((2, vec![9])));
        assert!(!waits.must_be_told());
    }

    #[test]
    fn another_task_or_another_sleep_is_not_taken_for_the_same() {
        for (tid, start, switches) in [(2, 7, 1), (1, 8, 1), (1, 7, 2)] {
            let mut waits = Waits::default();
            waits.begin();
            taken(&mut waits, 1, 7, 1, &[1]);
            assert_eq!(same(&mut waits, tid, start, switches), None);
            assert!(waits.must_be_told());
            waits.clear();
            assert!(!waits.must_be_told());
        }
    }

    #[test]
    fn tasks_that_ended_are_forgotten() {
        let mut waits = Waits::default();
        for walk in 0..100 {
            waits.begin();
            for tid in 0..1000 {
                taken(&mut waits, walk * 1000 + tid, 7, 1, &[1]);
            }
            assert!(waits.waits.len() <= 5000 && waits.places.len() == waits.waits.len());
        }
        waits.begin();
        assert_eq!(same(&mut waits, 99_500, 7, 1), Some((1, vec![1])), "and the others are not");
    }

    #[test]
    fn too_many_stacks_make_it_start_anew() {
        let mut waits = Waits::default();
        waits.begin();
        for tid in 0..=Waits::MAX_STACKS as u32 {
            taken(&mut waits, tid, 7, 1, &[tid.into()]);
        }
        assert!(waits.must_be_told());
    }
}
