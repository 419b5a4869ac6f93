//! Whose files and directories a writer deals with.
//!
//! What psn writes with more rights than its user's tells of everyone's processes, and where it is led to by somebody else's
//! names, there is what that user may not touch. Then it writes only where nobody else may exchange what is there.

use std::path::Path;

use rustix::fs::Stat;
use rustix::process::{getegid, geteuid};

use super::dir::Dir;
use crate::record::RecordError;
use crate::rights;

/// Permissions of new files.
pub fn file_mode() -> u32 {
    if rights::sees_others() { 0o600 } else { 0o666 }
}

/// `directory`, if nobody can lead astray what is written to it.
///
/// # Errors
/// When somebody can, and psn has more rights than its user's.
pub fn trusted(directory: Dir) -> Result<Dir, RecordError> {
    let stat = directory.stat_self().map_err(|error| RecordError::io(directory.path(), error))?;
    let refusal = if rights::sees_others() { Trust::of_this_process().refusal(&stat) } else { None };
    match refusal {
        Some(reason) => Err(refused(directory.path(), &reason)),
        None => Ok(directory),
    }
}

fn refused(path: &Path, reason: &str) -> RecordError {
    let advice = "with more rights than its user's psn records only where nobody else may write: choose another directory, \
                  or take their right away (chmod go-w, chown)";
    RecordError::engine(path, format!("{reason}; {advice}"))
}

/// Who may be trusted not to exchange what psn meets.
struct Trust {
    /// Root, psn's own user, and under sudo the one who called it, who may do as root anyway.
    users: Vec<u32>,
    /// psn's own group.
    group: u32,
}

impl Trust {
    fn of_this_process() -> Self {
        let user = geteuid();
        let mut users = vec![0, user.as_raw()];
        if user.is_root() {
            users.extend(std::env::var("SUDO_UID").ok().and_then(|user| user.parse::<u32>().ok()));
        }
        Self { users, group: getegid().as_raw() }
    }

    /// Who could exchange what is in a directory; none if nobody could.
    fn refusal(&self, directory: &Stat) -> Option<String> {
        let (user, group, mode) = (directory.st_uid, directory.st_gid, directory.st_mode);
        if !self.users.contains(&user) {
            return Some(format!("it is of the user with the id {user}, who may write to it"));
        }
        let is_sticky = mode & 0o1000 != 0;
        if !is_sticky && mode & 0o002 != 0 {
            return Some("every user may write to it, and it is not sticky".to_owned());
        }
        let is_of_others = !is_sticky && mode & 0o020 != 0 && group != self.group;
        is_of_others.then(|| format!("the group with the id {group} may write to it, and it is not sticky"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_trusted_if_nobody_else_may_exchange_what_is_in_it() {
        let trust = Trust { users: vec![0, 1000], group: 100 };
        let refusal = |user: u32, group: u32, mode: u32| {
            let mut stat = rustix::fs::stat("/").unwrap();
            (stat.st_uid, stat.st_gid, stat.st_mode) = (user, group, mode);
            trust.refusal(&stat).unwrap_or_default()
        };
        for (user, group, mode) in [(0, 0, 0o755), (1000, 5, 0o700), (0, 5, 0o1777), (0, 5, 0o1775), (1000, 100, 0o775)]
        {
            assert_eq!(refusal(user, group, mode), "", "{user} {group} {mode:o}");
        }
        assert!(refusal(1001, 0, 0o700).contains("id 1001"));
        assert!(refusal(1001, 0, 0o1777).contains("id 1001"));
        assert!(refusal(0, 0, 0o777).contains("every user"));
        assert!(refusal(0, 5, 0o775).contains("group with the id 5"));
    }
}
