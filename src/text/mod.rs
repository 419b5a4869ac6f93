//! Makes text that is safe to show of bytes, messages and numbers.

pub mod decimal;
pub mod escape;
pub(crate) mod sentence;
