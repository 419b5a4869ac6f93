//! The link of the descriptor that a thread waits on, kept as long as the thread is in the same wait.
//!
//! A thread that waits in a call has the file of that call open, and does not run. So a link that was read in a wait is that of the
//! wait until its end, whatever becomes of the descriptor meanwhile.

use std::sync::Arc;

use crate::row::memory::Budget;
use crate::tasks::facts::RunCount;

/// The wait of a thread in a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallOfWait {
    /// How often the thread had run.
    pub runs: RunCount,
    /// The number of the system call.
    pub number: i64,
    /// Its arguments.
    pub args: [u64; 6],
    /// The stack pointer of the program.
    pub sp: u64,
    /// The program counter of the program.
    pub pc: u64,
}

/// The bytes that the links of all threads take.
#[derive(Debug)]
pub struct LinkBudget(Budget);

impl Default for LinkBudget {
    fn default() -> Self {
        Self(Budget::new(Self::MAX_BYTES))
    }
}

impl LinkBudget {
    /// The most bytes that all links take. Links that have no room are read at every tick.
    pub const MAX_BYTES: usize = 32 << 20;

    /// The link of a wait; `None` if there is no room for it.
    pub(crate) fn hold(self: &Arc<Self>, wait: CallOfWait, link: &[u8]) -> Option<Box<KeptLink>> {
        let has_room = self.0.take(KeptLink::bytes(link));
        has_room.then(|| Box::new(KeptLink { wait, link: link.into(), budget: Arc::clone(self) }))
    }
}

/// The link of a descriptor, and the wait that it is of.
#[derive(Debug)]
pub struct KeptLink {
    wait: CallOfWait,
    link: Box<[u8]>,
    budget: Arc<LinkBudget>,
}

impl KeptLink {
    /// What a link takes, with what its two pieces of memory take beside their bytes.
    const fn bytes(link: &[u8]) -> usize {
        link.len() + size_of::<Self>() + 32
    }

    /// The link, if it is that of this wait.
    pub(crate) fn of(&self, wait: &CallOfWait) -> Option<&[u8]> {
        (self.wait == *wait).then_some(&self.link)
    }
}

impl Drop for KeptLink {
    fn drop(&mut self) {
        self.budget.0.give(Self::bytes(&self.link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: CallOfWait =
        CallOfWait { runs: RunCount::Switches(3), number: 0, args: [5, 0x1000, 1, 0, 0, 0], sp: 1, pc: 2 };

    #[test]
    fn a_link_is_of_one_wait_alone() {
        let budget = Arc::new(LinkBudget::default());
        let kept = budget.hold(WAIT, b"pipe:[7]").unwrap();
        assert_eq!(kept.of(&WAIT), Some(&b"pipe:[7]"[..]));
        for other in [
            CallOfWait { runs: RunCount::Switches(4), ..WAIT },
            CallOfWait { runs: RunCount::Slices { run_ns: 3, timeslices: 3 }, ..WAIT },
            CallOfWait { number: 1, ..WAIT },
            CallOfWait { args: [6, 0x1000, 1, 0, 0, 0], ..WAIT },
            CallOfWait { sp: 9, ..WAIT },
            CallOfWait { pc: 9, ..WAIT },
        ] {
            assert_eq!(kept.of(&other), None, "{other:?}");
        }
    }

    #[test]
    fn links_take_no_more_than_the_budget_and_give_back_what_they_had() {
        let budget = Arc::new(LinkBudget::default());
        let path = vec![b'x'; 4095];
        let held: Vec<_> = std::iter::from_fn(|| budget.hold(WAIT, &path)).collect();
        assert_eq!(held.len(), LinkBudget::MAX_BYTES / KeptLink::bytes(&path));
        drop(held);
        assert!(budget.hold(WAIT, &path).is_some());
        assert_eq!(budget.0.taken(), 0);
    }
}
