//! Counts of a group by time, which tell how much its counts vary from one time to another.

/// Samples, and samples that met their wait for the first time.
type Count = (u64, u64);

/// Counts in slices of consecutive ticks. All slices are of one length, a power of two, which doubles when there are too
/// many. Slices without a sample take no memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Slices {
    /// A bit for each slice that has a sample.
    filled: u32,
    /// The counts of these slices, in ascending order.
    counts: Vec<Count>,
    /// A slice is 2 to this power ticks.
    log2_len: u32,
}

impl Slices {
    /// The most slices that are kept.
    const KEPT: u32 = u32::BITS;

    /// The most bytes that they take on the heap.
    #[cfg(test)]
    pub(super) const MAX_BYTES: usize = Self::KEPT as usize * size_of::<Count>();

    pub(super) const fn new() -> Self {
        Self { filled: 0, counts: Vec::new(), log2_len: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, tick: u32, more: Count) {
        while tick >> self.log2_len >= Self::KEPT {
            self.double();
        }
        self.add_to(tick >> self.log2_len, more);
    }

    #[inline]
    fn add_to(&mut self, place: u32, more: Count) {
        let bit = 1 << place;
        let at = (self.filled & (bit - 1)).count_ones() as usize;
        if self.filled & bit == 0 {
            self.filled |= bit;
            self.insert(at);
        }
        if let Some((samples, firsts)) = self.counts.get_mut(at) {
            *samples += more.0;
            *firsts += more.1;
        }
    }

    #[cold]
    fn insert(&mut self, at: usize) {
        if self.counts.len() == self.counts.capacity() {
            let left = Self::KEPT as usize - self.counts.len();
            self.counts.reserve_exact(if self.counts.is_empty() { 1 } else { left.min(4) });
        }
        self.counts.insert(at, (0, 0));
    }

    /// The slices that have a sample, with their places.
    fn places(&self) -> impl Iterator<Item = (u32, Count)> {
        let filled = self.filled;
        (0..Self::KEPT).filter(move |place| filled & (1 << place) != 0).zip(self.counts.iter().copied())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        while self.log2_len < other.log2_len {
            self.double();
        }
        let shift = self.log2_len - other.log2_len;
        // A slice may be longer here than all of the other's together.
        other.places().for_each(|(place, count)| self.add_to(place.checked_shr(shift).unwrap_or(0), count));
    }

    #[cold]
    fn double(&mut self) {
        let mut doubled = Self { log2_len: self.log2_len + 1, ..Self::new() };
        self.places().for_each(|(place, count)| doubled.add_to(place / 2, count));
        *self = doubled;
    }

    pub(super) fn clear(&mut self) {
        self.counts.clear();
        (self.filled, self.log2_len) = (0, 0);
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<Count>()
    }

    /// The counts of 16 to 32 slices of equal length, the last ones of `ticks` ticks left out if they do not fill a slice.
    /// Fewer slices if there are fewer ticks.
    pub(super) fn full(&self, ticks: u32) -> Vec<Count> {
        let mut slices = self.clone();
        while ticks >> slices.log2_len > Self::KEPT {
            slices.double();
        }
        let mut counts = vec![(0, 0); (ticks >> slices.log2_len) as usize];
        for (place, count) in slices.places() {
            if let Some(place) = counts.get_mut(place as usize) {
                *place = count;
            }
        }
        counts
    }
}
