//! User names of user ids, without NSS in this process.
//!
//! `/etc/passwd` answers for most; for the rest `getent passwd UID…` is asked, a program that speaks
//! NSS (LDAP, SSSD, systemd) and can be killed when the directory server does not answer. A
//! statically linked psn can thus name every user that a dynamic one can. Where the proc root shows the processes of another
//! system (a container's host), the names are those of that system's own `/etc/passwd`, or there are none.
//!
//! Names are asked for beside the sampling, by a thread of their own ([`directory`]), many at a time and each once. A user is
//! shown by number until there is a name for him; new names come into use [between two ticks](Users::publish).

pub mod directory;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

/// A name, or none for who has none, or was asked for.
type Name = Option<Arc<[u8]>>;

/// Names by user id.
#[derive(Debug, Default)]
pub struct Users {
    names: RwLock<HashMap<u32, Name>>,
    /// To whom can be asked, if anybody.
    requests: Option<Sender<u32>>,
    /// Whether nobody more is asked for.
    is_full: AtomicBool,
    answers: Arc<Answers>,
}

/// What the directory has answered.
#[derive(Debug, Default)]
struct Answers {
    /// Names that are not in use yet.
    found: Mutex<Vec<(u32, Arc<[u8]>)>>,
    has_found: AtomicBool,
    account: Mutex<Account>,
}

/// Where each user who was asked for is.
#[derive(Debug, Default)]
struct Account {
    /// All who were.
    asked: usize,
    /// Of those, the ones not answered yet.
    pending: usize,
    /// And the ones who will not be: they are shown by number though they may have a name.
    failed: usize,
    /// Why not.
    reason: Option<String>,
    /// When there is no more use in answers.
    until: Option<Instant>,
}

impl Answers {
    fn add(&self, names: impl IntoIterator<Item = (u32, Arc<[u8]>)>) {
        lock(&self.found).extend(names);
        self.has_found.store(true, Ordering::Release);
    }

    /// Notes that so many users were answered for.
    fn answer(&self, users: usize) {
        lock(&self.account).pending -= users;
    }

    /// Notes that so many users will not be answered for, and why.
    fn fail(&self, users: usize, reason: impl FnOnce() -> String) {
        let mut account = lock(&self.account);
        account.pending -= users;
        account.failed += users;
        account.reason.get_or_insert_with(reason);
    }

    /// When whatever is waited for is no longer worth it: `latest`, or when the run is over.
    fn deadline(&self, latest: Instant) -> Instant {
        lock(&self.account).until.map_or(latest, |until| until.min(latest))
    }
}

impl Users {
    /// Users asked for at most, beside those of the passwd file: whoever may make himself many user ids is not to fill memory.
    const MAX_ASKED: usize = 1 << 14;

    /// Bytes of a passwd file that are read.
    const MAX_PASSWD: u64 = 16 << 20;

    /// Those of the passwd file at `path`; none if it can not be read. Nobody else is asked.
    #[must_use]
    pub fn from_passwd(path: &Path) -> Self {
        let users = Self::default();
        users.answers.add(directory::passwd(&std::fs::read(path).unwrap_or_default()));
        users.publish();
        users
    }

    /// The name of `uid`, if it is known.
    #[must_use]
    pub fn name(&self, uid: u32) -> Option<Arc<[u8]>> {
        let known = self.names.read().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned();
        match known {
            Some(name) => name,
            None => {
                self.want(uid);
                None
            }
        }
    }

    /// Asks for the name of `uid`, once.
    pub fn want(&self, uid: u32) {
        let Some(requests) = &self.requests else { return };
        if self.is_full.load(Ordering::Relaxed) {
            return;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let Entry::Vacant(place) = names.entry(uid) else { return };
        let mut account = lock(&self.answers.account);
        if account.asked >= Self::MAX_ASKED {
            account.reason.get_or_insert_with(|| format!("there are more than {}", Self::MAX_ASKED));
            self.is_full.store(true, Ordering::Relaxed);
            return;
        }
        account.asked += 1;
        account.pending += 1;
        place.insert(None);
        // The directory's thread is there as long as this is.
        let _ = requests.send(uid);
    }

    /// Has names that were answered since the last call be used. To be called between ticks: in one tick a user has one name.
    pub fn publish(&self) {
        if !self.answers.has_found.swap(false, Ordering::AcqRel) {
            return;
        }
        let found = std::mem::take(&mut *lock(&self.answers.found));
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        // The first entry of a user id wins, as in getpwuid(3).
        for (uid, name) in found {
            names.entry(uid).or_default().get_or_insert(name);
        }
    }

    /// Waits until all who were asked for are answered, `patience` at most.
    pub fn settle(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while lock(&self.answers.account).pending > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the last answers, `patience` at most, and ends asking. What to say of those who were not answered for, if any.
    pub fn finish(&self, patience: Duration) -> Option<String> {
        lock(&self.answers.account).until = Some(Instant::now() + patience);
        self.settle(patience);
        self.publish();
        let account = lock(&self.answers.account);
        let users = match (account.pending + account.failed, &account.reason) {
            (0, None) => return None,
            (0, Some(_)) => "some users are".to_owned(),
            (1, _) => "a user is".to_owned(),
            (many, _) => format!("{many} users are"),
        };
        Some(format!("{users} shown by number: {}", account.reason.as_deref().unwrap_or(directory::NO_ANSWER)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_nobody_knows_has_no_name() {
        assert_eq!(Users::default().name(4_000_000_001), None);
    }

    #[test]
    fn names_come_into_use_when_they_are_published_and_the_first_one_stays() {
        let users = Users::default();
        users.answers.add([(7, (*b"seven").into()), (7, (*b"other").into())]);
        assert_eq!(users.name(7), None);
        users.publish();
        users.answers.add([(7, (*b"third").into())]);
        users.publish();
        assert_eq!(users.name(7).as_deref(), Some(&b"seven"[..]));
    }
}
