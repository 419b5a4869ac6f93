//! Clocks, times as people type them, and histograms of durations.

pub mod clock;
pub mod histogram;
pub mod moment;
