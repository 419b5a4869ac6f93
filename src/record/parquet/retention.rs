//! Decides which parts are removed, so that a dataset does not fill the disk.
//!
//! Clocks may be wrong for a while. Parts of a future day were written before the clock was corrected, so they are older
//! than those that are written now. And a clock that leaps ahead does not make parts old at once.

use std::time::{Duration, Instant};

use crate::record::parquet::dataset::{CatalogEntry, PartCatalog};
use crate::time::moment::nanoseconds;

/// Parts that begin this much later than now were written under a wrong clock. Smaller differences may come from a
/// correction since.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// The wall clock may gain this much on the monotonic clock, as in a correction, and still be believed.
const LEAP: Duration = Duration::from_secs(60);

/// A wall clock that leapt further is believed after this time.
const TRIAL: Duration = Duration::from_secs(3600);

/// The names of parts to remove: those whose last tick was before `oldest_ns`, and as many as must go for the rest to fit
/// into `max_size` bytes. Parts of future days go first, then the oldest. The newest part is never removed.
pub(super) fn excess(catalog: &PartCatalog, now_ns: u64, oldest_ns: Option<u64>, max_size: Option<u64>) -> Vec<String> {
    let is_ahead = |entry: &&CatalogEntry| entry.ticks.from_ns > now_ns.saturating_add(nanoseconds(AHEAD));
    let newest = catalog.iter().rev().find(|(_, entry)| !is_ahead(entry)).or_else(|| catalog.iter().next_back());
    let newest = newest.map(|(name, _)| name);
    let (ahead, others): (Vec<_>, Vec<_>) = catalog.iter().partition(|(_, entry)| is_ahead(entry));
    let mut bytes = catalog.values().fold(0_u64, |bytes, entry| bytes.saturating_add(entry.bytes));
    let mut names = Vec::new();
    for (name, entry) in ahead.into_iter().chain(others) {
        let is_too_much = max_size.is_some_and(|max_size| bytes > max_size);
        let is_old = oldest_ns.is_some_and(|oldest| entry.ticks.to_ns < oldest);
        if Some(name) != newest && (is_too_much || is_old) {
            bytes -= entry.bytes;
            names.push(name.clone());
        }
    }
    names
}

/// The time by which the age of parts is measured.
#[derive(Debug, Default)]
pub(super) struct RetentionClock {
    /// The time believed last, and when.
    last: Option<(u64, Instant)>,
    /// Since when the wall clock has been doubted.
    doubted: Option<Instant>,
}

impl RetentionClock {
    /// The time, nanoseconds since 1970, given that a tick has the time `time_ns` and it is `at` on the monotonic clock.
    pub(super) fn now(&mut self, time_ns: u64, at: Instant) -> u64 {
        let expected = self.last.map(|(time_ns, then)| time_ns.saturating_add(nanoseconds(at.duration_since(then))));
        match expected {
            Some(expected) if time_ns > expected.saturating_add(nanoseconds(LEAP)) => {
                let since = *self.doubted.get_or_insert(at);
                if at.duration_since(since) < TRIAL {
                    return expected;
                }
            }
            _ => {}
        }
        self.doubted = None;
        self.last = Some((time_ns, at));
        time_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::parquet::name::PartName;
    use crate::record::parquet::ticks::TickSummary;

    const SECOND: u64 = 1_000_000_000;

    /// Parts of 100 bytes and ten seconds that begin at these times.
    fn catalog(seconds: &[u64]) -> PartCatalog {
        let entry = |(number, second): (usize, &u64)| {
            let name = PartName::new(second * SECOND, "run", number as u64);
            let ticks =
                TickSummary { from_ns: second * SECOND, to_ns: (second + 9) * SECOND, ..TickSummary::default() };
            (name.to_string(), CatalogEntry { name, hour: None, bytes: 100, ticks })
        };
        seconds.iter().enumerate().map(entry).collect()
    }

    fn count(seconds: &[u64], now: u64, keep: Option<u64>, max_size: Option<u64>) -> usize {
        let oldest = keep.map(|keep| now.saturating_sub(keep) * SECOND);
        excess(&catalog(seconds), now * SECOND, oldest, max_size).len()
    }

    #[test]
    fn what_is_older_goes_once_all_of_it_is() {
        let seconds = [1000, 1010, 1020, 1030];
        assert_eq!(count(&seconds, 1040, None, None), 0);
        assert_eq!(count(&seconds, 1040, Some(25), None), 1, "the second lasts until 1019");
        assert_eq!(count(&seconds, 1040, Some(20), None), 2);
        assert_eq!(count(&seconds, 1040, Some(0), None), 3, "the newest stays");
        assert_eq!(count(&seconds, 1040, Some(5000), None), 0);
    }

    #[test]
    fn a_part_goes_by_its_own_time_and_not_by_that_of_the_next() {
        // Nothing was recorded for an hour between the two.
        assert_eq!(count(&[1000, 4600], 4610, Some(1800), None), 1);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let seconds = [1000, 1010, 1020, 1030];
        assert_eq!(count(&seconds, 1040, None, Some(400)), 0);
        assert_eq!(count(&seconds, 1040, None, Some(399)), 1);
        assert_eq!(count(&seconds, 1040, None, Some(1)), 3, "the newest stays");
        assert_eq!(count(&seconds, 1040, Some(25), Some(250)), 2);
        assert_eq!(count(&[], 1040, Some(1), Some(1)), 0);
    }

    #[test]
    fn a_date_in_the_future_never_makes_the_present_go() {
        let seconds = [1000, 1010, 1020, 10_000_000, 10_000_010];
        let names: Vec<String> = catalog(&seconds).into_keys().collect();
        for (max_size, gone) in [(500, &names[..0]), (499, &names[3..4]), (300, &names[3..])] {
            assert_eq!(excess(&catalog(&seconds), 1030 * SECOND, None, Some(max_size)), gone, "{max_size}");
        }
        assert_eq!(excess(&catalog(&seconds), 1030 * SECOND, None, Some(200)), [&names[3..], &names[..1]].concat());
        assert_eq!(count(&seconds, 1030, Some(3600), None), 0, "and by its age no part of the future goes");
        assert_eq!(count(&seconds[3..], 1030, None, Some(1)), 1, "the newest stays");
    }

    #[test]
    fn a_clock_that_leaps_ahead_is_believed_after_a_while() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut clock = RetentionClock::default();
        let mut now = |time: u64, seconds: u64| clock.now(time * SECOND, at(seconds)) / SECOND;
        assert_eq!((now(1000, 0), now(1010, 10), now(1079, 20)), (1000, 1010, 1079));
        assert_eq!((now(9_000_000, 30), now(9_000_010, 40)), (1089, 1099), "not yet");
        assert_eq!(now(1110, 50), 1110, "it was set right");
        assert_eq!((now(9_000_000, 60), now(9_003_599, 3659)), (1120, 4719), "it begins anew");
        assert_eq!(now(9_003_600, 3660), 9_003_600);
        assert_eq!(now(500, 3670), 500, "a clock may be set back");
    }
}
