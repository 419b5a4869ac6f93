//! Finds the parts of a dataset for its readers, and collects why some are skipped.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;

use crate::record::RecordError;
use crate::record::parquet::dir::{Dir, DirEntry};
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::info::PartReader;
use crate::text::sentence::shown;

/// Where a part is.
#[derive(Debug, Clone)]
pub(super) struct PartLocation {
    /// The open directory; none if the user named the file itself.
    root: Option<Dir>,
    /// The path of the part, below `root` if there is one.
    path: PathBuf,
}

impl PartLocation {
    /// A file that the user names.
    pub(super) fn named(path: &Path) -> Self {
        Self { root: None, path: path.to_owned() }
    }

    /// The file at `path` below `root`.
    pub(super) fn below(root: &Dir, path: PathBuf) -> Self {
        Self { root: Some(root.clone()), path }
    }

    /// Opens the part.
    pub(super) fn open(&self) -> Result<FileRange, Damage> {
        match &self.root {
            Some(root) => root.file(&self.path),
            None => FileRange::open(&self.path),
        }
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.root.as_ref().map_or_else(|| self.path.clone(), |root| root.path().join(&self.path))
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }

    /// The part `name` in the same directory.
    pub(super) fn beside(&self, name: &str) -> Self {
        Self { root: self.root.clone(), path: self.path.with_file_name(name) }
    }

    /// The names of the parts in the same directory.
    pub(super) fn siblings(&self) -> io::Result<Vec<String>> {
        let directory = match &self.root {
            Some(root) => self.path.parent().map_or_else(|| Ok(root.clone()), |path| root.below(path))?,
            None => Dir::of_file(&self.path)?,
        };
        let found = directory.list()?.into_iter().filter(is_part);
        Ok(found.filter_map(|found| found.name.into_string().ok()).collect())
    }
}

/// Whether the name is that of a complete part.
fn is_part(found: &DirEntry) -> bool {
    !is_hidden(&found.name) && Path::new(&found.name).extension().is_some_and(|extension| extension == "parquet")
}

fn is_hidden(name: &OsStr) -> bool {
    matches!(name.as_bytes().first(), Some(b'.' | b'_'))
}

/// The files that are skipped: for each reason the first of them, and how many there are.
#[derive(Debug, Default)]
pub(super) struct SkippedFiles(BTreeMap<String, (PathBuf, u64)>);

impl SkippedFiles {
    pub(super) fn add(&mut self, path: PathBuf, reason: &impl ToString) {
        self.0.entry(reason.to_string()).or_insert((path, 0)).1 += 1;
    }

    /// A sentence for each reason. `what` says what was done with the files.
    pub(super) fn sentences(self, what: &str) -> Vec<String> {
        let sentence = |(reason, (path, count)): (String, (PathBuf, u64))| match count {
            1 => format!("{}: {what}: {reason}", shown(&path)),
            _ => format!("{} and {} more: {what}: {reason}", shown(&path), count - 1),
        };
        self.0.into_iter().map(sentence).collect()
    }
}

/// The search for the parts of a dataset.
pub(super) struct PartSearch<'a> {
    /// The directory that is searched.
    pub root: &'a Dir,
    /// Accounts for the memory.
    pub reader: &'a PartReader,
    /// Ends the search.
    pub stop: &'a AtomicBool,
    /// The parts found.
    pub locations: Vec<PartLocation>,
    /// The directories that cannot be read.
    pub skipped: SkippedFiles,
    /// The error of the first of them.
    pub unreadable: Option<RecordError>,
}

impl<'a> PartSearch<'a> {
    /// Searches `root` and the directories below it, up to `depth` levels. Hidden ones are left out.
    pub(super) fn new(
        root: &'a Dir,
        depth: usize,
        reader: &'a PartReader,
        stop: &'a AtomicBool,
    ) -> Result<Self, RecordError> {
        let (locations, skipped) = (Vec::new(), SkippedFiles::default());
        let mut search = Self { root, reader, stop, locations, skipped, unreadable: None };
        let found = root.list().map_err(|error| RecordError::io(root.path(), error))?;
        search.directory(root, Path::new(""), found, depth)?;
        Ok(search)
    }

    fn directory(
        &mut self,
        directory: &Dir,
        path: &Path,
        found: Vec<DirEntry>,
        depth: usize,
    ) -> Result<(), RecordError> {
        for found in found {
            if self.stop.load(Ordering::Relaxed) {
                return Err(RecordError::Stopped);
            }
            let path = path.join(&found.name);
            if found.kind == FileType::Directory && depth > 0 && !is_hidden(&found.name) {
                match directory.child(&found.name).and_then(|child| Ok((child.list()?, child))) {
                    Ok((found, child)) => self.directory(&child, &path, found, depth - 1)?,
                    // It was removed after its last part.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        let path = directory.path().join(&found.name);
                        self.skipped.add(path.clone(), &error);
                        self.unreadable.get_or_insert_with(|| RecordError::io(&path, error));
                    }
                }
            } else if found.kind != FileType::Directory && is_part(&found) {
                let bytes = size_of::<PartLocation>() + path.as_os_str().len();
                self.reader.hold(bytes).map_err(|damage| RecordError::not_recording(self.root.path(), damage))?;
                self.locations.push(PartLocation::below(self.root, path));
            }
        }
        Ok(())
    }
}
