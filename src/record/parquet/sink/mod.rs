//! Writes ticks to the parts of a dataset, or to parts that become a single file at the end.

mod merge;
mod part;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parquet::schema::types::TypePtr;

use crate::record::parquet::dataset::{CatalogEntry, Dataset};
use crate::record::parquet::dir::Dir;
use crate::record::parquet::format::schema;
use crate::record::parquet::name::{self, Hour, PartName};
use crate::record::parquet::retention::{self, RetentionClock};
use crate::record::parquet::sink::merge::{MergeTarget, Merger};
use crate::record::parquet::sink::part::{CompletePart, PartNotes, PartWriter, engine};
use crate::record::parquet::ticks::PartTick;
use crate::record::parquet::write::buffer::RowBuffer;
use crate::record::repeats::Repeats;
use crate::record::{Header, RecordError, Sink, TickInfo, create};
use crate::report::Facts;
use crate::row::rows::Rows;
use crate::time::moment::nanoseconds;

/// How a dataset is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatasetOptions {
    /// The longest time that a part covers, which is what a killed psn may lose.
    pub part: Duration,
    /// How many rows complete a part.
    pub part_rows: usize,
    /// Parts older than this are removed.
    pub keep: Option<Duration>,
    /// The size in bytes that the parts of this host may have. The oldest are removed to keep it.
    pub max_size: Option<u64>,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        Self { part: Duration::from_secs(10), part_rows: 1_000_000, keep: None, max_size: None }
    }
}

/// The most rows of a row group. Engines read row groups in parallel, and psn reuses their memory.
const GROUP_ROWS: usize = 1 << 17;

/// The most memory, in bytes, for the rows of a row group.
const GROUP_BYTES: usize = 64 << 20;

/// How many rows are added before their memory is checked.
const PUSHED_ROWS: usize = 1 << 10;

/// Writes a dataset or a single file.
pub(super) struct ParquetSink {
    options: DatasetOptions,
    header: Header,
    header_json: String,
    schema: TypePtr,
    dataset: Dataset,
    /// The single file that the parts become, if there is one.
    single: Option<SingleFile>,
    part: Option<OpenPart>,
    rows: RowBuffer,
    repeats: Repeats,
    merger: Merger,
    clock: RetentionClock,
    ticks: u64,
    parts: u64,
    /// How many ticks were due up to the last one, and its time.
    due: u64,
    time_ns: u64,
}

/// The single file that is written.
struct SingleFile {
    /// The directory of the file, and its name there.
    directory: Dir,
    name: String,
    _lock: File,
}

/// The part that is being written.
struct OpenPart {
    writer: PartWriter,
    name: PartName,
    hour: Hour,
    /// The hour in whose directory it is; none if it is directly in that of the host.
    place: Option<Hour>,
    opened: Instant,
}

/// Whether `path` names a single file.
pub(super) fn is_single(path: &Path) -> bool {
    let is_parquet = path.extension().is_some_and(|extension| extension == "parquet");
    is_parquet && !path.as_os_str().as_encoded_bytes().ends_with(b"/") && !path.is_dir()
}

impl ParquetSink {
    /// Begins a recording in the dataset at `path`, or, if the name ends in `.parquet`, in that file. An earlier recording
    /// of the same run is replaced if `force` is set. Fails if another psn writes there.
    pub(super) fn create(
        path: &Path,
        header: &Header,
        force: bool,
        options: DatasetOptions,
    ) -> Result<Self, RecordError> {
        let single = if is_single(path) { Some(SingleFile::create(path, force)?) } else { None };
        let is_single = single.is_some();
        let mut dataset = match &single {
            Some(single) => Dataset::staging(&single.directory, &name::staging(&single.name))?,
            None => Dataset::of_host(path, &header.host)?,
        };
        let run = PartName::new(0, &header.run, 0).run;
        // What a killed psn left of the file that is replaced is removed as well.
        let of_run = dataset.catalog.iter().filter(|(_, entry)| is_single || entry.name.run == run);
        let of_run: Vec<String> = of_run.map(|(name, _)| name.clone()).collect();
        if !of_run.is_empty() && !force {
            return Err(RecordError::RunExists { path: path.to_owned(), run: header.run.clone() });
        }
        of_run.iter().for_each(|name| dataset.remove(name));
        let header_json = serde_json::to_string(header).map_err(|error| RecordError::engine(path, error))?;
        Ok(Self {
            options,
            header_json,
            schema: schema::rows(header).map_err(|error| engine(path, error))?,
            rows: RowBuffer::new(header),
            repeats: Repeats::new(header),
            header: header.clone(),
            dataset,
            single,
            part: None,
            merger: Merger::default(),
            clock: RetentionClock::default(),
            ticks: 0,
            parts: 0,
            due: 0,
            time_ns: header.started_ns,
        })
    }

    fn is_due(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.opened.elapsed() >= self.options.part)
    }

    /// The part for a tick at `time_ns`; begins a new one if the current one is due or of another hour.
    fn part(&mut self, time_ns: u64) -> Result<&mut OpenPart, RecordError> {
        let hour = Hour::of(time_ns);
        let is_over = self.part.as_ref().is_some_and(|part| part.hour != hour);
        if is_over || self.is_due() {
            self.close(None)?;
        }
        let part = match self.part.take() {
            Some(part) => part,
            None => self.open(time_ns, hour)?,
        };
        Ok(self.part.insert(part))
    }

    fn open(&mut self, time_ns: u64, hour: Hour) -> Result<OpenPart, RecordError> {
        self.parts += 1;
        let name = PartName::new(time_ns, &self.header.run, self.parts);
        let (place, directory) = self.dataset.directory(&hour)?;
        let writer = PartWriter::create(&directory, &name.to_string(), &self.schema, self.due)?;
        if self.single.is_none() {
            self.merger.start(merge::jobs(self.dataset.root(), &self.dataset.catalog, place.as_ref()));
        }
        Ok(OpenPart { writer, name, hour, place, opened: Instant::now() })
    }

    /// Completes the part that is being written.
    fn close(&mut self, facts: Option<&Facts>) -> Result<(), RecordError> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        part.writer.write(&mut self.rows)?;
        let complete = part.writer.finish(PartNotes { header: &self.header_json, facts, replaces: &[] })?;
        let CompletePart { bytes, ticks } = complete;
        self.dataset.insert(CatalogEntry { name: part.name, hour: part.place, bytes, ticks });
        self.tidy();
        Ok(())
    }

    /// Takes over what was merged, and removes what is too old or too much.
    fn tidy(&mut self) {
        for merged in self.merger.done() {
            merged.replaces.iter().for_each(|name| self.dataset.remove(name));
            self.dataset.insert(merged.entry);
        }
        if self.single.is_none() {
            let DatasetOptions { keep, max_size, .. } = self.options;
            let now_ns = self.clock.now(self.time_ns, Instant::now());
            let oldest_ns = keep.map(|keep| now_ns.saturating_sub(nanoseconds(keep)));
            for name in retention::excess(&self.dataset.catalog, self.time_ns, oldest_ns, max_size) {
                self.dataset.remove(&name);
            }
        }
    }

    /// Merges all parts into the single file.
    fn unite(&mut self) -> Result<(), RecordError> {
        let Some(SingleFile { directory, name, .. }) = &self.single else { return Ok(()) };
        let mut parts: Vec<&CatalogEntry> = self.dataset.catalog.values().collect();
        // Not by time: the clock may have been set back.
        parts.sort_by_key(|entry| entry.name.first);
        let parts: Vec<String> = parts.into_iter().map(|entry| entry.name.to_string()).collect();
        if parts.is_empty() {
            let _ = directory.remove_own(name);
        } else {
            let target = MergeTarget { directory, name, replaces_file: true };
            merge::merge(self.dataset.root(), &parts, target, &[], &Arc::new(AtomicBool::new(false)))?;
        }
        self.dataset.dissolve(directory, &name::staging(name));
        Ok(())
    }
}

impl SingleFile {
    fn create(path: &Path, force: bool) -> Result<Self, RecordError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| RecordError::engine(path, "the name of a Parquet file must be UTF-8"))?.to_owned();
        let place = create::Destination::of(path)?;
        let parent = path.parent().unwrap_or_else(|| Path::new("."));
        let directory = Dir::reopened(&place.directory, parent).map_err(|error| RecordError::io(path, error))?;
        Ok(Self { directory, name, _lock: create::file_at(&place, force)? })
    }
}

impl Sink for ParquetSink {
    fn add(&mut self, tick: &TickInfo, rows: &mut Vec<Rows>) -> Result<(), RecordError> {
        #[expect(clippy::cast_precision_loss, reason = "seconds to be summed up")]
        let seconds = tick.due.saturating_sub(self.due) as f64 / self.header.hz;
        let number = self.ticks;
        self.part(tick.time_ns)?;
        let Some(part) = &mut self.part else { return Ok(()) };
        self.rows.begin(number, tick.time_ns, seconds);
        let mut found = self.repeats.find(rows);
        let most = self.options.part_rows.clamp(1, GROUP_ROWS);
        for rows in &*rows {
            let mut from = 0;
            while from < rows.len() {
                let to = rows.len().min(from + PUSHED_ROWS).min(from + most - self.rows.len());
                let (of_these, later) = found.split_at_checked(to - from).unwrap_or_default();
                self.rows.push(rows, from..to, of_these);
                found = later;
                from = to;
                if self.rows.len() >= most || self.rows.size() >= GROUP_BYTES {
                    part.writer.write(&mut self.rows)?;
                }
            }
        }
        let count = rows.iter().map(Rows::len).sum::<usize>() as u64;
        part.writer.add(PartTick { number, info: tick.clone(), rows: count })?;
        self.repeats.remember(rows);
        let is_full = part.writer.note().rows >= self.options.part_rows.max(1) as u64;
        self.ticks += 1;
        self.due = tick.due;
        self.time_ns = tick.time_ns;
        if is_full { self.close(None) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        if self.is_due() { self.close(None) } else { Ok(()) }
    }

    fn finish(&mut self, facts: Option<&Facts>) -> Result<(), RecordError> {
        // If there was no tick since the last part, the facts get a part of their own.
        if facts.is_some() && self.ticks > 0 && self.part.is_none() {
            self.part(self.time_ns)?;
        }
        self.close(facts)?;
        self.merger.stop();
        if self.single.is_some() { self.unite() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::record::fixture::{
        COLUMNS, Directory, START, a_part_a_tick, add, expected, header, parts, query, read, rows, texts, threads, tick,
    };
    use crate::record::parquet::{create, open};

    fn names(directory: &Path) -> Vec<String> {
        let of = |path: &PathBuf| path.strip_prefix(directory).unwrap().display().to_string();
        parts(directory).iter().map(of).collect()
    }

    #[test]
    fn a_part_lies_where_its_host_and_hour_say() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run-7"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..3, START);
        assert_eq!(names(&root.path), [""; 0], "what is written is hidden");
        sink.finish(None).unwrap();
        let name = "host=web%2F1/date=2026-11-23/hour=03/part-20261123T030000.000000Z-run-7-00000001.parquet";
        assert_eq!(names(&root.path), [name]);
    }

    #[test]
    fn parts_end_with_their_time_their_rows_and_their_hour() {
        let root = Directory::new();
        let options = DatasetOptions { part_rows: 10, ..DatasetOptions::default() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, 0..20, START);
        sink.flush().unwrap();
        assert_eq!(names(&root.path).len(), 2, "of 30 rows, the last are in no complete part");
        add(&mut *sink, [36_000].into_iter(), START);
        sink.finish(None).unwrap();
        let names = names(&root.path);
        assert!(names[names.len() - 1].contains("hour=04"), "{names:?}");
        // Those of the past hour may have been merged by now.
        let ticks = read(&mut *open(&root.path, &Arc::default()).unwrap()[0], &query(&COLUMNS));
        assert_eq!(ticks, expected((0..20).chain([36_000]), START));

        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..1, START);
        sink.flush().unwrap();
        assert_eq!(parts(&root.path).len(), 1, "a flush completes what is due");
    }

    #[test]
    fn what_was_not_complete_leaves_nothing() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..3, START);
        drop(sink);
        let hour = root.path.join("host=web%2F1/date=2026-11-23/hour=03");
        assert_eq!(fs::read_dir(hour).unwrap().count(), 0);
    }

    #[test]
    fn a_run_is_recorded_once() {
        let root = Directory::new();
        for run in ["a", "b"] {
            let mut sink = create(&root.path, &header(run), false, DatasetOptions::default()).unwrap();
            add(&mut *sink, 0..3, START);
            sink.finish(None).unwrap();
        }
        let again = |force| create(&root.path, &header("a"), force, DatasetOptions::default());
        assert!(matches!(again(false), Err(RecordError::RunExists { .. })));
        drop(again(true).unwrap());
        assert_eq!(parts(&root.path).len(), 1, "of the other run");
    }

    #[test]
    fn the_oldest_parts_make_room() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("old"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..1, START - 3600 * 1_000_000_000);
        sink.finish(None).unwrap();
        drop(sink);
        let host = root.path.join("host=web%2F1");
        let hour = host.join("date=2026-11-23/hour=02");
        let old = parts(&host).remove(0);
        assert!(old.starts_with(&hour));
        let other = root.path.join("host=other/date=2026-11-23/hour=02");
        fs::create_dir_all(&other).unwrap();
        fs::copy(&old, other.join(old.file_name().unwrap())).unwrap();
        let mine = [
            "mine.parquet".to_owned(),
            // It is not what its name says, so it does not count, whatever its size.
            PartName::new(START - 10, "x", 1).to_string(),
            PartName::new(START * 3, "x", 1).to_string(),
        ];
        mine.iter().for_each(|name| fs::write(hour.join(name), "x").unwrap());
        fs::copy(&old, hour.join(PartName::new(START * 2, "old", 1).to_string())).unwrap();
        fs::File::options().write(true).open(hour.join(&mine[2])).unwrap().set_len(1 << 40).unwrap();
        let options = DatasetOptions { keep: Some(Duration::from_secs(1)), max_size: Some(1 << 30), ..a_part_a_tick() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, 0..30, START);
        sink.finish(None).unwrap();
        assert!(!old.exists() && fs::read_dir(&other).unwrap().count() == 1, "only its own go");
        assert_eq!(fs::read_dir(&hour).unwrap().count(), 4, "and what is no part of it stays");
        let mut recordings = open(&host, &Arc::default()).unwrap();
        let last = recordings.len() - 1;
        assert_eq!(read(&mut *recordings[last], &query(&COLUMNS)), expected(20..30, START), "those of the last second");

        let root = Directory::new();
        let options = DatasetOptions { max_size: Some(20_000), ..a_part_a_tick() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, 0..30, START);
        sink.finish(None).unwrap();
        let bytes: u64 = parts(&root.path).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!((10_000..=20_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn directories_of_which_all_parts_are_gone_go_too() {
        let root = Directory::new();
        let options = DatasetOptions { max_size: Some(1), ..a_part_a_tick() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, [0, 36_000, 36_000 * 30].into_iter(), START);
        sink.finish(None).unwrap();
        let host = root.path.join("host=web%2F1");
        let mut left: Vec<_> = fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["date=2026-11-24"]);
    }

    #[test]
    fn parts_of_a_past_hour_become_one() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("a"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..10, START);
        add(&mut *sink, 36_000..36_003, START);
        for _ in 0..6000 {
            if parts(&root.path).len() == 1 + 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        add(&mut *sink, 36_003..36_005, START);
        sink.finish(Some(&Facts::default())).unwrap();
        let names = names(&root.path);
        assert!(names[0].ends_with("hour=03/part-20261123T030000.000000Z-a-00000001_00000010.parquet"), "{names:?}");
        assert_eq!(names.len(), 6);
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        assert_eq!(recordings.len(), 1);
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected((0..10).chain(36_000..36_005), START));
        assert_eq!(recordings[0].facts(), Some(&Facts::default()));
    }

    proptest! {
        #[test]
        fn what_stays_and_what_changes_comes_back_as_it_was(
            ticks in prop::collection::vec(prop::collection::vec((0u8..6, 0i64..4), 0..8), 1..40),
            part_rows in 5usize..60,
        ) {
            let root = Directory::new();
            let options = DatasetOptions { part_rows, ..DatasetOptions::default() };
            let mut sink = create(&root.path, &header("run"), false, options).unwrap();
            let mut wanted = Vec::new();
            for (number, seen) in ticks.iter().enumerate() {
                let (here, there) = seen.split_at(seen.len() / 2);
                let info = tick(number as u64, START);
                let mut rows = vec![threads(here), threads(there)];
                wanted.push((info.clone(), rows.iter().flat_map(|rows| texts(rows, COLUMNS.len())).collect()));
                sink.add(&info, &mut rows).unwrap();
            }
            sink.finish(None).unwrap();
            prop_assert_eq!(read(&mut *open(&root.path, &Arc::default()).unwrap()[0], &query(&COLUMNS)), wanted);
        }
    }

    #[test]
    fn many_threads_in_a_tick_take_several_row_groups() {
        let root = Directory::new();
        let mut sink =
            create(&root.path, &header("run"), false, DatasetOptions { part_rows: 2, ..a_part_a_tick() }).unwrap();
        let mut many: Vec<Rows> = (0..8).flat_map(rows).collect();
        sink.add(&tick(0, START), &mut many).unwrap();
        sink.finish(None).unwrap();
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        let rows = expected(0..8, START).into_iter().flat_map(|(_, rows)| rows).collect();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), [(tick(0, START), rows)]);
    }

    #[test]
    fn a_single_file_is_made_of_parts_at_the_end() {
        let root = Directory::new();
        let path = root.path.join("x.parquet");
        let mut sink = create(&path, &header("run"), false, a_part_a_tick()).unwrap();
        assert!(matches!(create(&path, &header("other"), true, a_part_a_tick()), Err(RecordError::Locked { .. })));
        add(&mut *sink, 0..10, START);
        sink.flush().unwrap();
        let mut recordings = open(&path, &Arc::default()).unwrap();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected(0..10, START), "what is complete can be read");
        assert!(recordings[0].warnings()[0].contains("is not complete"));
        sink.finish(Some(&Facts::default())).unwrap();
        assert_eq!(fs::read_dir(&root.path).unwrap().count(), 1, "nothing else is left");
        let mut recordings = open(&path, &Arc::default()).unwrap();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected(0..10, START));
        assert_eq!((recordings[0].warnings(), recordings[0].facts()), (Vec::new(), Some(&Facts::default())));
        assert!(matches!(create(&path, &header("run"), false, a_part_a_tick()), Err(RecordError::Exists { .. })));
        let mut sink = create(&path, &header("other"), true, a_part_a_tick()).unwrap();
        sink.finish(None).unwrap();
        assert_eq!(fs::read_dir(&root.path).unwrap().count(), 0, "of nothing there is no file");
    }

    #[test]
    fn what_a_killed_psn_left_for_a_single_file_goes_with_force() {
        let root = Directory::new();
        let path = root.path.join("x.parquet");
        let mut sink = create(&path, &header("run"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..10, START);
        drop(sink);
        assert!(matches!(create(&path, &header("run"), false, a_part_a_tick()), Err(RecordError::Exists { .. })));
        let mut sink = create(&path, &header("new"), true, a_part_a_tick()).unwrap();
        add(&mut *sink, 3..5, START);
        sink.finish(None).unwrap();
        let mut recordings = open(&path, &Arc::default()).unwrap();
        // The first of them has the number 0 in its run.
        let ticks = read(&mut *recordings[0], &query(&COLUMNS));
        assert_eq!((recordings[0].header().run.as_str(), ticks), ("new", expected(3..5, START)));
    }
}
