//! The last values of a thread's counters, to compute increases.

use super::memory::allocation;

/// The last values of a thread's counters, one for each measure of the plan that is a delta.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastValues(Vec<Option<i128>>);

impl LastValues {
    /// The bytes of memory for the values of `measures` measures.
    #[must_use]
    pub(crate) const fn cost(measures: usize) -> usize {
        allocation(measures * size_of::<Option<i128>>())
    }

    /// Stores `value` for the measure and returns its increase since the last one: 0 if there is no last one or the value
    /// decreased, `None` if the increase exceeds 128 bits.
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
