//! The host: what it is, how busy it is, and what bounds the number of threads on it.

pub(crate) mod limits;
pub(crate) mod machine;
