//! What is asked of the side readers, and what they are reading.

use std::sync::Arc;

use crate::proc::source::Source;
use crate::tasks::facts::store::FactStore;

/// A process whose facts are to be read.
pub(super) struct FactRequest {
    pub(super) tgid: u32,
    pub(super) facts: Arc<FactStore>,
}

/// A read that has begun and not returned.
pub(super) struct CurrentRead {
    pub(super) tgid: u32,
    pub(super) source: Source,
    pub(super) facts: Arc<FactStore>,
}
