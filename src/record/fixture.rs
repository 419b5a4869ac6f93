//! Data that the tests of the formats share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ask::column::Column;
use crate::record::header::FORMAT;
use crate::record::parquet::DatasetOptions;
use crate::record::tick::StateTotals;
use crate::record::{Header, Query, RecordedColumn, Recording, Sink, TickInfo};
use crate::row::observation::{Mark, Value};
use crate::row::rows::Rows;

/// An empty directory, removed when dropped.
pub struct Directory {
    pub path: PathBuf,
}

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("psn-record-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self { path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// 2026-11-23T03:00:00Z
pub const START: u64 = 1_795_402_800_000_000_000;

pub const SECOND: u64 = 1_000_000_000;

/// The columns of [`header`]: ids, a text, and a number of seconds.
pub const COLUMNS: [&str; 7] = ["pid", "task", "starttime", "state_id", "comm", "utime_sec", "wchan"];

pub fn header(run: &str) -> Header {
    Header {
        format: FORMAT,
        version: "0".to_owned(),
        run: run.to_owned(),
        host: "web/1".to_owned(),
        kernel: "6.1".to_owned(),
        boot_id: "b".to_owned(),
        started_ns: START,
        monotonic_ns: 1,
        boottime_ns: 2,
        hz: 10.0,
        args: vec!["psn".to_owned()],
        states: "RD".to_owned(),
        filters: Vec::new(),
        columns: COLUMNS.iter().map(|name| RecordedColumn::of(Column::find(name).unwrap())).collect(),
    }
}

pub fn query(names: &[&str]) -> Query {
    let columns = names.iter().map(|name| Column::find(name).unwrap()).collect();
    Query { columns, from_ns: 0, to_ns: u64::MAX }
}

/// Tick `number` of a run that begins at `start_ns`, ten a second.
pub fn tick(number: u64, start_ns: u64) -> TickInfo {
    TickInfo {
        time_ns: start_ns + number * SECOND / 10 + number * 17 % 1000,
        late_ns: number * 31 % 5000,
        pass_ns: 1_000_000 + number * 97 % 10_000,
        due: number + 1,
        throttled: number / 100,
        abandoned: u64::MAX - number,
        lost: 0,
        processes: 100,
        threads: 1000 + number % 7,
        states: StateTotals::parse(&format!("R:{} S:900", number % 5)),
    }
}

/// The rows of tick `number`: up to three.
pub fn rows(number: u64) -> Vec<Rows> {
    let mut rows = Rows::new(COLUMNS.len());
    for thread in 0..number % 4 {
        rows.push(Value::Number(i128::from(100 + thread)));
        rows.push(Value::Number(i128::from(1000 + thread)));
        rows.push(Value::Number(i128::from(5_000_000_000 + thread)));
        rows.push(Value::Text(b"R"));
        rows.push(Value::Text(format!("thread-{thread}").as_bytes()));
        match thread {
            0 => rows.push(Value::Mark(Mark::Gone)),
            _ => rows.push(Value::Number(i128::from(number * 3 + thread))),
        }
        match number % 3 {
            0 => rows.push(Value::Mark(Mark::Denied)),
            1 => rows.push(Value::Text(b"\xffraw")),
            _ => rows.push(Value::Text(b"futex_wait")),
        }
    }
    vec![rows]
}

/// Rows of threads, each with a number and a name that may change.
pub fn threads(threads: &[(u8, i64)]) -> Rows {
    let mut rows = Rows::new(COLUMNS.len());
    for (task, number) in threads {
        for column in COLUMNS {
            rows.push(match column {
                "pid" | "task" => Value::Number((*task).into()),
                "utime_sec" if *number == 2 => Value::Mark(Mark::Torn),
                "starttime" => Value::Number(1),
                "utime_sec" if *number == 1 => Value::Number(i128::MAX),
                "utime_sec" => Value::Number((*number).into()),
                _ => Value::Text(if *number == 0 { b"[running]" } else { b"\xff" }),
            });
        }
    }
    rows
}

/// A row as tests compare it.
pub type FixtureRow = Vec<String>;

pub fn texts(rows: &Rows, columns: usize) -> Vec<FixtureRow> {
    (0..rows.len()).map(|row| (0..columns).map(|column| format!("{:?}", rows.value(row, column))).collect()).collect()
}

/// The ticks that [`add`] gives to a sink, as they should be read back.
pub fn expected(numbers: impl Iterator<Item = u64>, start_ns: u64) -> Vec<(TickInfo, Vec<FixtureRow>)> {
    let of =
        |number| (tick(number, start_ns), rows(number).iter().flat_map(|rows| texts(rows, COLUMNS.len())).collect());
    numbers.map(of).collect()
}

/// All ticks of a recording, with all their rows.
pub fn read(recording: &mut dyn Recording, query: &Query) -> Vec<(TickInfo, Vec<FixtureRow>)> {
    let mut ticks = Vec::new();
    let mut gathered = Vec::new();
    recording
        .read(query, &mut |piece| {
            gathered.extend(texts(piece.rows, query.columns.len()));
            if piece.is_last {
                ticks.push((piece.tick.clone(), std::mem::take(&mut gathered)));
            }
            Ok(())
        })
        .unwrap();
    ticks
}

/// The complete parts below `directory`, by name.
pub fn parts(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parts(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    found
}

/// Options by which each tick becomes a part.
pub fn a_part_a_tick() -> DatasetOptions {
    DatasetOptions { part: std::time::Duration::ZERO, ..DatasetOptions::default() }
}

pub fn add(sink: &mut dyn Sink, numbers: impl Iterator<Item = u64>, start_ns: u64) {
    for number in numbers {
        sink.add(&tick(number, start_ns), &mut rows(number)).unwrap();
    }
}
