//! Counts by group: in one fold per worker during a pass, then committed to a lock-sharded map.
//!
//! A worker counts into its own [`Fold`], without a lock and, once its tables have grown, without an allocation. When the tick
//! is complete the folds are committed to the [`Aggregator`], with one lock per touched group. A tick that was not completed is
//! discarded whole, so averages divide by ticks that saw every thread. Sums are integers: the result does not depend on the
//! order of counting.
//!
//! Groups, their texts and the folds' tables take memory from a budget, [`Memory`](memory::Memory). When it is used up, new
//! groups are counted together in one group `[other]`, and none of their texts is kept. Their number is estimated.

mod accumulator;
mod aggregator;
mod batches;
mod distinct;
mod fold;
mod group;
mod hyperloglog;
pub(crate) mod intern;
pub(crate) mod latency;
pub mod memory;
mod other;
mod plan;
mod quantiles;
mod ranges;

pub(crate) use accumulator::Accumulator;
pub use aggregator::{Aggregator, Naming};
pub use fold::Fold;
pub(crate) use group::Group;
pub use latency::TickStart;
pub use other::Other;
