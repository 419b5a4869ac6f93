//! The group of all groups for which there was no memory.

use std::fmt;

/// What is in the group `[other]`: the samples of groups for which there was no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// The number of those groups, estimated.
    pub groups: u64,
    /// Their samples.
    pub samples: u64,
    /// The memory limit, bytes.
    pub max_memory: u64,
}

impl Other {
    /// The sum of both. The groups may be the same ones: the larger number counts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            groups: self.groups.max(other.groups),
            samples: self.samples.saturating_add(other.samples),
            max_memory: self.max_memory.max(other.max_memory),
        }
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, samples, max_memory } = self;
        write!(
            f,
            "there was no memory for about {groups} more groups: their {samples} samples are counted together as [other]; \
             group by fewer columns, or allow more than --max-memory {}M",
            max_memory >> 20
        )
    }
}
