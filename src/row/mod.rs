//! The noun that goes through psn: one thread at one instant, and many of them.

pub mod observation;
pub mod rows;
