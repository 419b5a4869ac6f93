//! Checks who may write to the directory of a recording, and holds it open by descriptor.
//!
//! Whoever may write to a directory can replace the files in it. If psn has no more rights than its user, nothing is
//! checked: it can do no more than the user. If it has more, what it writes tells about everyone's processes, and a link of
//! another user could make it write over root's files. Then the directory must belong to root, to the user psn runs as, or
//! to the caller of sudo, and others may write to it only if it is sticky, as /tmp is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::process::{getegid, geteuid};

use super::RecordError;
use crate::proc::rights;
use crate::text::sentence::shown;

/// The most links that are followed on the way to a directory, as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// The users and the group that may own directories and links on the way.
#[derive(Debug, Clone)]
struct TrustedUsers {
    /// root, the user psn runs as, and under sudo its caller, who can act as root anyway.
    users: Vec<u32>,
    /// The group psn runs as.
    group: u32,
}

impl TrustedUsers {
    fn of_this_process() -> Self {
        let uid = geteuid();
        let mut users = vec![0, uid.as_raw()];
        if uid.is_root() {
            users.extend(std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok()));
        }
        Self { users, group: getegid().as_raw() }
    }

    fn has(&self, uid: u32) -> bool {
        self.users.contains(&uid)
    }

    /// Why another user could replace files in a directory; none if none could.
    fn refusal(&self, directory: &Stat) -> Option<String> {
        let mode = directory.st_mode;
        if !self.has(directory.st_uid) {
            return Some(format!("it belongs to uid {}, who may exchange anything in it", directory.st_uid));
        }
        if mode & 0o1000 != 0 {
            return None;
        }
        if mode & 0o002 != 0 {
            return Some("every user may write there, and it is not sticky".to_owned());
        }
        (mode & 0o020 != 0 && directory.st_gid != self.group)
            .then(|| format!("members of group {} may write there, and it is not sticky", directory.st_gid))
    }
}

/// Opens the directory at `path` (`O_PATH`), so that later changes of the name do not matter. If psn sees more than its user
/// could without it, fails if other users could replace files there, or if a link on the way belongs to one of them.
pub(super) fn trusted(path: &Path) -> Result<OwnedFd, RecordError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let failed = |error: rustix::io::Errno| RecordError::io(path, error.into());
    if !rights::sees_others() {
        return openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed);
    }
    let trust = TrustedUsers::of_this_process();
    let directory = walk(path, &trust)?;
    match trust.refusal(&fstat(&directory).map_err(failed)?) {
        Some(reason) => Err(RecordError::Untrusted { path: path.to_owned(), reason }),
        None => Ok(directory),
    }
}

/// Checks that other users cannot replace files in the directory at `path`, if psn sees more than its user could without it.
pub(super) fn check(path: &Path, directory: &Stat) -> Result<(), RecordError> {
    let refusal = if rights::sees_others() { TrustedUsers::of_this_process().refusal(directory) } else { None };
    refusal.map_or(Ok(()), |reason| Err(RecordError::Untrusted { path: path.to_owned(), reason }))
}

/// Follows `path` from directory to directory, and only links that belong to trusted users.
fn walk(path: &Path, trust: &TrustedUsers) -> Result<OwnedFd, RecordError> {
    let failed = |error: rustix::io::Errno| RecordError::io(path, error.into());
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut todo = steps(path);
    let mut here = openat(CWD, ".", flags | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
    let mut links = 0;
    while let Some(step) = todo.pop_front() {
        let next = openat(&here, step.as_os_str(), flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&next).map_err(failed)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => here = next,
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(failed(rustix::io::Errno::LOOP));
                }
                if !trust.has(found.st_uid) {
                    let reason = format!("{} is a link of uid {}", shown(Path::new(&step)), found.st_uid);
                    return Err(RecordError::Untrusted { path: path.to_owned(), reason });
                }
                for step in steps(&target(&here, &step).map_err(failed)?).into_iter().rev() {
                    todo.push_front(step);
                }
            }
            _ => return Err(failed(rustix::io::Errno::NOTDIR)),
        }
    }
    Ok(here)
}

fn target(directory: impl AsFd, name: &OsStr) -> rustix::io::Result<PathBuf> {
    let target = readlinkat(directory, name, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// The names that `path` consists of; `/` is the first if it is absolute.
fn steps(path: &Path) -> VecDeque<OsString> {
    let known = path.components().filter(|component| !matches!(component, Component::CurDir));
    known.map(|component| component.as_os_str().to_owned()).collect()
}

/// The name or path of a file beside another one: its own, followed by `suffix`.
pub(super) fn with_suffix(name: impl AsRef<OsStr>, suffix: &str) -> OsString {
    let mut name = name.as_ref().to_owned();
    name.push(suffix);
    name
}

/// Where a file is to be created: a directory that is held open, and the name in it.
#[derive(Debug)]
pub(super) struct Destination {
    pub directory: OwnedFd,
    pub name: OsString,
    /// The path as it was given, for messages.
    pub path: PathBuf,
}

impl Destination {
    /// The destination `path`, in a directory that [`trusted`] accepts.
    pub(super) fn of(path: &Path) -> Result<Self, RecordError> {
        let name = path.file_name().ok_or_else(|| RecordError::io(path, rustix::io::Errno::ISDIR.into()))?;
        let directory = trusted(path.parent().unwrap_or_else(|| Path::new(".")))?;
        Ok(Self { directory, name: name.to_owned(), path: path.to_owned() })
    }

    /// The metadata of what has that name; of a link, its own.
    pub(super) fn stat(&self) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.directory, &self.name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The destination in the same directory whose name is this one's with `suffix`.
    pub(super) fn beside(&self, suffix: &str) -> Result<Self, RecordError> {
        let directory = self.directory.try_clone().map_err(|error| RecordError::io(&self.path, error))?;
        Ok(Self { directory, name: with_suffix(&self.name, suffix), path: with_suffix(&self.path, suffix).into() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, lchown, symlink};

    use super::*;
    use crate::record::fixture::Directory;

    const NOBODY: u32 = 65534;

    fn stat(uid: u32, gid: u32, mode: u32) -> Stat {
        let mut stat = fstat(openat(CWD, "/", OFlags::PATH, Mode::empty()).unwrap()).unwrap();
        (stat.st_uid, stat.st_gid, stat.st_mode) = (uid, gid, mode);
        stat
    }

    #[test]
    fn a_directory_is_trusted_if_nobody_else_may_exchange_what_is_in_it() {
        let trust = TrustedUsers { users: vec![0, 1000], group: 100 };
        for (uid, gid, mode) in [(0, 0, 0o755), (1000, 5, 0o700), (0, 5, 0o1777), (0, 5, 0o1775), (1000, 100, 0o775)] {
            assert_eq!(trust.refusal(&stat(uid, gid, mode)), None, "{uid} {gid} {mode:o}");
        }
        for (uid, gid, mode, reason) in [
            (1001, 0, 0o700, "uid 1001"),
            (1001, 0, 0o1777, "uid 1001"),
            (0, 0, 0o777, "every user"),
            (0, 5, 0o775, "group 5"),
        ] {
            let refusal = trust.refusal(&stat(uid, gid, mode));
            assert!(refusal.as_ref().is_some_and(|refusal| refusal.contains(reason)), "{reason}: {refusal:?}");
        }
    }

    #[test]
    fn links_of_others_are_not_followed_and_those_of_root_are() {
        if !geteuid().is_root() {
            return eprintln!("SKIPPED: to make files of other users takes root");
        }
        let root = Directory::new();
        let at = |name: &str| root.path.join(name);
        std::fs::DirBuilder::new().mode(0o700).create(at("own")).unwrap();
        symlink("own", at("good")).unwrap();
        symlink(at("own"), at("absolute")).unwrap();
        symlink("own", at("foreign")).unwrap();
        lchown(at("foreign"), Some(NOBODY), None).unwrap();
        std::fs::create_dir(at("theirs")).unwrap();
        chown(at("theirs"), Some(NOBODY), None).unwrap();
        let inode = |path: &Path| trusted(path).map(|directory| fstat(directory).unwrap().st_ino);
        let own = inode(&at("own")).unwrap();
        assert_eq!(inode(&at("good")).unwrap(), own);
        assert_eq!(inode(&at("absolute")).unwrap(), own);
        assert_eq!(inode(&at("own/../good/.")).unwrap(), own);
        for name in ["foreign", "theirs", "theirs/../foreign"] {
            assert!(matches!(trusted(&at(name)), Err(RecordError::Untrusted { .. })), "{name}");
        }
        std::fs::set_permissions(at("own"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let refused = trusted(&at("own")).unwrap_err().to_string();
        assert!(refused.contains("every user may write there"), "{refused}");
        symlink("loop", at("loop")).unwrap();
        assert!(trusted(&at("loop")).is_err());
    }
}
