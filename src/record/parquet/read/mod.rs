//! Reads the columns and rows of one Parquet file.

pub(super) mod column;
mod memory;
pub(super) mod rows;
mod texts;
