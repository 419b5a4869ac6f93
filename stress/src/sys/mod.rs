//! The system calls that neither std nor rustix offers in a safe form. The only room that most of the
//! `unsafe` code is in: each file is one kind of call.

pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod stacks;

use std::time::Duration;

use rustix::thread::{ClockId, Timespec, clock_nanosleep_relative};

/// Sleeps in `clock_nanosleep` once, until `time` has passed or a signal arrives. Allocates nothing.
pub(crate) fn nap(time: Duration) {
    let time =
        Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(time.subsec_nanos()) };
    let _ = clock_nanosleep_relative(ClockId::Monotonic, &time);
}
