//! Turns: one process is read by one reader at a time, so that a process that blocks its readers costs one of them, however many of
//! its threads are asked about.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use foldhash::fast::RandomState;

use crate::tasks::desk::lock;

/// The processes that are being read, and the requests about each that wait for its reader.
#[derive(Debug)]
pub(super) struct Turns<Request>(Mutex<HashMap<u32, VecDeque<Request>, RandomState>>);

impl<Request> Default for Turns<Request> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Request> Turns<Request> {
    /// The request, if no reader reads the process. Then the caller is its reader, and has to ask for the [next](Self::next) one.
    /// Otherwise the reader of the process will serve the request.
    pub(super) fn begin(&self, tgid: u32, request: Request) -> Option<Request> {
        let mut processes = lock(&self.0);
        match processes.get_mut(&tgid) {
            Some(waiting) => {
                waiting.push_back(request);
                None
            }
            None => {
                processes.insert(tgid, VecDeque::new());
                Some(request)
            }
        }
    }

    /// The next request about a process for its reader. After the last one, the process has no reader.
    pub(super) fn next(&self, tgid: u32) -> Option<Request> {
        let mut processes = lock(&self.0);
        let next = processes.get_mut(&tgid)?.pop_front();
        if next.is_none() {
            processes.remove(&tgid);
        }
        next
    }

    /// The requests that wait for a reader that was given up. The process has no reader then.
    pub(super) fn give_up(&self, tgid: u32) -> VecDeque<Request> {
        lock(&self.0).remove(&tgid).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_reader_at_a_time() {
        let turns = Turns::default();
        assert_eq!(turns.begin(7, "a"), Some("a"));
        assert_eq!(turns.begin(7, "b"), None);
        assert_eq!(turns.begin(8, "c"), Some("c"), "another process");
        assert_eq!((turns.next(7), turns.next(7)), (Some("b"), None));
        assert_eq!(turns.begin(7, "d"), Some("d"), "it has no reader any more");
        assert_eq!(turns.begin(7, "e"), None);
        assert_eq!(turns.give_up(7), ["e"]);
        assert_eq!((turns.next(7), turns.begin(7, "f")), (None, Some("f")));
    }
}
