//! The share of waits that last longer than an age, and its inverse: percentiles of the duration.
//!
//! The density of ages never increases with the age. Within that, a percentile is tested at each age by a ratio of
//! likelihoods, with the greatest of them that has the tested value there (Banerjee and Wellner 2001); the interval is what the
//! tests leave.

use super::claim::{Claim, Estimate, NoClaim};
use super::density::{Bin, Density};
use super::interval::NORMAL_975;
use super::onset::Onset;

/// Above this the ratio rejects at 95%. Its limit for a smoothly decreasing density that is not cut into bins is 2.27; with bins
/// of these widths, coverage in simulations is right with less.
const RATIO_95: f64 = 1.9;
/// The least number of waits longer than a percentile that are expected to have been met.
const LEAST_BEYOND: f64 = 6.5;
/// A percentile below so many times the least age that can be told from 0 is too short for the clock.
const YOUNG: f64 = 8.0;

/// A block of ages in which the density is taken as constant.
#[derive(Debug, Clone, Copy)]
struct Block {
    count: f64,
    /// What the count is divided by to get a rate: ticks times width.
    exposure: f64,
    /// Bins in it.
    bins: usize,
}

impl Block {
    fn new(bin: &Bin, density: &Density) -> Self {
        // In a bin wider than a period each wait is met several times, but is one wait.
        let once = (density.period / bin.width()).min(1.0);
        Self { count: bin.count * once, exposure: density.ticks * bin.width() * once, bins: 1 }
    }

    fn rate(self) -> f64 {
        self.count / self.exposure
    }

    /// The greatest rate that agrees with the count.
    fn upper_rate(self) -> f64 {
        (self.count + NORMAL_975 * self.count.sqrt() + 2.0) / self.exposure
    }

    /// The logarithm of how likely its count is at this rate, but for a term that is the same for all rates.
    fn likelihood(self, rate: f64) -> f64 {
        let gain = if self.count > 0.0 { self.count * rate.ln() } else { 0.0 };
        gain - rate * self.exposure
    }
}

/// The density of ages to both sides of an age within a bin.
struct Sides {
    left: Vec<Block>,
    right: Vec<Block>,
    /// The bin itself, and the share of it that lies below the age.
    bin: Block,
    below: f64,
    /// How likely the samples are by the likeliest decreasing density.
    likelihood: f64,
}

impl Sides {
    /// By the samples within a period to each side, among which no wait is met twice.
    fn at(density: &Density, place: usize, below: f64) -> Option<Self> {
        let bin = density.bins.get(place)?;
        let near = |other: &&Bin| other.low >= bin.low - density.period && other.high <= bin.high + density.period;
        let from = place - density.bins.get(..place)?.iter().rev().take_while(near).count();
        let to = place + 1 + density.bins.get(place + 1..)?.iter().take_while(near).count();
        let left = decreasing(density.bins.get(from..place)?, density);
        let right = decreasing(density.bins.get(place + 1..to)?, density);
        let all = decreasing(density.bins.get(from..to)?, density);
        let likelihood = all.iter().map(|block| block.likelihood(block.rate())).sum();
        Some(Self { left, right, bin: Block::new(bin, density), below, likelihood })
    }

    /// Twice the logarithm of how much less likely the samples are if the rate at this age is `rate`.
    fn ratio(&self, rate: f64) -> f64 {
        let left = self.left.iter().map(|block| block.likelihood(block.rate().max(rate)));
        let right = self.right.iter().map(|block| block.likelihood(block.rate().min(rate)));
        // The part of the bin below the age has at least this rate, and at most that of its neighbour; the part above, at
        // most this rate.
        let before = self.left.last().map_or(f64::INFINITY, |block| block.upper_rate()).max(rate);
        let least = rate * self.below;
        let most = if self.below > 0.0 { before * self.below + rate * (1.0 - self.below) } else { rate };
        let own = self.bin.likelihood(self.bin.rate().clamp(least, most));
        (2.0 * (self.likelihood - left.chain(right).sum::<f64>() - own)).max(0.0)
    }

    /// Whether the samples forbid that the share `share` of waits lasts longer than this age.
    fn rejects(&self, onset: &Onset, share: f64) -> bool {
        let deviation = onset.variance.sqrt();
        // The rate of waits may be off as well: both together by as much as either alone.
        let mut offs = (0..8).flat_map(|step| [f64::from(step) / 4.0, f64::from(step) / -4.0]);
        offs.all(|off| {
            let rate = onset.rate * (off * deviation).exp() * share;
            off * off / (NORMAL_975 * NORMAL_975) + self.ratio(rate) / RATIO_95 > 1.0
        })
    }
}

/// The likeliest decreasing density (Grenander 1956), by pooling of adjacent violators.
fn decreasing(bins: &[Bin], density: &Density) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for bin in bins {
        let mut block = Block::new(bin, density);
        while let Some(before) = blocks.pop_if(|before| before.rate() <= block.rate()) {
            block.count += before.count;
            block.exposure += before.exposure;
            block.bins += before.bins;
        }
        blocks.push(block);
    }
    blocks
}

/// Percentiles of the durations of waits.
pub(super) struct Tail<'a> {
    density: &'a Density,
    onset: Onset,
    clock_error: f64,
    /// The first bin whose edge can be told from 0.
    first: usize,
    /// Per bin from there on, the likeliest decreasing density.
    rates: Vec<f64>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(density: &'a Density, onset: Onset, clock_error: f64) -> Self {
        let first = density.bins.partition_point(|bin| bin.low < onset.least_age);
        let blocks = decreasing(density.bins.get(first..).unwrap_or(&[]), density);
        let rates = blocks.iter().flat_map(|block| std::iter::repeat_n(block.rate(), block.bins)).collect();
        Self { density, onset, clock_error, first, rates }
    }

    /// The duration that the share `share` of waits exceeds, in seconds.
    pub(super) fn exceeded_by(&self, share: f64) -> Claim {
        if share * self.onset.rate * self.density.length < LEAST_BEYOND {
            return Err(NoClaim::TooFewSamples);
        }
        let crossing = self.rates.partition_point(|rate| *rate > share * self.onset.rate) + self.first;
        let low = self.edge((self.first..crossing).rev(), false, share);
        let high = self.edge(crossing..self.density.bins.len(), true, share).ok_or(NoClaim::TooFewSamples)?;
        let is_young = high < YOUNG * self.onset.least_age;
        let low = low.ok_or(if is_young { NoClaim::ClockError } else { NoClaim::TooWide })?;
        let found = Estimate {
            value: (low * high).sqrt(),
            low: (low - self.clock_error).max(0.0),
            high: high + self.clock_error,
        };
        found.claim()
    }

    fn rejects(&self, place: usize, below: f64, share: f64) -> Option<bool> {
        Some(Sides::at(self.density, place, below)?.rejects(&self.onset, share))
    }

    /// The age at which the tests begin to reject, on the way through these bins in ascending or descending order.
    fn edge(&self, places: impl Iterator<Item = usize>, is_up: bool, share: f64) -> Option<f64> {
        let (from, to) = if is_up { (0.0, 1.0) } else { (1.0, 0.0) };
        for place in places {
            if !self.rejects(place, to, share)? {
                continue;
            }
            let (mut kept, mut rejected) = (from, to);
            for _ in 0..5 {
                let middle = f64::midpoint(kept, rejected);
                let is_rejected = self.rejects(place, middle, share)?;
                *(if is_rejected { &mut rejected } else { &mut kept }) = middle;
            }
            let bin = self.density.bins.get(place)?;
            return Some(bin.low + f64::midpoint(kept, rejected) * bin.width());
        }
        None
    }
}
