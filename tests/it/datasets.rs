//! Datasets of Parquet files: files of other users in them, damaged and hostile files, and parts with different columns.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parquet::basic::{Repetition, Type as Physical};
use parquet::data_type::Int64Type;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use psn::ask::column::Column;
use psn::record::header::FORMAT;
use psn::record::open::{self, SinkOptions};
use psn::record::{Header, RecordedColumn, TickInfo};
use psn::row::observation::Value;
use psn::row::rows::Rows;
use rustix::fs::{CWD, FileType};
use rustix::process::Signal;

use crate::support::child::{Ended, Running, is_root, psn, run};
use crate::support::dir::Dir;
use crate::support::{skip, wait_until};

const NOBODY: u32 = 65_534;

/// The memory that psn may take for any recording, however it was made.
const MAX_MEMORY: u64 = 512 << 20;

/// 2026-11-23T03:00:00Z.
const START: u64 = 1_795_402_800_000_000_000;
const SECOND: u64 = 1_000_000_000;

const COLUMNS: [&str; 6] = ["pid", "task", "starttime", "state_id", "comm", "wchan"];

fn header(run: &str, columns: &[&str]) -> Header {
    Header {
        format: FORMAT,
        version: "0".to_owned(),
        run: run.to_owned(),
        host: "web1".to_owned(),
        kernel: "6.1".to_owned(),
        boot_id: "b".to_owned(),
        started_ns: START,
        monotonic_ns: 1,
        boottime_ns: 2,
        hz: 1.0,
        args: vec!["psn".to_owned()],
        states: "RSD".to_owned(),
        filters: Vec::new(),
        columns: columns.iter().map(|name| RecordedColumn::of(Column::find(name).unwrap())).collect(),
    }
}

/// Records `ticks` in the dataset at `path`, one a second from `start` on, each with the given number of rows of threads named
/// `comm`.
fn record(path: &str, header: &Header, start: u64, ticks: u64, rows_of_tick: usize, comm: &str) {
    let flush = Some(Duration::ZERO);
    let options = SinkOptions { path: PathBuf::from(path), force: false, flush, keep: None, max_size: None };
    let mut sink = open::sink(&options, header).unwrap();
    for number in 0..ticks {
        let mut rows = Rows::new(header.columns.len());
        for row in 0..rows_of_tick {
            for column in &header.columns {
                rows.push(match column.name.as_str() {
                    "comm" => Value::Text(comm.as_bytes()),
                    "state_id" => Value::Text(b"D"),
                    "wchan" => Value::Text(b"io_schedule"),
                    _ => Value::Number(row as i128),
                });
            }
        }
        let tick = TickInfo { time_ns: start + number * SECOND, due: number + 1, ..TickInfo::default() };
        sink.add(&tick, &mut vec![rows]).unwrap();
    }
    sink.finish(None).unwrap();
}

/// The parts below `path`, by name.
fn parts(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(parts(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "parquet") {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// A recording of five parts.
fn five_parts(dir: &Dir) -> (String, Vec<PathBuf>) {
    let path = dir.path("r/");
    record(&path, &header("run", &COLUMNS), START, 5, 3, "mysqld");
    let parts = parts(Path::new(&path));
    assert_eq!(parts.len(), 5);
    (path, parts)
}

#[test]
fn root_writes_only_where_no_other_user_may() {
    if !is_root() {
        return skip("only root can make directories of other users");
    }
    let dir = Dir::with_mode(0o755);
    for (name, owner, mode, is_refused) in [
        ("own", 0, 0o755, false),
        ("sticky", 0, 0o1777, false),
        ("open", 0, 0o777, true),
        ("group", 0, 0o775, true),
        ("others", NOBODY, 0o755, true),
        ("others-sticky", NOBODY, 0o1777, true),
    ] {
        let path = dir.path(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(owner), Some(NOBODY)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for path in [format!("{path}/"), format!("{path}/x.parquet")] {
            let ended = run(&["record", "-o", &path, "-d", "0.1", "-q"]);
            assert_eq!(ended.status.code(), Some(is_refused.into()), "{path}: {}", ended.stderr);
            assert_eq!(
                ended.stderr.contains("only where no other user may write"),
                is_refused,
                "{path}: {}",
                ended.stderr
            );
        }
        assert_eq!(fs::read_dir(&path).unwrap().count() == 0, is_refused, "{name}");
    }
}

#[test]
fn what_is_of_another_user_is_neither_counted_nor_taken_away_nor_adopted() {
    if !is_root() {
        return skip("only root can make files of other users");
    }
    let dir = Dir::with_mode(0o755);
    let (path, own) = five_parts(&dir);
    let theirs = own[1].clone();
    chown(&theirs, Some(NOBODY), None).unwrap();
    let their_own = theirs.with_file_name(format!(".{}.tmp", theirs.file_name().unwrap().to_str().unwrap()));
    fs::write(&their_own, "x").unwrap();
    chown(&their_own, Some(NOBODY), None).unwrap();
    // Rename the directory, so that the parts belong to this host.
    let host = Path::new(&path).join(format!("host={}", host()));
    fs::rename(Path::new(&path).join("host=web1"), &host).unwrap();
    let here = |file: &Path| host.join(file.strip_prefix(Path::new(&path).join("host=web1")).unwrap());
    let ended = run(&["record", "-o", &path, "--keep", "1s", "--max-size", "1B", "-d", "0.1", "-q"]);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(here(&theirs).exists() && here(&their_own).exists(), "they are another user's");
    assert!([0, 2, 3, 4].iter().all(|number| !here(&own[*number]).exists()), "these were too old");

    let file = dir.path("x.parquet");
    let staging = dir.path(".x.parquet.parts");
    fs::create_dir(&staging).unwrap();
    fs::copy(here(&theirs), Path::new(&staging).join(theirs.file_name().unwrap())).unwrap();
    chown(&staging, Some(NOBODY), None).unwrap();
    let ended = run(&["record", "-o", &file, "-d", "0.1", "-q", "--force"]);
    assert!(!ended.status.success() && ended.stderr.contains("uid 65534"), "{}", ended.stderr);
    // Nor does psn take them for unfinished files of its own.
    fs::write(&file, "").unwrap();
    let ended = run(&["-i", &file, "-g", "comm"]);
    assert!(!ended.status.success() && !ended.stdout.contains("mysqld"), "{}", ended.stdout);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let dir = Dir::new();
    let (path, parts) = five_parts(&dir);
    let before = run(&["-i", &path, "-g", "comm", "--format", "csv"]);
    assert!(before.status.success());
    let beside = |name: &str| parts[0].with_file_name(name);
    for name in ["a.parquet", "b.parquet"] {
        rustix::fs::mknodat(CWD, beside(name), FileType::Fifo, 0o600.into(), 0).unwrap();
    }
    symlink("/dev/zero", beside("c.parquet")).unwrap();
    symlink(&parts[0], beside("d.parquet")).unwrap();
    if is_root() {
        rustix::fs::mknodat(CWD, beside("e.parquet"), FileType::CharacterDevice, 0o600.into(), (1 << 8) | 5).unwrap();
    }
    let after = run(&["-i", &path, "-g", "comm"]);
    assert!(after.status.success() && after.stdout.contains("mysqld"), "{}", after.stderr);
    let said = |text: &str| assert!(after.stdout.contains(text), "{text}: {}", after.stdout);
    said("a.parquet and 1 more: skipped: it is a named pipe");
    said("c.parquet and 1 more: skipped: it is a link");
    let after = run(&["-i", &path, "-g", "comm", "--format", "csv"]);
    assert_eq!(after.stdout, before.stdout);
    for name in ["a.parquet", "c.parquet", "[ab].parquet"] {
        let ended = run(&["-i", beside(name).to_str().unwrap()]);
        let said = ended.stderr.contains("pipe") || ended.stderr.contains("device");
        assert!(ended.status.code() == Some(1) && said, "{name}: {}", ended.stderr);
    }
}

#[test]
fn a_single_file_that_was_cut_off_is_read_from_its_parts() {
    let dir = Dir::new();
    let file = dir.path("x.parquet");
    let recorder = Running::start(&mut psn(&["record", "-o", &file, "-p", "1", "--flush", "0.1s", "-q"]));
    let staging = PathBuf::from(dir.path(".x.parquet.parts"));
    wait_until("two parts", || staging.exists() && parts(&staging).len() >= 2);
    recorder.signal(Signal::KILL);
    recorder.end();
    let ended = run(&["-i", &file, "-a", "-g", "comm"]);
    assert!(ended.status.success() && ended.stdout.contains("it is not complete"), "{ended:?}");
}

#[test]
fn what_may_not_be_read_is_denied_and_not_missing() {
    if !is_root() {
        return skip("only root can be another user");
    }
    let dir = Dir::with_mode(0o755);
    let (path, parts) = five_parts(&dir);
    let as_nobody = || {
        let mut command = psn(&["-i", &path, "-g", "comm"]);
        Running::start(command.uid(NOBODY).gid(NOBODY)).end()
    };
    let open = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let hour = parts[0].parent().unwrap();
    // From the part up to the dataset: other users may not access what psn creates.
    for closed in hour.ancestors().take(4).collect::<Vec<_>>() {
        let ended = as_nobody();
        assert!(ended.status.code() == Some(1) && ended.stderr.contains("Permission denied"), "{ended:?}");
        hour.ancestors().take(4).for_each(|path| open(path, 0o755));
        open(closed, 0o700);
    }
    hour.ancestors().take(4).for_each(|path| open(path, 0o755));
    parts.iter().for_each(|part| open(part, 0o644));
    assert!(as_nobody().stdout.contains("mysqld"));
    open(&parts[0], 0o600);
    open(&parts[1], 0o600);
    let ended = as_nobody();
    assert!(ended.stdout.contains("and 1 more: skipped: Permission denied"), "{}", ended.stdout);
}

/// Writes a Parquet file as another program would.
fn foreign(path: &Path) {
    let leaf = Type::primitive_type_builder("task", Physical::INT64).with_repetition(Repetition::REQUIRED).build();
    let fields = vec![Arc::new(leaf.unwrap())];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build().unwrap());
    let properties = WriterProperties::builder().set_created_by("another program version 2".to_owned()).build();
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn a_part_that_another_program_wrote_anew_is_told_and_a_failure() {
    const LOST: &str = "another program version 2 wrote it, and not psn: the times of its ticks";
    let dir = Dir::new();
    let (path, parts) = five_parts(&dir);
    parts[..2].iter().for_each(|part| foreign(part));
    let ended = run(&["-i", &path, "-g", "comm", "--format", "csv"]);
    assert!(ended.stdout.contains("mysqld"), "the rest is there: {ended:?}");
    assert!(
        ended.status.code() == Some(1) && ended.stderr.contains(&format!("and 1 more: skipped: {LOST}")),
        "{ended:?}"
    );
    let ended = run(&["export", &path, &dir.path("x.db")]);
    assert!(ended.status.code() == Some(1) && ended.stderr.contains(LOST), "{ended:?}");
    let ended = run(&["-i", parts[0].to_str().unwrap()]);
    assert!(ended.status.code() == Some(1) && ended.stderr.contains(LOST), "{ended:?}");
}

#[test]
fn a_reason_is_told_once_however_many_parts_it_is_of() {
    let dir = Dir::new();
    let (path, parts) = five_parts(&dir);
    for part in &parts[..4] {
        let bytes = fs::read(part).unwrap();
        fs::write(part, &bytes[..bytes.len() - 1]).unwrap();
    }
    let ended = run(&["-i", &path, "-g", "comm"]);
    assert_eq!(ended.stdout.matches("skipped").count(), 1, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("and 3 more: skipped: it is not a Parquet file, or its end is missing"),
        "{}",
        ended.stdout
    );
}

#[test]
fn parts_with_other_columns_show_what_was_not_recorded_and_when() {
    let dir = Dir::new();
    let path = dir.path("r/");
    record(&path, &header("a", &COLUMNS), START, 5, 2, "mysqld");
    let later = Header { started_ns: START + 60 * SECOND, ..header("b", &COLUMNS[..5]) };
    record(&path, &later, START + 60 * SECOND, 5, 2, "mysqld");
    let ended = run(&["-i", &path, "-g", "comm,wchan"]);
    let row = |wchan: &str| ended.stdout.lines().any(|line| line.contains("10 |") && line.contains(wchan));
    assert!(row("io_schedule") && row("[unrecorded]"), "{}", ended.stdout);
    let said = "wchan was not recorded from 2026-11-23T03:01:00Z to 2026-11-23T03:01:04Z on web1";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    let ended = run(&["-i", &path, "-g", "comm,wchan", "--to", "2026-11-23 03:00:30", "--format", "csv"]);
    assert!(ended.status.success() && !ended.stdout.contains("unrecorded"), "{ended:?}");
    let ended = run(&["-i", &path, "-g", "syscall"]);
    assert!(ended.status.code() == Some(1) && ended.stderr.contains("'syscall' was not recorded"), "{}", ended.stderr);
}

/// The name of this host.
fn host() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

#[test]
fn a_merging_beside_the_sampling_takes_no_more_memory_than_is_promised() {
    let dir = Dir::new();
    let path = dir.path("r/");
    // A finished hour of fifty parts, whose rows take a gigabyte if each text is counted every time.
    record(&path, &Header { host: host(), ..header("run", &COLUMNS) }, START, 50, 50, &"x".repeat(400 << 10));
    assert_eq!(parts(Path::new(&path)).len(), 50);
    let recorder = Running::start(&mut psn(&["record", "-o", &path, "-p", "1", "-q"]));
    // On a slow host it is enough that the merge has begun.
    let (peak, ended) = recorder.end_with_peak(Duration::from_secs(4));
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(peak < MAX_MEMORY, "it took {peak} bytes");
}

/// Replays the recording at `path` many times, and stops it after the given time.
fn replayed(path: &str, times: usize, patience: Duration) -> Ended {
    let replay = Running::start(psn(&["-g", "comm", "--format", "csv", "-q"]).args(["-i", path].repeat(times)));
    let (peak, ended) = replay.end_with_peak(patience);
    assert!(peak < MAX_MEMORY, "{path} took {peak} bytes");
    ended
}

#[test]
fn no_recording_takes_more_memory_than_is_promised_and_each_can_be_stopped() {
    let dir = Dir::new();
    // A text of half a megabyte that is stored once and used by each of four thousand rows.
    let long = dir.path("long/");
    let options = SinkOptions { path: PathBuf::from(&long), force: false, flush: None, keep: None, max_size: None };
    let mut sink = open::sink(&options, &header("run", &COLUMNS)).unwrap();
    let mut rows = Rows::new(COLUMNS.len());
    let text = "x".repeat(400 << 10);
    for row in 0..40 {
        for column in COLUMNS {
            rows.push(match column {
                "comm" => Value::Text(text.as_bytes()),
                "state_id" | "wchan" => Value::Text(b"D"),
                _ => Value::Number(row),
            });
        }
    }
    for number in 0..100 {
        let tick = TickInfo { time_ns: START + number * SECOND, due: number + 1, ..TickInfo::default() };
        sink.add(&tick, &mut vec![rows.clone()]).unwrap();
    }
    sink.finish(None).unwrap();
    drop(sink);
    replayed(&long, 100, Duration::from_secs(2));

    // Many parts, each with a header of many megabytes.
    let many = dir.path("many/");
    record(&many, &Header { args: vec!["x".repeat(30_000_000)], ..header("run", &COLUMNS) }, START, 1, 1, "a");
    let first = parts(Path::new(&many)).remove(0);
    let name = first.file_name().unwrap().to_str().unwrap().to_owned();
    (2..30).for_each(|number| {
        fs::hard_link(&first, first.with_file_name(name.replace("00000001", &format!("{number:08}")))).unwrap()
    });
    let ended = replayed(&many, 1, Duration::from_secs(40));
    assert!(ended.status.code() == Some(1) && ended.stderr.contains("its header is longer"), "{}", ended.stderr);

    // A header that names one column three thousand times.
    let wide = dir.path("wide/");
    let columns = [&COLUMNS[..], &["wchan"; 3000]].concat();
    record(&wide, &header("run", &columns), START, 1, 1, "a");
    let ended = replayed(&wide, 1, Duration::from_secs(40));
    assert!(
        ended.status.code() == Some(1) && ended.stderr.contains("two of its columns have one name"),
        "{}",
        ended.stderr
    );
}
