//! The writing side of a dataset.

pub mod buffer;
pub mod encode;
pub mod merge;
pub mod part;
pub mod sink;
pub mod table;
