//! The buckets of ages: 4 µs wide at first, and from 64 µs on 16 to each doubling of the age.

/// The least width of a bucket is 2 to this power nanoseconds.
const UNIT_BITS: u32 = 12;
/// Each octave is split in 2 to this power buckets.
const SUB_BITS: u32 = 4;
/// Ages from 2 to this power nanoseconds on, 6.5 days, are all in the last bucket.
const TOP_BITS: u32 = 49;

/// Buckets of an octave.
pub(super) const PER_OCTAVE: usize = 1 << SUB_BITS;
/// Buckets in all.
pub(super) const BUCKETS: usize = ((TOP_BITS - UNIT_BITS - SUB_BITS + 1) as usize) << SUB_BITS;

/// The bucket of an age.
#[inline]
pub(super) fn bucket(age_ns: u64) -> usize {
    let units = age_ns.min((1 << TOP_BITS) - 1) >> UNIT_BITS;
    let shift = (units | 1).ilog2().saturating_sub(SUB_BITS);
    let index = (u64::from(shift) << SUB_BITS) + (units >> shift);
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The least age of a bucket, in nanoseconds.
pub(super) const fn lower_ns(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket >> SUB_BITS).saturating_sub(1);
    (bucket - (octave << SUB_BITS)) << octave << UNIT_BITS
}

/// The least age above a bucket that begins at `low_ns`, in nanoseconds.
pub(super) fn upper_ns(low_ns: u64) -> u64 {
    lower_ns(bucket(low_ns) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_consecutive_and_narrow() {
        for at in 0..BUCKETS {
            let (low, high) = (lower_ns(at), lower_ns(at + 1));
            assert_eq!((bucket(low), bucket(high - 1)), (at, at));
            assert_eq!(upper_ns(low), high);
            assert!(high - low == 1 << UNIT_BITS || (high - low) * 16 <= low, "{low} to {high}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(lower_ns(BUCKETS), 1 << TOP_BITS);
    }
}
