//! Clocks and the tick schedule, times as text, and histograms of durations.

pub mod clock;
pub(crate) mod histogram;
pub mod moment;
