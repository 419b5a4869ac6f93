//! How often waits that had just begun could not be seen.
//!
//! A tick is due by chance. When psn gets a CPU for it is not by chance: often because a thread went to sleep. So only waits count that
//! began before the tick was due, and a wait that is younger than the time since then is not among the samples.

use super::buckets::{BUCKETS, bucket, lower_ns};

/// For each bucket of ages, in how many ticks waits of that age could not be seen.
#[derive(Debug, Clone, Default)]
pub struct UnseenAges {
    ticks: u32,
    by_bucket: Vec<UnseenTicks>,
    /// The sum, over ticks, of the time from when a tick was due until a thread was seen, seconds.
    blind_s: f64,
}

/// UnseenTicks in which waits of an age could not be seen.
#[derive(Debug, Clone, Copy, Default)]
struct UnseenTicks {
    /// Of threads that are seen last.
    at_worst: f64,
    /// Of a thread at any place.
    on_average: f64,
}

impl UnseenAges {
    /// Notes a tick that began `late_ns` after it was due and saw one thread after another for `pass_ns`.
    pub fn note(&mut self, late_ns: u64, pass_ns: u64) {
        self.ticks = self.ticks.saturating_add(1);
        self.blind_s += (late_ns as f64 + pass_ns as f64 / 2.0) / 1e9;
        let end_ns = late_ns.saturating_add(pass_ns);
        let count = (bucket(end_ns) + 1).min(BUCKETS);
        if self.by_bucket.len() < count {
            self.by_bucket.resize(count, UnseenTicks::default());
        }
        for (place, ticks) in self.by_bucket.iter_mut().take(count).enumerate() {
            let middle_ns = f64::midpoint(lower_ns(place) as f64, lower_ns(place + 1) as f64);
            // The share of threads that were seen later than that after the tick was due.
            let later = (end_ns as f64 - middle_ns) / (pass_ns as f64).max(1.0);
            ticks.on_average += later.clamp(0.0, 1.0);
            ticks.at_worst += f64::from(u8::from(later > 0.0));
        }
    }

    /// In what share of the ticks a wait whose age is in the bucket from `low_ns` on could be seen, on average over threads and
    /// at worst. Where the threads of a group come in a pass, nobody knows.
    pub(super) fn seen(&self, low_ns: u64) -> (f64, f64) {
        let unseen = self.by_bucket.get(bucket(low_ns)).copied().unwrap_or_default();
        let ticks = f64::from(self.ticks.max(1));
        (1.0 - unseen.on_average / ticks, 1.0 - unseen.at_worst / ticks)
    }

    /// The time from when a tick was due until a thread was seen, on average, seconds.
    pub(super) fn blind_s(&self) -> f64 {
        self.blind_s / f64::from(self.ticks.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_below_the_lateness_are_not_seen_and_later_ones_in_part() {
        let mut unseen = UnseenAges::default();
        assert_eq!((unseen.seen(0), unseen.blind_s()), ((1.0, 1.0), 0.0));
        // All threads at once, then one after another for 400 µs.
        unseen.note(100_000, 0);
        unseen.note(200_000, 400_000);
        let ages = [(0, 0.0, 0.0), (80_000, 0.0, 0.0), (150_000, 0.5, 0.5), (400_000, 0.75, 0.5), (700_000, 1.0, 1.0)];
        for (age_ns, on_average, at_worst) in ages {
            let seen = unseen.seen(age_ns);
            assert!((seen.0 - on_average).abs() < 0.03 && (seen.1 - at_worst).abs() < 1e-9, "{age_ns}: {seen:?}");
        }
        assert!((unseen.blind_s() - 250e-6).abs() < 1e-9);
    }
}
