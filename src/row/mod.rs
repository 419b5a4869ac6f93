//! The noun that goes through psn: one thread at one instant, and many of them.

pub mod last;
pub mod memory;
pub mod observation;
pub mod rows;
pub mod value;
