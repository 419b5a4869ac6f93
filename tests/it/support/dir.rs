//! Temporary directories of tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary directory; removed when dropped.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// An empty directory.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("psn-it-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    /// An empty directory with these permissions.
    pub fn with_mode(mode: u32) -> Self {
        let dir = Self::new();
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    /// The path of the directory.
    pub fn itself(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in the directory.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
