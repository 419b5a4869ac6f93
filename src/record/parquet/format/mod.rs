//! Parquet's file format, as far as psn reads and writes it: what readers and writers share.

pub(super) mod checksum;
pub(super) mod damage;
pub(super) mod footer;
pub(super) mod page;
pub(super) mod range;
pub(super) mod rle;
pub(super) mod schema;
pub(super) mod thrift;
