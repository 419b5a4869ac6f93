//! By which entry point programs come into the kernel, by the place in their code.
//!
//! On x86-64 a 64-bit program can use the 32-bit system call table (`int $0x80`). The numbers of its calls differ, and `syscall`
//! shows only the number. The kernel stack shows which entry point was used, and so which table. That is always the same for one
//! place in one program, so the stack is read once for each such place, not for each thread or sample.

use crate::proc::parse::stack::Entry;
use crate::proc::{Buffer, ProcRoot};

/// The entry points that were found, in a table of fixed size in which a later place can overwrite an earlier one.
#[derive(Debug, Default)]
pub(super) struct EntryCache {
    slots: Vec<Option<CallSite>>,
    /// The one found last, until it is known that the thread did not run while it was looked for.
    found: Option<CallSite>,
    /// Whether psn may read stacks; `None` until that was tried.
    may_read_stacks: Option<bool>,
}

/// A place in a program that calls the kernel.
#[derive(Debug, Clone, Copy)]
struct CallSite {
    tgid: u32,
    pc: u64,
    /// `None` if the stack does not show it.
    entry: Option<Entry>,
}

impl EntryCache {
    /// The size of the table: 256 kB for each worker that reads system calls.
    const SLOTS: usize = 1 << 13;

    /// The entry point used at `pc`, if the stack was read for that place before.
    pub(super) fn known(&self, tgid: u32, pc: u64) -> Option<Option<Entry>> {
        let site = self.slots.get(Self::index(tgid, pc)).copied().flatten()?;
        (site.tgid == tgid && site.pc == pc).then_some(site.entry)
    }

    /// Notes what the stack showed at `pc`, to be confirmed or discarded.
    pub(super) const fn find(&mut self, tgid: u32, pc: u64, entry: Option<Entry>) {
        self.found = Some(CallSite { tgid, pc, entry });
    }

    /// Drops what was found.
    pub(super) const fn discard(&mut self) {
        self.found = None;
    }

    /// Keeps what was found, if anything was: the thread did not run meanwhile.
    pub(super) fn confirm(&mut self) {
        let Some(site) = self.found.take() else { return };
        if self.slots.is_empty() {
            self.slots.resize(Self::SLOTS, None);
        }
        if let Some(slot) = self.slots.get_mut(Self::index(site.tgid, site.pc)) {
            *slot = Some(site);
        }
    }

    /// Whether psn may read stacks. The first call tries to read psn's own.
    pub(super) fn may_read_stacks(&mut self, root: &ProcRoot, buffer: &mut Buffer) -> bool {
        *self.may_read_stacks.get_or_insert_with(|| root.read_host(c"self/stack", buffer).is_ok())
    }

    const fn index(tgid: u32, pc: u64) -> usize {
        let mixed = (pc ^ ((tgid as u64) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % Self::SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_point_is_kept_once_the_thread_is_known_not_to_have_run() {
        let mut cache = EntryCache::default();
        cache.find(7, 0x401000, Some(Entry::Compat));
        assert_eq!(cache.known(7, 0x401000), None);
        cache.discard();
        cache.confirm();
        assert_eq!(cache.known(7, 0x401000), None);
        cache.find(7, 0x401000, Some(Entry::Compat));
        cache.confirm();
        cache.find(8, 0x401000, None);
        cache.confirm();
        assert_eq!(cache.known(7, 0x401000), Some(Some(Entry::Compat)));
        assert_eq!(cache.known(8, 0x401000), Some(None));
        assert_eq!(cache.known(7, 0x401002), None);
    }

    #[test]
    fn a_full_table_keeps_the_latest_places() {
        let mut cache = EntryCache::default();
        for pc in 0..3 * EntryCache::SLOTS as u64 {
            cache.find(7, pc, Some(Entry::Native));
            cache.confirm();
            assert_eq!(cache.known(7, pc), Some(Some(Entry::Native)));
        }
        assert_eq!(cache.slots.len(), EntryCache::SLOTS);
    }
}
