//! Ranges of ages.

/// Ages below this share a range: the clocks are off by some 20 µs.
const FIRST_NS: f64 = 50_000.0;
/// Ranges to an octave.
const PER_OCTAVE: f64 = 8.0;

/// A range of ages, and how many there were.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    pub(super) start_ms: f64,
    pub(super) end_ms: f64,
    pub(super) count: f64,
}

impl Bin {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(super) fn new(range: i16, count: u64) -> Self {
        Self { start_ms: start_ms(range), end_ms: start_ms(range.saturating_add(1)), count: count as f64 }
    }
}

/// The range that an age falls into.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an index of three digits")]
pub(super) fn range_of(age_ns: i128) -> i16 {
    const LAST: f64 = 600.0;
    let ratio = age_ns as f64 / FIRST_NS;
    if ratio < 1.0 { 0 } else { (ratio.log2() * PER_OCTAVE).floor().min(LAST) as i16 + 1 }
}

/// Where a range begins, milliseconds.
pub(super) fn start_ms(range: i16) -> f64 {
    if range <= 0 { 0.0 } else { FIRST_NS / 1e6 * (f64::from(range - 1) / PER_OCTAVE).exp2() }
}
