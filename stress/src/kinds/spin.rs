//! Busy on a CPU once the gate is open: before that, it would slow down the building of the storm.

use super::behaviour::{Behaviour, Place};

pub(super) struct Spin;

impl Behaviour for Spin {
    fn run(&self, place: &Place<'_>) -> ! {
        place.board.wait_at_gate();
        loop {
            std::hint::spin_loop();
        }
    }
}
