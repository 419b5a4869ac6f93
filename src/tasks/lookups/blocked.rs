//! Processes that blocked a reader.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

/// How long a process is left alone once its reader has returned; twice as long after each further time.
const FIRST_STAY: Duration = Duration::from_secs(1);

/// The longest stay is this many times doubled: nearly five minutes.
const MAX_DOUBLINGS: u32 = 8;

/// The most processes that are remembered.
const MAX_PROCESSES: usize = 1024;

/// What is known of such a process.
#[derive(Debug)]
struct Blocker {
    /// How many readers are stuck in it.
    stuck: u32,
    /// How often it has blocked one.
    times: u32,
    /// Until when it is left alone.
    until: Instant,
}

/// The processes that blocked a reader.
#[derive(Debug, Default)]
pub(super) struct BlockedProcesses(HashMap<u32, Blocker, RandomState>);

impl BlockedProcesses {
    /// Whether nothing may be read of the process now.
    pub(super) fn contains(&self, tgid: u32) -> bool {
        self.0.get(&tgid).is_some_and(|blocker| blocker.stuck > 0 || Instant::now() < blocker.until)
    }

    /// Notes that a reader is stuck in the process.
    pub(super) fn begin(&mut self, tgid: u32) {
        if self.0.len() >= MAX_PROCESSES && !self.0.contains_key(&tgid) {
            return;
        }
        let now = Instant::now();
        let blocker = self.0.entry(tgid).or_insert(Blocker { stuck: 0, times: 0, until: now });
        blocker.stuck += 1;
        blocker.times += 1;
    }

    /// Notes that a reader that was stuck in the process has returned.
    pub(super) fn end(&mut self, tgid: u32) {
        if let Some(blocker) = self.0.get_mut(&tgid) {
            blocker.stuck = blocker.stuck.saturating_sub(1);
            blocker.until = Instant::now() + FIRST_STAY * (1 << (blocker.times.saturating_sub(1)).min(MAX_DOUBLINGS));
        }
    }

    /// All of them, also those that block none now.
    pub(super) fn all(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_blocked_a_reader_is_left_alone_for_longer_each_time() {
        let mut blocked = BlockedProcesses::default();
        assert!(!blocked.contains(7));
        let mut stays = Vec::new();
        for _ in 0..10 {
            blocked.begin(7);
            assert!(blocked.contains(7));
            blocked.end(7);
            assert!(blocked.contains(7), "not at once");
            stays.push((blocked.0[&7].until - Instant::now()).as_secs_f64().round() as u64);
        }
        assert_eq!(stays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]);
        assert!(!blocked.contains(8));
        assert_eq!(blocked.all(), [7]);
    }
}
