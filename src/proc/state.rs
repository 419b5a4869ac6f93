//! State letters: their names, which of them mean running or ended, the gate, counts by state.

use crate::proc::lookup::PerByte;

/// On a CPU or waiting for one (`TASK_RUNNING`).
pub const RUNNING: u8 = b'R';

/// The states that do not pass the gate by default.
const INACTIVE: [u8; 4] = *b"SZIP";

/// The letters of all states that a kernel has or had.
pub const STATE_LETTERS: &str = "RSDTtXxZPIKW";

/// The name of a state letter, as the original prints it.
#[must_use]
pub const fn state_name(letter: u8) -> Option<&'static str> {
    Some(match letter {
        RUNNING => "Running (ON CPU)",
        b'S' => "Sleep (Interruptible)",
        b'D' => "Disk (Uninterruptible)",
        b'T' => "(stopped)",
        b't' => "(tracing stop)",
        b'X' | b'x' => "(dead)",
        b'Z' => "(zombie)",
        b'P' => "(parked)",
        b'I' => "(idle)",
        b'K' => "(wakekill)",
        b'W' => "(paging or waking)",
        _ => return None,
    })
}

/// The name of a thread in state R that waits for a CPU.
pub(crate) const RUNNABLE: &str = "Runnable (waiting for CPU)";

/// The name of a thread in state R that may not run, because its control group has used up its CPU time.
pub(crate) const THROTTLED: &str = "Runnable (throttled by its cgroup)";

/// The names under which threads in this state are shown: R has three, one of threads on a CPU and two of threads on none.
pub fn state_names(letter: u8) -> impl Iterator<Item = &'static str> {
    state_name(letter).into_iter().chain([RUNNABLE, THROTTLED].into_iter().filter(move |_| letter == RUNNING))
}

/// Whether a thread in this state is on a CPU or waits for one. Then it waits for nothing else, and `syscall`, `wchan` and `stack`
/// are not read: the kernel's `task_current_syscall` and `get_wchan` return at once for `TASK_RUNNING`.
#[must_use]
pub const fn is_running(state: u8) -> bool {
    state == RUNNING
}

/// Whether a thread in this state has ended.
#[must_use]
pub const fn has_ended(state: u8) -> bool {
    matches!(state, b'Z' | b'X' | b'x')
}

/// The gate: which states are read in detail and counted.
#[derive(Clone, PartialEq, Eq)]
pub struct StateGate {
    passes: PerByte<bool>,
}

impl std::fmt::Debug for StateGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = (0u8..128).filter(|letter| letter.is_ascii_alphabetic() && self.passes(*letter));
        f.debug_tuple("StateGate").field(&letters.map(char::from).collect::<String>()).finish()
    }
}

impl StateGate {
    /// Every state.
    #[must_use]
    pub const fn all() -> Self {
        Self { passes: PerByte::filled(true) }
    }

    /// Every state but S, Z, I and P (sleeping, zombie, idle, parked): what the original calls active.
    #[must_use]
    pub fn active() -> Self {
        let mut gate = Self::all();
        for letter in INACTIVE {
            *gate.passes.at_mut(letter) = false;
        }
        gate
    }

    /// Every active state and S: those in which a thread may wait for somebody, though in S it may be idle as well.
    #[must_use]
    pub(crate) fn waiting() -> Self {
        let mut gate = Self::active();
        *gate.passes.at_mut(b'S') = true;
        gate
    }

    /// Exactly these states.
    #[must_use]
    pub fn only(letters: &[u8]) -> Self {
        let mut gate = Self { passes: PerByte::filled(false) };
        for letter in letters {
            *gate.passes.at_mut(*letter) = true;
        }
        gate
    }

    /// Whether threads in this state are counted.
    #[inline]
    #[must_use]
    pub const fn passes(&self, letter: u8) -> bool {
        self.passes.at(letter)
    }

    /// Whether every state passes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.passes.iter().all(|(_, passes)| passes)
    }
}

/// How many threads were seen in each state, by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCounts(Box<PerByte<u64>>);

impl Default for StateCounts {
    fn default() -> Self {
        Self(Box::new(PerByte::filled(0)))
    }
}

impl StateCounts {
    #[inline]
    pub(crate) fn count(&mut self, letter: u8) {
        self.add(letter, 1);
    }

    #[inline]
    pub(crate) fn add(&mut self, letter: u8, count: u64) {
        *self.0.at_mut(letter) += count;
    }

    pub(crate) fn take(&mut self, other: &mut Self) {
        for (letter, count) in other.iter() {
            self.add(letter, count);
        }
        *other = Self::default();
    }

    /// The letters that were seen, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        self.0.iter().filter(|(_, count)| *count > 0)
    }

    /// The number of threads in all states.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_a_name_and_nothing_else_has_one() {
        for byte in 0..=u8::MAX {
            assert_eq!(state_name(byte).is_some(), STATE_LETTERS.as_bytes().contains(&byte), "{byte}");
        }
    }

    #[test]
    fn the_default_gate_leaves_out_what_the_original_does() {
        for letter in *b"RDTtXxKW" {
            assert!(StateGate::active().passes(letter));
        }
        for letter in *b"SZIP" {
            assert!(!StateGate::active().passes(letter) && StateGate::all().passes(letter));
        }
        assert!(StateGate::only(b"D").passes(b'D') && !StateGate::only(b"D").passes(b'R'));
        assert!(StateGate::all().is_open() && !StateGate::active().is_open());
    }
}
