//! The memory that all processes of a storm share: which threads have arrived, the first failure, and what
//! the churners have started.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::process::{Pid, getpid};
use rustix::thread::{futex, gettid};

use crate::plan::kind::Kind;
use crate::plan::rates::Churner;
use crate::sys::memory::{shared_u32s, shared_u64s};

const ID_BITS: u32 = 28; // the kernel's largest pid is 2^22
const ID_MASK: u64 = (1 << ID_BITS) - 1;

/// A handle of the shared memory. All copies refer to the same memory.
#[derive(Clone, Copy)]
pub(crate) struct Board {
    words: &'static [AtomicU32],
    failure: &'static AtomicU64,
    churned: &'static [AtomicU64],
    /// One for each thread: kind, process id and thread id in one word; zero until the thread has arrived.
    slots: &'static [AtomicU64],
}

const GATE: usize = 0;
const ARRIVED: usize = 1;
const ABSENT: usize = 2;

/// A thread that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) kind: Kind,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
}

/// Why a thread could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cause {
    Fork = 1,
    Thread,
    Stacks,
    Memory,
    Vfork,
}

/// The first failure while the storm was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) errno: i32,
    pub(crate) pid: u32,
}

/// How many short-lived tasks one churner has started, and how many it left out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Churned {
    pub(crate) made: u64,
    pub(crate) missed: u64,
}

impl Board {
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        let numbers = shared_u64s(1 + 2 * Churner::ALL.len() + slots)?;
        let (failure, rest) = numbers.split_first().ok_or(io::ErrorKind::OutOfMemory)?;
        let (churned, slots) = rest.split_at(2 * Churner::ALL.len());
        Ok(Self { words: shared_u32s(3)?, failure, churned, slots })
    }

    /// Notes that the calling thread has arrived and is about to do what its kind does.
    pub(crate) fn arrive(&self, slot: usize, kind: Kind) {
        self.settle_as(slot, kind);
        self.words[ARRIVED].fetch_add(1, Ordering::Release);
    }

    /// Changes the kind of the calling thread, which cannot do what its kind does.
    pub(crate) fn settle_as(&self, slot: usize, kind: Kind) {
        let pid = id_bits(getpid());
        let tid = id_bits(gettid());
        let word = u64::from(kind.code()) << (2 * ID_BITS) | pid << ID_BITS | tid;
        self.slots[slot].store(word, Ordering::Release);
    }

    /// Notes that `count` threads will never arrive. The first caller's reason is kept.
    pub(crate) fn give_up(&self, count: usize, cause: Cause, errno: i32) {
        let errno = u64::from(errno.unsigned_abs() & 0xffff);
        let word = (cause as u64) << 56 | errno << 32 | id_bits(getpid());
        let _ = self.failure.compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed);
        self.words[ABSENT].fetch_add(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Release);
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        let word = self.failure.load(Ordering::Acquire);
        let cause = [Cause::Fork, Cause::Thread, Cause::Stacks, Cause::Memory, Cause::Vfork]
            .into_iter()
            .find(|cause| *cause as u64 == word >> 56)?;
        let errno = i32::try_from(word >> 32 & 0xffff).unwrap_or(0);
        Some(Failure { cause, errno, pid: (word & 0xffff_ffff) as u32 })
    }

    pub(crate) fn arrived(&self) -> usize {
        self.words[ARRIVED].load(Ordering::Acquire) as usize
    }

    pub(crate) fn absent(&self) -> usize {
        self.words[ABSENT].load(Ordering::Acquire) as usize
    }

    /// The thread in a slot, once it has arrived.
    pub(crate) fn arrival(&self, slot: usize) -> Option<Arrival> {
        let word = self.slots.get(slot)?.load(Ordering::Acquire);
        let kind = Kind::from_code((word >> (2 * ID_BITS)) as u8)?;
        let pid = (word >> ID_BITS & ID_MASK) as u32;
        Some(Arrival { kind, pid, tid: (word & ID_MASK) as u32 })
    }

    /// All threads that have arrived, with their slots.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (usize, Arrival)> {
        (0..self.slots.len()).filter_map(|slot| Some((slot, self.arrival(slot)?)))
    }

    /// Sleeps until [`Self::open_gate`]. Threads that take CPU or disk wait here until the storm is built.
    pub(crate) fn wait_at_gate(&self) {
        let gate = &self.words[GATE];
        while gate.load(Ordering::Acquire) == 0 {
            // Woken, interrupted, or the gate opened before the sleep: check again.
            let _ = futex::wait(gate, futex::Flags::empty(), 0, None);
        }
    }

    pub(crate) fn open_gate(&self) {
        self.words[GATE].store(1, Ordering::Release);
        let _ = futex::wake(&self.words[GATE], futex::Flags::empty(), i32::MAX.unsigned_abs());
    }

    pub(crate) fn count_made(&self, churner: Churner) {
        self.churned[2 * churner as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_missed(&self, churner: Churner, count: u64) {
        self.churned[2 * churner as usize + 1].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn churned(&self, churner: Churner) -> Churned {
        let load = |i: usize| self.churned[2 * churner as usize + i].load(Ordering::Relaxed);
        Churned { made: load(0), missed: load(1) }
    }
}

fn id_bits(pid: Pid) -> u64 {
    u64::from(pid.as_raw_nonzero().get().unsigned_abs()) & ID_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_says_who_arrived() {
        let board = Board::new(2).unwrap();
        assert_eq!(board.arrival(1), None);
        board.arrive(1, Kind::Harness);
        let arrival = board.arrival(1).unwrap();
        assert_eq!((arrival.kind, arrival.pid), (Kind::Harness, std::process::id()));
        assert_eq!(board.arrivals().count(), 1);
        assert_eq!(board.arrived(), 1);
    }

    #[test]
    fn the_first_failure_stands() {
        let board = Board::new(1).unwrap();
        assert_eq!(board.failure(), None);
        board.give_up(3, Cause::Thread, 11);
        board.give_up(4, Cause::Fork, 12);
        let failure = board.failure().unwrap();
        assert_eq!((failure.cause, failure.errno), (Cause::Thread, 11));
        assert_eq!(board.absent(), 7);
    }
}
