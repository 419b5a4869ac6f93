//! Processes that block the readers of their files, and how their threads are read meanwhile.

use std::collections::HashMap;

/// The processes that blocked a lane. While a lane is stuck in such a process, and for a while after, its threads are read by
/// `status` alone. If even `status` blocked, which no known kernel does, they are not read at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Quarantine {
    processes: HashMap<u32, Quarantined>,
}

/// A process in quarantine, or one that was.
#[derive(Debug, Clone, Copy, Default)]
struct Quarantined {
    /// Lanes that are stuck in the process now.
    stuck: u32,
    /// When the stay ends, once no lane is stuck any more.
    until_ns: u64,
    /// How often the process blocked a lane.
    times: u32,
    /// Whether even `status` blocked.
    status_blocked: bool,
}

/// How the threads of a process are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadMode {
    /// By `stat`, and all that the plan asks for.
    Full,
    /// By `status`, which does not block.
    StatusOnly,
    /// Not at all.
    Skip,
}

/// A process that blocked a reader.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockingProcess {
    /// Its process id.
    pub tgid: u32,
    /// Its name, empty until it was read from `status`.
    pub name: Vec<u8>,
    /// Whether even `status` blocked, so that its threads were not counted.
    pub status_blocked: bool,
}

impl Quarantine {
    /// The first stay. Each further one is twice as long.
    const FIRST_NS: u64 = 1_000_000_000;
    const MAX_DOUBLINGS: u32 = 10;
    /// Processes remembered, beside those that hold a lane now.
    pub(super) const MAX_PROCESSES: usize = 1024;

    /// Notes that a lane is stuck in the process, and whether the lane read it by `status` alone.
    pub(super) fn begin(&mut self, tgid: u32, by_status: bool) {
        if self.processes.len() >= Self::MAX_PROCESSES {
            self.processes.retain(|_, process| process.stuck > 0);
        }
        let process = self.processes.entry(tgid).or_default();
        process.stuck += 1;
        process.times += 1;
        process.status_blocked |= by_status;
    }

    /// Notes that a lane that was stuck in the process has come back.
    pub(super) fn end(&mut self, tgid: u32, now_ns: u64) {
        if let Some(process) = self.processes.get_mut(&tgid) {
            process.stuck = process.stuck.saturating_sub(1);
            let doublings = process.times.saturating_sub(1).min(Self::MAX_DOUBLINGS);
            process.until_ns = now_ns.saturating_add(Self::FIRST_NS << doublings);
        }
    }

    /// How the threads of `tgid` are to be read.
    #[inline]
    pub(super) fn mode(&self, tgid: u32, now_ns: u64) -> ReadMode {
        if self.processes.is_empty() {
            return ReadMode::Full;
        }
        match self.processes.get(&tgid) {
            Some(process) if process.stuck == 0 && now_ns >= process.until_ns => ReadMode::Full,
            Some(process) if process.status_blocked => ReadMode::Skip,
            Some(_) => ReadMode::StatusOnly,
            None => ReadMode::Full,
        }
    }

    /// The processes that blocked a lane, with the names that are known.
    pub(super) fn processes(&self, names: &HashMap<u32, Vec<u8>>) -> Vec<BlockingProcess> {
        let process = |(tgid, process): (&u32, &Quarantined)| BlockingProcess {
            tgid: *tgid,
            name: names.get(tgid).cloned().unwrap_or_default(),
            status_blocked: process.status_blocked,
        };
        self.processes.iter().map(process).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_in_quarantine_doubles_and_ends() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        assert_eq!(quarantine.mode(5, u64::MAX), ReadMode::StatusOnly, "while a lane is stuck");
        quarantine.end(5, 0);
        assert_eq!(quarantine.mode(5, Quarantine::FIRST_NS - 1), ReadMode::StatusOnly);
        assert_eq!(quarantine.mode(5, Quarantine::FIRST_NS), ReadMode::Full);
        quarantine.begin(5, false);
        quarantine.end(5, 0);
        assert_eq!(quarantine.mode(5, 2 * Quarantine::FIRST_NS - 1), ReadMode::StatusOnly);
        assert_eq!(quarantine.mode(6, 0), ReadMode::Full);
    }

    #[test]
    fn a_process_whose_status_blocks_is_not_read() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        quarantine.begin(5, true);
        assert_eq!(quarantine.mode(5, u64::MAX), ReadMode::Skip);
        assert_eq!(quarantine.mode(6, 0), ReadMode::Full);
    }
}
