//! Writes the columns and row groups of one Parquet file.

pub(super) mod buffer;
pub(super) mod encode;
pub(super) mod table;
pub(super) mod text_list;
