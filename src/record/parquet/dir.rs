//! Directories that are held open. Files in them are named by bare names, and no link is followed. So other users who may
//! write to a directory on the way cannot redirect what psn reads, writes or removes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::proc::rights;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::range::{FileRange, is_own_file, kind};

/// How directories are opened: without waiting, if there is a pipe instead.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// How files are opened for reading.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A directory that is held open. Clones share the descriptor.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    fd: Arc<OwnedFd>,
    /// The path, for messages.
    path: PathBuf,
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct DirEntry {
    pub name: OsString,
    /// The type; that of a link is `Symlink`.
    pub kind: FileType,
}

impl Dir {
    /// Opens a directory that the user names. Links on the way are followed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let fd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: path.to_owned() })
    }

    /// Reopens the directory of an `O_PATH` descriptor for reading.
    pub(super) fn reopened(fd: impl AsFd, path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::openat(fd, ".", DIRECTORY, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: path.to_owned() })
    }

    /// Opens the directory of the file at `path`.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        Self::open(path.parent().unwrap_or_else(|| Path::new(".")))
    }

    /// The path by which it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, for locking.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens the directory `name`.
    pub(super) fn child(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = bare(name.as_ref())?;
        let fd = rustix::fs::openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: self.path.join(name) })
    }

    /// Opens the directory `name`; creates it if need be.
    pub(super) fn make(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let mode = if rights::sees_others() { 0o700 } else { 0o777 };
        match rustix::fs::mkdirat(&self.fd, bare(name.as_ref())?, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => self.child(name),
            Err(error) => Err(error.into()),
        }
    }

    /// The entries, sorted by name.
    pub(super) fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.stat(&name).map_or(FileType::Unknown, |stat| kind(&stat)),
                kind => kind,
            };
            found.push(DirEntry { name, kind });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The metadata of the entry `name`; of a link, its own.
    pub(super) fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.fd, bare(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The metadata of the directory itself.
    pub(super) fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// Opens the directory at `path` below this one.
    pub(super) fn below(&self, path: &Path) -> io::Result<Self> {
        path.components().try_fold(self.clone(), |directory, component| match component {
            Component::Normal(name) => directory.child(name),
            _ => Err(Errno::INVAL.into()),
        })
    }

    /// Opens the file at `path` below this directory for reading.
    pub(super) fn file(&self, path: &Path) -> Result<FileRange, Damage> {
        let name = path.file_name().ok_or(Errno::INVAL).map_err(io::Error::from)?;
        let directory = path.parent().map_or_else(|| Ok(self.clone()), |path| self.below(path))?;
        // Checked before the file is opened: opening a device may have effects.
        Damage::unless_file(kind(&directory.stat(name)?))?;
        let fd = rustix::fs::openat(&directory.fd, name, READ, Mode::empty()).map_err(io::Error::from)?;
        FileRange::of(File::from(fd))
    }

    /// Creates the file `name`, which must not exist.
    pub(super) fn create(&self, name: &str, mode: Mode) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, bare(OsStr::new(name))?, flags, mode)?;
        Ok(File::from(fd))
    }

    /// Opens the file `name` for locking; creates it if need be.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = READ | OFlags::CREATE;
        let fd = rustix::fs::openat(&self.fd, bare(OsStr::new(name))?, flags, Mode::from_raw_mode(0o600))?;
        Ok(File::from(fd))
    }

    /// Removes the file or link `name`.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, bare(OsStr::new(name))?, AtFlags::empty())?)
    }

    /// Removes the file `name` if it is a regular file that belongs to psn's user.
    pub(super) fn remove_own(&self, name: &str) -> io::Result<()> {
        if is_own_file(&self.stat(name)?) { self.remove(name) } else { Err(Errno::PERM.into()) }
    }

    /// Removes the directory `name` if it is empty.
    pub(super) fn remove_directory(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, bare(OsStr::new(name))?, AtFlags::REMOVEDIR)?)
    }

    /// Renames the file `from` to `to`. Fails if that exists, unless `replace` is set.
    pub(super) fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let (from, to) = (bare(OsStr::new(from))?, bare(OsStr::new(to))?);
        if replace {
            return Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?);
        }
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Not every file system supports this. The lock keeps other writers away meanwhile.
            Err(Errno::INVAL | Errno::NOSYS) => match self.stat(to) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(_) => Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?),
            },
            result => Ok(result?),
        }
    }

    /// Syncs the directory, so that its entries survive a crash of the host.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&*self.fd)?)
    }
}

/// `name`, if it is a single name and not a path.
fn bare(name: &OsStr) -> io::Result<&OsStr> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(Errno::INVAL.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::record::fixture::Directory;

    #[test]
    fn no_name_leads_out_of_a_directory() {
        let (root, elsewhere) = (Directory::new(), Directory::new());
        fs::write(elsewhere.path.join("x"), "x").unwrap();
        symlink(&elsewhere.path, root.path.join("link")).unwrap();
        symlink(elsewhere.path.join("x"), root.path.join("file")).unwrap();
        let dir = Dir::open(&root.path).unwrap();
        let up = format!("../{}", elsewhere.path.file_name().unwrap().to_str().unwrap());
        for name in ["", ".", "..", "link/", up.as_str(), elsewhere.path.to_str().unwrap()] {
            assert!(dir.child(name).is_err() && dir.make(name).is_err() && dir.stat(name).is_err(), "{name}");
            assert!(dir.remove(name).is_err() && dir.create(name, Mode::RUSR).is_err(), "{name}");
        }
        assert!(dir.child("link").is_err() && dir.make("link").is_err());
        for path in ["link/x", "file", &format!("{up}/x")] {
            assert!(dir.file(Path::new(path)).is_err(), "{path}");
        }
        assert!(dir.remove_own("file").is_err(), "it is a link");
        assert!(elsewhere.path.join("x").exists());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let root = Directory::new();
        rustix::fs::mknodat(CWD, root.path.join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let dir = Dir::open(&root.path).unwrap();
        assert!(matches!(dir.file(Path::new("pipe")), Err(Damage::Form(_))));
        assert!(dir.child("pipe").is_err());
    }

    #[test]
    fn nothing_is_replaced_unasked() {
        let root = Directory::new();
        let dir = Dir::open(&root.path).unwrap();
        fs::write(root.path.join("a"), "a").unwrap();
        fs::write(root.path.join("b"), "b").unwrap();
        assert_eq!(dir.rename("a", "b", false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(dir.create("b", Mode::RUSR).is_err());
        dir.rename("a", "b", true).unwrap();
        assert_eq!(fs::read(root.path.join("b")).unwrap(), b"a");
    }
}
