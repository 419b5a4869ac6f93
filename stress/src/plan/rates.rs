//! How many short-lived tasks a storm is to start per second.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Short-lived tasks per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChurnRates {
    /// Threads started per second.
    pub births: u32,
    /// Processes forked per second.
    pub forks: u32,
    /// Programs executed per second.
    pub execs: u32,
    /// How long each lives.
    pub lifetime_ms: u32,
}

/// A thread of the generator that starts short-lived tasks of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Churner {
    Births,
    Forks,
    Execs,
}

impl Churner {
    pub(crate) const ALL: [Self; 3] = [Self::Births, Self::Forks, Self::Execs];

    /// The plain name of the tasks it starts.
    pub(crate) const fn name(self) -> &'static [u8] {
        match self {
            Self::Births => b"churn-birth",
            Self::Forks => b"churn-fork",
            Self::Execs => b"churn-exec",
        }
    }
}

impl ChurnRates {
    /// Tasks per second that one churner is to start.
    pub(crate) fn rate(&self, churner: Churner) -> u32 {
        match churner {
            Churner::Births => self.births,
            Churner::Forks => self.forks,
            Churner::Execs => self.execs,
        }
    }

    /// Whether any rate is above zero.
    pub(crate) fn any(&self) -> bool {
        Churner::ALL.into_iter().any(|churner| self.rate(churner) > 0)
    }

    /// How long each short-lived task lives.
    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_millis(self.lifetime_ms.into())
    }

    /// How many tasks of one churner may be alive at once: twice the number that follows from rate and lifetime, plus 64. So a
    /// host that ends tasks slowly fills up only to this bound.
    pub(crate) fn most_alive(&self, churner: Churner) -> usize {
        let implied = u64::from(self.rate(churner)) * u64::from(self.lifetime_ms) / 1000;
        usize::try_from(2 * implied).unwrap_or(usize::MAX).saturating_add(64)
    }
}
