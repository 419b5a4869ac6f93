//! Observations (one thread at one tick each), rows of their values, and the last values of counters.

pub mod last;
pub(crate) mod memory;
pub mod observation;
pub mod rows;
pub mod value;
