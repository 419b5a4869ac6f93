//! What the leader holds while a storm is built and held: its children, and what can end the storm.

use std::time::Duration;

use rustix::process::WaitStatus;

use super::children::Children;
use super::error::StormError;
use super::shortage;
use super::watch::{Event, Watch};
use crate::worker::context::Context;

pub(super) struct Control {
    pub(super) context: &'static Context,
    pub(super) watch: Watch,
    pub(super) children: Children,
}

impl Control {
    /// Sleeps for `time`. Fails once something ends the storm: a signal, the end of the parent or of a
    /// child, or, without `best_effort`, a limit that a process of the storm has hit.
    pub(super) fn wait(&mut self, best_effort: bool, time: Duration) -> Result<(), StormError> {
        if let (Some(failure), false) = (self.context.board.failure(), best_effort) {
            return Err(StormError::Limit(shortage::describe(self.context, failure)));
        }
        let event = self.watch.wait(Some(time));
        self.check(event)
    }

    /// Fails if the event ends a storm that is not complete.
    pub(super) fn check(&mut self, event: Option<Event>) -> Result<(), StormError> {
        match event {
            Some(Event::Child) => self.check_children(),
            Some(Event::Told(signal)) => Err(StormError::Ended(signal)),
            Some(Event::ParentEnded) => Err(StormError::Ended("its parent's end")),
            Some(Event::Readable) | None => Ok(()),
        }
    }

    /// Reaps children, and fails if a process of the storm was among them.
    pub(super) fn check_children(&mut self) -> Result<(), StormError> {
        let Some((pid, status)) = self.children.reap() else {
            return Ok(());
        };
        Err(StormError::Broken(format!("process {} of the storm {}", pid.as_raw_nonzero(), end_of(status))))
    }
}

fn end_of(status: WaitStatus) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(9), _) => "was killed by SIGKILL, perhaps for want of memory".to_owned(),
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "ended".to_owned(),
    }
}
