//! Other programs read psn's recordings: `sqlite3`, and DuckDB a dataset of many hosts.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use psn::ask::column::Column;
use psn::record::open::{self, SinkOptions};
use psn::record::{Header, Query, RecordedColumn, TickInfo};
use psn::row::rows::Rows;
use psn_stress::{Kind, Storm};

use crate::support::child::{Running, command, has_program, run};
use crate::support::dir::Dir;
use crate::support::{json, skip};

/// The Python interpreter with the DuckDB module: the one that `PSN_DUCKDB_PYTHON` names, or the system's.
fn duckdb_python() -> Option<String> {
    let python = std::env::var("PSN_DUCKDB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !Path::new(&python).is_file() && !has_program(&python) {
        return None;
    }
    let ended = Running::start(command(&python).args(["-c", "import duckdb"])).end();
    ended.status.success().then_some(python)
}

/// The rows that DuckDB returns for `sql`, with values separated by `|`.
#[track_caller]
fn ask(python: &str, sql: &str) -> Vec<String> {
    let script =
        "import duckdb, sys\nfor row in duckdb.sql(sys.argv[1]).fetchall(): print('|'.join(str(v) for v in row))";
    let ended = Running::start(command(python).args(["-c", script, sql]).stderr(Stdio::piped())).end();
    assert!(ended.status.success(), "{sql}: {ended:?}");
    ended.stdout.lines().map(str::to_owned).collect()
}

/// A recording of a storm: its path, the samples by thread name and state in its report, and its ticks.
fn recorded(dir: &Dir, name: &str) -> (String, json::Json) {
    let storm = Storm::builder().exactly(Kind::Vfork, 3).exactly(Kind::Pipe, 5).spawn().unwrap();
    let path = dir.path(name);
    let root = storm.root_pid().to_string();
    let args = ["-a", "-d", "0.5", "-o", &path, "-p", &root, "-r", "-G", "syscall,wchan,utime_sec", "--format", "json"];
    (path.clone(), json::parse(&run(&args)))
}

#[test]
fn duckdb_counts_what_psn_counts() {
    let Some(python) = duckdb_python() else { return skip("DuckDB's Python module is not installed") };
    let dir = Dir::new();
    let (path, report) = recorded(&dir, "r/");
    let table = format!("read_parquet('{path}*/*/*/*.parquet', hive_partitioning = true)");
    let counts = ask(&python, &format!("select comm, state, count(*) from {table} group by all"));
    for (group, samples) in report.samples(&["comm", "state"]) {
        let line = format!("{}|{samples}", group.replace(" | ", "|"));
        assert!(counts.contains(&line), "{line} in {counts:?}");
    }
    let types = ask(
        &python,
        &format!("select typeof(time), typeof(pid), typeof(utime_sec), typeof(wchan) from {table} limit 1"),
    );
    assert_eq!(types, ["TIMESTAMP WITH TIME ZONE|BIGINT|DECIMAL(18,2)|VARCHAR"]);
    // Thread-seconds: three threads for half a second.
    let seconds = ask(&python, &format!("select sum(seconds) from {table} where wchan = 'kernel_clone'"));
    let seconds: f64 = seconds[0].parse().unwrap();
    let expected = 3.0 * report.0["ticks"]["expected"].as_f64().unwrap() / 20.0;
    assert!((seconds - expected).abs() < 0.16, "{seconds} thread-seconds of {expected}");
}

#[test]
fn arrow_finds_the_checksum_of_every_page_right() {
    let python = std::env::var("PSN_DUCKDB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_arrow = || Running::start(command(&python).args(["-c", "import pyarrow.parquet"])).end().status.success();
    if !(Path::new(&python).is_file() || has_program(&python)) || !has_arrow() {
        return skip("Arrow's Python module (pyarrow) is not installed");
    }
    let dir = Dir::new();
    let (path, report) = recorded(&dir, "r.parquet");
    let rows: u64 = report.samples(&[]).into_values().sum();
    let script = "import pyarrow.parquet as p, sys; print(p.ParquetFile(sys.argv[1], page_checksum_verification=True).read().num_rows)";
    let count = |path: &str| Running::start(command(&python).args(["-c", script, path]).stderr(Stdio::piped())).end();
    assert_eq!(count(&path).stdout.trim(), rows.to_string());
    // DuckDB does check them. The first page begins after four letters and a header of some fifty bytes.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ended = count(&path);
    assert!(!ended.status.success() && ended.stderr.to_lowercase().contains("crc"), "{ended:?}");
}

/// The ticks of a recording with their rows, to be written again under other host names and times.
fn ticks_of(path: &str) -> (Header, Vec<(TickInfo, Rows)>) {
    let mut recordings = open::recordings(&[path.into()], &[], &std::sync::Arc::default()).unwrap();
    let header = recordings[0].header().clone();
    let columns: Vec<&Column> = header.columns.iter().filter_map(RecordedColumn::column).collect();
    let mut ticks = Vec::new();
    let query = Query { columns, from_ns: 0, to_ns: u64::MAX };
    let mut keep = |piece: psn::record::Piece<'_>| {
        ticks.push((piece.tick.clone(), piece.rows.clone()));
        Ok(())
    };
    recordings[0].read(&query, &mut keep).unwrap();
    (header, ticks)
}

#[test]
fn a_day_of_twenty_hosts_is_one_table() {
    const HOSTS: u64 = 20;
    const HOURS: u64 = 24;
    const HOUR_NS: u64 = 3_600_000_000_000;
    /// 2026-11-22T00:00:00Z.
    const MIDNIGHT_NS: u64 = 1_795_305_600_000_000_000;
    let Some(python) = duckdb_python() else { return skip("DuckDB's Python module is not installed") };
    let dir = Dir::new();
    let (path, _) = recorded(&dir, "one.db");
    let (header, ticks) = ticks_of(&path);
    let fleet = dir.path("fleet/");
    for host in 0..HOSTS {
        let header = Header { host: format!("db{host:02}"), run: format!("run-{host}"), ..header.clone() };
        let options =
            SinkOptions { path: PathBuf::from(&fleet), force: false, flush: None, keep: None, max_size: None };
        let mut sink = open::sink(&options, &header).unwrap();
        let mut due = 0;
        for hour in 0..HOURS {
            for (index, (tick, rows)) in ticks.iter().enumerate() {
                due += 1;
                let time_ns = MIDNIGHT_NS + hour * HOUR_NS + index as u64 * 50_000_000;
                sink.add(&TickInfo { time_ns, due, ..tick.clone() }, &mut vec![rows.clone()]).unwrap();
            }
        }
        sink.finish(None).unwrap();
    }
    let table = format!("read_parquet('{fleet}*/*/*/*.parquet', hive_partitioning = true)");
    let shape =
        ask(&python, &format!("select count(distinct host), count(distinct (date, hour)), count(*) from {table}"));
    let rows: usize = ticks.iter().map(|(_, rows)| rows.len()).sum();
    assert_eq!(shape, [format!("{HOSTS}|{HOURS}|{}", rows as u64 * HOSTS * HOURS)]);
    let top = ask(
        &python,
        &format!(
            "select syscall, wchan, count(*) from {table} where state_id = 'D' group by all order by 3 desc limit 1"
        ),
    );
    let disk = 3 * ticks.len() as u64 * HOSTS * HOURS;
    assert!(top[0].ends_with(&format!("|kernel_clone|{disk}")), "{top:?}");
    // psn reads the same day: of one host, of all hosts, and one hour of it.
    let ask = |args: &[&str]| json::parse(&run(&[&["-i", &fleet, "-a", "--format", "json"], args].concat()));
    let one = ask(&["--host", "db07", "-g", "state_id"]);
    assert_eq!(one.completed(), ticks.len() as u64 * HOURS);
    let all = ask(&["-g", "state_id"]);
    assert_eq!(all.completed(), ticks.len() as u64 * HOURS * HOSTS);
    assert_eq!(all.samples(&["state_id"]).get("D"), Some(&disk));
    assert!(all.0["warnings"].to_string().contains("20 hosts"), "{}", all.0["warnings"]);
    let hour = ask(&["--host", "db00", "--from", "2026-11-22T03:00:00Z", "--to", "2026-11-22T04:00:00Z"]);
    assert_eq!(hour.completed(), ticks.len() as u64);
}
