//! New files and directories of recordings: nobody's links are followed, nothing is replaced unasked, and what root
//! records only root reads.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;

use super::RecordError;
use crate::rights;

/// Permissions of new files: what is recorded with more rights than its user's tells of everyone's processes.
pub fn file_mode() -> u32 {
    if rights::sees_others() { 0o600 } else { 0o666 }
}

/// Makes a new file. One that is there is replaced if `force` says so, unless another psn writes it.
///
/// # Errors
/// When there is something at the path, when other users could lead psn elsewhere on the way, and when it cannot be made.
pub fn file(path: &Path, force: bool) -> Result<File, RecordError> {
    let failed = |error| RecordError::io(path, error);
    let real = real_path(path)?;
    check_way(&real)?;
    match fs::symlink_metadata(&real) {
        Ok(_) if !force => return Err(RecordError::Exists { path: path.display().to_string() }),
        // A link is taken away itself: what it leads to is left alone.
        Ok(found) if found.is_file() => {
            lock(&open_existing(&real)?, path)?;
            fs::remove_file(&real).map_err(failed)?;
        }
        Ok(found) if found.is_symlink() => fs::remove_file(&real).map_err(failed)?,
        Ok(_) => return Err(RecordError::not_recording(path, "it is neither a file nor a link, so --force leaves it")),
        Err(_) => {}
    }
    let file = exclusively(&real).map_err(failed)?;
    lock(&file, path)?;
    Ok(file)
}

/// Makes a file that must not be there. No link is followed.
///
/// # Errors
/// When it cannot be made.
pub fn exclusively(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(file_mode()).custom_flags(flags.bits().cast_signed());
    options.open(path)
}

/// Makes sure that there is nothing at `path`.
///
/// # Errors
/// When there is.
pub fn absent(path: &Path) -> Result<(), RecordError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(RecordError::Exists { path: path.display().to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RecordError::io(path, error)),
    }
}

/// Removes what an earlier writer left at `path`, if it is a file or a link.
///
/// # Errors
/// When it is something else, and when it cannot be removed.
pub fn remove_left(path: &Path) -> Result<(), RecordError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RecordError::io(path, error)),
        Ok(found) if found.is_file() || found.is_symlink() => {
            fs::remove_file(path).map_err(|error| RecordError::io(path, error))
        }
        Ok(_) => Err(RecordError::not_recording(path, "it is neither a file nor a link, so --force leaves it")),
    }
}

/// `path` with the links of its directory resolved.
///
/// # Errors
/// When there is no such directory.
pub fn real_path(path: &Path) -> Result<PathBuf, RecordError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let parent = parent.canonicalize().map_err(|error| RecordError::io(path, error))?;
    Ok(parent.join(path.file_name().unwrap_or_default()))
}

/// [Checks](check_directory) every directory on the way to `path`, in which there are no links: whoever may write to one of
/// them can exchange the next.
///
/// # Errors
/// When one of them is another user's to change.
pub fn check_way(path: &Path) -> Result<(), RecordError> {
    for directory in path.ancestors().skip(1).filter(|directory| !directory.as_os_str().is_empty()) {
        let stat = rustix::fs::stat(directory).map_err(|error| RecordError::io(directory, error.into()))?;
        check_directory(directory, &stat)?;
    }
    Ok(())
}

fn open_existing(path: &Path) -> Result<File, RecordError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    open.map_err(|error| RecordError::io(path, error))
}

/// Takes the lock by which writers know of each other; it is held while `file` is open.
///
/// # Errors
/// When another psn holds it.
pub fn lock(file: &File, path: &Path) -> Result<(), RecordError> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => RecordError::Locked { path: path.display().to_string() },
        other => RecordError::io(path, other.into()),
    })
}

/// Checks that nobody can lead astray what psn writes to the directory at `path`: with rights beyond those of most users,
/// it writes only where no other user may give files other names, or take them away.
///
/// # Errors
/// When others may.
pub fn check_directory(path: &Path, stat: &rustix::fs::Stat) -> Result<(), RecordError> {
    if !rights::sees_others() {
        return Ok(());
    }
    let is_trusted = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw() || Some(stat.st_uid) == sudo_uid();
    let is_open = stat.st_mode & 0o022 != 0 && stat.st_mode & 0o1000 == 0;
    if is_trusted && !is_open {
        return Ok(());
    }
    let reason = if is_trusted {
        format!("others may write to it (mode {:o}); choose another, or chmod go-w", stat.st_mode & 0o7777)
    } else {
        format!("it is of the user with the id {}, who may write to it; choose another, or chown it", stat.st_uid)
    };
    Err(RecordError::engine(path, format!("psn does not write there with its rights: {reason}")))
}

/// The user who had sudo(8) run psn: whoever may do that could as well record for root.
fn sudo_uid() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

/// Makes a directory, and those above it, if they are not there.
///
/// # Errors
/// When they can not be made.
pub fn directory(path: &Path) -> Result<(), RecordError> {
    let mode = if rights::sees_others() { 0o700 } else { 0o777 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| RecordError::io(path, error))
}
