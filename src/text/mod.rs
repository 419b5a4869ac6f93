//! Bytes and numbers to text that is safe to show, and back.

pub mod decimal;
pub mod escape;
pub mod sentence;
