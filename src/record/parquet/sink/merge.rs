//! Merges the small parts of a past hour into few large ones, which take less room and which engines read faster.
//!
//! The merged part is complete, and lists the parts that it replaces, before these are removed. If psn is killed in between,
//! both are there: readers take one of them, and the next writer removes the other.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::record::parquet::dataset::{self, CatalogEntry, PartCatalog};
use crate::record::parquet::dir::Dir;
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::format::footer::Footer;
use crate::record::parquet::format::range::FileRange;
use crate::record::parquet::format::schema;
use crate::record::parquet::info::{HeaderJson, OpenedPart};
use crate::record::parquet::name::{Hour, PartName};
use crate::record::parquet::read::rows::{RowReader, WantedColumn};
use crate::record::parquet::sink::part::{CompletePart, PartNotes, PartWriter, engine};
use crate::record::parquet::ticks::TickReader;
use crate::record::parquet::write::buffer::RowBuffer;
use crate::record::{PIECE_ROWS, RecordError};
use crate::report::Facts;
use crate::row::rows::Rows;

/// Row groups with at least this many rows, the size of DuckDB's, are copied without being decoded.
const GOOD_ROWS: u64 = 122_880;

/// The most rows of a row group that is made of smaller ones.
const MAX_ROWS: usize = 1 << 20;

/// The most memory, in bytes, for the rows of a row group.
const MAX_BYTES: usize = 64 << 20;

/// Row groups of parts with more bytes of metadata are not copied.
const MAX_COPIED: usize = 1 << 20;

/// The most bytes of a merged part, so that no merge takes too long.
const MAX_MERGED: u64 = 256 << 20;

/// Why there is nothing to merge.
const NO_PARTS: &str = "there are no parts to be merged";

/// Parts to merge into one.
#[derive(Debug)]
pub(super) struct MergeJob {
    host: Dir,
    hour: Option<Hour>,
    parts: Vec<CatalogEntry>,
}

impl MergeJob {
    /// The name of the first part, by which a job that failed is remembered.
    fn name(&self) -> String {
        self.parts.first().map(|entry| entry.name.to_string()).unwrap_or_default()
    }
}

/// A merge that was done.
#[derive(Debug)]
pub(super) struct Merged {
    /// The merged part.
    pub entry: CatalogEntry,
    /// The names of the parts that it replaces.
    pub replaces: Vec<String>,
}

/// The merges to do below `host`. The hour `current` is left out: parts are still written to it.
pub(super) fn jobs(host: &Dir, catalog: &PartCatalog, current: Option<&Hour>) -> Vec<MergeJob> {
    let mut groups: Vec<Vec<&CatalogEntry>> = Vec::new();
    let mut bytes = 0;
    // In the order of time, and so directory by directory.
    for entry in catalog.values().filter(|entry| entry.hour.as_ref() != current) {
        bytes += entry.bytes;
        let goes_with = |last: &&CatalogEntry| last.hour == entry.hour && last.name.run == entry.name.run;
        match groups.last_mut() {
            Some(group) if bytes <= MAX_MERGED && group.last().is_some_and(goes_with) => group.push(entry),
            _ => {
                bytes = entry.bytes;
                groups.push(vec![entry]);
            }
        }
    }
    let job = |group: Vec<&CatalogEntry>| {
        let mut parts: Vec<CatalogEntry> = group.into_iter().cloned().collect();
        // Not by time: the clock may have been set back.
        parts.sort_by_key(|entry| entry.name.first);
        MergeJob { host: host.clone(), hour: parts.first().and_then(|entry| entry.hour.clone()), parts }
    };
    groups.into_iter().filter(|group| group.len() > 1).map(job).collect()
}

/// The thread that merges.
#[derive(Debug, Default)]
pub(super) struct Merger {
    thread: Option<JoinHandle<Vec<Outcome>>>,
    /// The names of jobs that failed.
    failed: HashSet<String>,
    stop: Arc<AtomicBool>,
}

/// A merge that was done, or the name of the job that failed.
type Outcome = Result<Merged, String>;

impl Merger {
    /// The merges done since the last call.
    pub(super) fn done(&mut self) -> Vec<Merged> {
        let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) else { return Vec::new() };
        // If the thread panicked, nothing is merged, and the parts are still there.
        let (merged, failed): (Vec<_>, Vec<_>) = thread.join().unwrap_or_default().into_iter().partition(Result::is_ok);
        self.failed.extend(failed.into_iter().filter_map(Result::err));
        merged.into_iter().filter_map(Result::ok).collect()
    }

    /// Begins these merges, unless some are in progress.
    pub(super) fn start(&mut self, mut jobs: Vec<MergeJob>) {
        jobs.retain(|job| !self.failed.contains(&job.name()));
        if self.thread.is_some() || jobs.is_empty() {
            return;
        }
        let stop = Arc::clone(&self.stop);
        let merge = move || {
            // On Linux, this applies to the thread alone.
            let _ = rustix::process::nice(19);
            let of_job = |job: &MergeJob| run(job, &stop).map_err(|_| job.name());
            jobs.iter().take_while(|_| !stop.load(Ordering::Relaxed)).map(of_job).collect()
        };
        // Without a thread, the parts stay as they are.
        self.thread = std::thread::Builder::new().name("psn-merge".to_owned()).spawn(merge).ok();
    }

    /// Ends the merge in progress, and waits for the thread.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Merges the parts, and removes them.
fn run(job: &MergeJob, stop: &Arc<AtomicBool>) -> Result<Merged, RecordError> {
    let (Some(first), Some(last)) = (job.parts.first(), job.parts.last()) else {
        return Err(RecordError::not_recording(job.host.path(), NO_PARTS));
    };
    let directory = dataset::place(&job.host, job.hour.as_ref())?;
    let name = PartName::merged(&first.name, &last.name);
    let replaces: Vec<String> = job.parts.iter().map(|entry| entry.name.to_string()).collect();
    let target = MergeTarget { directory: &directory, name: &name.to_string(), replaces_file: false };
    let complete = merge(&directory, &replaces, target, &replaces, stop)?;
    // Readers that do not know what replaces what see everything twice for this moment.
    replaces.iter().for_each(|name| drop(directory.remove_own(name)));
    let entry = CatalogEntry { name, hour: job.hour.clone(), bytes: complete.bytes, ticks: complete.ticks };
    Ok(Merged { entry, replaces })
}

/// Where the merged part is written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct MergeTarget<'a> {
    pub directory: &'a Dir,
    pub name: &'a str,
    /// Whether an existing file of that name is replaced.
    pub replaces_file: bool,
}

/// Writes the contents of the parts `names` in `source`, in this order, to `target`, which notes that it replaces
/// `replaces`. Fails if a part cannot be read, is of another run, or belongs to another user, and if `stop` is set.
pub(super) fn merge(
    source: &Dir,
    names: &[String],
    target: MergeTarget<'_>,
    replaces: &[String],
    stop: &Arc<AtomicBool>,
) -> Result<CompletePart, RecordError> {
    let mut merge: Option<Merge> = None;
    for name in names {
        let path = source.path().join(name);
        let part = open_own(source, name).map_err(|damage| RecordError::not_recording(&path, damage))?;
        let merge = match &mut merge {
            Some(merge) => merge,
            none => none.insert(Merge::new(target, &part, stop).map_err(|error| error.on(&path))?),
        };
        if merge.header != part.info.header {
            return Err(RecordError::not_recording(&path, "it is of another run than the part before it"));
        }
        merge.add(part).map_err(|error| error.on(&path))?;
    }
    let merge = merge.ok_or_else(|| RecordError::not_recording(source.path(), NO_PARTS))?;
    merge.finish(replaces)
}

/// Opens the part `name` in `directory`, if it belongs to psn's user.
fn open_own(directory: &Dir, name: &str) -> Result<OpenedPart, Damage> {
    let file = directory.file(Path::new(name))?;
    if file.is_own()? { OpenedPart::of(file) } else { Err(Damage::Form("it is another user's")) }
}

struct Merge {
    stop: Arc<AtomicBool>,
    header: HeaderJson,
    hz: f64,
    wanted: Vec<WantedColumn>,
    writer: PartWriter,
    rows: RowBuffer,
    /// How many ticks of the run were due up to the last one added.
    due: u64,
    facts: Option<Facts>,
}

/// A tick whose rows are being written. `rows` is how many are left.
#[derive(Debug, Clone, Copy, Default)]
struct TickShare {
    number: u64,
    time_ns: u64,
    seconds: f64,
    rows: u64,
}

impl Merge {
    fn new(target: MergeTarget<'_>, first: &OpenedPart, stop: &Arc<AtomicBool>) -> Result<Self, MergeFailure> {
        let path = target.directory.path().join(target.name);
        let header = first.info.header.parse()?;
        let schema = schema::rows(&header).map_err(|error| engine(&path, error))?;
        let wanted = |column: &crate::record::RecordedColumn| WantedColumn {
            name: column.name.clone(),
            is_number: column.is_number(),
        };
        let mut writer = PartWriter::create(target.directory, target.name, &schema, first.info.ticks.due_before)?;
        if target.replaces_file {
            writer.replace_file();
        }
        Ok(Self {
            stop: Arc::clone(stop),
            header: first.info.header.clone(),
            hz: header.hz,
            wanted: header.columns.iter().map(wanted).collect(),
            writer,
            rows: RowBuffer::new(&header),
            due: first.info.ticks.due_before,
            facts: None,
        })
    }

    fn add(&mut self, part: OpenedPart) -> Result<(), MergeFailure> {
        const MORE: Damage = Damage::Form("it has more rows than its ticks have");
        let OpenedPart { file, footer, info } = part;
        let groups: Vec<u64> = footer.groups.iter().map(|group| group.rows).collect();
        let copied = copied(&file, &footer);
        let facts: Option<Facts> = info.facts.and_then(|facts| serde_json::from_str(&facts).ok());
        self.facts = facts.or(self.facts.take());
        let mut ticks = TickReader::new(&file, &info.ticks, &self.stop)?;
        let mut reader = RowReader::new(&file, footer, &self.wanted, &self.stop)?;
        let mut share = TickShare::default();
        for (place, rows) in groups.into_iter().enumerate() {
            let group = copied.as_ref().and_then(|metadata| metadata.row_groups().get(place));
            let group = group.filter(|_| rows >= GOOD_ROWS);
            if let Some(group) = group {
                self.writer.write(&mut self.rows)?;
                self.writer.copy(&file, group)?;
                reader.skip(rows);
            }
            let mut left = rows;
            while left > 0 {
                while share.rows == 0 {
                    share = self.next_tick(&mut ticks)?.ok_or(MORE)?;
                }
                let now = share.rows.min(left);
                if group.is_none() {
                    self.read(&mut reader, share, now)?;
                }
                share.rows -= now;
                left -= now;
            }
        }
        // Only ticks without rows may be left.
        while let Some(more) = self.next_tick(&mut ticks)? {
            if more.rows > 0 {
                return Err(Damage::Form("it has fewer rows than its ticks have").into());
            }
        }
        Ok(())
    }

    /// Adds the next tick of a part.
    fn next_tick(&mut self, ticks: &mut TickReader) -> Result<Option<TickShare>, MergeFailure> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(RecordError::Stopped.into());
        }
        let Some(tick) = ticks.next()? else { return Ok(None) };
        let due = tick.info.due.saturating_sub(self.due);
        self.due = tick.info.due;
        #[expect(clippy::cast_precision_loss, reason = "seconds to be summed up")]
        let seconds = due as f64 / self.hz;
        let share = TickShare { number: tick.number, time_ns: tick.info.time_ns, seconds, rows: tick.rows };
        self.writer.add(tick)?;
        Ok(Some(share))
    }

    /// Adds the next `count` rows, which belong to the tick `share`.
    fn read(&mut self, reader: &mut RowReader, share: TickShare, count: u64) -> Result<(), MergeFailure> {
        self.rows.begin(share.number, share.time_ns, share.seconds);
        let mut piece = Rows::new(self.wanted.len());
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        while left > 0 {
            let now = left.min(PIECE_ROWS).min(MAX_ROWS - self.rows.len());
            piece.clear();
            let now = reader.read(now, &mut piece)?;
            self.rows.push(&piece, 0..now, &[]);
            left -= now;
            if self.rows.len() >= MAX_ROWS || self.rows.size() >= MAX_BYTES {
                self.writer.write(&mut self.rows)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, replaces: &[String]) -> Result<CompletePart, RecordError> {
        self.writer.write(&mut self.rows)?;
        self.writer.finish(PartNotes { header: self.header.text(), facts: self.facts.as_ref(), replaces })
    }
}

/// The metadata of a part as the crate's reader gives them, if row groups of it are to be copied.
fn copied(file: &FileRange, footer: &Footer) -> Option<ParquetMetaData> {
    // The crate takes up to a hundred times the memory that the metadata have in the file. Their nesting was checked by
    // [`Footer`].
    let is_small = footer.len <= MAX_COPIED;
    let is_worth = footer.has_sums && is_small && footer.groups.iter().any(|group| group.rows >= GOOD_ROWS);
    if is_worth { ParquetMetaDataReader::new().parse_and_finish(file.file()).ok() } else { None }
}

/// Why a merge failed.
enum MergeFailure {
    Damage(Damage),
    Record(RecordError),
}

impl MergeFailure {
    fn on(self, path: &Path) -> RecordError {
        match self {
            Self::Damage(damage) => RecordError::not_recording(path, damage),
            Self::Record(error) => error,
        }
    }
}

impl From<Damage> for MergeFailure {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<RecordError> for MergeFailure {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::record::fixture::{
        COLUMNS, Directory, START, a_part_a_tick, add, expected, header, parts, query, read, tick,
    };
    use crate::record::parquet::ticks::TickSummary;
    use crate::record::parquet::{DatasetOptions, create, open};
    use crate::row::observation::Value;

    /// A dataset of ten parts, and their paths.
    fn ten_parts(root: &Path) -> Vec<PathBuf> {
        let mut sink = create(root, &header("run"), false, a_part_a_tick()).unwrap();
        add(&mut *sink, 0..10, START);
        sink.finish(Some(&Facts::default())).unwrap();
        parts(root)
    }

    fn merge_to(
        paths: &[PathBuf],
        name: &str,
        replaces: &[String],
        stop: &Arc<AtomicBool>,
    ) -> Result<CompletePart, RecordError> {
        let directory = Dir::of_file(&paths[0]).unwrap();
        let names: Vec<String> =
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        merge(&directory, &names, MergeTarget { directory: &directory, name, replaces_file: false }, replaces, stop)
    }

    fn merge_all(paths: &[PathBuf]) -> PathBuf {
        let name = |path: &PathBuf| PartName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let merged = PartName::merged(&name(&paths[0]), &name(&paths[paths.len() - 1]));
        let path = paths[0].with_file_name(merged.to_string());
        let replaces: Vec<String> = paths.iter().map(|path| name(path).to_string()).collect();
        merge_to(paths, &merged.to_string(), &replaces, &Arc::default()).unwrap();
        path
    }

    #[test]
    fn what_is_merged_is_what_it_was() {
        let root = Directory::new();
        let paths = ten_parts(&root.path);
        let before = open(&root.path, &Arc::default()).unwrap();
        let merged = merge_all(&paths);
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        assert_eq!(recordings.len(), 1);
        assert_eq!(
            read(&mut *recordings[0], &query(&COLUMNS)),
            expected(0..10, START),
            "both are there, and read once"
        );
        // Opening the dataset for writing removes what is replaced.
        drop(create(&root.path, &header("next"), false, DatasetOptions::default()).unwrap());
        assert_eq!(parts(&root.path), [merged]);
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected(0..10, START));
        assert_eq!(recordings[0].facts(), Some(&Facts::default()));
        let mut gone = before;
        assert_eq!(
            read(&mut *gone[0], &query(&COLUMNS)),
            expected(0..10, START),
            "who opened the parts reads what they were merged into"
        );
        assert_eq!(gone[0].warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_part_replaces_none_of_another_run_or_directory_or_that_has_more() {
        let root = Directory::new();
        let own = ten_parts(&root.path);
        // Written elsewhere, so that nothing is merged here meanwhile.
        let elsewhere = Directory::new();
        for numbers in [0..1, 36_000..36_001] {
            let mut sink = create(&elsewhere.path, &header("other"), true, a_part_a_tick()).unwrap();
            add(&mut *sink, numbers, START);
            sink.finish(None).unwrap();
            drop(sink);
            let made = parts(&elsewhere.path).remove(0);
            let place = root.path.join(made.strip_prefix(&elsewhere.path).unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(made, place).unwrap();
        }
        let of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let others: Vec<String> = parts(&root.path).iter().filter(|path| !own.contains(path)).map(of).collect();
        let claimed = [
            &others[..],
            &own.iter().map(of).collect::<Vec<_>>(),
            &[format!("../hour=04/{}", others[1]), own[9].display().to_string(), ".".to_owned()],
        ]
        .concat();
        // It has only the first three, and claims to replace all.
        let names: Vec<PartName> = own.iter().map(|path| PartName::parse(&of(path)).unwrap()).collect();
        merge_to(&own[..3], &PartName::merged(&names[0], &names[9]).to_string(), &claimed, &Arc::default()).unwrap();
        let runs = || {
            let recordings = open(&root.path, &Arc::default()).unwrap();
            let read = |mut recording: Box<dyn crate::record::Recording>| read(&mut *recording, &query(&COLUMNS));
            recordings.into_iter().map(read).map(|ticks| ticks.len()).collect::<Vec<_>>()
        };
        assert_eq!(runs(), [1, 10]);
        assert_eq!(parts(&root.path).len(), 13);
        // The next writer removes those three, and no others.
        drop(create(&root.path, &header("next"), false, DatasetOptions::default()).unwrap());
        assert_eq!(parts(&root.path).len(), 10);
        assert_eq!(runs(), [1, 10]);
    }

    #[test]
    fn a_merged_part_can_be_merged_again() {
        let root = Directory::new();
        let paths = ten_parts(&root.path);
        let merged = merge_all(&paths[..6]);
        paths[..6].iter().for_each(|path| fs::remove_file(path).unwrap());
        let again = merge_all(&[std::slice::from_ref(&merged), &paths[6..]].concat());
        fs::remove_file(&merged).unwrap();
        paths[6..].iter().for_each(|path| fs::remove_file(path).unwrap());
        let mut recordings = open(&again, &Arc::default()).unwrap();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected(0..10, START));
    }

    #[test]
    fn large_row_groups_are_copied_among_small_ones() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, a_part_a_tick()).unwrap();
        let mut large = Rows::new(COLUMNS.len());
        for thread in 0..i128::from(GOOD_ROWS) + 10 {
            for column in 0..COLUMNS.len() {
                large.push(match column {
                    3 => Value::Text(b"R"),
                    4 => Value::Text([&b"a"[..], b"b", b"c"][usize::try_from(thread % 3).unwrap()]),
                    6 => Value::Text(b"-"),
                    _ => Value::Number(thread),
                });
            }
        }
        add(&mut *sink, 0..2, START);
        sink.add(&tick(2, START), &mut vec![large.clone()]).unwrap();
        add(&mut *sink, 3..6, START);
        sink.finish(None).unwrap();
        let merged = merge_all(&parts(&root.path));
        let footer = Footer::read(&FileRange::open(&merged).unwrap()).unwrap();
        assert_eq!(footer.groups.iter().map(|group| group.rows).collect::<Vec<_>>(), [1, GOOD_ROWS + 10, 4]);
        let mut recordings = open(&merged, &Arc::default()).unwrap();
        let mut wanted = expected(0..6, START);
        wanted[2].1 = crate::record::fixture::texts(&large, COLUMNS.len());
        assert!(read(&mut *recordings[0], &query(&COLUMNS)) == wanted);
    }

    #[test]
    fn a_damaged_part_stays_where_it_is_and_so_do_the_others() {
        let root = Directory::new();
        let paths = ten_parts(&root.path);
        fs::write(&paths[4], "x").unwrap();
        let entries = crate::record::parquet::dataset::Dataset::of_host(&root.path, "web/1").unwrap();
        // The catalog lacks the damaged part. Of the others, one is damaged after it was listed.
        assert_eq!(entries.catalog.len(), 9);
        fs::write(&paths[6], "x").unwrap();
        let jobs = jobs(entries.root(), &entries.catalog, None);
        assert_eq!(jobs.len(), 1);
        assert!(run(&jobs[0], &Arc::default()).is_err());
        assert_eq!(parts(&root.path), paths);
        assert_eq!(fs::read_dir(paths[0].parent().unwrap()).unwrap().count(), paths.len(), "nothing half done either");
        let mut merger = Merger::default();
        merger.start(jobs);
        while merger.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            std::thread::yield_now();
        }
        assert!(merger.done().is_empty());
        merger.start(super::jobs(entries.root(), &entries.catalog, None));
        assert!(merger.thread.is_none(), "it is not tried again and again");
    }

    #[test]
    fn other_runs_and_other_hours_are_not_mixed() {
        let mut catalog = PartCatalog::new();
        let mut add = |directory: &str, run: &str, second: u64, megabytes: u64| {
            let name = PartName::new(START + second * 1_000_000_000, run, second);
            let hour = Some(Hour { date: directory.to_owned(), hour: String::new() });
            let entry =
                CatalogEntry { name: name.clone(), hour, bytes: megabytes << 20, ticks: TickSummary::default() };
            catalog.insert(name.to_string(), entry);
        };
        (0..3).for_each(|second| add("a", "run", second, 1));
        (3..5).for_each(|second| add("a", "other", second, 1));
        add("a", "alone", 5, 1);
        (3600..3607).for_each(|second| add("b", "run", second, 100));
        (7200..7202).for_each(|second| add("c", "run", second, 1));
        let host = Dir::open(&std::env::temp_dir()).unwrap();
        let jobs = jobs(&host, &catalog, Some(&Hour { date: "c".to_owned(), hour: String::new() }));
        let counts: Vec<(&str, usize)> =
            jobs.iter().map(|job| (job.hour.as_ref().unwrap().date.as_str(), job.parts.len())).collect();
        assert_eq!(counts, [("a", 3), ("a", 2), ("b", 2), ("b", 2), ("b", 2)]);
    }

    #[test]
    fn merging_ends_when_it_is_to() {
        let root = Directory::new();
        let paths = ten_parts(&root.path);
        let stop = Arc::new(AtomicBool::new(true));
        assert!(matches!(merge_to(&paths, "x.parquet", &[], &stop), Err(RecordError::Stopped)));
        assert!(!paths[0].with_file_name("x.parquet").exists());
    }
}
