//! `/proc/PID/task/TID/schedstat`: three counters (`proc_pid_schedstat` in the kernel's `fs/proc/base.c`;
//! `Documentation/scheduler/sched-stats.rst`).

use crate::proc::parse::{Malformed, unsigned};

/// What the scheduler has counted for one thread since it started. All zero on a kernel that does not count.
///
/// If two readings are equal, the thread was not switched in between them, so that other files read in between show one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Schedstat {
    /// Nanoseconds on a CPU.
    pub run_ns: u64,
    /// Nanoseconds runnable, waiting for a CPU.
    pub wait_ns: u64,
    /// How often it was given a CPU.
    pub timeslices: u64,
}

/// Parses the line, with or without its newline.
///
/// # Errors
/// [`Malformed`] unless it is three decimal numbers between single spaces.
#[inline]
pub fn parse(line: &[u8]) -> Result<Schedstat, Malformed> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.split(|&c| c == b' ');
    let mut counter = || fields.next().and_then(unsigned).ok_or(Malformed);
    let schedstat = Schedstat { run_ns: counter()?, wait_ns: counter()?, timeslices: counter()? };
    if fields.next().is_some() { Err(Malformed) } else { Ok(schedstat) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_counters_are_read() {
        let expected = Schedstat { run_ns: 2_410_539, wait_ns: 108_653, timeslices: 2 };
        assert_eq!(parse(b"2410539 108653 2\n"), Ok(expected));
        assert_eq!(parse(b"2410539 108653 2"), Ok(expected));
        assert_eq!(parse(b"0 0 0\n"), Ok(Schedstat::default()));
        let full = parse(b"18446744073709551615 0 18446744073709551615\n");
        assert_eq!(full, Ok(Schedstat { run_ns: u64::MAX, wait_ns: 0, timeslices: u64::MAX }));
    }

    #[test]
    fn anything_else_is_malformed() {
        for line in ["", "\n", "1 2", "1 2 ", "1 2 3 ", "1 2 3 4", "1  2 3", "-1 2 3", "1 2 x", "1\n2\n3"] {
            assert_eq!(parse(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }
}
