//! Paths that were read, within a limit of bytes, and of which wait they are.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::wait::PathWait;
use crate::row::memory::Budget;

/// A text that takes its bytes from a budget, and gives them back at its end.
#[derive(Debug)]
pub(crate) struct HeldText {
    bytes: Box<[u8]>,
    budget: Arc<Budget>,
}

impl HeldText {
    /// What a text takes beside its bytes: itself, and its entry among those that are known.
    const OVERHEAD: usize = 192;
}

impl Deref for HeldText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldText {
    fn drop(&mut self) {
        self.budget.give(self.bytes.len() + Self::OVERHEAD);
    }
}

/// The paths of the waits that were seen last. A thread stays in a wait for many ticks; its path is read once.
#[derive(Debug)]
pub(super) struct KnownPaths {
    by_thread: Mutex<HashMap<u32, (PathWait, Arc<HeldText>), RandomState>>,
    budget: Arc<Budget>,
}

impl Default for KnownPaths {
    fn default() -> Self {
        Self { by_thread: Mutex::default(), budget: Arc::new(Budget::new(Self::MAX_BYTES)) }
    }
}

impl KnownPaths {
    /// The most bytes that all paths take, those of rows that are not counted yet included.
    const MAX_BYTES: usize = 16 << 20;

    /// The path of this wait, if it is known.
    pub(super) fn of(&self, wait: &PathWait) -> Option<Arc<HeldText>> {
        let known = self.by_thread.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&wait.tid).filter(|(of, _)| of == wait).map(|(_, text)| Arc::clone(text))
    }

    /// Keeps the path of a wait; `None` if there is no room for it.
    pub(super) fn keep(&self, wait: PathWait, bytes: &[u8]) -> Option<Arc<HeldText>> {
        let mut known = self.by_thread.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.hold(bytes).or_else(|| {
            // Those of waits that are over are among them.
            known.clear();
            self.hold(bytes)
        })?;
        known.insert(wait.tid, (wait, Arc::clone(&text)));
        Some(text)
    }

    fn hold(&self, bytes: &[u8]) -> Option<Arc<HeldText>> {
        let has_room = self.budget.take(bytes.len() + HeldText::OVERHEAD);
        has_room.then(|| Arc::new(HeldText { bytes: bytes.into(), budget: Arc::clone(&self.budget) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::CallOfWait;
    use crate::tasks::facts::RunCount;

    fn wait(tid: u32, switches: u64) -> PathWait {
        let runs = RunCount::Switches(switches);
        let call = CallOfWait { runs, number: 257, args: [0, 0x1000, 0, 0, 0, 0], sp: 1, pc: 2 };
        PathWait { tgid: 1, tid, starttime_ticks: 5, call, address: 0x1000 }
    }

    #[test]
    fn a_path_is_known_for_its_own_wait_alone() {
        let known = KnownPaths::default();
        known.keep(wait(7, 3), b"/a").unwrap();
        assert_eq!(known.of(&wait(7, 3)).as_deref().map(|text| text.to_vec()), Some(b"/a".to_vec()));
        assert!(known.of(&wait(7, 4)).is_none(), "it has run since");
        assert!(known.of(&PathWait { starttime_ticks: 6, ..wait(7, 3) }).is_none(), "another thread of the same id");
        assert!(known.of(&wait(8, 3)).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_ends_gives_back_what_it_had() {
        let known = KnownPaths::default();
        let path = vec![b'x'; 4095];
        let fit = KnownPaths::MAX_BYTES / (4095 + HeldText::OVERHEAD);
        let held: Vec<_> = (0..fit as u32).map(|tid| known.keep(wait(tid, 1), &path).unwrap()).collect();
        assert!(known.keep(wait(9, 2), &path).is_none(), "all are still in use");
        drop(held);
        for tid in 0..3 * fit as u32 {
            assert!(known.keep(wait(tid, 1), &path).is_some());
            assert!(known.budget.taken() <= KnownPaths::MAX_BYTES);
        }
        drop(known.by_thread.lock().unwrap().drain());
        assert_eq!(known.budget.taken(), 0);
    }
}
