//! Short-lived processes that exec this program again, which then lives as [`live_if_told`] says.

use std::process::Command;
use std::time::Duration;

use rustix::process::getpid;

use super::source::{Source, reap_processes};
use crate::plan::names::Names;
use crate::plan::rates::Churner;
use crate::sys::nap;
use crate::sys::process::{pid, tie_to};
use crate::worker::context::Context;

/// The first argument of a program that the exec churner has started.
const NAP: &str = "--churn-nap";

pub(super) struct Execs {
    context: &'static Context,
    alive: usize,
}

impl Execs {
    pub(super) const fn new(context: &'static Context) -> Self {
        Self { context, alive: 0 }
    }
}

impl Source for Execs {
    fn start(&mut self, number: u64) -> bool {
        let names = clap::ValueEnum::to_possible_value(&self.context.names);
        let names = names.as_ref().map_or("plain", |names| names.get_name());
        let started = Command::new("/proc/self/exe")
            .arg(NAP)
            .arg(getpid().to_string())
            .arg(self.context.churn.lifetime_ms.to_string())
            .arg(names)
            .arg(number.to_string())
            .spawn();
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

/// If the exec churner has started this process, lives its short life and returns `true`.
#[must_use]
pub fn live_if_told() -> bool {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let mut next = || arguments.next().and_then(Result::ok);
    if next().as_deref() != Some(NAP) {
        return false;
    }
    let parent = next().and_then(|number| pid(number.parse().ok()?));
    let lifetime_ms = next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let names: Option<Names> = next().and_then(|names| clap::ValueEnum::from_str(&names, false).ok());
    let number = next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if parent.is_some() && tie_to(parent).is_ok() {
        names.unwrap_or_default().apply_churn(Churner::Execs.name(), number);
        nap(Duration::from_millis(lifetime_ms));
    }
    true
}
