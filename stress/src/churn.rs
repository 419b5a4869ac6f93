//! Threads and processes that come and go, at a given rate.
//!
//! Each churner runs against the clock: what is due by now is made now. One that falls behind
//! leaves tasks out and counts them; it never catches up in a burst.

use std::collections::VecDeque;
use std::process::Command;
use std::time::{Duration, Instant};

use libc::c_void;
use rustix::process::{Pid, WaitOptions, getpid, wait};

use crate::context::{self, Context};
use crate::plan::kind::Kind;
use crate::plan::names::Names;
use crate::plan::rates::Churner;
use crate::sys::nap;
use crate::sys::process::{self, tie_to};
use crate::sys::stacks::{Stack, Stacks, Thread};

/// How much is due by a given time; pure.
struct Pace {
    rate: u32,
    settled: u64,
}

impl Pace {
    /// The tasks due now and those to leave out, of all that were due by `elapsed`.
    fn due(&mut self, elapsed: Duration) -> (u64, u64) {
        let all = elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        let due = u64::try_from(all).unwrap_or(u64::MAX).saturating_sub(self.settled);
        self.settled += due;
        let most = u64::from(self.rate / 20).max(1); // 50 ms worth
        (due.min(most), due.saturating_sub(most))
    }

    /// How long nothing will be due: at least a millisecond, so that high rates come in batches.
    fn rest(&self, elapsed: Duration) -> Duration {
        let nanos = u128::from(self.settled + 1) * 1_000_000_000 / u128::from(self.rate.max(1));
        let next = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        next.saturating_sub(elapsed).max(Duration::from_millis(1))
    }
}

/// What one churner makes, and how it gets rid of it.
trait Brood {
    /// Starts one task; `false` when it cannot be had now.
    fn start(&mut self, number: u64) -> bool;
    /// Collects those that have ended.
    fn collect(&mut self);
    fn alive(&self) -> usize;
}

/// Turns the calling thread into a churner. Returns only if it cannot work at all.
pub(crate) fn run(context: &'static Context, slot: usize, churner: Churner) {
    context.names.apply(Kind::Harness, slot);
    let brood: Option<Box<dyn Brood>> = match churner {
        Churner::Births => Births::new(context).map(|brood| Box::new(brood) as _),
        Churner::Forks => Some(Box::new(Forks { context, parent: getpid(), alive: 0 })),
        Churner::Execs => Some(Box::new(Execs { context, alive: 0 })),
    };
    context.board.arrive(slot, Kind::Harness);
    context.board.wait_at_gate();
    match brood {
        Some(mut brood) => churn(context, churner, brood.as_mut()),
        None => loop {
            nap(Duration::from_secs(1)); // no memory: nothing made, which the result shows
        },
    }
}

fn churn(context: &Context, churner: Churner, brood: &mut dyn Brood) -> ! {
    let most_alive = context.churn.most_alive(churner);
    let mut pace = Pace { rate: context.churn.rate(churner), settled: 0 };
    let start = Instant::now();
    let mut number = 0;
    loop {
        brood.collect();
        let (due, mut missed) = pace.due(start.elapsed());
        for i in 0..due {
            if brood.alive() >= most_alive || !brood.start(number) {
                missed += due - i;
                break;
            }
            number += 1;
            context.board.count_made(churner);
        }
        context.board.count_missed(churner, missed);
        nap(pace.rest(start.elapsed()));
    }
}

/// Threads of the process the churner is in.
struct Births {
    stacks: Stacks,
    unused: Vec<Stack>,
    alive: VecDeque<Thread>,
}

impl Births {
    fn new(context: &Context) -> Option<Self> {
        let stacks = Stacks::map(context.churn.most_alive(Churner::Births)).ok()?;
        Some(Self { stacks, unused: Vec::new(), alive: VecDeque::new() })
    }
}

impl Brood for Births {
    fn start(&mut self, number: u64) -> bool {
        let Some(stack) = self.unused.pop().or_else(|| self.stacks.take()) else {
            return false;
        };
        match stack.spawn(short_life, usize::try_from(number).unwrap_or(0)) {
            Ok(thread) => self.alive.push_back(thread),
            Err((_, stack)) => {
                self.unused.push(stack);
                return false;
            }
        }
        true
    }

    fn collect(&mut self) {
        // All live equally long, so the oldest ends first, or nearly so.
        while let Some(oldest) = self.alive.pop_front() {
            match oldest.try_join() {
                Ok(stack) => self.unused.push(stack),
                Err(thread) => {
                    self.alive.push_front(thread);
                    break;
                }
            }
        }
    }

    fn alive(&self) -> usize {
        self.alive.len()
    }
}

extern "C" fn short_life(number: *mut c_void) -> *mut c_void {
    if let Some(context) = context::current() {
        context.names.apply_churn(Churner::Births.name(), number.addr());
        nap(context.churn.lifetime());
    }
    std::ptr::null_mut()
}

/// Processes that are copies of the churner.
struct Forks {
    context: &'static Context,
    parent: Pid,
    alive: usize,
}

impl Brood for Forks {
    fn start(&mut self, number: u64) -> bool {
        let (context, parent) = (self.context, self.parent);
        let started = process::fork(|| {
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

    fn collect(&mut self) {
        self.alive -= reap_ended().min(self.alive);
    }

    fn alive(&self) -> usize {
        self.alive
    }
}

/// Processes that exec this program again, see [`nap_if_told`].
struct Execs {
    context: &'static Context,
    alive: usize,
}

impl Brood for Execs {
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

    fn collect(&mut self) {
        self.alive -= reap_ended().min(self.alive);
    }

    fn alive(&self) -> usize {
        self.alive
    }
}

fn reap_ended() -> usize {
    let mut reaped = 0;
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {
        reaped += 1;
    }
    reaped
}

/// The first argument of a program started by the exec churner.
const NAP: &str = "--churn-nap";

/// If this process was started by the exec churner, lives its short life and returns `true`.
#[must_use]
pub fn nap_if_told() -> bool {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let mut next = || arguments.next().and_then(Result::ok);
    if next().as_deref() != Some(NAP) {
        return false;
    }
    let parent = next().and_then(|pid| process::pid(pid.parse().ok()?));
    let lifetime_ms = next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let names: Option<Names> = next().and_then(|names| clap::ValueEnum::from_str(&names, false).ok());
    let number = next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if parent.is_some() && tie_to(parent).is_ok() {
        names.unwrap_or_default().apply_churn(Churner::Execs.name(), number);
        nap(Duration::from_millis(lifetime_ms));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_churner_makes_exactly_its_rate() {
        let mut pace = Pace { rate: 1000, settled: 0 };
        let made: u64 = (1..=1000).map(|ms| pace.due(Duration::from_millis(ms)).0).sum();
        assert_eq!(made, 1000);
    }

    #[test]
    fn a_late_churner_leaves_out_and_counts() {
        let mut pace = Pace { rate: 1000, settled: 0 };
        assert_eq!(pace.due(Duration::from_secs(1)), (50, 950));
        assert_eq!(pace.due(Duration::from_secs(1)), (0, 0));
    }

    #[test]
    fn a_slow_churner_sleeps_until_something_is_due() {
        let mut pace = Pace { rate: 2, settled: 0 };
        assert_eq!(pace.due(Duration::from_millis(100)), (0, 0));
        assert_eq!(pace.rest(Duration::from_millis(100)), Duration::from_millis(400));
        assert_eq!(pace.due(Duration::from_millis(500)), (1, 0));
    }
}
