//! psn

pub mod parse;
pub mod syscall;
