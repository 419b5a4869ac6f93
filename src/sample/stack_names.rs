//! Names for the kernel stacks that a walk takes, each stack looked up once.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::proc::ProcRoot;
use crate::symbol::kernel::{Symbols, SymbolsError};

/// The `wchan` and `kstack` of one stack.
#[derive(Debug)]
pub(super) struct WaitNames {
    /// The kernel function that the thread sleeps in.
    pub(super) wchan: Box<[u8]>,
    /// The stack as text; `-` if there is none, or if no column shows it.
    pub(super) kstack: Box<[u8]>,
}

impl WaitNames {
    /// What /proc shows for a thread without a stack.
    pub(super) fn none() -> Self {
        Self { wchan: (*b"0").into(), kstack: (*b"-").into() }
    }
}

/// The kernel's symbols, and the stacks named so far.
pub(super) struct StackNames {
    symbols: Symbols,
    shows_stacks: bool,
    known: HashMap<Box<[u64]>, Arc<WaitNames>, RandomState>,
}

impl StackNames {
    /// Stacks remembered, far more than any kernel has been seen to have. When they are reached, all are forgotten.
    const MAX_KNOWN: usize = 1 << 16;

    pub(super) fn of(&mut self, frames: &[u64]) -> Arc<WaitNames> {
        if let Some(names) = self.known.get(frames) {
            return Arc::clone(names);
        }
        if self.known.len() >= Self::MAX_KNOWN {
            self.known.clear();
        }
        let names = Arc::new(self.look_up(frames));
        self.known.insert(frames.into(), Arc::clone(&names));
        names
    }

    fn look_up(&mut self, frames: &[u64]) -> WaitNames {
        let mut names = WaitNames::none();
        if let Some(function) = self.symbols.wait_channel(frames) {
            names.wchan = function.into();
        } else if let Some(innermost) = frames.first() {
            // The kernel leaves the scheduler's own functions out of the stack.
            names.wchan = self.symbols.name(*innermost).into();
        }
        if self.shows_stacks {
            names.kstack = self.symbols.stack(frames).into();
        }
        names
    }
}

/// Whether stacks get names.
pub(super) enum StackNaming {
    /// No stacks are taken, or they cannot be named.
    Off,
    /// The symbols are still to be loaded, from the list in this root.
    Unloaded(Box<ProcRoot>),
    /// The symbols are loaded.
    Loaded(Box<StackNames>),
}

impl StackNaming {
    /// Loads the symbols, if that is still to be done.
    pub(super) fn load(&mut self, shows_stacks: bool) -> Result<(), SymbolsError> {
        let Self::Unloaded(root) = &*self else { return Ok(()) };
        match Symbols::load(root) {
            Ok(symbols) => {
                let known = HashMap::default();
                *self = Self::Loaded(Box::new(StackNames { symbols, shows_stacks, known }));
                Ok(())
            }
            Err(error) => {
                *self = Self::Off;
                Err(error)
            }
        }
    }
}
