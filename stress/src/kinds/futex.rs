//! Asleep in `futex`, on a word that no other thread uses.

use std::sync::atomic::AtomicU32;

use rustix::thread::futex;

use super::behaviour::{Behaviour, Place};

pub(super) struct Futex;

impl Behaviour for Futex {
    fn run(&self, _: &Place<'_>) -> ! {
        sleep()
    }
}

/// Sleeps for ever. A thread that cannot do what its kind does calls this instead.
pub(super) fn sleep() -> ! {
    let word = AtomicU32::new(0);
    loop {
        // No other thread uses the word, so none wakes this thread.
        let _ = futex::wait(&word, futex::Flags::PRIVATE, 0, None);
    }
}
