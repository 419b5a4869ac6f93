//! Parts to recordings: one for each run.
//!
//! When a dataset is opened, only what its parts say of themselves is read. Rows are decoded on a thread of their own,
//! some thousand ahead of those that are counted.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::file::{Damage, Slice};
use super::footer::Footer;
use super::name::PartName;
use super::rows::{RowReader, Wanted};
use super::schema;
use super::sink;
use super::ticks::{TickNote, TickReader};
use crate::record::{Header, PIECE_ROWS, Piece, Query, RecordError, RecordedColumn, Recording, TickInfo, Visit};
use crate::report::Facts;
use crate::rows::Rows;

/// Directories below the one that is opened: host, date and hour, and one more for datasets side by side.
const MAX_DEPTH: usize = 4;

/// Ticks that are handed over at once, at most.
const PARCEL_TICKS: usize = 512;

/// Parcels that wait to be counted.
const PARCELS_AHEAD: usize = 3;

/// The parts of one run.
#[derive(Debug)]
pub struct ParquetRecording {
    path: PathBuf,
    header: Header,
    facts: Option<Facts>,
    warnings: Vec<String>,
    parts: Vec<Part>,
}

/// A part, as it says of itself.
#[derive(Debug, Clone)]
struct Part {
    path: PathBuf,
    note: TickNote,
}

/// A part when it is looked at first.
struct Found {
    part: Part,
    header: String,
    facts: Option<Facts>,
    replaces: Vec<String>,
}

/// The recordings in the directory or file at `path`, by host and start: one for each run.
///
/// # Errors
/// When there is none.
pub fn open(path: &Path) -> Result<Vec<Box<dyn Recording>>, RecordError> {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    if path.is_dir() {
        collect(path, MAX_DEPTH, &mut files);
        if files.is_empty() {
            return Err(RecordError::not_recording(path, "there are no Parquet files in it"));
        }
    } else {
        files.push(path.to_owned());
        let staging = sink::staging(path);
        // A run that was cut off has not come to make one file of its parts.
        if staging.is_dir() && look_at(path).is_err() {
            files.clear();
            collect(&staging, 0, &mut files);
            warnings.push(format!(
                "{}: it is not complete; what it was to be made of is in {}",
                path.display(),
                staging.display()
            ));
        }
    }
    let looked_at = files.into_par_iter().map(|file| look_at(&file).map_err(|damage| (file, damage)));
    let mut found = Vec::new();
    let mut damaged = Vec::new();
    for part in looked_at.collect::<Vec<_>>() {
        match part {
            Ok(part) => found.push(part),
            // It was merged with others, or was too old, since the directory was read.
            Err((_, damage)) if damage.is_absence() && path.is_dir() => {}
            Err(part) => damaged.push(part),
        }
    }
    if found.is_empty() {
        return Err(match damaged.first() {
            Some((file, damage)) => RecordError::not_recording(file, damage),
            None => RecordError::not_recording(path, "all that was in it has been removed meanwhile"),
        });
    }
    let mut recordings = by_run(path, found)?;
    for (file, damage) in damaged {
        let warning = format!("{}: left out: {damage}", file.display());
        match recordings.iter_mut().find(|recording| recording.is_of(&file)) {
            Some(recording) => recording.warnings.push(warning),
            None => warnings.push(warning),
        }
    }
    if let Some(first) = recordings.first_mut() {
        first.warnings.append(&mut warnings);
    }
    Ok(recordings.into_iter().map(|recording| Box::new(recording) as Box<dyn Recording>).collect())
}

/// Finds the Parquet files in `directory` that are not hidden.
fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let is_hidden = matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_'));
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if is_hidden {
        } else if kind.is_dir() && depth > 0 {
            collect(&path, depth - 1, files);
        } else if !kind.is_dir() && path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
}

fn look_at(path: &Path) -> Result<Found, Damage> {
    let footer = Footer::read(&Slice::open(path)?)?;
    let note = note_of(&footer)?;
    let header = footer.note(schema::HEADER_NOTE).ok_or(FOREIGN)?.to_owned();
    let facts = footer.note(schema::FACTS_NOTE).and_then(|facts| serde_json::from_str(facts).ok());
    let replaces = footer.note(schema::REPLACES_NOTE).and_then(|names| serde_json::from_str(names).ok());
    Ok(Found { part: Part { path: path.to_owned(), note }, header, facts, replaces: replaces.unwrap_or_default() })
}

const FOREIGN: Damage = Damage::Form("no psn wrote it");

fn note_of(footer: &Footer) -> Result<TickNote, Damage> {
    let note: TickNote =
        footer.note(schema::TICKS_NOTE).and_then(|note| serde_json::from_str(note).ok()).ok_or(FOREIGN)?;
    if note.rows == footer.rows() { Ok(note) } else { Err(Damage::Form("its rows are not those of its ticks")) }
}

fn by_run(path: &Path, found: Vec<Found>) -> Result<Vec<ParquetRecording>, RecordError> {
    let replaced: HashSet<PathBuf> =
        found.iter().flat_map(|found| found.replaces.iter().map(|name| found.part.path.with_file_name(name))).collect();
    let mut runs: BTreeMap<String, (String, ParquetRecording)> = BTreeMap::new();
    let mut refused = None;
    for Found { part, header: json, facts, .. } in found {
        if replaced.contains(&part.path) {
            continue;
        }
        let header: Result<Header, _> = serde_json::from_str(&json);
        let checked = header.map_err(|error| RecordError::not_recording(&part.path, error));
        let header = match checked.and_then(|header| header.check(&part.path).map(|()| header)) {
            Ok(header) => header,
            Err(error) => {
                refused = Some(error);
                continue;
            }
        };
        let (known, recording) = runs.entry(header.run.clone()).or_insert_with(|| {
            let path = part.path.clone();
            (json.clone(), ParquetRecording { path, header, facts: None, warnings: Vec::new(), parts: Vec::new() })
        });
        if *known == json {
            recording.parts.push(part);
            recording.facts = facts.or(recording.facts.take());
        } else {
            recording
                .warnings
                .push(format!("{}: left out: it says other things of its run than the rest", part.path.display()));
        }
    }
    if let (true, Some(error)) = (runs.is_empty(), refused) {
        return Err(error);
    }
    let only = runs.len() == 1;
    let mut recordings: Vec<ParquetRecording> = runs.into_values().map(|(_, recording)| recording).collect();
    for recording in &mut recordings {
        // In the order in which they were written: the clock may have been set back.
        recording.parts.sort_by_key(|part| (part.note.first, part.note.last));
        recording.path =
            if only { path.to_owned() } else { host_directory(&recording.path).unwrap_or(path).to_owned() };
    }
    recordings.sort_by_key(|recording| (recording.header.host.clone(), recording.header.started_ns));
    Ok(recordings)
}

/// The directory of the host that the part at `path` is of.
fn host_directory(path: &Path) -> Option<&Path> {
    let is_host = |path: &&Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"host="));
    path.ancestors().find(is_host)
}

impl ParquetRecording {
    /// Whether the part at `path` is one of its own, by its name.
    fn is_of(&self, path: &Path) -> bool {
        let name = |path: &Path| PartName::parse(path.file_name()?.to_str()?);
        let run = self.parts.first().and_then(|part| name(&part.path)).map(|name| name.run);
        run.is_some() && run == name(path).map(|name| name.run)
    }

    /// What the decoder is to read.
    fn wanted(&self, query: &Query) -> Result<Vec<Wanted>, RecordError> {
        let wanted = |column: &&'static crate::column::Column| {
            let recorded = self.header.place(column).and_then(|place| self.header.columns.get(place));
            let recorded: &RecordedColumn = recorded.ok_or_else(|| RecordError::NotRecorded {
                path: self.path.display().to_string(),
                column: column.name,
                recorded: self.header.names(),
            })?;
            Ok(Wanted { name: recorded.name.clone(), is_number: recorded.is_number() })
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

    fn span(&mut self) -> Result<Option<(u64, u64)>, RecordError> {
        let notes = || self.parts.iter().map(|part| &part.note).filter(|note| note.count > 0);
        let from = notes().map(|note| note.from_ns).min();
        Ok(from.zip(notes().map(|note| note.to_ns).max()))
    }

    fn last_time(&mut self) -> Result<Option<u64>, RecordError> {
        // Parts are in the order of their ticks, whatever the clock showed.
        let Some(from_ns) = self.parts.iter().rev().find(|part| part.note.count > 0).map(|part| part.note.from_ns)
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
        let (full, parcels) = bounded(PARCELS_AHEAD);
        let (back, empty) = unbounded();
        let mut decoder = Decoder {
            parts: &self.parts,
            run: &self.header.run,
            query,
            wanted: &wanted,
            last: None,
            rows_done: 0,
            rows_total: self.parts.iter().fold(0, |rows, part| rows.saturating_add(part.note.rows)),
            parcel: Parcel::default(),
            full,
            empty,
            warnings: Vec::new(),
        };
        let (result, warnings) = std::thread::scope(|scope| {
            let decode = move || {
                // Whether all of it was wanted is known to those who did not.
                let _ = decoder.decode();
                decoder.warnings
            };
            let thread = std::thread::Builder::new().name("psn-decode".to_owned()).spawn_scoped(scope, decode);
            let thread = thread.map_err(|error| RecordError::io(&self.path, error));
            let result = hand_out(parcels, &back, visit);
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(warnings)) => (result, warnings),
                Ok(Err(_)) => (result, vec![format!("{}: not all of it can be read", self.path.display())]),
                Err(error) => (Err(error), Vec::new()),
            }
        });
        self.warnings.extend(warnings);
        result
    }
}

/// Shows what comes to `visit`, and gives the parcels back.
fn hand_out(parcels: Receiver<Parcel>, back: &Sender<Parcel>, visit: &mut Visit<'_>) -> Result<(), RecordError> {
    for parcel in parcels {
        for Packed { tick, rows, is_last, progress } in &parcel.pieces {
            visit(Piece { tick, rows, is_last: *is_last, progress: *progress })?;
        }
        // Nobody waits for the last one.
        let _ = back.send(parcel);
    }
    Ok(())
}

/// Pieces on their way from the decoder. Their buffers are used again and again.
#[derive(Default)]
struct Parcel {
    pieces: Vec<Packed>,
    /// Those of an earlier use.
    spare: Vec<Packed>,
    /// Rows in all pieces.
    rows: usize,
}

struct Packed {
    tick: TickInfo,
    rows: Rows,
    is_last: bool,
    progress: f64,
}

/// Reads parts on behalf of who counts their rows.
struct Decoder<'a> {
    parts: &'a [Part],
    run: &'a str,
    query: &'a Query,
    wanted: &'a [Wanted],
    /// The number of the last tick that was read.
    last: Option<u64>,
    rows_done: u64,
    rows_total: u64,
    parcel: Parcel,
    full: Sender<Parcel>,
    empty: Receiver<Parcel>,
    warnings: Vec<String>,
}

/// What ends the reading of a part.
enum Trouble {
    /// The rest of it can not be read.
    Damage(Damage),
    /// Nobody wants any more.
    Unwanted,
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl Decoder<'_> {
    fn decode(&mut self) -> Result<(), Trouble> {
        for part in self.parts {
            let result = match self.part(part) {
                Err(Trouble::Damage(damage)) if damage.is_absence() => match self.successor(part) {
                    Some(successor) => self.part(&successor),
                    None => Err(Trouble::Damage(damage)),
                },
                result => result,
            };
            match result {
                Ok(()) => {}
                Err(Trouble::Damage(damage)) => {
                    self.warnings.push(format!("{}: not all of it can be read: {damage}", part.path.display()));
                }
                Err(Trouble::Unwanted) => return Err(Trouble::Unwanted),
            }
        }
        self.send()
    }

    /// The part that `part` has been merged into since it was found.
    fn successor(&self, part: &Part) -> Option<Part> {
        let mut files = Vec::new();
        collect(part.path.parent()?, 0, &mut files);
        let mut found = files.iter().filter_map(|file| look_at(file).ok());
        let has_it = |found: &Found| {
            let header: Option<Header> = serde_json::from_str(&found.header).ok();
            let note = &found.part.note;
            header.is_some_and(|header| header.run == self.run)
                && note.first <= part.note.first
                && part.note.last <= note.last
        };
        found.find(has_it).map(|found| found.part)
    }

    /// Reads a part, unless nothing in it is wanted.
    fn part(&mut self, part: &Part) -> Result<(), Trouble> {
        let Query { from_ns, to_ns, .. } = *self.query;
        let is_known = self.last.is_some_and(|last| part.note.last <= last);
        if part.note.count == 0 || part.note.to_ns < from_ns || part.note.from_ns >= to_ns || is_known {
            self.rows_done = self.rows_done.saturating_add(part.note.rows);
            return Ok(());
        }
        let file = Slice::open(&part.path)?;
        let footer = Footer::read(&file)?;
        let mut ticks = TickReader::new(&file, &note_of(&footer)?)?;
        let mut rows = RowReader::new(&file, footer, self.wanted)?;
        while let Some(tick) = ticks.next()? {
            let is_new = self.last.is_none_or(|last| tick.number > last);
            if is_new && (from_ns..to_ns).contains(&tick.info.time_ns) {
                self.tick(&tick.info, tick.rows, &mut rows)?;
            } else {
                rows.skip(tick.rows);
                self.rows_done = self.rows_done.saturating_add(tick.rows);
            }
            self.last = self.last.max(Some(tick.number));
        }
        Ok(())
    }

    /// Reads a tick. It is there with all its rows, or not at all, unless it has more than a piece can hold.
    fn tick(&mut self, info: &TickInfo, mut left: u64, rows: &mut RowReader) -> Result<(), Trouble> {
        loop {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_ROWS);
            left -= count as u64;
            self.rows_done = self.rows_done.saturating_add(count as u64);
            #[expect(clippy::cast_precision_loss, reason = "progress to be shown")]
            let progress = (self.rows_done as f64 / self.rows_total.max(1) as f64).min(1.0);
            let mut piece = self.parcel.spare.pop().unwrap_or_else(|| Packed {
                tick: TickInfo::default(),
                rows: Rows::new(self.wanted.len()),
                is_last: true,
                progress: 0.0,
            });
            piece.rows.clear();
            rows.read(count, &mut piece.rows)?;
            piece.tick.clone_from(info);
            (piece.is_last, piece.progress) = (left == 0, progress);
            self.parcel.pieces.push(piece);
            self.parcel.rows += count;
            if self.parcel.rows >= PIECE_ROWS || self.parcel.pieces.len() >= PARCEL_TICKS {
                self.send()?;
            }
            if left == 0 {
                return Ok(());
            }
        }
    }

    /// Hands over what there is.
    fn send(&mut self) -> Result<(), Trouble> {
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.spare.append(&mut next.pieces);
        next.rows = 0;
        let full = std::mem::replace(&mut self.parcel, next);
        self.full.send(full).map_err(|_| Trouble::Unwanted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::observation::{Mark, Value};
    use crate::record::fixture::{
        COLUMNS, Directory, SECOND, START, a_part_a_tick, add, expected, header, parts, query, read, tick,
    };
    use crate::record::parquet::{DatasetOptions, create};

    /// Ticks of these values, a row each, through a file and back.
    fn round_trip(values: &[Vec<Value<'_>>]) -> Vec<(TickInfo, Vec<Vec<String>>)> {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        for (number, row) in values.iter().enumerate() {
            let mut rows = Rows::new(COLUMNS.len());
            row.iter().for_each(|value| rows.push(*value));
            sink.add(&tick(number as u64, START), &mut vec![rows]).unwrap();
        }
        sink.finish(None).unwrap();
        read(&mut *open(&root.path).unwrap()[0], &query(&COLUMNS))
    }

    fn check(values: &[Vec<Value<'_>>]) {
        let text = |row: &Vec<Value<'_>>| vec![row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>()];
        let wanted = values.iter().enumerate().map(|(number, row)| (tick(number as u64, START), text(row)));
        assert_eq!(round_trip(values), wanted.collect::<Vec<_>>());
    }

    /// A row with `number` in a column of numbers, `scaled` in one that is divided by 100, and `text` in one of texts.
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
                // It lives as long as the test does.
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
        let mut recordings = open(&root.path).unwrap();
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
        let mut recordings = open(&root.path).unwrap();
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
        let mut recordings = open(&root.path).unwrap();
        let runs: Vec<String> = recordings.iter().map(|recording| recording.header().run.clone()).collect();
        assert_eq!(runs, ["a0", "a100", "b0"]);
        assert_eq!(read(&mut *recordings[1], &query(&COLUMNS)), expected(0..5, START + 100 * SECOND));
        assert_eq!(recordings[1].path(), root.path.join("host=a"));
        for below in ["host=b", "host=b/date=2026-11-23", "host=b/date=2026-11-23/hour=03"] {
            assert_eq!(open(&root.path.join(below)).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_reading_can_be_given_up() {
        let root = Directory::new();
        let mut sink = create(&root.path, &header("run"), false, DatasetOptions::default()).unwrap();
        add(&mut *sink, 0..50_000, START);
        sink.finish(None).unwrap();
        let mut recordings = open(&root.path).unwrap();
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
        assert!(matches!(open(&root.path), Err(RecordError::NotRecording { .. })));
        let path = root.path.join("x.parquet");
        for bytes in [&b""[..], b"PAR1", b"PAR1\0\0\0\0PAR1", b"something else altogether"] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(open(&path), Err(RecordError::NotRecording { .. })));
            assert!(matches!(open(&root.path), Err(RecordError::NotRecording { .. })));
        }
        rustix::fs::mknodat(rustix::fs::CWD, root.path.join("p.parquet"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert!(open(&root.path).is_err(), "a pipe is not waited for");
    }

    /// A dataset of three parts, and the path of the second.
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
        let mut recordings = open(path)?;
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
            assert!(open(&path).is_err(), "{len}");
            let warnings = open(&root.path).unwrap()[0].warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(path.to_str().unwrap()), "{len}: {warnings:?}");
            if len % 100 == 0 {
                assert_eq!(read_all(&root.path).unwrap(), (others.clone(), warnings), "{len}");
            }
        }
    }

    #[test]
    fn no_bit_that_flips_brings_the_reader_down() {
        let (_root, path) = three_parts();
        let whole = fs::read(&path).unwrap();
        // Some two thousand of them.
        for bit in (0..whole.len() * 8).step_by((whole.len() / 250) | 1) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let _ = read_all(&path);
        }
    }
}
