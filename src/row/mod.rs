//! Observations: one task at one instant, and many of them; their values, and bytes of memory.

pub mod last;
pub mod memory;
pub mod observation;
pub mod rows;
pub mod value;
