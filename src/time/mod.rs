//! Clocks and the tick schedule, times as text, and histograms of durations.

pub(crate) mod clock;
pub(crate) mod histogram;
pub mod moment;
