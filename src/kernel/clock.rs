//! The boot clock, in which the kernel keeps when a task started; and the length of a wait.

use crate::kernel::host;
use crate::proc::ProcRoot;

/// Converts times of the boot clock to clock ticks, the unit of start times in /proc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BootClock {
    /// Nanoseconds in a clock tick (`USER_HZ`).
    pub(crate) ns_per_tick: u64,
    /// The offset of the boot clock in psn's time namespace, in nanoseconds.
    pub(crate) offset_ns: i64,
}

impl BootClock {
    /// The boot clock of psn's time namespace.
    pub(crate) fn of(root: &ProcRoot) -> Self {
        let ns_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        Self { ns_per_tick: ns_per_tick.max(1), offset_ns: host::boottime_offset_ns(root) }
    }

    /// A time in clock ticks, as in field 22 of `stat`.
    pub(crate) const fn ticks(self, boottime_ns: u64) -> u64 {
        boottime_ns.wrapping_add_signed(self.offset_ns) / self.ns_per_tick
    }
}

/// How long a task has been off its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waited {
    /// Nanoseconds.
    pub ns: u64,
    /// The start of the wait, nanoseconds since 1970. It stays the same as long as the wait lasts, unless the clock is set by more than
    /// 50 µs.
    pub since_ns: u64,
    /// Whether the wait began before the walk was due, so that psn's own wake-up cannot have caused it.
    pub is_by_chance: bool,
    /// Whether the wait may be shorter: for a task of a real-time class, its last run is included.
    pub is_most: bool,
}
