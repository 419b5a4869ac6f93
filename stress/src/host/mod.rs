//! The host: its hardware and kernel, its load, and the limits on the number of threads.

pub(crate) mod limits;
pub(crate) mod machine;
