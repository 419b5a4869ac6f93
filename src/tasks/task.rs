//! One thread, and which of its files stay open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::tasks::memory::{DetailFiles, TaskMemory};

/// Which files of a thread may stay open between ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Permit {
    /// None: each read opens and closes.
    None = 0,
    /// `stat`.
    Stat = 1,
    /// `stat` and the detail files that each tick reads.
    Details = 2,
}

/// One thread.
#[derive(Debug)]
pub struct Task {
    /// The thread's id.
    pub tid: u32,
    /// The number of the last tick at which the thread passed the gate, plus 1; 0 if it never did.
    last_active: AtomicU32,
    permit: AtomicU8,
    gone: AtomicBool,
    stat_fd: OnceLock<OwnedFd>,
    memory: OnceLock<Arc<Mutex<TaskMemory>>>,
}

impl Task {
    /// A thread that was just discovered.
    #[must_use]
    pub fn new(tid: u32) -> Self {
        Self {
            tid,
            last_active: AtomicU32::new(0),
            permit: AtomicU8::new(Permit::None as u8),
            gone: AtomicBool::new(false),
            stat_fd: OnceLock::new(),
            memory: OnceLock::new(),
        }
    }

    /// The same thread without open files, because its permit went to a busier thread.
    #[must_use]
    pub(crate) fn without_files(&self) -> Self {
        let task = Self::new(self.tid);
        task.last_active.store(self.last_active.load(Ordering::Relaxed), Ordering::Relaxed);
        task.gone.store(self.is_gone(), Ordering::Relaxed);
        if let Some(memory) = self.memory.get() {
            // A worker that holds the lock may be stuck in the kernel. Then the detail files stay open.
            if let Ok(mut memory) = memory.try_lock() {
                memory.files = DetailFiles::default();
            }
            let _ = task.memory.set(Arc::clone(memory));
        }
        task
    }

    /// Which of its files may stay open.
    #[inline]
    #[must_use]
    pub(crate) fn permit(&self) -> Permit {
        match self.permit.load(Ordering::Relaxed) {
            0 => Permit::None,
            1 => Permit::Stat,
            _ => Permit::Details,
        }
    }

    /// Permits more of its files to stay open.
    pub fn raise_permit(&self, permit: Permit) {
        self.permit.fetch_max(permit as u8, Ordering::Relaxed);
    }

    /// Its `stat` file, if it is open.
    #[inline]
    #[must_use]
    pub(crate) fn stat_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stat_fd.get().map(AsFd::as_fd)
    }

    /// Keeps its `stat` file open.
    pub(crate) fn keep_stat(&self, fd: OwnedFd) -> BorrowedFd<'_> {
        self.stat_fd.get_or_init(|| fd).as_fd()
    }

    /// Whether a read found the thread gone.
    #[inline]
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes that the thread has ended, so that no worker reads it again.
    pub fn mark_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Notes that the thread passed the gate at `tick`.
    pub(crate) fn mark_active(&self, tick: u32) {
        self.last_active.store(tick.saturating_add(1), Ordering::Relaxed);
    }

    /// Ticks from when it last passed the gate until `tick`; `None` if it never did.
    #[must_use]
    pub(crate) fn idle_ticks(&self, tick: u32) -> Option<u32> {
        match self.last_active.load(Ordering::Relaxed) {
            0 => None,
            last => Some(tick.saturating_add(1).saturating_sub(last)),
        }
    }

    /// What is kept with the thread once it has passed the gate.
    pub fn memory(&self) -> &Mutex<TaskMemory> {
        self.memory.get_or_init(Arc::default)
    }

    /// A shared handle of the same; `None` if the thread never passed the gate.
    #[must_use]
    pub(crate) fn kept_memory(&self) -> Option<Arc<Mutex<TaskMemory>>> {
        self.memory.get().cloned()
    }

    /// Takes over what was kept with the same thread before discovery listed it, unless something was kept since.
    pub fn inherit(&self, before: &Self) {
        if let Some(memory) = before.memory.get() {
            let _ = self.memory.set(Arc::clone(memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_small() {
        assert!(size_of::<Task>() <= 40, "{}", size_of::<Task>());
    }
}
