//! Asleep in `clock_nanosleep`.

use std::time::Duration;

use super::behaviour::{Behaviour, Place};
use crate::sys::nap;

pub(super) struct Nanosleep;

impl Behaviour for Nanosleep {
    fn run(&self, _: &Place<'_>) -> ! {
        loop {
            nap(Duration::from_secs(1 << 20));
        }
    }
}
