//! The programs that are measured, each in a child process of its own.

pub(super) mod floor;
pub(super) mod peer;
pub(super) mod program;
pub(super) mod psn;
