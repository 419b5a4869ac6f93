//! Observations (one thread at one tick each), rows of their values, the last values of counters, and how exact ages are.

pub mod bounds;
pub mod last;
pub(crate) mod memory;
pub mod observation;
pub mod rows;
pub mod value;
