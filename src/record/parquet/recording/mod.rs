//! Opens datasets for reading: the parts of each run become a recording.
//!
//! Opening a dataset reads only the metadata of its parts.

mod decode;
mod runs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::record::parquet::dir::Dir;
use crate::record::parquet::find::{PartLocation, PartSearch, SkippedFiles};
use crate::record::parquet::format::damage::Damage;
use crate::record::parquet::info::{PartInfo, PartReader};
use crate::record::parquet::name::{self, PartName};
use crate::record::parquet::read::rows::WantedColumn;
use crate::record::parquet::recording::decode::{FoundPart, RunToRead};
use crate::record::parquet::recording::runs::FoundRun;
use crate::record::{Header, Query, RecordError, RecordedColumn, Recording, Visit};
use crate::report::Facts;
use crate::text::sentence::shown;

/// How deep directories are searched: host, date and hour, and one more for a directory of datasets.
const MAX_DEPTH: usize = 4;

/// A recording that is read.
#[derive(Debug)]
pub(super) struct ParquetRecording {
    path: PathBuf,
    header: Header,
    facts: Option<Facts>,
    warnings: Vec<String>,
    lost: Vec<String>,
    parts: Vec<FoundPart>,
    stop: Arc<AtomicBool>,
}

/// Opens the recordings in the directory or file at `path`, one for each run, ordered by host and start. Setting `stop` ends
/// this and all reading.
pub(crate) fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    let reader = PartReader::default();
    let mut warnings = Vec::new();
    let mut locations = vec![PartLocation::named(path)];
    let is_directory = path.is_dir();
    let root = if is_directory {
        Some(Dir::open(path).map_err(|error| RecordError::io(path, error))?)
    } else {
        abandoned(path, &reader)
    };
    if let Some(root) = root {
        let search = PartSearch::new(&root, if is_directory { MAX_DEPTH } else { 0 }, &reader, stop)?;
        locations = search.locations;
        if locations.is_empty() {
            return Err(search
                .unreadable
                .unwrap_or_else(|| RecordError::not_recording(root.path(), "there are no Parquet files in it")));
        }
        warnings.extend(search.skipped.sentences("skipped"));
        if !is_directory {
            let (path, parts) = (shown(path), shown(root.path()));
            warnings.push(format!("{path}: it is not complete; its parts are still in {parts}"));
        }
    }
    let (found, damaged) = inspect(locations, &reader, stop)?;
    if found.is_empty() {
        return Err(match damaged.into_iter().next() {
            Some((location, damage)) => RecordError::not_recording(&location.path(), damage),
            None => RecordError::not_recording(path, "everything in it has been removed meanwhile"),
        });
    }
    let mut recordings = by_run(path, found, stop)?;
    leave_out(&mut recordings, damaged);
    if let Some(first) = recordings.first_mut() {
        first.warnings.append(&mut warnings);
    }
    Ok(recordings.into_iter().map(|recording| Box::new(recording) as Box<dyn Recording>).collect())
}

/// The directory of the parts that should have become the single file at `path`, if its run was cut off before. It must
/// belong to the owner of the file.
fn abandoned(path: &Path, reader: &PartReader) -> Option<Dir> {
    let directory = Dir::of_file(path).ok()?;
    let name = path.file_name()?.to_str()?;
    let staging = directory.child(name::staging(name)).ok()?;
    let owner = |stat: rustix::fs::Stat| stat.st_uid;
    let is_of_file = owner(staging.stat_self().ok()?) == owner(directory.stat(name).ok()?);
    let is_complete = PartLocation::named(path).open().and_then(|file| reader.read(&file)).is_ok();
    (is_of_file && !is_complete).then_some(staging)
}

type Inspected = (Vec<(PartLocation, PartInfo)>, Vec<(PartLocation, Damage)>);

/// Reads the notes of parts, and finds those that are damaged.
fn inspect(locations: Vec<PartLocation>, reader: &PartReader, stop: &AtomicBool) -> Result<Inspected, RecordError> {
    let is_alone = locations.len() == 1;
    let info = |location: PartLocation| {
        let go_on = if stop.load(Ordering::Relaxed) { Err(Damage::Stopped) } else { Ok(()) };
        let info = go_on.and_then(|()| location.open()).and_then(|file| reader.read(&file));
        (location, info)
    };
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for (location, info) in locations.into_par_iter().map(info).collect::<Vec<_>>() {
        match info {
            Ok(info) => found.push((location, info)),
            Err(Damage::Stopped) => return Err(RecordError::Stopped),
            // It was merged or removed since the directory was listed.
            Err(damage) if damage.is_absence() && !is_alone => {}
            Err(damage) => damaged.push((location, damage)),
        }
    }
    Ok((found, damaged))
}

/// Adds warnings about skipped parts to the recordings to which they belong, by their names.
fn leave_out(recordings: &mut [ParquetRecording], damaged: Vec<(PartLocation, Damage)>) {
    let mut skipped: BTreeMap<usize, SkippedFiles> = BTreeMap::new();
    let mut lost = SkippedFiles::default();
    for (location, damage) in damaged {
        match damage {
            Damage::Foreign(_) => lost.add(location.path(), &damage),
            _ => {
                let of = recordings.iter().position(|recording| recording.is_of(&location)).unwrap_or(0);
                skipped.entry(of).or_default().add(location.path(), &damage);
            }
        }
    }
    for (of, skipped) in skipped {
        if let Some(recording) = recordings.get_mut(of) {
            recording.warnings.extend(skipped.sentences("skipped"));
        }
    }
    if let Some(first) = recordings.first_mut() {
        first.lost = lost.sentences("skipped");
    }
}

fn by_run(
    path: &Path,
    found: Vec<(PartLocation, PartInfo)>,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<ParquetRecording>, RecordError> {
    let (runs, skipped) = runs::runs(found)?;
    let mut warnings = skipped.sentences("skipped");
    let only = runs.len() == 1;
    let recording = |FoundRun { header, parts, .. }: FoundRun| {
        let first = parts.first().map(|(part, _)| part.location.path()).unwrap_or_default();
        ParquetRecording {
            path: if only { path } else { host_directory(&first).unwrap_or(path) }.to_owned(),
            header,
            facts: parts.iter().rev().find_map(|(_, facts)| serde_json::from_str(facts.as_ref()?).ok()),
            warnings: std::mem::take(&mut warnings),
            lost: Vec::new(),
            parts: parts.into_iter().map(|(part, _)| part).collect(),
            stop: Arc::clone(stop),
        }
    };
    let mut recordings: Vec<ParquetRecording> = runs.into_iter().map(recording).collect();
    recordings.sort_by_key(|recording| (recording.header.host.clone(), recording.header.started_ns));
    Ok(recordings)
}

/// The directory of the host of the part at `path`.
fn host_directory(path: &Path) -> Option<&Path> {
    let is_host = |path: &&Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"host="));
    path.ancestors().find(is_host)
}

impl ParquetRecording {
    /// Whether the part belongs to this run, by its name.
    fn is_of(&self, location: &PartLocation) -> bool {
        let run = |location: &PartLocation| PartName::parse(location.name()?).map(|name| name.run);
        let own = self.parts.first().and_then(|part| run(&part.location));
        own.is_some() && own == run(location)
    }

    /// The columns to decode.
    fn wanted(&self, query: &Query) -> Result<Vec<WantedColumn>, RecordError> {
        let wanted = |column: &&'static crate::ask::column::Column| {
            let recorded = self.header.place(column).and_then(|location| self.header.columns.get(location));
            let recorded: &RecordedColumn = recorded.ok_or_else(|| RecordError::NotRecorded {
                path: self.path.clone(),
                column: column.name,
                recorded: self.header.names(),
            })?;
            Ok(WantedColumn { name: recorded.name.clone(), is_number: recorded.is_number() })
        };
        query.columns.iter().map(wanted).collect()
    }
}

impl Recording for ParquetRecording {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn lost(&self) -> Vec<String> {
        self.lost.clone()
    }

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        let notes = || self.parts.iter().map(|part| &part.ticks).filter(|note| note.count > 0);
        let from = notes().map(|note| note.from_ns).min();
        Ok(from.zip(notes().map(|note| note.to_ns).max()))
    }

    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        // Parts are in the order of their ticks, whatever the clock said.
        let Some(from_ns) = self.parts.iter().rev().find(|part| part.ticks.count > 0).map(|part| part.ticks.from_ns)
        else {
            return Ok(None);
        };
        let mut last = None;
        let warnings = self.warnings.clone();
        let query = Query { columns: Vec::new(), from_ns, to_ns: u64::MAX };
        self.read(&query, &mut |piece| {
            last = Some(piece.tick.time_ns);
            Ok(())
        })?;
        self.warnings = warnings;
        Ok(last)
    }

    fn read(&mut self, query: &Query, visit: &mut Visit<'_>) -> Result<(), RecordError> {
        let wanted = self.wanted(query)?;
        let of = RunToRead { path: &self.path, run: &self.header.run, parts: &self.parts };
        let (result, warnings) = decode::read(of, query, &wanted, &self.stop, visit);
        // It may be read more than once.
        let new = warnings.into_iter().filter(|warning| !self.warnings.contains(warning)).collect::<Vec<_>>();
        self.warnings.extend(new);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::record::TickInfo;
    use crate::record::fixture::{
        COLUMNS, Directory, SECOND, START, a_part_a_tick, add, expected, header, parts, query, read, tick,
    };
    use crate::record::parquet::{DatasetOptions, create};
    use crate::row::observation::{Mark, Value};
    use crate::row::rows::Rows;

    /// Writes ticks with a row of these values each, and reads them back.
    fn round_trip(values: &[Vec<Value<'_>>]) -> Vec<(TickInfo, Vec<Vec<String>>)> {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        for (number, row) in values.iter().enumerate() {
            let mut rows = Rows::new(COLUMNS.len());
            row.iter().for_each(|value| rows.push(*value));
            sink.add(&tick(number as u64, START), &mut vec![rows]).unwrap();
        }
        sink.finish(None).unwrap();
        read(&mut *open(&root.path, &Arc::default()).unwrap()[0], &query(&COLUMNS))
    }

    fn check(values: &[Vec<Value<'_>>]) {
        let text = |row: &Vec<Value<'_>>| vec![row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>()];
        let wanted = values.iter().enumerate().map(|(number, row)| (tick(number as u64, START), text(row)));
        assert_eq!(round_trip(values), wanted.collect::<Vec<_>>());
    }

    /// A row with `number` in a number column, `scaled` in one with the divisor 100, and `text` in a text column.
    fn row<'a>(number: Value<'a>, scaled: Value<'a>, text: Value<'a>) -> Vec<Value<'a>> {
        vec![Value::Number(1), number, Value::Number(2), Value::Text(b"R"), text, scaled, Value::Text(b"w")]
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let mut values = Vec::new();
        for mark in Mark::ALL {
            values.push(row(Value::Mark(mark), Value::Mark(mark), Value::Mark(mark)));
            values.push(row(Value::Number(0), Value::Number(0), Value::Text(mark.text().as_bytes())));
        }
        let large = i128::from(i64::MAX);
        for number in [0, 1, -1, 1 << 40, large, large + 1, -large - 1, -large - 2, i128::MAX, i128::MIN] {
            values.push(row(Value::Number(number), Value::Number(number), Value::Text(b"x")));
        }
        for text in [&b""[..], b"\xff\0\\", b"\\e:x", b"-", b"[", "\u{202e}".as_bytes(), b"12", b"99999999999999999999"]
        {
            values.push(row(Value::Number(5), Value::Number(5), Value::Text(text)));
            values.push(row(Value::Text(text), Value::Text(text), Value::Text(text)));
        }
        check(&values);
    }

    fn any_value() -> impl Strategy<Value = (u8, i128, Vec<u8>, usize)> {
        let number = prop_oneof![any::<i128>(), (0..100_i128), any::<i64>().prop_map(i128::from)];
        (0..6_u8, number, prop::collection::vec(any::<u8>(), 0..10), 0..Mark::ALL.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_rows_come_back(drawn in prop::collection::vec((any_value(), any_value(), any_value()), 1..200)) {
            let numeric = |(kind, number, text, mark): &'_ (u8, i128, Vec<u8>, usize)| match kind {
                0 => Value::Mark(Mark::ALL[*mark]),
                // It is leaked until the test ends.
                1 => Value::Text(text.clone().leak()),
                _ => Value::Number(*number),
            };
            let textual = |(kind, _, text, mark): &'_ (u8, i128, Vec<u8>, usize)| match kind {
                0 => Value::Mark(Mark::ALL[*mark]),
                _ => Value::Text(text.clone().leak()),
            };
            let values: Vec<_> = drawn.iter().map(|(a, b, c)| row(numeric(a), numeric(b), textual(c))).collect();
            check(&values);
        }
    }

    #[test]
    fn all_ticks_come_back_and_those_without_rows() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..20_000, START);
        sink.finish(Some(&Facts::default())).unwrap();
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        let recording = &mut *recordings[0];
        assert_eq!(*recording.header(), header("run"));
        assert_eq!(recording.span().unwrap(), Some((tick(0, START).time_ns, tick(19_999, START).time_ns)));
        assert!(read(recording, &query(&COLUMNS)) == expected(0..20_000, START));
        let wanted = query(&["wchan", "utime_sec"]);
        let few = read(recording, &wanted);
        let columns = |row: Vec<String>| vec![row[6].clone(), row[5].clone()];
        let of = |(tick, rows): (TickInfo, Vec<Vec<String>>)| (tick, rows.into_iter().map(columns).collect::<Vec<_>>());
        assert!(few == expected(0..20_000, START).into_iter().map(of).collect::<Vec<_>>());
        assert_eq!(recording.warnings(), Vec::<String>::new());
        let unknown = recording.read(&query(&["syscall"]), &mut |_| Ok(()));
        assert!(matches!(unknown, Err(RecordError::NotRecorded { column: "syscall", .. })));
    }

    #[test]
    fn a_window_of_time_is_read_alone() {
        let root = Directory::new();
        let options = DatasetOptions { part_rows: 5000, ..DatasetOptions::default() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, 0..20_000, START);
        sink.finish(None).unwrap();
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        for (from, to) in [(0, 1), (19_999, 20_000), (7000, 7001), (1234, 9876), (5, 5), (30_000, 40_000)] {
            let mut query = query(&COLUMNS);
            (query.from_ns, query.to_ns) = (tick(from, START).time_ns, tick(to, START).time_ns);
            assert!(read(&mut *recordings[0], &query) == expected(from..to.min(20_000), START), "{from} to {to}");
        }
    }

    #[test]
    fn runs_are_recordings_by_host_and_start() {
        let root = Directory::new();
        for (host, start) in [("b", 0), ("a", 100), ("a", 0)] {
            let header = Header {
                host: host.to_owned(),
                started_ns: START + start * SECOND,
                ..header(&format!("{host}{start}"))
            };
            let mut sink = create(&root.path, &header, false, a_part_a_tick()).unwrap();
            add(&mut *sink, 0..5, START + start * SECOND);
            sink.finish(None).unwrap();
        }
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        let runs: Vec<String> = recordings.iter().map(|recording| recording.header().run.clone()).collect();
        assert_eq!(runs, ["a0", "a100", "b0"]);
        assert_eq!(read(&mut *recordings[1], &query(&COLUMNS)), expected(0..5, START + 100 * SECOND));
        assert_eq!(recordings[1].path(), root.path.join("host=a"));
        for below in ["host=b", "host=b/date=2026-11-23", "host=b/date=2026-11-23/hour=03"] {
            assert_eq!(open(&root.path.join(below), &Arc::default()).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_reading_can_be_given_up() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..50_000, START);
        sink.finish(None).unwrap();
        let mut recordings = open(&root.path, &Arc::default()).unwrap();
        let mut seen = 0;
        let result = recordings[0].read(&query(&COLUMNS), &mut |_| {
            seen += 1;
            if seen < 3 { Ok(()) } else { Err(RecordError::Stopped) }
        });
        assert!(matches!(result, Err(RecordError::Stopped)) && seen == 3);
    }

    #[test]
    fn what_is_no_recording_says_so() {
        let root = Directory::new();
        assert!(matches!(open(&root.path, &Arc::default()), Err(RecordError::NotRecording { .. })));
        let path = root.path.join("x.parquet");
        for bytes in [&b""[..], b"PAR1", b"PAR1\0\0\0\0PAR1", b"something else altogether"] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(open(&path, &Arc::default()), Err(RecordError::NotRecording { .. })));
            assert!(matches!(open(&root.path, &Arc::default()), Err(RecordError::NotRecording { .. })));
        }
        rustix::fs::mknodat(rustix::fs::CWD, root.path.join("p.parquet"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert!(open(&root.path, &Arc::default()).is_err(), "a pipe is not waited for");
    }

    /// A dataset of four parts, and the path of the second.
    fn three_parts() -> (Directory, PathBuf) {
        let root = Directory::new();
        let options = DatasetOptions { part_rows: 15, ..DatasetOptions::default() };
        let mut sink = create(&root.path, &header("run"), false, options).unwrap();
        add(&mut *sink, 0..32, START);
        sink.finish(None).unwrap();
        let parts = parts(&root.path);
        assert_eq!(parts.len(), 4);
        (root, parts[1].clone())
    }

    fn read_all(path: &Path) -> Result<(Vec<u64>, Vec<String>), RecordError> {
        let mut recordings = open(path, &Arc::default())?;
        let recording = &mut recordings[0];
        let mut due = Vec::new();
        recording.read(&query(&COLUMNS), &mut |piece| {
            due.push(piece.tick.due);
            Ok(())
        })?;
        Ok((due, recording.warnings()))
    }

    #[test]
    fn a_part_cut_off_anywhere_is_left_out_with_a_word() {
        let (root, path) = three_parts();
        let whole = fs::read(&path).unwrap();
        let (all, _) = read_all(&root.path).unwrap();
        let (own, _) = read_all(&path).unwrap();
        let others: Vec<u64> = all.into_iter().filter(|due| !own.contains(due)).collect();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(open(&path, &Arc::default()).is_err(), "{len}");
            let warnings = open(&root.path, &Arc::default()).unwrap()[0].warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(path.to_str().unwrap()), "{len}: {warnings:?}");
            if len % 100 == 0 {
                assert_eq!(read_all(&root.path).unwrap(), (others.clone(), warnings), "{len}");
            }
        }
    }

    /// All that reading `path` gives, if it can be opened.
    fn told(path: &Path) -> Option<(Told, Vec<String>)> {
        let mut recordings = open(path, &Arc::default()).ok()?;
        let mut told = Vec::new();
        let mut warnings = Vec::new();
        for recording in &mut recordings {
            let ticks = read(&mut **recording, &query(&COLUMNS));
            let facts = recording.facts().map(|facts| serde_json::to_string(facts).unwrap());
            told.push((recording.header().clone(), ticks, recording.span().unwrap(), facts));
            warnings.append(&mut recording.warnings());
            warnings.append(&mut recording.lost());
        }
        Some((told, warnings))
    }

    type Told = Vec<(Header, Vec<(TickInfo, Vec<Vec<String>>)>, Option<(u64, u64)>, Option<String>)>;

    /// Flips single bits of a part: the answer stays the same, or there is an error or a warning.
    #[track_caller]
    fn check_flips(whole: &Path, path: &Path, step: impl Fn(usize) -> usize) {
        let before = told(whole).unwrap();
        assert!(before.1.is_empty());
        let bytes = fs::read(path).unwrap();
        for bit in (0..bytes.len() * 8).step_by(step(bytes.len()) | 1) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, &bytes).unwrap();
            if let Some(after) = told(whole) {
                assert!(!after.1.is_empty() || after == before, "bit {bit} of byte {}", bit / 8);
            }
        }
        fs::write(path, &bytes).unwrap();
    }

    #[test]
    fn no_bit_that_flips_changes_an_answer_unnoticed() {
        let (root, path) = three_parts();
        // About two thousand bits.
        check_flips(&path, &path, |len| len / 250);
        // All of the metadata, in which hardly a bit is without consequence.
        check_flips(&root.path, &path, |len| len / 40);
        // Large pages, several to a column.
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        let text = |number: u64| format!("text number {number} of more than fit into a dictionary {}", "x".repeat(300));
        for number in 0..3000 {
            let mut rows = Rows::new(COLUMNS.len());
            let name = text(number);
            row(Value::Number(5), Value::Number(5), Value::Text(name.as_bytes()))
                .iter()
                .for_each(|value| rows.push(*value));
            sink.add(&tick(number, START), &mut vec![rows]).unwrap();
        }
        sink.finish(Some(&Facts::default())).unwrap();
        let path = parts(&root.path)[0].clone();
        check_flips(&path, &path, |len| len / 16);
    }

    #[test]
    fn parts_without_checksums_are_read_as_they_were() {
        // It was written by a version without checksums.
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/part_without_checksums.parquet");
        let mut recordings = open(&old, &Arc::default()).unwrap();
        assert_eq!(read(&mut *recordings[0], &query(&COLUMNS)), expected(0..20, START));
        assert_eq!((recordings[0].warnings(), recordings[0].facts()), (Vec::new(), Some(&Facts::default())));
    }

    /// A byte is missing or added.
    #[test]
    fn no_byte_is_lost_or_added_unnoticed() {
        let (_root, path) = three_parts();
        let before = told(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 100) {
            for changed in [[&bytes[..at], &bytes[at + 1..]].concat(), [&bytes[..at], b"\0", &bytes[at..]].concat()] {
                fs::write(&path, &changed).unwrap();
                let after = told(&path);
                assert!(after.is_none_or(|after| !after.1.is_empty() || after == before), "{at}");
            }
        }
    }
}
