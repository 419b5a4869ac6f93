//! Writes and syncs a small file without a name, for ever, once the gate is open.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::behaviour::{Behaviour, Place};
use super::futex;
use crate::sys::nap;

/// Few, so that RLIMIT_NOFILE does not limit the storm.
const FILES: u32 = 64;

const BLOCK: [u8; 4096] = [b's'; 4096];

/// Blocks of a file; a thread writes them one after the other and begins again.
const BLOCKS: u64 = 256;

pub(super) struct Fsync {
    files: Vec<File>,
}

impl Fsync {
    pub(super) fn open(count: u32, dir: &Path) -> io::Result<Self> {
        let files = (0..count.min(FILES)).map(|i| nameless_file(dir, i)).collect::<io::Result<_>>();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("a file in {}: {error}", dir.display()));
        Ok(Self { files: files.map_err(named)? })
    }
}

impl Behaviour for Fsync {
    fn run(&self, place: &Place<'_>) -> ! {
        let Some(file) = place.pick(&self.files) else { futex::sleep() };
        place.board.wait_at_gate();
        for block in (0..BLOCKS).cycle() {
            let written = rustix::io::pwrite(file, &BLOCK, block * BLOCK.len() as u64);
            if written.and_then(|_| rustix::fs::fsync(file)).is_err() {
                // The disk may be full: try again later.
                nap(Duration::from_millis(100));
            }
        }
        futex::sleep()
    }
}

/// Opens a file without a name, or removes its name at once, so that no file is left behind.
fn nameless_file(dir: &Path, i: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let tmpfile = i32::try_from(rustix::fs::OFlags::TMPFILE.bits()).unwrap_or(0);
    match options.clone().custom_flags(tmpfile).open(dir) {
        Ok(file) => return Ok(file),
        // The file system, or the kernel, has no O_TMPFILE.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {}
        Err(error) => return Err(error),
    }
    let path = dir.join(format!(".psn-storm-{}-{i}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_no_names() {
        let dir = std::env::temp_dir().join(format!("psn-storm-fsync-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let fsync = Fsync::open(3, &dir).unwrap();
        let names = std::fs::read_dir(&dir).unwrap().count();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((fsync.files.len(), names), (3, 0));
    }
}
