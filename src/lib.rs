//! psn
