//! State letters: which there are, the names they are shown by, and the set of them that a run counts.

use crate::proc::lookup::PerByte;

/// The letters of all states, including those of old kernels.
pub(crate) const STATE_LETTERS: &str = "RSDTtXxZPIKW";

/// The name of state `letter`, as the original prints it.
#[must_use]
pub(crate) const fn state_name(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'R' => "Running (ON CPU)",
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

/// The names that threads in state `letter` are shown by. R has two: one for threads on a CPU, one for threads that wait for one.
pub(crate) fn state_names(letter: u8) -> impl Iterator<Item = &'static str> {
    let waiting = state2_name(letter, false).filter(|_| letter == b'R');
    state_name(letter).into_iter().chain(waiting)
}

/// The name of state `letter` if it is known whether the thread is on a CPU.
#[must_use]
pub(crate) const fn state2_name(letter: u8, is_on_cpu: bool) -> Option<&'static str> {
    match letter {
        b'R' if !is_on_cpu => Some("Runnable (waiting for CPU)"),
        _ => state_name(letter),
    }
}

/// The set of states whose threads are counted.
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

    /// Every state but S (sleeping), Z (zombie), I (idle) and P (parked): the *active* states.
    #[must_use]
    pub fn active() -> Self {
        let mut gate = Self::all();
        for letter in *b"SZIP" {
            *gate.passes.at_mut(letter) = false;
        }
        gate
    }

    /// The states with these letters.
    #[must_use]
    pub fn only(letters: &[u8]) -> Self {
        let mut gate = Self { passes: PerByte::filled(false) };
        for letter in letters {
            *gate.passes.at_mut(*letter) = true;
        }
        gate
    }

    /// Whether threads in state `letter` are counted.
    #[inline]
    #[must_use]
    pub(crate) const fn passes(&self, letter: u8) -> bool {
        self.passes.at(letter)
    }

    /// Whether threads in every state are counted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.passes.iter().all(|(_, passes)| passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_gate_leaves_out_what_the_original_does() {
        let gate = StateGate::active();
        for letter in *b"RDTtXxKW" {
            assert!(gate.passes(letter));
        }
        for letter in *b"SZIP" {
            assert!(!gate.passes(letter));
        }
        assert!(StateGate::only(b"D").passes(b'D') && !StateGate::only(b"D").passes(b'R'));
    }
}
