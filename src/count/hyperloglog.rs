//! An estimate of how many different things were seen, in fixed memory.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet, Meunier, 2007): the longest run of leading zeros among hashes tells how many different
//! ones there were. With 2,048 registers the error is about 2%.

/// The bits of a hash that choose its register.
const BITS: u32 = 11;
const REGISTERS: usize = 1 << BITS;

/// An estimate of the number of different hashes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HyperLogLog(Box<[u8]>);

impl Default for HyperLogLog {
    fn default() -> Self {
        Self(vec![0; REGISTERS].into())
    }
}

impl HyperLogLog {
    /// Bytes that one takes.
    pub(super) const BYTES: usize = REGISTERS;

    /// Adds a hash, all of whose bits must be equally likely.
    #[expect(clippy::cast_possible_truncation, reason = "11 bits, and a number below 64")]
    pub(super) fn add(&mut self, hash: u64) {
        let register = (hash >> (u64::BITS - BITS)) as usize;
        let run = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        if let Some(longest) = self.0.get_mut(register) {
            *longest = (*longest).max(run);
        }
    }

    /// Adds all hashes of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Forgets all hashes.
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// About how many different hashes were added.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, positive and far below 2^63"
    )]
    pub(super) fn estimate(&self) -> u64 {
        let count = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|run| (-f64::from(*run)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let empty = self.0.iter().filter(|run| **run == 0).count();
        // Small numbers are estimated better from the number of registers that are still 0 (linear counting).
        let few = count * (count / empty as f64).ln();
        (if raw <= 2.5 * count && empty > 0 { few } else { raw }).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn few_are_counted_and_many_estimated_however_often_they_come() {
        let state = foldhash::quality::FixedState::with_seed(1);
        for count in [0_u64, 1, 10, 1000, 100_000, 1_000_000] {
            let mut hyperloglog = [HyperLogLog::default(), HyperLogLog::default()];
            for number in (0..count).chain(0..count / 2) {
                hyperloglog[(number % 2) as usize].add(state.hash_one(number));
            }
            let [mut all, half] = hyperloglog;
            all.merge(&half);
            let estimate = all.estimate();
            assert!(estimate.abs_diff(count) <= count / 12 + u64::from(count > 1), "{estimate} for {count}");
        }
    }
}
