//! Counts by group: folded per worker, put together once per tick in a lock-sharded map.
//!
//! A worker counts into its own [`Fold`], with no lock and, once its tables have grown, no
//! allocation. When the tick is complete the folds are committed to the [`Aggregator`], one lock per
//! touched group; a tick that did not complete is discarded whole, so averages divide by ticks that
//! saw every thread. Sums are integers: the result does not depend on who counted what, or when.
//!
//! Groups, their texts and the folds' tables take their memory from a [`Memory`]. A group for which there is none left is
//! counted in one group `[other]` with all its like, and before any of its texts is kept: names that are new at every tick
//! cost a look-up each. How many groups are in there is estimated.

mod accumulator;
mod aggregator;
mod batches;
mod distinct;
mod fold;
mod group;
pub mod intern;
pub mod memory;
mod other;
mod plan;

pub use accumulator::Accumulator;
pub use aggregator::{Aggregator, Naming};
pub use fold::Fold;
pub use group::Group;
pub use other::Other;
