//! Counts the ticks that were due in each slice.

use std::collections::BTreeMap;

use crate::record::{Header, RecordError, TickInfo};
use crate::report::Ticks;
use crate::time::moment::length;

/// Slices at most, to bound memory.
pub const MAX_SLICES: usize = 250_000;

/// Counts the ticks of each slice.
///
/// The ticks that were missed between two completed ones are spread evenly over the time between these. So a slice without a
/// completed tick can have due ones.
#[derive(Debug)]
pub(super) struct Due {
    per_ns: u64,
    /// Whether the question has a start: then it is not known how many ticks were missed before the first one.
    is_part: bool,
    slices: BTreeMap<u64, Ticks>,
    /// The run of the last tick, and the tick.
    last: Option<(String, TickInfo)>,
    /// The start of the slice of the last tick.
    last_start: u64,
    is_ordered: bool,
}

impl Due {
    pub(super) fn new(per_ns: u64, from_ns: Option<u64>) -> Self {
        Self {
            per_ns: per_ns.max(1),
            is_part: from_ns.is_some(),
            slices: BTreeMap::new(),
            last: None,
            last_start: 0,
            is_ordered: true,
        }
    }

    /// The ticks by the starts of their slices, and whether they were added in the order of slices.
    pub(super) fn finish(mut self) -> (BTreeMap<u64, Ticks>, bool) {
        for ticks in self.slices.values_mut() {
            ticks.missed = ticks.expected.saturating_sub(ticks.completed);
        }
        (self.slices, self.is_ordered)
    }

    /// Adds a completed tick, and the ticks that were missed since the last one.
    pub(super) fn add(&mut self, header: &Header, tick: &TickInfo) -> Result<(), RecordError> {
        let start = tick.time_ns / self.per_ns * self.per_ns;
        self.is_ordered &= start >= self.last_start;
        self.last_start = start;
        let before = self.last.take().filter(|(run, _)| *run == header.run).map(|(_, tick)| tick);
        let (missed, throttled, abandoned) = match &before {
            Some(before) => (
                tick.due.saturating_sub(before.due).saturating_sub(1),
                tick.throttled.saturating_sub(before.throttled),
                tick.abandoned.saturating_sub(before.abandoned),
            ),
            None if self.is_part => (0, 0, 0),
            None => (tick.due.saturating_sub(1), tick.throttled, tick.abandoned),
        };
        let ticks = self.slice(start)?;
        ticks.completed += 1;
        ticks.expected = ticks.expected.saturating_add(1);
        ticks.throttled = ticks.throttled.saturating_add(throttled);
        ticks.abandoned = ticks.abandoned.saturating_add(abandoned);
        match &before {
            Some(before) if missed > 0 && before.time_ns < tick.time_ns => {
                self.spread(missed, before.time_ns, tick.time_ns)?
            }
            _ => self.expect(start, missed)?,
        }
        self.last = Some((header.run.clone(), tick.clone()));
        Ok(())
    }

    /// Spreads missed ticks evenly over the time between two completed ones.
    fn spread(&mut self, missed: u64, after_ns: u64, before_ns: u64) -> Result<(), RecordError> {
        let (first, last) = (after_ns / self.per_ns, before_ns / self.per_ns);
        let (long, parts) = (u128::from(before_ns - after_ns), u128::from(missed) + 1);
        if missed <= last - first {
            for number in 1..=u128::from(missed) {
                let time = u128::from(after_ns) + long * number / parts;
                self.expect(u64::try_from(time).unwrap_or(before_ns) / self.per_ns * self.per_ns, 1)?;
            }
            return Ok(());
        }
        let mut counted = 0;
        for slice in first..=last {
            let end = u128::from(slice + 1) * u128::from(self.per_ns);
            // The number of missed ticks before the end of this slice.
            let until = (end.saturating_sub(u128::from(after_ns)).min(long) * parts).div_ceil(long).saturating_sub(1);
            let until = u64::try_from(until).unwrap_or(missed).clamp(counted, missed);
            let until = if slice == last { missed } else { until };
            if until > counted {
                self.expect(slice * self.per_ns, until - counted)?;
            }
            counted = until;
        }
        Ok(())
    }

    fn expect(&mut self, start: u64, count: u64) -> Result<(), RecordError> {
        if count > 0 {
            let ticks = self.slice(start)?;
            ticks.expected = ticks.expected.saturating_add(count);
        }
        Ok(())
    }

    fn slice(&mut self, start: u64) -> Result<&mut Ticks, RecordError> {
        if self.slices.len() >= MAX_SLICES && !self.slices.contains_key(&start) {
            return Err(RecordError::TooManySlices { per: length(self.per_ns), max: MAX_SLICES });
        }
        Ok(self.slices.entry(start).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn header() -> Header {
        Header { hz: 10.0, ..crate::record::fixture::header("run") }
    }

    fn slices(ticks: &[(u64, u64)]) -> Vec<(u64, u64, u64)> {
        let mut due = Due::new(S, None);
        for (time_ns, number) in ticks {
            due.add(&header(), &TickInfo { time_ns: *time_ns, due: *number, ..TickInfo::default() }).unwrap();
        }
        due.finish().0.iter().map(|(start, ticks)| (start / S, ticks.expected, ticks.completed)).collect()
    }

    #[test]
    fn what_was_missed_was_due_between_what_was_taken() {
        // Ten a second; none from 10.5 to 13.0.
        let taken = |number: u64| (10 * S + (number - 1) * S / 10, number);
        let ticks: Vec<_> = (1..=6).chain(31..=35).map(taken).collect();
        assert_eq!(slices(&ticks), [(10, 10, 6), (11, 10, 0), (12, 10, 0), (13, 5, 5)]);
    }

    #[test]
    fn a_long_gap_with_few_ticks_makes_few_slices() {
        assert_eq!(slices(&[(0, 1), (1_000_000_000 * S, 3)]), [(0, 1, 1), (500_000_000, 1, 0), (1_000_000_000, 1, 1)]);
        assert_eq!(slices(&[(5 * S, 1), (2 * S, 4)]), [(2, 3, 1), (5, 1, 1)], "of a clock that was set back");
    }

    #[test]
    fn too_many_slices_are_refused_and_none_is_counted_twice() {
        let mut due = Due::new(1, None);
        due.add(&header(), &TickInfo { time_ns: 1, due: 1, ..TickInfo::default() }).unwrap();
        let far = TickInfo { time_ns: u64::MAX / 2, due: u64::MAX, ..TickInfo::default() };
        assert!(due.add(&header(), &far).unwrap_err().to_string().contains("slices"));
    }
}
