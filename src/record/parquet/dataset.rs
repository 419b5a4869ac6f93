//! The directories of a dataset, and the files in them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::footer::Footer;
use super::name::{self, Hour, PartName};
use super::{file::Slice, schema};
use crate::record::{RecordError, create};

/// The file that is locked where directories can not be.
const LOCK: &str = ".psn.lock";

/// A complete part.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What its name says.
    pub name: PartName,
    /// The directory it lies in.
    pub directory: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Entry {
    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.directory.join(self.name.to_string())
    }
}

/// The complete parts, by name and so by time.
pub type Catalog = BTreeMap<String, Entry>;

/// Where the parts of one host are written to. Nobody else does while it is open.
#[derive(Debug)]
pub struct Dataset {
    directory: PathBuf,
    has_hours: bool,
    /// The parts that are there.
    pub catalog: Catalog,
    _lock: File,
}

impl Dataset {
    /// That of `host` in the dataset at `root`.
    ///
    /// # Errors
    /// When another psn writes it, and when it can not be had.
    pub fn of_host(root: &Path, host: &str) -> Result<Self, RecordError> {
        create::directory(root)?;
        Self::open(root.join(name::host(host)), true)
    }

    /// One without directories for hours, that is to become a single file.
    ///
    /// # Errors
    /// When another psn writes it, and when it can not be had.
    pub fn staging(directory: PathBuf) -> Result<Self, RecordError> {
        Self::open(directory, false)
    }

    fn open(directory: PathBuf, has_hours: bool) -> Result<Self, RecordError> {
        own_directory(&directory)?;
        let lock = lock(&directory)?;
        let mut catalog = Catalog::new();
        for hour in if has_hours { hours(&directory) } else { vec![directory.clone()] } {
            scan(&hour, &mut catalog);
        }
        Ok(Self { directory, has_hours, catalog, _lock: lock })
    }

    /// The directory for parts that begin in `hour`; it is there from then on.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn directory(&self, hour: &Hour) -> Result<PathBuf, RecordError> {
        if !self.has_hours {
            return Ok(self.directory.clone());
        }
        let date = self.directory.join(&hour.date);
        own_directory(&date)?;
        let hour = date.join(&hour.hour);
        own_directory(&hour)?;
        Ok(hour)
    }

    /// Notes that a part is there.
    pub fn insert(&mut self, entry: Entry) {
        self.catalog.insert(entry.name.to_string(), entry);
    }

    /// Takes a part away, and its directories if nothing else is in them.
    pub fn remove(&mut self, name: &str) {
        if let Some(entry) = self.catalog.remove(name) {
            let _ = fs::remove_file(entry.path());
            if self.has_hours && fs::remove_dir(&entry.directory).is_ok() {
                let _ = entry.directory.parent().map(fs::remove_dir);
            }
        }
    }

    /// Takes all parts away, and the directory, if nothing else is in it.
    pub fn dissolve(&mut self) {
        for name in self.catalog.keys().cloned().collect::<Vec<_>>() {
            self.remove(&name);
        }
        let _ = fs::remove_file(self.directory.join(LOCK));
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Makes a directory. What is there already must be one, and no link to one.
fn own_directory(path: &Path) -> Result<(), RecordError> {
    create::directory(path)?;
    let metadata = path.symlink_metadata().map_err(|error| RecordError::io(path, error))?;
    if metadata.is_dir() { Ok(()) } else { Err(RecordError::not_recording(path, "it is a link, and psn follows none")) }
}

/// Takes the lock by which writers to `directory` know of each other. It is on the directory itself, because a file there
/// would have DataFusion wonder which date and hour it is of; where directories can not be locked, as on NFS, on a file.
fn lock(directory: &Path) -> Result<File, RecordError> {
    let handle = open(directory, OpenOptions::new().read(true), OFlags::DIRECTORY)?;
    match create::lock(&handle, directory) {
        Ok(()) => Ok(handle),
        Err(RecordError::Io { .. }) => {
            let mut options = OpenOptions::new();
            let file = open(&directory.join(LOCK), options.write(true).create(true).mode(0o600), OFlags::NONBLOCK)?;
            create::lock(&file, directory).map(|()| file)
        }
        Err(error) => Err(error),
    }
}

fn open(path: &Path, options: &mut OpenOptions, flags: OFlags) -> Result<File, RecordError> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path);
    file.map_err(|error| RecordError::io(path, error))
}

/// The directories of hours in that of a host.
fn hours(host: &Path) -> Vec<PathBuf> {
    let dates = directories(host).into_iter().filter(|(name, _)| Hour::is_date(name));
    let hours = dates.flat_map(|(_, date)| directories(&date)).filter(|(name, _)| Hour::is_hour(name));
    hours.map(|(_, hour)| hour).collect()
}

fn directories(path: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let named = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    entries.filter(is_directory).filter_map(named).collect()
}

/// Adds the parts in `directory`, and takes away what killed writers left half done there.
fn scan(directory: &Path, catalog: &mut Catalog) {
    let mut found = Catalog::new();
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !metadata.is_file() {
            continue;
        }
        if PartName::is_temporary(&name) {
            let _ = fs::remove_file(entry.path());
        } else if let Some(parsed) = PartName::parse(&name) {
            found.insert(name, Entry { name: parsed, directory: directory.to_owned(), bytes: metadata.len() });
        }
    }
    for name in replaced(&found) {
        if let Some(entry) = found.remove(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
    catalog.append(&mut found);
}

/// The names of those parts of one directory that others have replaced: the writer was killed before it took them away.
fn replaced(parts: &Catalog) -> Vec<String> {
    let merged = parts.values().filter(|entry| entry.name.first < entry.name.last);
    let is_of_use = |entry: &&Entry| parts.values().any(|other| entry.name.covers(&other.name));
    merged.filter(is_of_use).flat_map(|entry| replaced_by(&entry.path())).collect()
}

/// The names of the parts that the part at `path` says it replaces.
fn replaced_by(path: &Path) -> Vec<String> {
    let footer = Slice::open(path).and_then(|file| Footer::read(&file));
    let names = footer.ok().and_then(|footer| serde_json::from_str(footer.note(schema::REPLACES_NOTE)?).ok());
    names.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture::Directory;

    #[test]
    fn a_second_writer_of_a_host_refuses() {
        let root = Directory::new();
        let first = Dataset::of_host(&root.path, "a").unwrap();
        assert!(matches!(Dataset::of_host(&root.path, "a"), Err(RecordError::Locked { .. })));
        assert!(Dataset::of_host(&root.path, "b").is_ok(), "hosts do not get in each other's way");
        drop(first);
        assert!(Dataset::of_host(&root.path, "a").is_ok());
    }

    #[test]
    fn what_killed_writers_left_is_taken_away_and_nothing_else() {
        let root = Directory::new();
        let dataset = Dataset::of_host(&root.path, "a").unwrap();
        let hour = dataset.directory(&Hour::of(0)).unwrap();
        drop(dataset);
        let part = PartName::new(0, "run", 1).to_string();
        let names = [PartName::temporary(&part), ".mine.tmp".to_owned(), part.clone(), "notes.txt".to_owned()];
        names.iter().for_each(|name| fs::write(hour.join(name), "x").unwrap());
        let dataset = Dataset::of_host(&root.path, "a").unwrap();
        let mut left: Vec<_> = fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".mine.tmp", "notes.txt", part.as_str()]);
        assert_eq!(dataset.catalog.keys().collect::<Vec<_>>(), [&part]);
    }

    #[test]
    fn links_in_the_place_of_directories_are_not_followed() {
        let (root, elsewhere) = (Directory::new(), Directory::new());
        std::os::unix::fs::symlink(&elsewhere.path, root.path.join("host=a")).unwrap();
        assert!(matches!(Dataset::of_host(&root.path, "a"), Err(RecordError::NotRecording { .. })));
    }
}
