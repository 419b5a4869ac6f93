//! Asleep in `futex`, on a word that nobody else knows.

use std::sync::atomic::AtomicU32;

use rustix::thread::futex;

use super::behaviour::{Behaviour, Place};

pub(super) struct Futex;

impl Behaviour for Futex {
    fn run(&self, _: &Place<'_>) -> ! {
        sleep()
    }
}

/// Sleeps for ever. Also what a thread does that cannot do what its kind does.
pub(super) fn sleep() -> ! {
    let word = AtomicU32::new(0);
    loop {
        // Nobody knows the word, so nobody wakes it.
        let _ = futex::wait(&word, futex::Flags::PRIVATE, 0, None);
    }
}
