//! User names of user ids, without NSS in this process.
//!
//! `/etc/passwd` names most users. For the others psn runs `getent passwd UID…`, a program that uses NSS (LDAP, SSSD, systemd)
//! and can be killed if the directory server does not answer. So a statically linked psn names every user that a dynamically
//! linked one can name. If the proc root shows the processes of another system (the host of a container), the names come from that
//! system's own `/etc/passwd` alone.
//!
//! A thread of its own looks names up ([`directory`]), many at a time and each once. A user is shown by number until the name is
//! known; new names come into use between two ticks.

mod answers;
pub mod directory;
mod passwd;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use answers::NameAnswers;
use crossbeam_channel::Sender;

/// Names by user id.
#[derive(Debug, Default)]
pub struct Users {
    /// `None` for a user without a name, or whose name is not known yet.
    names: RwLock<HashMap<u32, Option<Arc<[u8]>>>>,
    /// Where to ask for names, if the directory's thread runs.
    requests: Option<Sender<u32>>,
    /// Whether no more users are asked for.
    is_full: AtomicBool,
    answers: Arc<NameAnswers>,
}

impl Users {
    /// The most users that are asked for, not counting those of the passwd file. It bounds the memory that somebody with many user
    /// ids can make psn use.
    const MAX_ASKED: usize = 1 << 14;

    /// The users of the passwd file at `path`; none if it cannot be read. No directory is asked.
    #[must_use]
    pub fn from_passwd(path: &Path) -> Self {
        let users = Self::default();
        users.answers.add(passwd::parse(&std::fs::read(path).unwrap_or_default()));
        users.publish();
        users
    }

    /// The name of `uid`, if it is known. If not, asks for it.
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
        let Entry::Vacant(entry) = names.entry(uid) else { return };
        if !self.answers.ask(Self::MAX_ASKED, || format!("there are more than {}", Self::MAX_ASKED)) {
            self.is_full.store(true, Ordering::Relaxed);
            return;
        }
        entry.insert(None);
        // The directory's thread lives as long as this sender.
        let _ = requests.send(uid);
    }

    /// Brings names into use that were found since the last call. Call it between ticks only, so that a user has one name in a tick.
    pub(crate) fn publish(&self) {
        let Some(found) = self.answers.take() else { return };
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        // The first entry of a user id wins, as in getpwuid(3).
        for (uid, name) in found {
            names.entry(uid).or_default().get_or_insert(name);
        }
    }

    /// Waits until all users that were asked for are answered, at most for `patience`.
    pub fn settle(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.answers.are_pending() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the last answers, at most for `patience`, and then asks no more. Returns a sentence about the users that were not
    /// answered for, if any.
    pub fn finish(&self, patience: Duration) -> Option<String> {
        self.answers.end_at(Instant::now() + patience);
        self.settle(patience);
        self.publish();
        self.answers.warning()
    }
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
