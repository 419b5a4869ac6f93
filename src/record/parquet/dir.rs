//! Directories that are held open. What is in them is named by its bare name, and no link is followed: whoever else may
//! write to a directory on the way can lead neither a reading, nor a writing, nor a removal elsewhere.

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

/// How directories are opened. A pipe in the place of one is not waited for.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// How files are opened to be read.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// A directory that is held open. Copies share the descriptor.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    fd: Arc<OwnedFd>,
    /// Its path, for messages.
    path: PathBuf,
}

/// What a directory has under a name.
#[derive(Debug)]
pub(super) struct DirEntry {
    /// The name.
    pub name: OsString,
    /// What it is; a link is one, whatever it leads to.
    pub kind: FileType,
}

impl Dir {
    /// The one that the user names. Links on the way are the user's own affair.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let fd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: path.to_owned() })
    }

    /// That of a descriptor by which it can not be read (`O_PATH`).
    pub(super) fn reopened(fd: impl AsFd, path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::openat(fd, ".", DIRECTORY, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: path.to_owned() })
    }

    /// That in which the file at `path` is, or is to be.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        Self::open(path.parent().unwrap_or_else(|| Path::new(".")))
    }

    /// Its path, as it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, to be locked.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The directory `name` in it.
    pub(super) fn child(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = bare(name.as_ref())?;
        let fd = rustix::fs::openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd), path: self.path.join(name) })
    }

    /// The directory `name` in it, which is made if it is not there.
    pub(super) fn make(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let mode = if rights::sees_others() { 0o700 } else { 0o777 };
        match rustix::fs::mkdirat(&self.fd, bare(name.as_ref())?, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => self.child(name),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in it, by name.
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

    /// What is under `name`: of a link, of the link itself.
    pub(super) fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.fd, bare(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What it is itself.
    pub(super) fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// The directory at `path` below it.
    pub(super) fn below(&self, path: &Path) -> io::Result<Self> {
        path.components().try_fold(self.clone(), |directory, component| match component {
            Component::Normal(name) => directory.child(name),
            _ => Err(Errno::INVAL.into()),
        })
    }

    /// The file at `path` below it, to be read.
    pub(super) fn file(&self, path: &Path) -> Result<FileRange, Damage> {
        let name = path.file_name().ok_or(Errno::INVAL).map_err(io::Error::from)?;
        let directory = path.parent().map_or_else(|| Ok(self.clone()), |path| self.below(path))?;
        // To open a device may do something, and something else than a file is refused anyhow.
        Damage::unless_file(kind(&directory.stat(name)?))?;
        let fd = rustix::fs::openat(&directory.fd, name, READ, Mode::empty()).map_err(io::Error::from)?;
        FileRange::of(File::from(fd))
    }

    /// Makes the file `name`, which must not be there.
    pub(super) fn create(&self, name: &str, mode: Mode) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, bare(OsStr::new(name))?, flags, mode)?;
        Ok(File::from(fd))
    }

    /// Opens the file `name` to be locked, and makes it if it is not there.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = READ | OFlags::CREATE;
        let fd = rustix::fs::openat(&self.fd, bare(OsStr::new(name))?, flags, Mode::from_raw_mode(0o600))?;
        Ok(File::from(fd))
    }

    /// Takes the file or link `name` away.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, bare(OsStr::new(name))?, AtFlags::empty())?)
    }

    /// Takes the file `name` away if it is one, and the user's own.
    pub(super) fn remove_own(&self, name: &str) -> io::Result<()> {
        if is_own_file(&self.stat(name)?) { self.remove(name) } else { Err(Errno::PERM.into()) }
    }

    /// Takes the directory `name` away, if nothing is in it.
    pub(super) fn remove_directory(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, bare(OsStr::new(name))?, AtFlags::REMOVEDIR)?)
    }

    /// Gives the file `from` the name `to`. What has that name is an error, unless it is to be replaced.
    pub(super) fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let (from, to) = (bare(OsStr::new(from))?, bare(OsStr::new(to))?);
        if replace {
            return Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?);
        }
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Not every file system can do so. Nobody else writes there while the lock is held.
            Err(Errno::INVAL | Errno::NOSYS) => match self.stat(to) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(_) => Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?),
            },
            result => Ok(result?),
        }
    }

    /// Has the names in it outlast the host.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&*self.fd)?)
    }
}

/// A name that leads nowhere else.
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
