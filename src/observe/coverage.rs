//! How many observations lack a value that a column asked for, and why.

use crate::proc::lookup::PerSource;

/// Counts of observations, and of values that are missing in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Observations of waiting threads for which wait columns were read.
    pub checked: u64,
    /// Of those, the ones whose thread ran between the reads.
    pub torn: u64,
    /// Observations that show `[denied]`, by the source that was refused.
    pub denied: PerSource<u64>,
    /// Observations counted.
    pub rows: u64,
    /// Threads that passed the state gate and were rejected by a filter.
    pub rejected: u64,
    /// Of those, the ones of which the kernel refused to tell what the filter asks for.
    pub refused: u64,
}

impl Coverage {
    /// Adds the counts of `other` to these and sets `other` to zero.
    pub fn take(&mut self, other: &mut Self) {
        self.checked += other.checked;
        self.torn += other.torn;
        self.rows += other.rows;
        self.rejected += other.rejected;
        self.refused += other.refused;
        for ((_, mine), (_, theirs)) in self.denied.iter_mut().zip(other.denied.iter()) {
            *mine += theirs;
        }
        *other = Self::default();
    }
}
