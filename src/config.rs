//! x
/// x
pub const DEFAULT_PROC_ROOT: &str = "/proc";
