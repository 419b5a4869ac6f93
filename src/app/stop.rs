//! Signals that end a run early.

use crate::proc::signals;
use crate::session::Stop;
use anyhow::Context as _;

/// A flag that Ctrl-C, SIGTERM and the like set. A second signal ends psn at once.
pub(super) fn stop_on_signals() -> anyhow::Result<Stop> {
    let stop = Stop::default();
    signals::stop_by(&stop.flag()).context("cannot handle signals")?;
    Ok(stop)
}
