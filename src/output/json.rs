//! One JSON object: the account of the run, one member a line, then the rows, one row a line. Rows are written one by one:
//! the text of a long report is never in memory as a whole.
//!
//! A row has a member for each of `columns`. Numbers are exact JSON numbers; those beyond 64 bits are strings of digits.
//! Marks are strings: `"[denied]"`, `"-"`. Texts are strings, escaped by [`printable`]; if that changes a text, a member
//! `NAME_bytes` after it has its bytes in hexadecimal.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::advice::warnings;
use crate::proc::health::Counts;
use crate::report::{Columns, Cost, CoverageReport, Datum, Facts, HostLoad, Report, Row, Sleepers};
use crate::row::value::Value;
use crate::text::decimal::decimal;
use crate::text::escape::printable;
use crate::text::sentence::sentence;

/// Writes the object.
pub fn render(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    begin(report, out)?;
    rows(report, true, out)?;
    end(report.rows.is_empty(), None, out)
}

/// Writes the object up to its rows.
pub fn begin(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{{")?;
    for (name, value) in head(report, &Keys::new(report)) {
        writeln!(out, "  {}: {value},", json!(name))?;
    }
    write!(out, "  \"rows\": [")
}

/// Writes rows; `is_first` if no row was written before.
pub fn rows(report: &Report, is_first: bool, out: &mut dyn Write) -> io::Result<()> {
    let keys = Keys::new(report);
    for (index, row) in report.rows.iter().enumerate() {
        out.write_all(if index == 0 && is_first { b"\n    " } else { b",\n    " })?;
        write_row(row, &report.columns, &keys, out)?;
    }
    Ok(())
}

/// Writes the end of the object. `more` is a further member, an array that is written with one value a line.
pub fn end(
    is_empty: bool,
    more: Option<(&str, &mut dyn Iterator<Item = Json>)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{}]", if is_empty { "" } else { "\n  " })?;
    if let Some((name, values)) = more {
        write!(out, ",\n  {}: [", json!(name))?;
        for (index, value) in values.enumerate() {
            write!(out, "{}\n    {value}", if index == 0 { "" } else { "," })?;
        }
        write!(out, "\n  ]")?;
    }
    writeln!(out, "\n}}")
}

/// Everything but the rows.
fn head(report: &Report, keys: &Keys) -> Map<String, Json> {
    let facts = &report.facts;
    let Facts { meta, ticks, tasks, cost, coverage, .. } = facts;
    let members = [
        ("version", json!(text(&meta.version))),
        ("host", json!(text(&meta.host))),
        ("kernel", json!(text(&meta.kernel))),
        ("started", json!(timestamp(meta.started_ns))),
        ("duration_s", json!(meta.duration_s)),
        ("hz", json!(meta.hz)),
        ("achieved_hz", json!(facts.achieved_hz())),
        (
            "ticks",
            json!({
                "expected": ticks.expected,
                "completed": ticks.completed,
                "missed": ticks.missed,
                "throttled": ticks.throttled, "abandoned": ticks.abandoned,
            }),
        ),
        (
            "tasks",
            json!({
                "processes": tasks.processes,
                "threads": tasks.threads,
                "skipped": tasks.skipped,
                "unseen": tasks.unseen,
                "running_max": tasks.running_max,
                "cpus": tasks.cpus,
            }),
        ),
        ("scan", json!(text(&meta.scan))),
        ("scan_level", json!(meta.scan_level.as_deref().map(text))),
        ("scan_reason", json!(meta.scan_reason.as_deref().map(text))),
        ("cost", self::cost(cost)),
        ("health", facts.health.iter().map(health).collect()),
        ("dropped", facts.dropped.iter().map(dropped).collect()),
        ("coverage", self::coverage(coverage)),
        ("unmeasured", facts.unmeasured.iter().map(|name| text(name)).collect()),
        ("host_load", facts.host_load.as_ref().map_or(Json::Null, host_load)),
        ("sleepers", facts.sleepers.as_ref().map_or(Json::Null, sleepers)),
        (
            "warnings",
            warnings(report).iter().map(|warning| sentence(warning).into_owned().into()).collect::<Vec<Json>>().into(),
        ),
        ("rows_left_out", json!(report.rows_left_out)),
        ("columns", keys.0.iter().map(|(name, _)| name.as_str()).collect()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn cost(cost: &Cost) -> Json {
    let quantiles = |[p50, p99, max]: [f64; 3]| json!({ "p50": p50, "p99": p99, "max": max });
    json!({
        "cpu_s": cost.cpu_s,
        "pass_ms": quantiles(cost.pass_ms()),
        "late_ms": quantiles(cost.late_ms()),
        "fds": cost.fds,
        "kernel_kb_est": cost.kernel_kb_est,
    })
}

fn host_load(host: &HostLoad) -> Json {
    let seen = host
        .seen
        .as_ref()
        .map(|seen| json!({ "running": seen.running, "throttled": seen.throttled, "blocked": seen.blocked }));
    json!({
        "cpus": host.cpus,
        "load": host.load,
        "running": host.running,
        "blocked": host.blocked,
        "reads": host.reads,
        "seen": seen,
    })
}

fn health((source, counts): &(String, Counts)) -> Json {
    json!({
        "source": text(source),
        "ok": counts.ok,
        "gone": counts.gone,
        "denied": counts.denied,
        "unsupported": counts.unsupported,
        "timed_out": counts.timed_out,
        "dropped": counts.dropped,
        "malformed": counts.malformed,
    })
}

fn dropped((source, error, count): &(String, String, u64)) -> Json {
    json!({ "source": text(source), "error": text(error), "count": count })
}

fn coverage(coverage: &CoverageReport) -> Json {
    let denied: Map<String, Json> =
        coverage.denied.iter().map(|(source, count)| (text(source), json!(count))).collect();
    json!({
        "rows": coverage.rows,
        "checked": coverage.checked,
        "torn": coverage.torn,
        "denied": denied,
        "rejected": coverage.rejected,
        "refused": coverage.refused,
    })
}

fn sleepers(sleepers: &Sleepers) -> Json {
    let waits: Map<String, Json> = sleepers.waits.iter().map(|(wait, average)| (text(wait), json!(average))).collect();
    json!({
        "threads": sleepers.threads,
        "looked_at": sleepers.looked_at,
        "slept": sleepers.slept,
        "waits": waits,
    })
}

fn text(text: &str) -> String {
    printable(text.as_bytes()).into_owned()
}

/// RFC 3339, UTC.
fn timestamp(ns: u64) -> Option<String> {
    jiff::Timestamp::from_nanosecond(ns.into()).ok().map(|timestamp| timestamp.to_string())
}

/// For each column, the names of a row's members: of the value, and of its bytes.
struct Keys(Vec<(String, String)>);

impl Keys {
    /// The headers, made unique by a number: a column may be both a dimension and a statistic.
    fn new(report: &Report) -> Self {
        let mut taken = HashSet::new();
        let mut unique = |name: String| {
            let numbered = (2..).map(|number| format!("{name}_{number}"));
            let free = std::iter::once(name.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
            free.unwrap_or(name)
        };
        let names: Vec<String> = report.columns.iter().map(|column| unique(text(&column.name))).collect();
        Self(
            names
                .into_iter()
                .map(|name| {
                    let bytes = unique(format!("{name}_bytes"));
                    (name, bytes)
                })
                .collect(),
        )
    }
}

fn write_row(row: &Row, columns: &Columns, keys: &Keys, out: &mut dyn Write) -> io::Result<()> {
    let mut is_empty = true;
    for ((name, name_of_bytes), (column, datum)) in keys.0.iter().zip(columns.data(row)) {
        let Some(datum) = datum else { continue };
        out.write_all(if is_empty { b"{" } else { b", " })?;
        is_empty = false;
        write_member(name, out)?;
        match datum {
            Datum::Decimal(number) => serde_json::to_writer(&mut *out, &number)?,
            Datum::Value(Value::Number(number)) => write_number(number, &decimal(number, column.divisor), out)?,
            Datum::Value(Value::Mark(mark)) => serde_json::to_writer(&mut *out, mark.text())?,
            Datum::Value(Value::Text(bytes)) => {
                let text = printable(bytes);
                serde_json::to_writer(&mut *out, &*text)?;
                if text.as_bytes() != bytes {
                    out.write_all(b", ")?;
                    write_member(name_of_bytes, out)?;
                    write_hex(bytes, out)?;
                }
            }
        }
    }
    out.write_all(if is_empty { b"{}" } else { b"}" })
}

/// Writes the name of a member.
fn write_member(name: &str, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, name)?;
    out.write_all(b": ")
}

/// Writes `digits`, in quotes if `number` does not fit 64 bits: many readers would round it.
fn write_number(number: i128, digits: &str, out: &mut dyn Write) -> io::Result<()> {
    if i64::try_from(number).is_ok() || u64::try_from(number).is_ok() {
        write!(out, "{digits}")
    } else {
        write!(out, "\"{digits}\"")
    }
}

fn write_hex(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::fixture::{self, bytes, columns, group};

    fn rendered(report: &Report) -> String {
        let mut out = Vec::new();
        render(report, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let _: Json = serde_json::from_str(&text).unwrap();
        text
    }

    #[test]
    fn a_report_is_an_object() {
        insta::assert_snapshot!(rendered(&fixture::mysqld()), @r#"
        {
          "version": "0.1.0",
          "host": "db1",
          "kernel": "6.8.0-45-generic",
          "started": "2024-09-10T20:26:40.123456789Z",
          "duration_s": 5.0,
          "hz": 20.0,
          "achieved_hz": 20.0,
          "ticks": {"expected":100,"completed":100,"missed":0,"throttled":0,"abandoned":0},
          "tasks": {"processes":79,"threads":1412,"skipped":0,"unseen":0,"running_max":0,"cpus":0},
          "scan": "proc",
          "scan_level": null,
          "scan_reason": null,
          "cost": {"cpu_s":0.14,"pass_ms":{"p50":1.234,"p99":3.1,"max":4.56},"late_ms":{"p50":0.06,"p99":0.21,"max":0.31},"fds":512,"kernel_kb_est":2560},
          "health": [{"source":"stat","ok":141200,"gone":12,"denied":0,"unsupported":0,"timed_out":0,"dropped":0,"malformed":0}],
          "dropped": [],
          "coverage": {"rows":0,"checked":0,"torn":0,"denied":{},"rejected":0,"refused":0},
          "unmeasured": [],
          "host_load": null,
          "sleepers": null,
          "warnings": [],
          "rows_left_out": 0,
          "columns": ["samples","avg_threads","comm","state","syscall","wchan"],
          "rows": [
            {"samples": 25, "avg_threads": 3.125, "comm": "mysqld", "state": "Disk (Uninterruptible)", "syscall": "fsync", "wchan": "_xfs_log_force_lsn"},
            {"samples": 16, "avg_threads": 2.0, "comm": "mysqld", "state": "Running (ON CPU)", "syscall": "[running]", "wchan": "0"},
            {"samples": 14, "avg_threads": 1.75, "comm": "mysqld", "state": "Disk (Uninterruptible)", "syscall": "pwrite64", "wchan": "call_rwsem_down_write_failed"},
            {"samples": 1, "avg_threads": 0.125, "comm": "kworker/*:*", "state": "Running (ON CPU)", "syscall": "[kernel_thread]", "wchan": "worker_thread"}
          ]
        }
        "#);
    }

    #[test]
    fn a_report_of_trouble_tells_all_of_it() {
        let mut report = fixture::trouble();
        report.rows.clear();
        insta::assert_snapshot!(rendered(&report), @r#"
        {
          "version": "0.1.0",
          "host": "db1",
          "kernel": "6.8.0-45-generic",
          "started": "2024-09-10T20:26:40.123456789Z",
          "duration_s": 5.0,
          "hz": 20.0,
          "achieved_hz": 12.4,
          "ticks": {"expected":100,"completed":62,"missed":38,"throttled":0,"abandoned":0},
          "tasks": {"processes":79,"threads":1412,"skipped":17,"unseen":0,"running_max":0,"cpus":0},
          "scan": "proc",
          "scan_level": null,
          "scan_reason": "psn lacks CAP_BPF\\x1b[31m; run psn as root",
          "cost": {"cpu_s":4.2,"pass_ms":{"p50":71.0,"p99":140.0,"max":1250.0},"late_ms":{"p50":0.06,"p99":0.21,"max":0.31},"fds":512,"kernel_kb_est":3145728},
          "health": [{"source":"stat","ok":141200,"gone":12,"denied":0,"unsupported":0,"timed_out":0,"dropped":0,"malformed":0},{"source":"syscall","ok":20,"gone":3,"denied":290,"unsupported":0,"timed_out":0,"dropped":0,"malformed":0},{"source":"wchan","ok":300,"gone":0,"denied":0,"unsupported":0,"timed_out":1,"dropped":7,"malformed":2},{"source":"stack","ok":0,"gone":0,"denied":4310,"unsupported":1,"timed_out":0,"dropped":0,"malformed":0}],
          "dropped": [{"source":"wchan","error":"Too many open files","count":5},{"source":"wchan","error":"Cannot allocate memory","count":2}],
          "coverage": {"rows":4310,"checked":412,"torn":3,"denied":{"syscall":290,"stack":4310,"wchan":1},"rejected":0,"refused":0},
          "unmeasured": [],
          "host_load": {"cpus":2,"load":[4.91,3.0,2.25],"running":3.125,"blocked":0.25,"reads":24,"seen":{"running":3.0,"throttled":0.0,"blocked":1.0}},
          "sleepers": null,
          "warnings": ["20 Hz could not be held (12.4 achieved, 38 ticks missed): a pass over the threads takes 71.0 ms, longer than the 50.0 ms between ticks; fewer columns, fewer processes (-p) or a lower --hz would help","process 12 (\\x1b[31m) blocks whoever reads its files in /proc: it is stuck in exec"],
          "rows_left_out": 1012,
          "columns": ["samples","avg_threads","comm","state","syscall","wchan"],
          "rows": []
        }
        "#);
    }

    #[test]
    fn hostile_names_have_their_bytes_beside_them() {
        let text = rendered(&fixture::hostile());
        insta::assert_snapshot!(text.split_once("\"rows\": ").unwrap().1, @r#"
        [
            {"samples": 5, "avg_threads": 0.625, "utime_sec:max": 123.45, "ci95": 0.25, "comm": "\\x1b[2Jroot\\x07", "comm_bytes": "1b5b324a726f6f7407", "filename": "/tmp/a;b 12"},
            {"samples": 4, "avg_threads": 0.5, "utime_sec:max": -0.05, "ci95": 0.3333333333333333, "comm": "=1+1", "filename": "a\",b\\x0d\\x0a(c", "filename_bytes": "61222c620d0a2863"},
            {"samples": 3, "avg_threads": 0.375, "utime_sec:max": 0.00, "ci95": "-", "comm": "\\xff\\xfe", "comm_bytes": "fffe", "filename": "/\\u{202e}gpj.exe", "filename_bytes": "2fe280ae67706a2e657865"},
            {"samples": 2, "avg_threads": 0.25, "utime_sec:max": "-", "ci95": 0.0, "comm": "| x |", "filename": "unit\\x2d1 \\\\x1b", "filename_bytes": "756e69745c78326431205c783162"},
            {"samples": 1, "avg_threads": 0.125, "utime_sec:max": -7.00, "ci95": "36893488147419103230", "comm": "", "filename": "-"}
          ]
        }
        "#);
    }

    #[test]
    fn a_column_that_is_there_twice_has_two_names() {
        let mut report = fixture::empty();
        report.columns = columns(&["samples", "avg_threads"], &["comm", "comm", "comm_bytes"]);
        let keys = Keys::new(&report);
        let names: Vec<_> = keys.0.iter().skip(2).map(|(name, bytes)| (name.as_str(), bytes.as_str())).collect();
        assert_eq!(names, [("comm", "comm_bytes_2"), ("comm_2", "comm_2_bytes"), ("comm_bytes", "comm_bytes_bytes")]);
    }

    #[test]
    fn what_is_no_number_is_null() {
        let mut report = fixture::empty();
        report.facts.meta.duration_s = f64::NAN;
        report.rows = vec![group([1_u64.into(), f64::INFINITY.into()], []), group([], [])];
        let value: Json = serde_json::from_str(&rendered(&report)).unwrap();
        assert_eq!(value["duration_s"], Json::Null);
        assert_eq!(value["rows"], json!([{ "samples": 1, "avg_threads": null }, {}]));
    }

    proptest! {
        #[test]
        fn every_text_can_be_recovered(texts in proptest::collection::vec(any::<(Vec<u8>, String)>(), 0..8)) {
            let mut report = fixture::empty();
            report.columns = columns(&[], &["comm", "wchan"]);
            report.rows =
                texts.iter().map(|(first, second)| group([], [bytes(first), bytes(second.as_bytes())])).collect();
            let value: Json = serde_json::from_str(&rendered(&report)).unwrap();
            for (index, (first, second)) in texts.iter().enumerate() {
                for (name, expected) in [("comm", first.as_slice()), ("wchan", second.as_bytes())] {
                    let row = &value["rows"][index];
                    let found = match row.get(format!("{name}_bytes")) {
                        Some(hex) => hex
                            .as_str()
                            .unwrap()
                            .as_bytes()
                            .chunks(2)
                            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                            .collect(),
                        None => row[name].as_str().unwrap().as_bytes().to_vec(),
                    };
                    prop_assert_eq!(&found, expected);
                }
            }
        }
    }
}
