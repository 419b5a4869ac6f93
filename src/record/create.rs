//! New files and directories of recordings: nobody's links are followed, nothing is replaced unasked, and what root
//! records only root reads.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::RecordError;
use crate::output::sentence::shown;
use crate::rights;

/// Permissions of new files: what is recorded with more rights than its user's tells of everyone's processes.
fn file_mode() -> u32 {
    if rights::sees_others() { 0o600 } else { 0o666 }
}

/// Makes a new file. One that is there is replaced if `force` says so, unless another psn writes it.
///
/// # Errors
/// When there is something at the path, and when it can not be made.
pub fn file(path: &Path, force: bool) -> Result<File, RecordError> {
    let failed = |error| RecordError::io(path, error);
    match fs::symlink_metadata(path) {
        Ok(_) if !force => return Err(RecordError::Exists { path: shown(path) }),
        // A link is taken away itself: what it leads to is left alone.
        Ok(found) if found.is_file() => {
            lock(&open_existing(path)?, path)?;
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(found) if found.is_symlink() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(RecordError::not_recording(path, "it is neither a file nor a link, so --force leaves it")),
        Err(_) => {}
    }
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(file_mode())
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    lock(&file, path)?;
    Ok(file)
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
        rustix::io::Errno::WOULDBLOCK => RecordError::Locked { path: shown(path) },
        other => RecordError::io(path, other.into()),
    })
}

/// Makes a directory, and those above it, if they are not there.
///
/// # Errors
/// When they can not be made.
pub fn directory(path: &Path) -> Result<(), RecordError> {
    let mode = if rights::sees_others() { 0o700 } else { 0o777 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| RecordError::io(path, error))
}
