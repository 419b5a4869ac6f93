//! Recording rows as Parquet: psn's own encoder beside the column writers of the `parquet` crate, with the same rows.
//!
//! ```text
//! cargo bench --bench record
//! ```
//! - `parquet/psn`: the rows through the sink of a dataset, as a run records them. A row that is as it was in the tick before
//!   is not looked up again.
//! - `parquet/crate`: the values of the same rows through the crate's typed column writers, which take each value as new.
//!   That is the least it could cost: without the ticks, the notes, the checksums and the directories of a dataset.
//!
//! What it prints first are the bytes that each of them writes. `src/record/parquet/write/encode.rs` says what follows.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up has nothing to measure"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::basic::{Compression, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use psn::ask::column::Column;
use psn::record::header::FORMAT;
use psn::record::open::{self, SinkOptions};
use psn::record::{Header, RecordedColumn, TickInfo};
use psn::row::observation::Value;
use psn::row::rows::Rows;

const TICKS: u64 = 1000;
const THREADS: u64 = 200;
const SECOND: u64 = 1_000_000_000;

/// One row in so many differs from the one of the same thread in the tick before.
const CHANGED: u64 = 20;

const COLUMNS: [&str; 8] = ["pid", "task", "starttime", "state_id", "comm", "utime_sec", "syscall", "wchan"];

fn header() -> Header {
    Header {
        format: FORMAT,
        version: "0".to_owned(),
        run: "run".to_owned(),
        host: "host".to_owned(),
        kernel: "6.1".to_owned(),
        boot_id: String::new(),
        started_ns: 1_795_402_800 * SECOND,
        monotonic_ns: 0,
        boottime_ns: 0,
        hz: 100.0,
        args: Vec::new(),
        states: "RSD".to_owned(),
        filters: Vec::new(),
        columns: COLUMNS.iter().map(|name| RecordedColumn::of(Column::find(name).unwrap())).collect(),
    }
}

/// The rows of a tick: of each thread its ids, its names, a counter and where it waits.
fn rows(tick: u64) -> Rows {
    let mut rows = Rows::new(COLUMNS.len());
    for thread in 0..THREADS {
        // How often the thread has changed so far.
        let changes = (tick + thread) / CHANGED;
        let is_writing = changes.is_multiple_of(3);
        for column in COLUMNS {
            let number = |number: u64| Value::Number(number.into());
            match column {
                "pid" => rows.push(number(1000 + thread / 50)),
                "task" => rows.push(number(2000 + thread)),
                "starttime" => rows.push(number(7 * SECOND + thread)),
                "utime_sec" => rows.push(number(thread * 100 + changes)),
                "state_id" => rows.push(Value::Text(if is_writing { b"D" } else { b"S" })),
                "comm" => rows.push(Value::Text(format!("worker-{}", thread % 16).as_bytes())),
                "syscall" => rows.push(Value::Text(if is_writing { b"fdatasync" } else { b"futex" })),
                _ => rows.push(Value::Text(if is_writing { b"submit_bio_wait" } else { b"futex_do_wait" })),
            }
        }
    }
    rows
}

/// Records all ticks in a dataset, as a run does.
fn with_psn(path: &Path, ticks: &mut [Vec<Rows>]) {
    let options = SinkOptions { path: path.to_owned(), force: true, flush: None, keep: None, max_size: None };
    let mut sink = open::sink(&options, &header()).unwrap();
    for (number, rows) in (0..).zip(ticks) {
        let time_ns = header().started_ns + number * SECOND / 100;
        sink.add(&TickInfo { time_ns, due: number + 1, ..TickInfo::default() }, rows).unwrap();
    }
    sink.finish(None).unwrap();
}

fn schema() -> TypePtr {
    let leaf = |name: &str, physical: Physical| {
        let leaf = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED).build();
        Arc::new(leaf.unwrap())
    };
    let of_name = |name: &&str| {
        let is_number = Column::find(name).unwrap().kind.is_number();
        leaf(name, if is_number { Physical::INT64 } else { Physical::BYTE_ARRAY })
    };
    let fields = std::iter::once(leaf("tick", Physical::INT64)).chain(COLUMNS.iter().map(of_name)).collect();
    Arc::new(Type::group_type_builder("rows").with_fields(fields).build().unwrap())
}

fn write<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T]) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
}

/// Writes the values of all ticks as one row group with the crate's writers, compressed as psn's are.
fn with_crate(ticks: &[Vec<Rows>]) -> Vec<u8> {
    let level = ZstdLevel::try_new(3).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(), Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let each = || (0..).zip(ticks).flat_map(|(tick, rows)| rows.iter().map(move |rows| (tick, rows)));
    let numbers: Vec<i64> = each().flat_map(|(tick, rows)| std::iter::repeat_n(tick, rows.len())).collect();
    write::<Int64Type>(&mut group, &numbers);
    for (place, name) in COLUMNS.iter().enumerate() {
        let values = || each().flat_map(|(_, rows)| (0..rows.len()).map(move |row| rows.value(row, place)));
        if Column::find(name).unwrap().kind.is_number() {
            let number =
                |value: Value<'_>| if let Value::Number(number) = value { number.try_into().unwrap() } else { 0 };
            write::<Int64Type>(&mut group, &values().map(number).collect::<Vec<i64>>());
        } else {
            let text = |value: Value<'_>| if let Value::Text(text) = value { text.into() } else { ByteArray::new() };
            write::<ByteArrayType>(&mut group, &values().map(text).collect::<Vec<ByteArray>>());
        }
    }
    group.close().unwrap();
    file.into_inner().unwrap()
}

/// Bytes of the files below `path`.
fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

fn benches(criterion: &mut Criterion) {
    let path: PathBuf = std::env::temp_dir().join(format!("psn-bench-record-{}/", std::process::id()));
    let ticks: Vec<Vec<Rows>> = (0..TICKS).map(|tick| vec![rows(tick)]).collect();
    with_psn(&path, &mut ticks.clone());
    println!("bytes: {} of psn, {} of the crate", bytes_below(&path), with_crate(&ticks).len());
    let mut group = criterion.benchmark_group("parquet");
    group.sample_size(20).throughput(Throughput::Elements(TICKS * THREADS));
    group.bench_function("psn", |bencher| {
        // The sink takes the buffers.
        bencher.iter_batched_ref(|| ticks.clone(), |ticks| with_psn(&path, ticks), criterion::BatchSize::PerIteration);
    });
    group.bench_function("crate", |bencher| bencher.iter(|| with_crate(&ticks)));
    group.finish();
    std::fs::remove_dir_all(&path).unwrap();
}

criterion_group!(all, benches);
criterion_main!(all);
