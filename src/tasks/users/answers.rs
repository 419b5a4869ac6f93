//! What the user directory has answered, and how many users it has yet to answer for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::tasks::users::passwd::UserName;

/// Why a user has no name.
pub(super) const NO_ANSWER: &str = "the user directory did not answer in time";

/// The answers of the directory's thread, shared with those who ask.
#[derive(Debug, Default)]
pub(super) struct NameAnswers {
    /// Names that are not in use yet.
    found: Mutex<Vec<UserName>>,
    has_found: AtomicBool,
    requests: Mutex<RequestCounts>,
}

/// How far the requests for names have come.
#[derive(Debug, Default)]
struct RequestCounts {
    /// Users that were asked for.
    asked: usize,
    /// Of those, the ones that are not answered yet.
    pending: usize,
    /// The ones that will not be answered. They are shown by number though they may have a name.
    failed: usize,
    /// Why they will not.
    reason: Option<String>,
    /// Answers after this instant are of no use.
    until: Option<Instant>,
}

impl NameAnswers {
    /// Adds names that were found.
    pub(super) fn add(&self, names: impl IntoIterator<Item = UserName>) {
        lock(&self.found).extend(names);
        self.has_found.store(true, Ordering::Release);
    }

    /// Takes the names that were found since the last call; `None` if there are none.
    pub(super) fn take(&self) -> Option<Vec<UserName>> {
        self.has_found.swap(false, Ordering::AcqRel).then(|| std::mem::take(&mut *lock(&self.found)))
    }

    /// Counts a user as asked for; false, and `full` becomes the reason, if `limit` users were asked for already.
    pub(super) fn ask(&self, limit: usize, full: impl FnOnce() -> String) -> bool {
        let mut requests = lock(&self.requests);
        if requests.asked >= limit {
            requests.reason.get_or_insert_with(full);
            return false;
        }
        requests.asked += 1;
        requests.pending += 1;
        true
    }

    /// Counts the passwd file as an answer to wait for.
    pub(super) fn await_passwd(&self) {
        lock(&self.requests).pending = 1;
    }

    /// Counts so many users as answered.
    pub(super) fn answer(&self, users: usize) {
        lock(&self.requests).pending -= users;
    }

    /// Counts so many users as ones that will not be answered, and notes why.
    pub(super) fn fail(&self, users: usize, reason: impl FnOnce() -> String) {
        let mut requests = lock(&self.requests);
        requests.pending -= users;
        requests.failed += users;
        requests.reason.get_or_insert_with(reason);
    }

    pub(super) fn are_pending(&self) -> bool {
        lock(&self.requests).pending > 0
    }

    /// Makes answers after `until` of no use.
    pub(super) fn end_at(&self, until: Instant) {
        lock(&self.requests).until = Some(until);
    }

    /// When to stop waiting for an answer: at `latest`, or earlier if the run ends before.
    pub(super) fn deadline(&self, latest: Instant) -> Instant {
        lock(&self.requests).until.map_or(latest, |until| until.min(latest))
    }

    /// A sentence about the users that were not answered for, if any.
    pub(super) fn warning(&self) -> Option<String> {
        let requests = lock(&self.requests);
        let users = match (requests.pending + requests.failed, &requests.reason) {
            (0, None) => return None,
            (0, Some(_)) => "some users are".to_owned(),
            (1, _) => "a user is".to_owned(),
            (many, _) => format!("{many} users are"),
        };
        Some(format!("{users} shown by number: {}", requests.reason.as_deref().unwrap_or(NO_ANSWER)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
