//! The writing side of a dataset.

pub(super) mod buffer;
pub(super) mod encode;
pub(super) mod merge;
pub(super) mod part;
pub(super) mod sink;
pub(super) mod table;
