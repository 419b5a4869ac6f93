//! The number of threads in each state.

use crate::proc::lookup::PerByte;

/// The number of threads in each state, by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCounts(Box<PerByte<u64>>);

impl Default for StateCounts {
    fn default() -> Self {
        Self(Box::new(PerByte::filled(0)))
    }
}

impl StateCounts {
    #[inline]
    pub(super) fn count(&mut self, letter: u8) {
        self.add(letter, 1);
    }

    #[inline]
    pub(super) fn add(&mut self, letter: u8, count: u64) {
        *self.0.at_mut(letter) += count;
    }

    /// Adds the counts of `other`, and sets them to 0.
    pub(super) fn take(&mut self, other: &mut Self) {
        for (letter, count) in other.iter() {
            self.add(letter, count);
        }
        *other = Self::default();
    }

    /// The letters whose count is not 0, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        self.0.iter().filter(|(_, count)| *count > 0)
    }

    /// The number of threads in any state.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}
