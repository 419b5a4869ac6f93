//! Addresses to names.

pub mod kernel;
