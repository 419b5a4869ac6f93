//! Short-lived threads of the process that the churner is in.

use std::collections::VecDeque;

use libc::c_void;

use super::source::Source;
use crate::plan::rates::Churner;
use crate::sys::nap;
use crate::sys::stacks::{Stack, Stacks, Thread};
use crate::worker::context::{self, Context};

pub(super) struct Births {
    stacks: Stacks,
    /// Stacks of threads that have ended.
    unused: Vec<Stack>,
    /// The oldest thread comes first.
    alive: VecDeque<Thread>,
}

impl Births {
    /// `None` when there is no address space for the stacks.
    pub(super) fn new(context: &Context) -> Option<Self> {
        let stacks = Stacks::map(context.churn.most_alive(Churner::Births)).ok()?;
        Some(Self { stacks, unused: Vec::new(), alive: VecDeque::new() })
    }
}

impl Source for Births {
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

    fn reap(&mut self) {
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
