//! Reports made by hand, for the tests of the formats.

use std::sync::Arc;

use crate::proc::health::Counts;
use crate::report::{Align, Cost, CoverageReport, Field, Meta, Report, ReportColumn, Row, States, Tasks, Ticks};
use crate::row::observation::Mark;

/// A dimension of texts.
pub fn column(name: &str) -> ReportColumn {
    ReportColumn {
        name: name.to_owned(),
        align: Align::Left,
        is_dimension: true,
        in_parentheses: name == "comm",
        is_stack: name == "kstack",
    }
}

/// A statistic.
pub fn numbers(name: &str) -> ReportColumn {
    ReportColumn { align: Align::Right, is_dimension: false, ..column(name) }
}

/// A field of text.
pub fn text(text: &str) -> Field {
    bytes(text.as_bytes())
}

/// A field of any bytes.
pub fn bytes(bytes: &[u8]) -> Field {
    Field::Text(Arc::from(bytes))
}

/// A field of a number.
pub fn number(number: u64) -> Field {
    Field::Integer(number.into())
}

fn row(samples: u64, fields: impl IntoIterator<Item = Field>) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let average = samples as f64 / 8.0;
    Row { fields: [number(samples), Field::Decimal(average)].into_iter().chain(fields).collect() }
}

/// An unremarkable run without a row, and without a dimension.
pub fn empty() -> Report {
    Report {
        unmeasured: Vec::new(),
        sleepers: None,
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
        title: "Active Threads".to_owned(),
        states: States::Active,
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
        dropped: Vec::new(),
        coverage: CoverageReport::default(),
        columns: vec![numbers("samples"), numbers("avg_threads")],
        rows: Vec::new(),
        rows_left_out: 0,
        other: None,
        warnings: Vec::new(),
    }
}

/// The first rows of the original's first example.
pub fn mysqld() -> Report {
    let mut report = empty();
    report.columns.extend(["comm", "state", "syscall", "wchan"].map(column));
    let disk = || text("Disk (Uninterruptible)");
    let running = || text("Running (ON CPU)");
    report.rows = vec![
        row(25, [text("mysqld"), disk(), text("fsync"), text("_xfs_log_force_lsn")]),
        row(16, [text("mysqld"), running(), Field::Mark(Mark::Running), text("0")]),
        row(14, [text("mysqld"), disk(), text("pwrite64"), text("call_rwsem_down_write_failed")]),
        row(1, [text("kworker/*:*"), running(), Field::Mark(Mark::KernelThread), text("worker_thread")]),
    ];
    report
}

/// Names that want to be more than names, and statistics of every kind.
pub fn hostile() -> Report {
    let mut report = empty();
    report.columns.extend([numbers("utime_sec:max"), numbers("ci95")]);
    report.columns.extend(["comm", "filename"].map(column));
    let max = |ticks| Field::Scaled(ticks, 100);
    report.rows = vec![
        row(5, [max(12345), Field::Decimal(0.25), bytes(b"\x1b[2Jroot\x07"), text("/tmp/a;b 12")]),
        row(4, [max(-5), Field::Decimal(1.0 / 3.0), text("=1+1"), text("a\",b\r\n(c")]),
        row(3, [max(0), Field::Mark(Mark::None), bytes(b"\xff\xfe"), text("/\u{202e}gpj.exe")]),
        row(2, [Field::Mark(Mark::None), Field::Decimal(0.0), text("| x |"), text(r"unit\x2d1 \x1b")]),
        row(1, [Field::Integer(-7), Field::Integer(i128::from(u64::MAX) * 2), text(""), Field::Mark(Mark::None)]),
    ];
    report
}

/// Kernel stacks.
pub fn stacks() -> Report {
    let mut report = empty();
    report.columns.extend(["comm", "kstack"].map(column));
    report.rows = vec![
        row(9, [text("cat"), text("ksys_read()->vfs_read()->xfs_file_read_iter()->folio_wait_bit_common()")]),
        row(4, [text("pool 7"), Field::Mark(Mark::Denied)]),
        row(2, [text("cp"), text("-")]),
    ];
    report
}

/// A run by the kernel's own walk.
pub fn walked() -> Report {
    let mut report = mysqld();
    report.meta.scan = "kernel".to_owned();
    report.meta.scan_level = Some("the open-coded walk".to_owned());
    report.tasks.unseen = 14;
    report.coverage = CoverageReport { rows: 56, checked: 39, torn: 0, ..CoverageReport::default() };
    report.health.insert(0, ("kernel".to_owned(), Counts { ok: 140_000, ..Counts::default() }));
    report
}

/// A run on which everything went wrong.
pub fn trouble() -> Report {
    let mut report = mysqld();
    report.meta.scan_reason = Some("psn lacks CAP_BPF\u{1b}[31m; run psn as root".to_owned());
    report.ticks = Ticks { expected: 100, completed: 62, missed: 38, throttled: 0, abandoned: 0 };
    report.tasks.skipped = 17;
    report.cost = Cost { cpu_s: 4.2, pass_p50_ms: 71.0, pass_p99_ms: 140.0, pass_max_ms: 1250.0, ..report.cost };
    report.cost.kernel_kb_est = 3 << 20;
    report.health.extend([
        ("syscall".to_owned(), Counts { ok: 20, denied: 290, gone: 3, ..Counts::default() }),
        ("wchan".to_owned(), Counts { ok: 300, timed_out: 1, dropped: 7, malformed: 2, ..Counts::default() }),
        ("stack".to_owned(), Counts { denied: 4310, unsupported: 1, ..Counts::default() }),
    ]);
    report.dropped = vec![
        ("wchan".to_owned(), "Too many open files".to_owned(), 5),
        ("wchan".to_owned(), "Cannot allocate memory".to_owned(), 2),
    ];
    report.coverage = CoverageReport {
        rows: 4310,
        checked: 412,
        torn: 3,
        denied: vec![("syscall".to_owned(), 290), ("stack".to_owned(), 4310), ("wchan".to_owned(), 1)],
        ..CoverageReport::default()
    };
    report.rows_left_out = 1012;
    report.warnings =
        vec!["process 12 (\x1b[31m) blocks whoever reads its files in /proc: it is stuck in exec".to_owned()];
    report
}
