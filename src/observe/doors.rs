//! By which door programs come into the kernel, place by place in their code: whose numbers their system calls have.
//!
//! On x86-64 a 64-bit program may call the kernel as a 32-bit one does (`int $0x80`), with other numbers, and `syscall` shows
//! the number alone. Only the kernel's own stack tells which it was. It is the same whenever a thread waits at the same place
//! of the same program, so the stack is read once for each such place, not for each thread or sample.

use crate::proc::parse::stack::Entry;
use crate::proc::{Buffer, ProcRoot};

/// The doors that were found, in a table of fixed size in which a later place may displace an earlier one.
#[derive(Debug, Default)]
pub(super) struct Doors {
    places: Vec<Option<Place>>,
    /// What was found, and is not known yet to be of the instant it was looked for.
    found: Option<Place>,
    /// Whether stacks may be read, once that was tried.
    may_read: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    tgid: u32,
    pc: u64,
    /// None where the stack does not tell.
    entry: Option<Entry>,
}

impl Doors {
    /// Places remembered: 256 kB for each worker that reads system calls.
    const PLACES: usize = 1 << 13;

    /// The door used at `pc`, if it was looked for before.
    pub(super) fn known(&self, tgid: u32, pc: u64) -> Option<Option<Entry>> {
        let place = self.places.get(Self::index(tgid, pc)).copied().flatten()?;
        (place.tgid == tgid && place.pc == pc).then_some(place.entry)
    }

    /// Notes what was found at `pc`.
    pub(super) const fn find(&mut self, tgid: u32, pc: u64, entry: Option<Entry>) {
        self.found = Some(Place { tgid, pc, entry });
    }

    /// Forgets what was found: the thread moved on while it was looked at.
    pub(super) const fn discard(&mut self) {
        self.found = None;
    }

    /// Remembers what was found.
    pub(super) fn confirm(&mut self) {
        let Some(place) = self.found.take() else { return };
        if self.places.is_empty() {
            self.places.resize(Self::PLACES, None);
        }
        if let Some(slot) = self.places.get_mut(Self::index(place.tgid, place.pc)) {
            *slot = Some(place);
        }
    }

    /// Whether psn may read stacks: its own, for a start.
    pub(super) fn may_read(&mut self, root: &ProcRoot, buffer: &mut Buffer) -> bool {
        *self.may_read.get_or_insert_with(|| root.read_host(c"self/stack", buffer).is_ok())
    }

    const fn index(tgid: u32, pc: u64) -> usize {
        let mixed = (pc ^ ((tgid as u64) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % Self::PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_counts_once_the_thread_is_known_to_have_stayed() {
        let mut doors = Doors::default();
        doors.find(7, 0x401000, Some(Entry::Compat));
        assert_eq!(doors.known(7, 0x401000), None);
        doors.discard();
        doors.confirm();
        assert_eq!(doors.known(7, 0x401000), None);
        doors.find(7, 0x401000, Some(Entry::Compat));
        doors.confirm();
        doors.find(8, 0x401000, None);
        doors.confirm();
        assert_eq!(doors.known(7, 0x401000), Some(Some(Entry::Compat)));
        assert_eq!(doors.known(8, 0x401000), Some(None));
        assert_eq!(doors.known(7, 0x401002), None);
    }

    #[test]
    fn any_number_of_places_fits() {
        let mut doors = Doors::default();
        for pc in 0..3 * Doors::PLACES as u64 {
            doors.find(7, pc, Some(Entry::Native));
            doors.confirm();
            assert_eq!(doors.known(7, pc), Some(Some(Entry::Native)));
        }
        assert_eq!(doors.places.len(), Doors::PLACES);
    }
}
