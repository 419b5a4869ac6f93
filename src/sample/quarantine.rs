//! Processes that block their readers, and how their threads are read meanwhile.

use std::collections::HashMap;

/// Processes that block their readers. Such a process is not read in full while a lane is stuck in it,
/// nor for a while after. One in which even `status` blocked, which no known kernel does, is not read at all.
#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    pub(super) processes: HashMap<u32, Sentence>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sentence {
    /// Lanes that are stuck in the process now.
    pub(super) stuck: u32,
    pub(super) until_ns: u64,
    pub(super) offences: u32,
    /// Whether even `status` blocked.
    pub(super) is_mute: bool,
}

/// How the threads of a process are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// In full.
    None,
    /// By `status`, which does not block.
    Status,
    /// Not at all.
    Avoid,
}

/// A process that blocked a reader.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocker {
    /// The process.
    pub tgid: u32,
    /// Its name, once `status` has told it.
    pub name: Vec<u8>,
    /// Whether even `status` blocked, so that its threads were not counted.
    pub is_mute: bool,
}

impl Quarantine {
    /// The first stay; each further offence doubles it.
    pub(super) const FIRST_NS: u64 = 1_000_000_000;
    pub(super) const MAX_DOUBLINGS: u32 = 10;
    /// Processes that are remembered, beside those that hold a lane now.
    pub(super) const MAX_PROCESSES: usize = 1024;

    /// A lane is stuck in the process, which it read by `status` alone if it `is_careful`.
    pub(super) fn begin(&mut self, tgid: u32, is_careful: bool) {
        if self.processes.len() >= Self::MAX_PROCESSES {
            self.processes.retain(|_, sentence| sentence.stuck > 0);
        }
        let sentence =
            self.processes.entry(tgid).or_insert(Sentence { stuck: 0, until_ns: 0, offences: 0, is_mute: false });
        sentence.stuck += 1;
        sentence.offences += 1;
        sentence.is_mute |= is_careful;
    }

    /// A lane that was stuck in the process has come back.
    pub(super) fn end(&mut self, tgid: u32, now_ns: u64) {
        if let Some(sentence) = self.processes.get_mut(&tgid) {
            sentence.stuck = sentence.stuck.saturating_sub(1);
            let doublings = sentence.offences.saturating_sub(1).min(Self::MAX_DOUBLINGS);
            sentence.until_ns = now_ns.saturating_add(Self::FIRST_NS << doublings);
        }
    }

    /// How the threads of `tgid` are to be read.
    #[inline]
    pub(super) fn care(&self, tgid: u32, now_ns: u64) -> Care {
        if self.processes.is_empty() {
            return Care::None;
        }
        match self.processes.get(&tgid) {
            Some(sentence) if sentence.stuck == 0 && now_ns >= sentence.until_ns => Care::None,
            Some(sentence) if sentence.is_mute => Care::Avoid,
            Some(_) => Care::Status,
            None => Care::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_in_quarantine_doubles_and_ends() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        assert_eq!(quarantine.care(5, u64::MAX), Care::Status, "while a lane is stuck");
        quarantine.end(5, 0);
        assert_eq!(quarantine.care(5, Quarantine::FIRST_NS - 1), Care::Status);
        assert_eq!(quarantine.care(5, Quarantine::FIRST_NS), Care::None);
        quarantine.begin(5, false);
        quarantine.end(5, 0);
        assert_eq!(quarantine.care(5, 2 * Quarantine::FIRST_NS - 1), Care::Status);
        assert_eq!(quarantine.care(6, 0), Care::None);
    }

    #[test]
    fn a_process_whose_status_blocks_is_left_alone() {
        let mut quarantine = Quarantine::default();
        quarantine.begin(5, false);
        quarantine.begin(5, true);
        assert_eq!(quarantine.care(5, u64::MAX), Care::Avoid);
        assert_eq!(quarantine.care(6, 0), Care::None);
    }
}
