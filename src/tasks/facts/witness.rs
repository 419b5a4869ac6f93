//! How psn tells whether a thread has run between two instants.

/// How often a thread has run: a count that grows whenever the thread is switched in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCount {
    /// From `schedstat`.
    Slices {
        /// Time on a CPU, in nanoseconds.
        run_ns: u64,
        /// How often it was switched in.
        timeslices: u64,
    },
    /// How often it was switched out, voluntarily or not: from a walk's record, or from `status`.
    Switches(u64),
}

impl RunCount {
    /// Whether the thread was not switched in between the two counts, if it was running at both.
    pub(super) fn is_same_slice(self, other: Self) -> bool {
        match (self, other) {
            (Self::Slices { timeslices: mine, .. }, Self::Slices { timeslices: theirs, .. }) => mine == theirs,
            _ => self == other,
        }
    }
}

/// A thread at the instant of a row, which tells by its count whether a title read later is still the row's.
#[derive(Debug, Clone, Copy)]
pub struct Witness {
    /// The thread's id.
    pub tid: u32,
    /// How often it had run at that instant; `None` if unknown.
    pub runs: Option<RunCount>,
    /// Whether it was neither on a CPU nor waiting for one.
    pub is_at_rest: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_the_same_while_the_thread_was_not_switched_in() {
        let runs = |run_ns, timeslices| RunCount::Slices { run_ns, timeslices };
        assert!(runs(1, 5).is_same_slice(runs(9, 5)) && !runs(1, 5).is_same_slice(runs(1, 6)));
        assert!(
            RunCount::Switches(3).is_same_slice(RunCount::Switches(3))
                && !RunCount::Switches(3).is_same_slice(runs(3, 3))
        );
    }
}
