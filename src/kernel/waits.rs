//! The waits that earlier records described.
//!
//! The program describes each wait once. After that, records only say that the task is still in the same wait, until the task
//! has run. So psn keeps the descriptions here. Equal stacks are stored once, because thousands of tasks can wait in the same
//! place.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::kernel::parts::WaitFacts;
use crate::kernel::record::{RawRecord, WaitInfo};

/// The wait of one task.
#[derive(Debug, Clone, Copy)]
struct Wait {
    tid: u32,
    /// The index of its stack.
    stack: u32,
    start: u64,
    switches: u64,
    /// The number of the walk in which the task was last seen.
    walk: u64,
    /// The start of the wait, nanoseconds since 1970; 0 until it is needed.
    since_ns: u64,
}

/// A wait that an earlier record described.
#[derive(Debug)]
pub struct Known<'a> {
    /// Its facts, except the stack.
    pub facts: &'a WaitFacts,
    /// Its stack.
    pub frames: &'a [u64],
    /// The start of the wait, nanoseconds since 1970; 0 until it is needed.
    pub since_ns: &'a mut u64,
}

/// The waits of all tasks.
///
/// They are in the order in which the tasks were first seen, which is nearly the order of each walk. So the next wait to look
/// up is mostly the next in the list, and is found without a search.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waits: Vec<Wait>,
    /// The facts of each wait, at the same index. They are apart from what every walk compares, so that a walk whose reader needs no
    /// facts touches less memory.
    facts: Vec<WaitFacts>,
    /// The index of each thread's wait, by thread id.
    places: HashMap<u32, usize, RandomState>,
    /// The index of the wait that is likely to be looked up next.
    next: usize,
    stacks: Vec<Box<[u64]>>,
    stack_places: HashMap<Box<[u64]>, u32, RandomState>,
    walk: u64,
    /// The number of tasks with a wait in this walk.
    seen: usize,
    is_incomplete: bool,
}

impl Waits {
    /// The largest number of stacks kept, far more than any kernel was seen to have at once. If there are more, all waits are
    /// dropped.
    const MAX_STACKS: usize = 1 << 16;

    /// The wait of the record's task, if it is known.
    #[inline]
    pub(crate) fn resolve(&mut self, raw: &RawRecord<'_>) -> Option<Known<'_>> {
        let place = match raw.wait() {
            WaitInfo::None | WaitInfo::Moved => return None,
            WaitInfo::Same => self.recall(raw)?,
            WaitInfo::Taken => self.keep(raw),
        };
        let (wait, facts) = (self.waits.get_mut(place)?, self.facts.get(place)?);
        let frames = self.stacks.get(wait.stack as usize).map_or(&[][..], AsRef::as_ref);
        Some(Known { facts, frames, since_ns: &mut wait.since_ns })
    }

    /// The index of the wait that an earlier record described.
    #[inline]
    fn recall(&mut self, raw: &RawRecord<'_>) -> Option<usize> {
        let (tid, start, switches) = raw.identity();
        self.seen += 1;
        let place = self.place(tid);
        let wait = place.and_then(|place| self.waits.get_mut(place));
        let Some(wait) = wait.filter(|wait| wait.start == start && wait.switches == switches) else {
            self.is_incomplete = true;
            return None;
        };
        wait.walk = self.walk;
        place
    }

    /// Keeps the wait that the record describes, and returns its index.
    fn keep(&mut self, raw: &RawRecord<'_>) -> usize {
        let (tid, start, switches) = raw.identity();
        self.seen += 1;
        let (facts, frames) = raw.facts();
        let stack = self.keep_stack(frames);
        let wait = Wait { tid, stack, start, switches, walk: self.walk, since_ns: 0 };
        let place = self.place(tid);
        if let Some(place) = place
            && let (Some(known_wait), Some(known_facts)) = (self.waits.get_mut(place), self.facts.get_mut(place))
        {
            (*known_wait, *known_facts) = (wait, facts);
            return place;
        }
        self.places.insert(tid, self.waits.len());
        self.waits.push(wait);
        self.facts.push(facts);
        self.waits.len() - 1
    }

    /// The index of the thread's wait, if there is one.
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

    /// Begins a walk. Drops the tasks that were not in the last walk, if there are many.
    pub(crate) fn begin(&mut self) {
        /// Fewer tasks than this are not worth a pass over all waits.
        const SPARE: usize = 1024;
        if self.waits.len() > 2 * self.seen + SPARE {
            let last = self.walk;
            let mut waits = self.waits.iter();
            self.facts.retain(|_| waits.next().is_some_and(|wait| wait.walk == last));
            self.waits.retain(|wait| wait.walk == last);
            self.places = self.waits.iter().enumerate().map(|(place, wait)| (wait.tid, place)).collect();
        }
        self.walk += 1;
        self.seen = 0;
        self.next = 0;
    }

    /// Whether the program has to describe all waits again, because a record left out a wait that is not known here, or because
    /// there are too many stacks.
    #[must_use]
    pub(crate) fn must_be_told(&self) -> bool {
        self.is_incomplete || self.stacks.len() > Self::MAX_STACKS
    }

    /// Drops all waits and stacks.
    pub(crate) fn clear(&mut self) {
        *self = Self { walk: self.walk, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::kernel::parts::{Parts, RecordLayout, RecordedCall, record_flags};
    use crate::kernel::record::made::{self, TestHeader};

    static FORM: LazyLock<RecordLayout> =
        LazyLock::new(|| made::record_layout(Parts { uid: false, file: true, ..Parts::OF_CALLS }));

    /// What is known of a wait: `ip` of its call, and its stack.
    fn resolve(
        waits: &mut Waits,
        (tid, start, switches): (u32, u64, u64),
        record_flags: i32,
        wait: &[u64],
    ) -> Option<(u64, Vec<u64>)> {
        let header = TestHeader { tid, start, switches, flags: 0, record_flags };
        let words = made::words(&header, wait);
        let Known { facts, frames, .. } = waits.resolve(&made::raw(&words, &FORM))?;
        let ip = match facts.call {
            RecordedCall::None(registers) => registers.ip,
            _ => switches,
        };
        Some((ip, frames.to_vec()))
    }

    /// Shows a record whose call has the number of switches for its `ip`.
    fn taken(waits: &mut Waits, tid: u32, start: u64, switches: u64, frames: &[u64]) {
        // Of machines whose registers are not known there is no call.
        let call = if FORM.parts().call { vec![u64::MAX, 0, 0, 0, 0, 0, 0, 0, switches] } else { vec![] };
        let wait = [&call[..], &[8 * frames.len() as u64], frames].concat();
        assert_eq!(
            resolve(waits, (tid, start, switches), record_flags::TAKEN, &wait),
            Some((switches, frames.to_vec()))
        );
    }

    fn same(waits: &mut Waits, tid: u32, start: u64, switches: u64) -> Option<(u64, Vec<u64>)> {
        resolve(waits, (tid, start, switches), record_flags::SAME, &[])
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
