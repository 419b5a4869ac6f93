//! Reports made by hand, for the tests of the formats.

use crate::proc::health::Counts;
use crate::report::{
    Columns, Cost, CoverageReport, Datum, Facts, HostLoad, Meta, Report, ReportColumn, Row, SeenLoad, States, Tasks,
    Ticks,
};
use crate::row::value::{Mark, OwnedValue};

/// Columns of these names: numbers and texts.
pub fn columns(statistics: &[&str], dimensions: &[&str]) -> Columns {
    let dimension = |name: &&str| ReportColumn {
        in_parentheses: *name == "comm",
        is_stack: *name == "kstack",
        ..ReportColumn::of_texts(name)
    };
    Columns {
        statistics: statistics.iter().map(|name| ReportColumn::of_numbers(name)).collect(),
        dimensions: dimensions.iter().map(dimension).collect(),
    }
}

pub fn text(text: &str) -> OwnedValue {
    bytes(text.as_bytes())
}

pub fn bytes(bytes: &[u8]) -> OwnedValue {
    OwnedValue::Text(bytes.into())
}

/// A row of any statistics.
pub fn group(statistics: impl IntoIterator<Item = Datum>, dimensions: impl IntoIterator<Item = OwnedValue>) -> Row {
    Row { statistics: statistics.into_iter().collect(), group: dimensions.into_iter().collect(), ..Row::default() }
}

/// `row` with another value in its first dimension.
pub fn with_name(row: &Row, name: OwnedValue) -> Row {
    let rest = row.group.iter().skip(1).cloned();
    Row { statistics: row.statistics.clone(), group: std::iter::once(name).chain(rest).collect(), ..*row }
}

/// A row with the average of 8 ticks.
fn row<const N: usize>(samples: u64, selected: [Datum; N], dimensions: impl IntoIterator<Item = OwnedValue>) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let average = samples as f64 / 8.0;
    group([samples.into(), average.into()].into_iter().chain(selected), dimensions)
}

/// An unremarkable run without a row, and without a dimension.
pub fn empty() -> Report {
    let facts = Facts {
        meta: Meta {
            version: "0.1.0".to_owned(),
            host: "db1".to_owned(),
            kernel: "6.8.0-45-generic".to_owned(),
            started_ns: 1_726_000_000_123_456_789,
            duration_s: 5.0,
            hz: 20.0,
            scan: "proc".to_owned(),
            scan_level: None,
            scan_reason: None,
        },
        ticks: Ticks { expected: 100, completed: 100, missed: 0, throttled: 0, abandoned: 0 },
        tasks: Tasks { processes: 79, threads: 1412, skipped: 0, ..Tasks::default() },
        cost: Cost {
            cpu_s: 0.14,
            pass_p50_ms: 1.234,
            pass_p99_ms: 3.1,
            pass_max_ms: 4.56,
            late_p50_ms: 0.06,
            late_p99_ms: 0.21,
            late_max_ms: 0.31,
            workers: 2,
            cpus: 2,
            fds: 512,
            kernel_kb_est: 2560,
        },
        health: vec![("stat".to_owned(), Counts { ok: 141_200, gone: 12, ..Counts::default() })],
        ..Facts::default()
    };
    Report {
        facts,
        title: "Active Threads".to_owned(),
        states: States::Active,
        columns: columns(&["samples", "avg_threads"], &[]),
        rows: Vec::new(),
        rows_left_out: 0,
        other: None,
    }
}

/// The first rows of the original's first example.
pub fn mysqld() -> Report {
    let mut report = empty();
    report.columns = columns(&["samples", "avg_threads"], &["comm", "state", "syscall", "wchan"]);
    let disk = || text("Disk (Uninterruptible)");
    let running = || text("Running (ON CPU)");
    report.rows = vec![
        row(25, [], [text("mysqld"), disk(), text("fsync"), text("_xfs_log_force_lsn")]),
        row(16, [], [text("mysqld"), running(), OwnedValue::Mark(Mark::Running), text("0")]),
        row(14, [], [text("mysqld"), disk(), text("pwrite64"), text("call_rwsem_down_write_failed")]),
        row(1, [], [text("kworker/*:*"), running(), OwnedValue::Mark(Mark::KernelThread), text("worker_thread")]),
    ];
    report
}

/// Names that want to be more than names, and statistics of every kind.
pub fn hostile() -> Report {
    let mut report = empty();
    report.columns = columns(&["samples", "avg_threads", "utime_sec:max", "ci95"], &["comm", "filename"]);
    report.columns.statistics[2].divisor = 100;
    let number = |number| Datum::Value(OwnedValue::Number(number));
    let none = || OwnedValue::Mark(Mark::None);
    report.rows = vec![
        row(5, [number(12345), 0.25.into()], [bytes(b"\x1b[2Jroot\x07"), text("/tmp/a;b 12")]),
        row(4, [number(-5), (1.0 / 3.0).into()], [text("=1+1"), text("a\",b\r\n(c")]),
        row(3, [number(0), none().into()], [bytes(b"\xff\xfe"), text("/\u{202e}gpj.exe")]),
        row(2, [none().into(), 0.0.into()], [text("| x |"), text(r"unit\x2d1 \x1b")]),
        row(1, [number(-700), number(i128::from(u64::MAX) * 2)], [text(""), none()]),
    ];
    report
}

/// Kernel stacks.
pub fn stacks() -> Report {
    let mut report = empty();
    report.columns = columns(&["samples", "avg_threads"], &["comm", "kstack"]);
    report.rows = vec![
        row(9, [], [text("cat"), text("ksys_read()->vfs_read()->xfs_file_read_iter()->folio_wait_bit_common()")]),
        row(4, [], [text("pool 7"), OwnedValue::Mark(Mark::Denied)]),
        row(2, [], [text("cp"), text("-")]),
    ];
    report
}

/// A run by the kernel's own walk.
pub fn walked() -> Report {
    let mut report = mysqld();
    report.facts.meta.scan = "kernel".to_owned();
    report.facts.meta.scan_level = Some("the open-coded walk".to_owned());
    report.facts.tasks.unseen = 14;
    report.facts.coverage = CoverageReport { rows: 56, checked: 39, torn: 0, ..CoverageReport::default() };
    report.facts.health.insert(0, ("kernel".to_owned(), Counts { ok: 140_000, ..Counts::default() }));
    report
}

/// A run on which everything went wrong.
pub fn trouble() -> Report {
    let mut report = mysqld();
    report.facts.meta.scan_reason = Some("psn lacks CAP_BPF\u{1b}[31m; run psn as root".to_owned());
    report.facts.host_load = Some(HostLoad {
        cpus: 2,
        load: Some([4.91, 3.0, 2.25]),
        running: 3.125,
        blocked: 0.25,
        reads: 24,
        seen: Some(SeenLoad { running: 3.0, throttled: 0.0, blocked: 1.0 }),
    });
    report.facts.ticks = Ticks { expected: 100, completed: 62, missed: 38, throttled: 0, abandoned: 0 };
    report.facts.tasks.skipped = 17;
    report.facts.cost =
        Cost { cpu_s: 4.2, pass_p50_ms: 71.0, pass_p99_ms: 140.0, pass_max_ms: 1250.0, ..report.facts.cost };
    report.facts.cost.kernel_kb_est = 3 << 20;
    report.facts.health.extend([
        ("syscall".to_owned(), Counts { ok: 20, denied: 290, gone: 3, ..Counts::default() }),
        ("wchan".to_owned(), Counts { ok: 300, timed_out: 1, dropped: 7, malformed: 2, ..Counts::default() }),
        ("stack".to_owned(), Counts { denied: 4310, unsupported: 1, ..Counts::default() }),
    ]);
    report.facts.dropped = vec![
        ("wchan".to_owned(), "Too many open files".to_owned(), 5),
        ("wchan".to_owned(), "Cannot allocate memory".to_owned(), 2),
    ];
    report.facts.coverage = CoverageReport {
        rows: 4310,
        checked: 412,
        torn: 3,
        denied: vec![("syscall".to_owned(), 290), ("stack".to_owned(), 4310), ("wchan".to_owned(), 1)],
        ..CoverageReport::default()
    };
    report.rows_left_out = 1012;
    report.facts.warnings =
        vec!["process 12 (\x1b[31m) blocks whoever reads its files in /proc: it is stuck in exec".to_owned()];
    report
}
