//! Short-lived processes that are copies of the churner.

use rustix::process::{Pid, getpid};

use super::source::{Source, reap_processes};
use crate::plan::rates::Churner;
use crate::sys::nap;
use crate::sys::process::{fork, tie_to};
use crate::worker::context::Context;

pub(super) struct Forks {
    context: &'static Context,
    parent: Pid,
    alive: usize,
}

impl Forks {
    pub(super) fn new(context: &'static Context) -> Self {
        Self { context, parent: getpid(), alive: 0 }
    }
}

impl Source for Forks {
    fn start(&mut self, number: u64) -> bool {
        let (context, parent) = (self.context, self.parent);
        let started = fork(|| {
            if tie_to(Some(parent)).is_ok() {
                let number = usize::try_from(number).unwrap_or(0);
                context.names.apply_churn(Churner::Forks.name(), number);
                nap(context.churn.lifetime());
            }
            0
        });
        self.alive += usize::from(started.is_ok());
        started.is_ok()
    }

    fn reap(&mut self) {
        self.alive -= reap_processes().min(self.alive);
    }

    fn alive(&self) -> usize {
        self.alive
    }
}
