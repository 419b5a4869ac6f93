//! Recordings through the same counting as live samples: questions asked after the run.
//!
//! A replay gives a recording's rows to the same [`Fold`](crate::count::Fold) and [`Aggregator`](crate::count::Aggregator) as a
//! live run, tick by tick. The same question has the same answer, to the digit.

mod clocks;
mod counters;
pub mod diff;
pub mod export;
mod pieces;
mod question;
mod reports;
pub mod slices;
mod span;
mod tally;
mod warnings;

pub use question::{Question, Watch};
pub use reports::report;
pub use span::{last_time, span, span_text};
