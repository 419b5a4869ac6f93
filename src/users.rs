//! User names of user ids, without NSS in this process.
//!
//! `/etc/passwd` answers for most; for the rest `getent passwd UID` is asked, a program that speaks
//! NSS (LDAP, SSSD, systemd) and can be killed when the directory server does not answer. A
//! statically linked psn can thus name every user that a dynamic one can.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Names by user id.
#[derive(Debug, Default)]
pub struct Users {
    names: RwLock<HashMap<u32, Arc<[u8]>>>,
}

impl Users {
    /// Those of the passwd file at `path`; none if it can not be read.
    #[must_use]
    pub fn from_passwd(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        let names = text.split(|byte| *byte == b'\n').filter_map(entry).map(|(uid, name)| (uid, name.into()));
        // The first entry of a user id wins, as in getpwuid(3).
        let mut map = HashMap::new();
        for (uid, name) in names {
            map.entry(uid).or_insert(name);
        }
        Self { names: RwLock::new(map) }
    }

    /// The name of `uid`, if it is known.
    #[must_use]
    pub fn name(&self, uid: u32) -> Option<Arc<[u8]>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned()
    }

    /// Asks NSS for the name of `uid` unless it is known; a user without a name is shown by number.
    pub fn resolve(&self, uid: u32, patience: Duration) {
        if self.name(uid).is_some() {
            return;
        }
        let name = getent(uid, patience).unwrap_or_else(|| uid.to_string().into_bytes().into());
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(uid, name);
    }
}

/// User id and name of a line `name:x:uid:…`.
fn entry(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    Some((uid, name))
}

fn getent(uid: u32, patience: Duration) -> Option<Arc<[u8]>> {
    let mut child = Command::new("getent")
        .args(["passwd", &uid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + patience;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().ok()?.stdout;
    let (_, name) = entry(&output)?;
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_passwd_file() {
        assert_eq!(entry(b"root:x:0:0:root:/root:/bin/bash"), Some((0, &b"root"[..])));
        assert_eq!(entry(b"+nisuser"), None);
        assert_eq!(entry(b":x:7:7::/:"), None);
        assert_eq!(entry(b""), None);
    }

    #[test]
    fn a_user_nobody_knows_is_shown_by_number() {
        let users = Users::default();
        assert_eq!(users.name(4_000_000_001), None);
        users.resolve(4_000_000_001, Duration::from_secs(2));
        assert_eq!(users.name(4_000_000_001).as_deref(), Some(&b"4000000001"[..]));
    }
}
