//! The kernel's own walk for a run.

use super::error::SessionError;
use crate::ask::select::Selection;
use crate::config::Config;
use crate::config::Scan;
use crate::proc::ProcRoot;
use crate::proc::source::Source;
use crate::sample::walker::{self, Walker};
use crate::tasks::census::Census;

/// The kernel's own walk for a run.
#[derive(Default)]
pub(super) struct Walks {
    /// What it takes, if it may be had.
    pub(super) programs: Option<(Walker, Census)>,
    /// Why there is none, or no better one.
    pub(super) reason: Option<String>,
}

pub(super) fn open_walks(config: &Config, root: &ProcRoot, selection: &Selection) -> Result<Walks, SessionError> {
    if config.scan == Scan::Proc {
        return Ok(Walks::default());
    }
    match walker::open(root, walker::Request { plan: &config.plan, selection }) {
        Ok((walker, census)) => {
            let reason = walker.refused().map(ToString::to_string);
            Ok(Walks { programs: Some((walker, census)), reason })
        }
        Err(error) if config.scan == Scan::Kernel => Err(error.into()),
        Err(error) => Ok(Walks { programs: None, reason: Some(error.to_string()) }),
    }
}

/// Whether the kernel is to walk even if it costs more than to read the selected threads' files.
pub(super) fn must_walk(config: &Config) -> bool {
    /// What only a walk tells.
    const OF_WALKS: [Source; 3] = [Source::Kernel, Source::Socket, Source::Idle];
    let sources = config.sources();
    config.scan == Scan::Kernel
        || OF_WALKS.into_iter().any(|source| sources.contains(source))
        // Each recording has the age of waits, through /proc as a bound.
        || config.plan.shown().any(|column| column.source == Source::Wait)
}
