//! `psn export`: recordings from one format into another, without loss.

use crate::ask::column::Column;
use crate::record::header::IDENTITY;
use crate::record::open::{self, SinkOptions};
use crate::record::{Header, Query, RecordError, RecordedColumn, Recording, RecordingFormat};
use crate::replay::question::Watch;
use crate::row::rows::Rows;
use crate::row::value::{Mark, Value};

/// The result of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Ticks.
    pub ticks: u64,
    /// Rows of these ticks.
    pub rows: u64,
    /// What could not be read, or was not copied.
    pub warnings: Vec<String>,
}

/// Bytes of a tick's rows at most, enough for a million threads. All rows of a tick are in memory, and again in the sink's.
const MAX_TICK_BYTES: usize = 96 << 20;

/// Copies `recordings` into the sink that `options` describe.
///
/// # Errors
/// When a recording cannot be read, or the sink cannot be written.
pub fn copy(
    recordings: &mut [Box<dyn Recording>],
    options: &SinkOptions,
    watch: &mut Watch<'_>,
) -> Result<Copied, RecordError> {
    let is_dataset =
        RecordingFormat::of(&options.path)? == RecordingFormat::Parquet && options.path.extension().is_none();
    if recordings.len() > 1 && !is_dataset {
        let count = recordings.len();
        let reason = format!(
            "one file holds one run, and there are {count} to be copied: copy them to a dataset (a directory, ending in /)"
        );
        return Err(RecordError::engine(&options.path, reason));
    }
    let mut copied = Copied::default();
    #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
    let count = recordings.len().max(1) as f64;
    for (index, recording) in recordings.iter_mut().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
        let mut watch = |done: f64| watch((index as f64 + done) / count);
        copy_one(recording.as_mut(), options, &mut watch, &mut copied)?;
    }
    Ok(copied)
}

fn copy_one(
    recording: &mut dyn Recording,
    options: &SinkOptions,
    watch: &mut Watch<'_>,
    copied: &mut Copied,
) -> Result<(), RecordError> {
    let known: Vec<&'static Column> = recording.header().columns.iter().filter_map(RecordedColumn::column).collect();
    // The original's recordings lack some of the columns that identify threads.
    let missing: Vec<&'static Column> = IDENTITY
        .into_iter()
        .filter_map(Column::find)
        .filter(|column| recording.header().place(column).is_none())
        .collect();
    let columns = known.iter().chain(&missing).map(|column| RecordedColumn::of(column)).collect();
    let unknown = recording.header().columns.iter().filter(|column| column.column().is_none());
    copied.warnings.extend(
        unknown.map(|column| format!("skipped the column {}: this version of psn does not know it", column.name)),
    );
    let header = Header { columns, ..recording.header().clone() };
    let mut sink = open::sink(options, &header)?;
    let query = Query { columns: known, from_ns: 0, to_ns: u64::MAX };
    let path = recording.path();
    let mut gathered: Vec<Rows> = Vec::new();
    recording.read(&query, &mut |piece| {
        watch(piece.progress)?;
        gathered.push(widened(piece.rows, query.columns.len(), missing.len()));
        if gathered.iter().map(Rows::size).sum::<usize>() > MAX_TICK_BYTES {
            let reason =
                format!("the rows of one tick take more than {} MiB, the limit of a copy", MAX_TICK_BYTES >> 20);
            return Err(RecordError::engine(&path, reason));
        }
        if piece.is_last {
            copied.ticks += 1;
            copied.rows += gathered.iter().map(Rows::len).sum::<usize>() as u64;
            sink.add(piece.tick, &mut gathered)?;
            gathered.clear();
        }
        Ok(())
    })?;
    copied.warnings.extend(recording.warnings());
    sink.finish(recording.facts())
}

/// `rows` with `missing` more columns, whose values are `[unsupported]`.
fn widened(rows: &Rows, columns: usize, missing: usize) -> Rows {
    if missing == 0 {
        return rows.clone();
    }
    let mut wide = Rows::new(columns + missing);
    for row in 0..rows.len() {
        (0..columns).for_each(|column| wide.push(rows.value(row, column)));
        (0..missing).for_each(|_| wide.push(Value::Mark(Mark::Unsupported)));
    }
    wide
}
