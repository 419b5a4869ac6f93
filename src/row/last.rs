//! What a thread's counters showed last.

use super::memory::allocation;

/// The last values of a thread's counters, one for each delta measure of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastValues(Vec<Option<i128>>);

impl LastValues {
    /// The memory that the values of so many measures take.
    #[must_use]
    pub const fn cost(measures: usize) -> usize {
        allocation(measures * size_of::<Option<i128>>())
    }

    /// Stores `value` for the measure and returns how much it grew since the last one; none if that is no number of 128 bits.
    pub(crate) fn increase(&mut self, measure: usize, value: i128) -> Option<i128> {
        if self.0.len() <= measure {
            self.0.resize(measure + 1, None);
        }
        match self.0.get_mut(measure)?.replace(value) {
            Some(last) if last >= value => Some(0),
            Some(last) => value.checked_sub(last),
            None => Some(0),
        }
    }
}
