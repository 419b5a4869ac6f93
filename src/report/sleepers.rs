//! Where threads slept, in a run that saw none active.

use serde::{Deserialize, Serialize};

/// Where threads slept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sleepers {
    /// Threads of the selection.
    pub threads: u64,
    /// Of those, the ones looked at.
    pub looked_at: u64,
    /// Of those, the ones that slept, on average over the looks.
    pub slept: f64,
    /// System call or kernel function, and average threads in it; the largest first.
    pub waits: Vec<(String, f64)>,
}
