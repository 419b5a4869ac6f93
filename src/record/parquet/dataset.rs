//! The directories and files of a dataset, for its writer.
//!
//! A writer touches only files that belong to its user and are what their names say. Other files are neither counted nor
//! removed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use rustix::fs::FileType;

use crate::record::parquet::dir::Dir;
use crate::record::parquet::format::range::{is_own_file, kind};
use crate::record::parquet::info::{OpenedPart, PartInfo};
use crate::record::parquet::name::{self, Hour, PartName};
use crate::record::parquet::ticks::TickSummary;
use crate::record::{RecordError, create, directory};

/// The name of the lock file, for file systems that cannot lock directories.
const LOCK: &str = ".psn.lock";

/// A complete part.
#[derive(Debug, Clone)]
pub(super) struct CatalogEntry {
    pub name: PartName,
    /// The directory of the hour in which it is; none if it is directly in the directory of the host.
    pub hour: Option<Hour>,
    /// The size in bytes.
    pub bytes: u64,
    pub ticks: TickSummary,
}

/// The complete parts by name, which is by time.
pub(super) type PartCatalog = BTreeMap<String, CatalogEntry>;

/// The directory to which the parts of one host are written, locked for this psn.
#[derive(Debug)]
pub(super) struct Dataset {
    directory: Dir,
    has_hours: bool,
    /// The complete parts.
    pub catalog: PartCatalog,
    _lock: File,
}

impl Dataset {
    /// Opens the directory of `host` in the dataset at `root`; creates it if need be. Fails if another psn writes there, or
    /// if other users may.
    pub(super) fn of_host(root: &Path, host: &str) -> Result<Self, RecordError> {
        create::directory(root)?;
        let root =
            Dir::reopened(create::trusted_directory(root)?, root).map_err(|error| RecordError::io(root, error))?;
        Self::open(&root, &name::host(host), true)
    }

    /// Opens the directory `name` in `parent` for the parts of what becomes a single file. It has no directories for hours.
    pub(super) fn staging(parent: &Dir, name: &str) -> Result<Self, RecordError> {
        Self::open(parent, name, false)
    }

    fn open(parent: &Dir, name: &str, has_hours: bool) -> Result<Self, RecordError> {
        let directory = make(parent, name)?;
        let lock = lock(&directory)?;
        let mut catalog = PartCatalog::new();
        if has_hours {
            hours(&directory).into_iter().for_each(|hour| scan(&directory, Some(hour), &mut catalog));
        } else {
            scan(&directory, None, &mut catalog);
        }
        Ok(Self { directory, has_hours, catalog, _lock: lock })
    }

    pub(super) const fn root(&self) -> &Dir {
        &self.directory
    }

    /// The directory for parts that begin in `hour`; creates it if need be.
    pub(super) fn directory(&self, hour: &Hour) -> Result<(Option<Hour>, Dir), RecordError> {
        if !self.has_hours {
            return Ok((None, self.directory.clone()));
        }
        let directory = make(&make(&self.directory, &hour.date)?, &hour.hour)?;
        Ok((Some(hour.clone()), directory))
    }

    /// Adds a part that has been written.
    pub(super) fn insert(&mut self, entry: CatalogEntry) {
        self.catalog.insert(entry.name.to_string(), entry);
    }

    /// Removes a part, and its directories if they are empty then.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(entry) = self.catalog.remove(name) else { return };
        // If the part or a directory was replaced by something else, that is left alone.
        let Ok(directory) = place(&self.directory, entry.hour.as_ref()) else { return };
        let _ = directory.remove_own(name);
        if let Some(hour) = &entry.hour
            && let Ok(date) = self.directory.child(&hour.date)
            && date.remove_directory(&hour.hour).is_ok()
        {
            let _ = self.directory.remove_directory(&hour.date);
        }
    }

    /// Removes all parts, and the directory, which is `name` in `parent`, if it is empty then.
    pub(super) fn dissolve(&mut self, parent: &Dir, name: &str) {
        for name in self.catalog.keys().cloned().collect::<Vec<_>>() {
            self.remove(&name);
        }
        let _ = self.directory.remove_own(LOCK);
        let _ = parent.remove_directory(name);
    }
}

/// Opens the directory of `hour`. Fails if it is a link, or if other users may write to it.
pub(super) fn place(host: &Dir, hour: Option<&Hour>) -> Result<Dir, RecordError> {
    let Some(hour) = hour else { return Ok(host.clone()) };
    let child = |parent: &Dir, name: &str| {
        trusted(parent.child(name).map_err(|error| RecordError::io(&parent.path().join(name), error))?)
    };
    child(&child(host, &hour.date)?, &hour.hour)
}

/// Opens the directory `name` in `parent`; creates it if need be.
fn make(parent: &Dir, name: &str) -> Result<Dir, RecordError> {
    let path = parent.path().join(name);
    let made = parent.make(name).map_err(|error| match parent.stat(name).map(|stat| kind(&stat)) {
        Ok(FileType::Directory) | Err(_) => RecordError::io(&path, error),
        Ok(FileType::Symlink) => RecordError::not_recording(&path, "it is a link, and psn follows no links"),
        Ok(_) => RecordError::not_recording(&path, "it is not a directory"),
    });
    trusted(made?)
}

/// Fails if other users may write to `directory`.
fn trusted(directory: Dir) -> Result<Dir, RecordError> {
    let stat = directory.stat_self().map_err(|error| RecordError::io(directory.path(), error))?;
    directory::check(directory.path(), &stat).map(|()| directory)
}

/// Takes the lock by which the writers to `directory` exclude each other. It is on the directory itself: DataFusion would
/// ask for the date and hour of a lock file. Where directories cannot be locked, as on NFS, it is on a file.
fn lock(directory: &Dir) -> Result<File, RecordError> {
    let failed = |error: std::io::Error| RecordError::io(directory.path(), error);
    let handle = File::from(directory.fd().try_clone().map_err(failed)?);
    match create::lock(&handle, directory.path()) {
        Ok(()) => Ok(handle),
        Err(RecordError::Io { .. }) => {
            let file = directory.lock_file(LOCK).map_err(failed)?;
            let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
            if !is_own_file(&stat) {
                let path = directory.path().join(LOCK);
                return Err(RecordError::engine(&path, "it is not a file of yours; remove it, if nothing uses it"));
            }
            create::lock(&file, directory.path()).map(|()| file)
        }
        Err(error) => Err(error),
    }
}

/// The directories of hours.
fn hours(host: &Dir) -> Vec<Hour> {
    let mut hours = Vec::new();
    for date in directories(host).into_iter().filter(|name| Hour::is_date(name)) {
        let Ok(directory) = host.child(&date) else { continue };
        let names = directories(&directory).into_iter().filter(|name| Hour::is_hour(name));
        hours.extend(names.map(|hour| Hour { date: date.clone(), hour }));
    }
    hours
}

fn directories(directory: &Dir) -> Vec<String> {
    let found = directory.list().unwrap_or_default().into_iter();
    found.filter(|found| found.kind == FileType::Directory).filter_map(|found| found.name.into_string().ok()).collect()
}

/// Adds the parts of an hour to `catalog`, and removes what killed writers left unfinished.
fn scan(host: &Dir, hour: Option<Hour>, catalog: &mut PartCatalog) {
    let Ok(directory) = place(host, hour.as_ref()) else { return };
    let mut found: BTreeMap<String, (CatalogEntry, PartInfo)> = BTreeMap::new();
    for name in directory.list().unwrap_or_default() {
        let Ok(name) = name.name.into_string() else { continue };
        if PartName::is_temporary(&name) {
            let _ = directory.remove_own(&name);
        } else if let Some((parsed, bytes)) = own_part(&directory, &name)
            && let Ok(OpenedPart { info, .. }) = directory.file(Path::new(&name)).and_then(OpenedPart::of)
            && is_what_it_says(&parsed, &info)
        {
            let entry = CatalogEntry { name: parsed, hour: hour.clone(), bytes, ticks: info.ticks };
            found.insert(name, (entry, info));
        }
    }
    for name in replaced(&found) {
        if found.remove(&name).is_some() {
            let _ = directory.remove_own(&name);
        }
    }
    catalog.extend(found.into_iter().map(|(name, (entry, _))| (name, entry)));
}

/// The parsed name and the size of a part, if it is a file of the user's own.
fn own_part(directory: &Dir, name: &str) -> Option<(PartName, u64)> {
    let parsed = PartName::parse(name)?;
    let stat = directory.stat(name).ok().filter(is_own_file)?;
    Some((parsed, u64::try_from(stat.st_size).ok()?))
}

/// Whether a part is of the run and the time that its name says.
fn is_what_it_says(name: &PartName, info: &PartInfo) -> bool {
    let run = info.header.parse().is_ok_and(|header| PartName::new(0, &header.run, 0).run == name.run);
    run && name::start(info.ticks.from_ns) <= name.start && name.start <= name::start(info.ticks.to_ns)
}

/// The names of parts that others replace: their writer was killed before it removed them. A part replaces only parts of its
/// own run and directory, and only if it has all of their ticks.
fn replaced(parts: &BTreeMap<String, (CatalogEntry, PartInfo)>) -> Vec<String> {
    let has_all = |merged: &CatalogEntry, other: &CatalogEntry| {
        merged.name.covers(&other.name) && merged.ticks.covers(&other.ticks)
    };
    let mut names = Vec::new();
    for (merged, info) in parts.values() {
        let claimed =
            info.replaces.iter().filter(|name| parts.get(*name).is_some_and(|(other, _)| has_all(merged, other)));
        names.extend(claimed.cloned());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::record::fixture::{Directory, START, a_part_a_tick, add, header, parts};

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
        let hour = dataset.directory(&Hour::of(0)).unwrap().1.path().to_owned();
        drop(dataset);
        let part = PartName::new(0, "run", 1).to_string();
        let names = [PartName::temporary(&part), ".mine.tmp".to_owned(), part.clone(), "notes.txt".to_owned()];
        names.iter().for_each(|name| fs::write(hour.join(name), "x").unwrap());
        let dataset = Dataset::of_host(&root.path, "a").unwrap();
        let mut left: Vec<_> = fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".mine.tmp", "notes.txt", part.as_str()]);
        assert!(dataset.catalog.is_empty(), "it is not what its name says");
    }

    /// A dataset of three parts in one hour, and the directory of the parts.
    fn three_parts(root: &Directory) -> std::path::PathBuf {
        let mut sink = crate::record::parquet::create(&root.path, &header("run"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..3, START);
        sink.finish(None).unwrap();
        parts(&root.path)[0].parent().unwrap().to_owned()
    }

    #[test]
    fn where_an_hour_or_a_part_has_become_a_link_nothing_is_taken_away() {
        let (root, elsewhere) = (Directory::new(), Directory::new());
        let hour = three_parts(&root);
        let mut dataset = Dataset::of_host(&root.path, "web/1").unwrap();
        let names: Vec<String> = dataset.catalog.keys().cloned().collect();
        for name in &names {
            fs::write(elsewhere.path.join(name), "precious").unwrap();
        }
        fs::remove_file(hour.join(&names[0])).unwrap();
        symlink(elsewhere.path.join(&names[0]), hour.join(&names[0])).unwrap();
        dataset.remove(&names[0]);
        fs::rename(&hour, hour.with_file_name("gone")).unwrap();
        symlink(&elsewhere.path, &hour).unwrap();
        dataset.remove(&names[1]);
        let date = hour.parent().unwrap();
        fs::remove_file(&hour).unwrap();
        fs::rename(date, root.path.join("gone")).unwrap();
        fs::create_dir(elsewhere.path.join("hour=03")).unwrap();
        fs::write(elsewhere.path.join("hour=03").join(&names[2]), "precious").unwrap();
        symlink(&elsewhere.path, date).unwrap();
        dataset.remove(&names[2]);
        assert!(dataset.catalog.is_empty());
        assert_eq!(fs::read_dir(&elsewhere.path).unwrap().count(), 4);
        assert_eq!(fs::read_dir(elsewhere.path.join("hour=03")).unwrap().count(), 1);
    }

    #[test]
    fn a_part_is_one_of_the_dataset_if_it_is_what_its_name_says() {
        let root = Directory::new();
        let hour = three_parts(&root);
        let names: Vec<String> = Dataset::of_host(&root.path, "web/1").unwrap().catalog.into_keys().collect();
        assert_eq!(names.len(), 3);
        let content = fs::read(hour.join(&names[0])).unwrap();
        let own = PartName::parse(&names[0]).unwrap();
        let others = [
            PartName { run: "other".to_owned(), ..own.clone() },
            PartName { start: "99991231T235959.000000Z".to_owned(), ..own.clone() },
            PartName { start: "19700101T000000.000000Z".to_owned(), ..own },
        ];
        others.iter().for_each(|name| fs::write(hour.join(name.to_string()), &content).unwrap());
        let dataset = Dataset::of_host(&root.path, "web/1").unwrap();
        assert_eq!(dataset.catalog.into_keys().collect::<Vec<_>>(), names);
        assert_eq!(fs::read_dir(&hour).unwrap().count(), 6, "the others are left alone");
    }

    #[test]
    fn links_in_the_place_of_directories_are_not_followed() {
        let (root, elsewhere) = (Directory::new(), Directory::new());
        symlink(&elsewhere.path, root.path.join("host=a")).unwrap();
        assert!(matches!(Dataset::of_host(&root.path, "a"), Err(RecordError::NotRecording { .. })));
    }
}
