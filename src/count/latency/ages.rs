//! The ages at which samples met the waits of a group: a histogram of bounded size, and counts by time.

#[cfg(test)]
use super::buckets::BUCKETS;
use super::buckets::{PER_OCTAVE, bucket, lower_ns};
use super::slices::Slices;

/// Ages of the waits of one group, one per sample.
///
/// A few samples are kept as a sorted list of buckets and counts, more of them as an array over the buckets in use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ages {
    samples: u64,
    /// How many samples met their wait for the first, second, third and fourth time.
    meetings: [u64; 4],
    counts: BucketCounts,
    slices: Slices,
    begun: BegunInPass,
}

/// Waits that began after their pass had begun, and before their thread was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct BegunInPass {
    waits: u64,
    /// The time from when the pass had begun until a thread was seen: the sum over `seen` samples, nanoseconds.
    window_ns: u64,
    seen: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum BucketCounts {
    /// Buckets with their counts, in ascending order.
    Sparse(Vec<(u16, u32)>),
    /// The counts of consecutive buckets from bucket `first` on.
    Dense { first: usize, counts: Vec<u64> },
}

impl Default for BucketCounts {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl Ages {
    /// More buckets than this are kept as an array.
    const SPARSE: usize = 48;

    /// The most bytes that one takes besides its own size.
    #[cfg(test)]
    pub const MAX_BYTES: usize = BUCKETS * size_of::<u64>() + Slices::MAX_BYTES;

    /// No ages.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            samples: 0,
            meetings: [0; 4],
            counts: BucketCounts::Sparse(Vec::new()),
            slices: Slices::new(),
            begun: BegunInPass { waits: 0, window_ns: 0, seen: 0 },
        }
    }

    /// Adds a sample: in tick `tick`, counted from 0 over completed ticks, a thread was met in a wait of age `age_ns`, which
    /// began before `earlier` of the ticks before that one (see [`RecentTicks`](super::RecentTicks)).
    #[inline]
    pub fn add(&mut self, age_ns: u64, earlier: usize, tick: u32) {
        self.samples += 1;
        if let Some(meetings) = self.meetings.get_mut(earlier) {
            *meetings += 1;
        }
        self.slices.add(tick, (1, u64::from(earlier == 0)));
        self.add_to(bucket(age_ns), 1);
    }

    /// Notes that a sample's thread was seen so long after the pass had begun.
    pub fn note_seen(&mut self, window_ns: u64) {
        self.begun.window_ns = self.begun.window_ns.saturating_add(window_ns);
        self.begun.seen += 1;
    }

    /// Notes a wait that began after the pass had begun: it is not among the samples.
    pub const fn note_begun(&mut self) {
        self.begun.waits += 1;
    }

    /// Adds all samples of `other`, which are of the same ticks.
    pub fn merge(&mut self, other: &Self) {
        self.begun.waits += other.begun.waits;
        self.begun.window_ns = self.begun.window_ns.saturating_add(other.begun.window_ns);
        self.begun.seen += other.begun.seen;
        self.samples += other.samples;
        self.meetings.iter_mut().zip(other.meetings).for_each(|(mine, theirs)| *mine += theirs);
        self.slices.merge(&other.slices);
        match &other.counts {
            BucketCounts::Sparse(list) => {
                list.iter().for_each(|(at, count)| self.add_to(usize::from(*at), u64::from(*count)))
            }
            BucketCounts::Dense { first, counts } => {
                let filled = (*first..).zip(counts).filter(|(_, count)| **count > 0);
                filled.for_each(|(at, count)| self.add_to(at, *count));
            }
        }
    }

    /// Removes all samples; the memory is kept.
    pub fn clear(&mut self) {
        self.samples = 0;
        self.meetings = [0; 4];
        self.begun = BegunInPass::default();
        self.slices.clear();
        match &mut self.counts {
            BucketCounts::Sparse(list) => list.clear(),
            BucketCounts::Dense { counts, .. } => counts.fill(0),
        }
    }

    /// The number of samples.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// The bytes that it takes besides its own size.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        let counts = match &self.counts {
            BucketCounts::Sparse(list) => list.capacity() * size_of::<(u16, u32)>(),
            BucketCounts::Dense { counts, .. } => counts.capacity() * size_of::<u64>(),
        };
        counts + self.slices.heap_bytes()
    }

    /// The least age of each bucket that is in use, in nanoseconds, and the number of samples in it, in ascending order.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        match &self.counts {
            BucketCounts::Sparse(list) => {
                list.iter().map(|(at, count)| (lower_ns(usize::from(*at)), u64::from(*count))).collect()
            }
            BucketCounts::Dense { first, counts } => (*first..)
                .zip(counts)
                .filter(|(_, count)| **count > 0)
                .map(|(at, count)| (lower_ns(at), *count))
                .collect(),
        }
    }

    /// How many samples met their wait for the first, second, third and fourth time.
    pub(super) const fn meetings(&self) -> [u64; 4] {
        self.meetings
    }

    /// How many waits began after the pass had begun, and the time, in seconds, in which they did, on average over samples. None if
    /// it is not known when threads were seen.
    pub(super) fn begun_in_pass(&self) -> Option<(u64, f64)> {
        let BegunInPass { waits, window_ns, seen } = self.begun;
        (seen > 0).then(|| (waits, window_ns as f64 / 1e9 / seen as f64))
    }

    pub(super) const fn slices(&self) -> &Slices {
        &self.slices
    }

    #[inline]
    fn add_to(&mut self, at: usize, more: u64) {
        if let BucketCounts::Dense { first, counts } = &mut self.counts
            && let Some(count) = counts.get_mut(at.wrapping_sub(*first))
        {
            *count += more;
            return;
        }
        self.add_to_other(at, more);
    }

    /// Adds to a bucket of a list, or to one beyond the array.
    fn add_to_other(&mut self, at: usize, more: u64) {
        match &mut self.counts {
            BucketCounts::Sparse(list) => {
                if !add_to_list(list, at, more) {
                    self.counts = dense(list, at);
                    self.add_to(at, more);
                }
            }
            BucketCounts::Dense { first, counts } => {
                grow(first, counts, at);
                if let Some(count) = counts.get_mut(at - *first) {
                    *count += more;
                }
            }
        }
    }
}

/// Adds to a bucket of a sorted list; false if the list has no room for it.
fn add_to_list(list: &mut Vec<(u16, u32)>, at: usize, more: u64) -> bool {
    let (Ok(at), Ok(more)) = (u16::try_from(at), u32::try_from(more)) else { return false };
    match list.binary_search_by_key(&at, |(known, _)| *known) {
        Ok(place) => match list.get_mut(place).and_then(|(_, count)| Some((count.checked_add(more)?, count))) {
            Some((sum, count)) => {
                *count = sum;
                true
            }
            None => false,
        },
        Err(place) if list.len() < Ages::SPARSE => {
            if list.len() == list.capacity() {
                list.reserve_exact(if list.is_empty() { 4 } else { list.len().min(Ages::SPARSE - list.len()) });
            }
            list.insert(place, (at, more));
            true
        }
        Err(_) => false,
    }
}

/// An array of the counts in `list` that has a place for bucket `at`.
fn dense(list: &[(u16, u32)], at: usize) -> BucketCounts {
    let (mut first, mut counts) = (at - at % PER_OCTAVE, Vec::new());
    for (known, count) in list {
        let known = usize::from(*known);
        grow(&mut first, &mut counts, known);
        if let Some(place) = counts.get_mut(known - first) {
            *place = u64::from(*count);
        }
    }
    grow(&mut first, &mut counts, at);
    BucketCounts::Dense { first, counts }
}

/// Extends the array, by whole octaves, so that it holds bucket `at`.
fn grow(first: &mut usize, counts: &mut Vec<u64>, at: usize) {
    if at < *first {
        let more = *first - (at - at % PER_OCTAVE);
        counts.reserve_exact(more);
        counts.splice(0..0, std::iter::repeat_n(0, more));
        *first -= more;
    }
    let len = (at - *first + 1).next_multiple_of(PER_OCTAVE);
    if len > counts.len() {
        counts.reserve_exact(len - counts.len());
        counts.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_samples_take_little_memory_and_many_a_bounded_amount() {
        let mut ages = Ages::new();
        assert_eq!(ages.heap_bytes(), 0);
        for number in 0..20_u64 {
            ages.add(number * 1_000_000, 0, number as u32);
        }
        assert!(ages.heap_bytes() <= 800, "{}", ages.heap_bytes());
        for number in 0..500_000_u64 {
            ages.add(1 << (number % 52), 0, (number / 10) as u32);
            ages.add(number * 77_777, 9, (number / 10) as u32);
        }
        assert!(ages.heap_bytes() <= Ages::MAX_BYTES, "{}", ages.heap_bytes());
        const { assert!(Ages::MAX_BYTES < 5000) };
    }

    #[test]
    fn a_count_that_a_list_does_not_hold_goes_to_an_array() {
        let mut ages = Ages::new();
        ages.add(5, 0, 0);
        let mut many = ages.clone();
        for _ in 0..33 {
            many.merge(&many.clone());
        }
        assert_eq!(many.buckets(), [(0, 1 << 33)]);
    }

    fn filled(samples: &[(u64, u32)]) -> Ages {
        let mut ages = Ages::new();
        samples.iter().for_each(|(age, tick)| ages.add(*age, (*age % 7) as usize, *tick));
        ages
    }

    /// All that there is to tell two apart.
    fn content(ages: &Ages) -> String {
        format!("{:?} {:?} {:?}", ages.meetings(), ages.buckets(), ages.slices().full(4000))
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, u32)>> {
        let age = (0..52_u32, 0..1000_u64).prop_map(|(shift, part)| (1_u64 << shift) / 1000 * part);
        prop::collection::vec((age, 0..4000_u32), 0..200)
    }

    proptest! {
        #[test]
        fn the_order_of_merges_changes_nothing(one in samples(), two in samples(), three in samples()) {
            let all = filled(&[one.clone(), two.clone(), three.clone()].concat());
            let [one, two, three] = [filled(&one), filled(&two), filled(&three)];
            let (mut left, mut right, mut inner) = (one.clone(), three, two.clone());
            left.merge(&two);
            left.merge(&right);
            inner.merge(&one);
            right.merge(&inner);
            prop_assert_eq!(content(&left), content(&all));
            prop_assert_eq!(content(&right), content(&all));
            let sum: u64 = all.buckets().iter().map(|(_, count)| count).sum();
            prop_assert_eq!(sum, all.samples());
            left.clear();
            prop_assert_eq!(content(&left), content(&Ages::new()));
        }
    }
}
