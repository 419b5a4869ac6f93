//! One part in the making: a hidden file, until it is complete.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::TypePtr;

use super::buffer::RowBuffer;
use super::file::Slice;
use super::name::PartName;
use super::schema;
use super::table::TableWriter;
use super::ticks::{Tick, TickNote, TickWriter};
use crate::record::{RecordError, create};
use crate::report::Facts;

/// A part in the making. One that is given up leaves nothing behind.
pub struct PartWriter {
    file: TableWriter<BufWriter<File>>,
    ticks: TickWriter,
    temporary: PathBuf,
    path: PathBuf,
    replaces_file: bool,
    is_complete: bool,
}

/// What is noted in a part.
#[derive(Debug, Clone, Copy)]
pub struct Notes<'a> {
    /// The run's header, JSON.
    pub header: &'a str,
    /// The facts of its report, if this is its last part.
    pub facts: Option<&'a Facts>,
    /// The names of the parts that were merged into this one.
    pub replaces: &'a [String],
}

impl PartWriter {
    /// Begins the part that is to be at `path`; `due_before` ticks of the run were due before its first.
    pub fn create(path: &Path, schema: &TypePtr, due_before: u64) -> Result<Self, RecordError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(PartName::temporary(&name));
        let failed = |error: ParquetError| engine(&temporary, &error);
        let ticks = TickWriter::new(due_before).map_err(failed)?;
        // What a killed psn may have left there.
        let file = create::file(&temporary, true)?;
        let file = TableWriter::new(BufWriter::new(file), schema).map_err(failed)?;
        let (path, temporary) = (path.to_owned(), temporary.clone());
        Ok(Self { file, ticks, temporary, path, replaces_file: false, is_complete: false })
    }

    /// Has it take the place of a file that is there.
    pub const fn replace_file(&mut self) {
        self.replaces_file = true;
    }

    /// What is to be said of its ticks so far.
    pub const fn note(&self) -> &TickNote {
        self.ticks.note()
    }

    /// Adds the next tick, whose rows are written on their own.
    pub fn add(&mut self, tick: Tick) -> Result<(), RecordError> {
        self.ticks.add(tick).map_err(|error| engine(&self.temporary, &error))
    }

    /// Writes `rows` as a row group, if there are any.
    pub fn write(&mut self, rows: &mut RowBuffer) -> Result<(), RecordError> {
        rows.write(&mut self.file).map_err(|error| engine(&self.temporary, &error))
    }

    /// Copies a row group of `source`, a file of the same columns, as it is.
    pub fn copy(&mut self, source: &Slice, group: &RowGroupMetaData) -> Result<(), RecordError> {
        self.file.copy_group(source, group).map_err(|error| engine(&self.temporary, &error))
    }

    /// Completes the part; how many bytes it has. It is there from then on, also when the host crashes.
    pub fn finish(mut self, notes: Notes<'_>) -> Result<u64, RecordError> {
        let failed = |error| RecordError::io(&self.path, error);
        complete(&mut self.file, &mut self.ticks, notes).map_err(|error| engine(&self.temporary, &error))?;
        let file = self.file.inner().get_ref();
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        // Nobody else writes there while the lock is held.
        if !self.replaces_file && self.path.symlink_metadata().is_ok() {
            return Err(RecordError::Exists { path: self.path.display().to_string() });
        }
        fs::rename(&self.temporary, &self.path).map_err(failed)?;
        self.is_complete = true;
        sync_directory(&self.path)?;
        Ok(bytes)
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn complete(
    file: &mut TableWriter<BufWriter<File>>,
    ticks: &mut TickWriter,
    notes: Notes<'_>,
) -> Result<(), ParquetError> {
    let (bytes, note) = ticks.finish()?;
    let note = TickNote { offset: file.len(), length: bytes.len() as u64, ..note };
    file.write(bytes)?;
    let mut said = vec![(schema::HEADER_NOTE, notes.header.to_owned()), (schema::TICKS_NOTE, json(&note)?)];
    if let Some(facts) = notes.facts {
        said.push((schema::FACTS_NOTE, json(facts)?));
    }
    if !notes.replaces.is_empty() {
        said.push((schema::REPLACES_NOTE, json(notes.replaces)?));
    }
    file.finish(said)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, ParquetError> {
    serde_json::to_string(value).map_err(|error| ParquetError::External(Box::new(error)))
}

/// Has the name `path` outlast the host.
pub fn sync_directory(path: &Path) -> Result<(), RecordError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| RecordError::io(directory, error))
}

/// An error of the engine, without its own words around those of the system.
pub fn engine(path: &Path, error: &ParquetError) -> RecordError {
    match error {
        ParquetError::External(error) => RecordError::engine(path, error),
        other => RecordError::engine(path, other),
    }
}
