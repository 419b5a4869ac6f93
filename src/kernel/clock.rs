//! The kernel's boot clock, in which it keeps when a task started.

use crate::kernel::host;
use crate::proc::ProcRoot;

/// Turns times of the kernel's boot clock into clock ticks, as /proc shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootClock {
    /// Nanoseconds in a clock tick (`USER_HZ`).
    pub ns_per_tick: u64,
    /// The offset of the boot clock in psn's time namespace.
    pub offset_ns: i64,
}

impl BootClock {
    /// The clock as psn's time namespace has it.
    pub fn of(root: &ProcRoot) -> Self {
        let ns_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        Self { ns_per_tick: ns_per_tick.max(1), offset_ns: host::boottime_offset_ns(root) }
    }

    /// A time in the unit of field 22 of `stat`.
    pub const fn ticks(self, boottime_ns: u64) -> u64 {
        boottime_ns.wrapping_add_signed(self.offset_ns) / self.ns_per_tick
    }
}
