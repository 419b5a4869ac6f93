//! The kernel's walk in a run: opened if it can be had, briefed on each task list, given up if it fails.

use super::error::SessionError;
use crate::ask::select::Selection;
use crate::config::{Config, Scan};
use crate::proc::source::Source;
use crate::proc::{ProcRoot, rights};
use crate::sample::walker::{self, Walker};
use crate::tasks::census::Census;
use crate::tasks::discover::Discovered;

/// The walk that takes the ticks of a run, if there is one.
#[derive(Default)]
pub(super) struct Walks {
    /// `None` if the ticks are read from /proc.
    pub(super) walker: Option<Walker>,
    /// Why there is no walk, or why a slower kind of it is used.
    pub(super) reason: Option<String>,
}

impl Walks {
    /// Loads the walk's programs as `--scan` says, with the census by which discovery checks the listings.
    pub(super) fn open(
        config: &Config,
        root: &ProcRoot,
        selection: &Selection,
    ) -> Result<(Self, Option<Census>), SessionError> {
        if config.scan == Scan::Proc {
            return Ok((Self::default(), None));
        }
        match walker::open(root, walker::WalkScope { plan: &config.plan, selection }) {
            Ok((walker, census)) => {
                let reason = walker.refused().map(ToString::to_string);
                Ok((Self { walker: Some(walker), reason }, Some(census)))
            }
            Err(error) if config.scan == Scan::Kernel => Err(error.into()),
            Err(error) => Ok((Self { walker: None, reason: Some(error.to_string()) }, None)),
        }
    }

    /// Hands a newer task list to the walker, or gives the walk up if discovery found it not worth its cost.
    pub(super) fn set_tasks(&mut self, found: &Discovered) {
        let Some(walker) = &mut self.walker else { return };
        match &found.unseen {
            Some(unseen) => {
                if let Err(error) = rights::raised(|| walker.set_tasks(&found.set, unseen)) {
                    self.give_up(format!("cannot use the capabilities that psn was given: {error}"));
                }
            }
            None => {
                let (threads, plural) = (found.set.threads(), if found.set.threads() == 1 { "" } else { "s" });
                self.give_up(format!(
                    "only {threads} thread{plural} selected, cheaper than a kernel walk; --scan kernel forces one"
                ));
            }
        }
    }

    /// Has the ticks read from /proc from now on.
    pub(super) fn give_up(&mut self, reason: String) {
        self.walker = None;
        self.reason = Some(reason);
    }
}

/// Whether to walk even if reading the files of the selected threads costs less.
pub(super) fn must_walk(config: &Config) -> bool {
    /// What a walk tells of the same instant, `/proc` in part and a little later, or not at all.
    const OF_WALKS: [Source; 3] = [Source::Kernel, Source::Socket, Source::Idle];
    let sources = config.sources();
    config.scan == Scan::Kernel
        || OF_WALKS.into_iter().any(|source| sources.contains(source))
        // Each recording has the age of waits, through /proc as a bound.
        || config.plan.shown().any(|column| column.source == Source::Wait)
}
