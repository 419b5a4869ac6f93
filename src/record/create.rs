//! Creates the files and directories of recordings. Links are not followed, and nothing is replaced without `--force`. If
//! psn runs with more rights than its user has without it, only the user who runs it may read the files.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, flock, openat, unlinkat};

use super::RecordError;
use super::directory::check;
pub(super) use super::directory::{Destination, trusted as trusted_directory};
use crate::proc::rights;

/// The permissions of new files. With more rights than the user's own, a recording tells about everyone's processes.
pub(super) fn file_mode() -> Mode {
    if rights::sees_others() { Mode::from_raw_mode(0o600) } else { Mode::from_raw_mode(0o666) }
}

/// Creates a file. An existing one is replaced if `force` is set, unless another psn writes it. Fails, too, if other users
/// may write to the directory ([`trusted_directory`]).
pub(super) fn file(path: &Path, force: bool) -> Result<File, RecordError> {
    file_at(&Destination::of(path)?, force)
}

/// Like [`file()`], in a directory that is held open.
pub(super) fn file_at(place: &Destination, force: bool) -> Result<File, RecordError> {
    let path = place.path.as_path();
    let failed = |error: rustix::io::Errno| RecordError::io(path, error.into());
    if let Ok(found) = place.stat() {
        if !force {
            return Err(RecordError::Exists { path: path.to_owned() });
        }
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => lock(&open_existing(place)?, path)?,
            // A link itself is removed, not its target.
            FileType::Symlink => {}
            _ => return Err(RecordError::not_recording(path, "it is neither a file nor a link, so --force leaves it")),
        }
        unlinkat(&place.directory, &place.name, AtFlags::empty()).map_err(failed)?;
    }
    let file = exclusively_at(place).map_err(failed)?;
    lock(&file, path)?;
    Ok(file)
}

/// Creates a file that must not exist, in a directory that is held open. Does not follow links.
pub(super) fn exclusively_at(place: &Destination) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&place.directory, &place.name, flags, file_mode()).map(File::from)
}

/// Removes the file or link that an earlier writer left. Fails if there is one and `force` is not set, or if it is something
/// else.
pub(super) fn remove_left(place: &Destination, force: bool) -> Result<(), RecordError> {
    let Ok(found) = place.stat() else { return Ok(()) };
    if !force {
        return Err(RecordError::Exists { path: place.path.clone() });
    }
    if !matches!(FileType::from_raw_mode(found.st_mode), FileType::RegularFile | FileType::Symlink) {
        return Err(RecordError::not_recording(&place.path, "it is neither a file nor a link, so --force leaves it"));
    }
    unlinkat(&place.directory, &place.name, AtFlags::empty())
        .map_err(|error| RecordError::io(&place.path, error.into()))
}

/// `path` with the links in its directory resolved, for SQLite, which opens files by name. Fails if another user could
/// replace a directory on the way.
pub(super) fn safe_path(path: &Path) -> Result<PathBuf, RecordError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let parent = parent.canonicalize().map_err(|error| RecordError::io(path, error))?;
    for directory in parent.ancestors() {
        let stat = rustix::fs::stat(directory).map_err(|error| RecordError::io(directory, error.into()))?;
        check(directory, &stat)?;
    }
    Ok(parent.join(path.file_name().unwrap_or_default()))
}

fn open_existing(place: &Destination) -> Result<File, RecordError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = openat(&place.directory, &place.name, flags, Mode::empty());
    open.map(File::from).map_err(|error| RecordError::io(&place.path, error.into()))
}

/// Takes the lock by which writers exclude each other. It is held while `file` is open.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), RecordError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => RecordError::Locked { path: path.to_owned() },
        other => RecordError::io(path, other.into()),
    })
}

/// Creates a directory and those above it, unless they exist.
pub(super) fn directory(path: &Path) -> Result<(), RecordError> {
    let mode = if rights::sees_others() { 0o700 } else { 0o777 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| RecordError::io(path, error))
}
