//! The interface that the file of each kind implements.

use super::measured::MeasuredWaits;
use crate::board::Board;
use crate::plan::names::Names;
use crate::sys::stacks::Stacks;

/// What the threads of one kind do. The value holds the kernel objects that they sleep on, if any: the
/// leader opens them once, before it forks, and every process of the storm inherits them.
pub(crate) trait Behaviour: Send + Sync {
    /// Does what the kind does, for ever, on the calling thread. Must not allocate, which could fail or
    /// wait for a lock, and must not return.
    fn run(&self, place: &Place<'_>) -> !;

    /// What the threads have measured of their waits up to now; `None` if they do not measure them.
    fn measured(&self) -> Option<MeasuredWaits> {
        None
    }
}

/// The place of one thread in the storm.
pub(crate) struct Place<'a> {
    /// The slot of the thread.
    pub(crate) slot: usize,
    /// The slot of its vfork child, if it is to have one.
    pub(crate) vfork_child: Option<usize>,
    pub(crate) board: &'a Board,
    pub(crate) names: Names,
    /// The stacks of the process, unless the thread is alone in it.
    pub(crate) stacks: Option<&'a Stacks>,
}

impl Place<'_> {
    /// The one of `objects` that this thread uses.
    pub(crate) fn pick<'o, T>(&self, objects: &'o [T]) -> Option<&'o T> {
        objects.get(self.slot.checked_rem(objects.len())?)
    }
}
