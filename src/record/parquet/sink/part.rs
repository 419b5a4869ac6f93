//! Writes one part: a hidden file until it is complete.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::TypePtr;

use crate::record::parquet::dir::Dir;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::name::PartName;
use crate::record::parquet::ticks::{PartTick, TickSummary, TickWriter};
use crate::record::parquet::write::buffer::RowBuffer;
use crate::record::parquet::write::table::TableWriter;
use crate::record::{RecordError, create};
use crate::report::Facts;

/// Writes a part. If it is dropped before it is complete, it leaves nothing behind.
pub(super) struct PartWriter {
    file: TableWriter<File>,
    ticks: TickWriter,
    directory: Dir,
    name: String,
    replaces_file: bool,
    is_complete: bool,
}

/// A part that was completed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompletePart {
    /// The size in bytes.
    pub bytes: u64,
    pub ticks: TickSummary,
}

/// What psn notes in the metadata of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartNotes<'a> {
    /// The run's header, as JSON.
    pub header: &'a str,
    /// The facts of the report, in the last part of a run.
    pub facts: Option<&'a Facts>,
    /// The names of the parts that were merged into this one.
    pub replaces: &'a [String],
}

impl PartWriter {
    /// Begins the part `name` in `directory`. `due_before` ticks of the run were due up to the tick before its first.
    pub(super) fn create(directory: &Dir, name: &str, schema: &TypePtr, due_before: u64) -> Result<Self, RecordError> {
        let temporary = PartName::temporary(name);
        let path = directory.path().join(&temporary);
        let failed = |error: ParquetError| engine(&path, error);
        let ticks = TickWriter::new(due_before).map_err(failed)?;
        let mode = create::file_mode();
        let file = match directory.create(&temporary, mode) {
            // A killed psn may have left it. If it belongs to another user, it is left alone.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => directory
                .remove_own(&temporary)
                .and_then(|()| directory.create(&temporary, mode))
                .map_err(|_| RecordError::Exists { path: path.clone() }),
            file => file.map_err(|error| RecordError::io(&path, error)),
        };
        let file = TableWriter::new(file?, schema).map_err(failed)?;
        let (directory, name) = (directory.clone(), name.to_owned());
        Ok(Self { file, ticks, directory, name, replaces_file: false, is_complete: false })
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join(PartName::temporary(&self.name))
    }

    /// Lets the part replace an existing file.
    pub(super) const fn replace_file(&mut self) {
        self.replaces_file = true;
    }

    /// The note on the ticks so far.
    pub(super) const fn note(&self) -> &TickSummary {
        self.ticks.note()
    }

    /// Adds the next tick. Its rows are written separately.
    pub(super) fn add(&mut self, tick: PartTick) -> Result<(), RecordError> {
        self.ticks.add(tick).map_err(|error| engine(&self.temporary(), error))
    }

    /// Writes `rows` as a row group, if there are any.
    pub(super) fn write(&mut self, rows: &mut RowBuffer) -> Result<(), RecordError> {
        rows.write(&mut self.file).map_err(|error| engine(&self.temporary(), error))
    }

    /// Copies a row group of `source`, which has the same columns.
    pub(super) fn copy(&mut self, source: &FileRange, group: &RowGroupMetaData) -> Result<(), RecordError> {
        self.file.copy_group(source, group).map_err(|error| engine(&self.temporary(), error))
    }

    /// Completes the part. From then on it survives a crash of the host.
    pub(super) fn finish(mut self, notes: PartNotes<'_>) -> Result<CompletePart, RecordError> {
        let path = self.directory.path().join(&self.name);
        let failed = |error| RecordError::io(&path, error);
        let note =
            complete(&mut self.file, &mut self.ticks, notes).map_err(|error| engine(&self.temporary(), error))?;
        let file = self.file.inner();
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        self.directory.rename(&PartName::temporary(&self.name), &self.name, self.replaces_file).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => RecordError::Exists { path: path.clone() },
                _ => failed(error),
            }
        })?;
        self.is_complete = true;
        self.directory.sync().map_err(|error| RecordError::io(self.directory.path(), error))?;
        Ok(CompletePart { bytes, ticks: note })
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = self.directory.remove_own(&PartName::temporary(&self.name));
        }
    }
}

fn complete(
    file: &mut TableWriter<File>,
    ticks: &mut TickWriter,
    notes: PartNotes<'_>,
) -> Result<TickSummary, ParquetError> {
    let (bytes, note) = ticks.finish()?;
    let note = TickSummary { offset: file.len(), length: bytes.len() as u64, ..note };
    file.write(bytes)?;
    let mut said = vec![(schema::HEADER_NOTE, notes.header.to_owned()), (schema::TICKS_NOTE, json(&note)?)];
    if let Some(facts) = notes.facts {
        said.push((schema::FACTS_NOTE, json(facts)?));
    }
    if !notes.replaces.is_empty() {
        said.push((schema::REPLACES_NOTE, json(notes.replaces)?));
    }
    file.finish(said)?;
    Ok(note)
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, ParquetError> {
    serde_json::to_string(value).map_err(|error| ParquetError::External(Box::new(error)))
}

/// The error of the `parquet` crate, or the one that it wraps: the system's own words are clearer.
pub(super) fn engine(path: &Path, error: ParquetError) -> RecordError {
    match error {
        ParquetError::External(cause) => RecordError::engine(path, cause),
        other => RecordError::engine(path, other),
    }
}
