//! Passwd files: what is in one, and which one belongs to the processes of a proc root.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::proc::open::open_first_root;

/// The passwd file of the system that psn runs on.
pub(super) const PASSWD: &str = "/etc/passwd";

/// The most bytes of a passwd file that are read.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// A user id and its name.
pub(super) type UserName = (u32, Arc<[u8]>);

/// The users in the text of a passwd file.
pub(super) fn parse(text: &[u8]) -> impl Iterator<Item = UserName> {
    text.split(|byte| *byte == b'\n').filter_map(entry).map(|(uid, name)| (uid, name.into()))
}

/// User id and name of a line `name:x:uid:…`. A name of digits alone is refused: it would look like another user's number.
fn entry(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    (!name.iter().all(u8::is_ascii_digit)).then_some((uid, name))
}

/// The passwd file of the system whose processes the proc root at `root` shows.
pub(super) fn path_below(root: &Path) -> PathBuf {
    root.join("1/root").join(PASSWD.trim_start_matches('/'))
}

/// Opens that file, without following any link that may lead out of that system's root directory.
pub(super) fn open_below(root: &Path) -> io::Result<OwnedFd> {
    let open = |dir: &OwnedFd, name: &CStr, flags| {
        rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    let etc = open(&open_first_root(root)?, c"etc", OFlags::DIRECTORY | OFlags::PATH)?;
    let file = open(&etc, c"passwd", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Whether the open file is the one at `path`.
pub(super) fn is_same(file: &OwnedFd, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (rustix::fs::fstat(file), std::fs::metadata(path)) else { return false };
    #[allow(clippy::unnecessary_cast, reason = "of other widths on some architectures")]
    let identity = (one.st_dev as u64, one.st_ino as u64);
    identity == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_passwd_file() {
        assert_eq!(entry(b"root:x:0:0:root:/root:/bin/bash"), Some((0, &b"root"[..])));
        for no_entry in [&b"+nisuser"[..], b":x:7:7::/:", b"", b"1000:x:7:7::/:"] {
            assert_eq!(entry(no_entry), None);
        }
    }
}
