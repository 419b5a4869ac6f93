//! Text: whatever bytes a process puts into a name, they are only displayed, and none of them is lost.

use psn::output::{Format, RenderOptions};
use psn::proc::health::Counts;
use psn::report::{Columns, Cost, CoverageReport, Datum, Facts, Meta, Report, ReportColumn, Row, States, Tasks, Ticks};
use psn::row::value::{Mark, OwnedValue, Value};
use psn::text::escape::{frame, printable};
use unicode_width::UnicodeWidthStr as _;

/// Characters that reorder, hide or break text, by the tables of Unicode rather than psn's.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            // Zero-width and directional marks; separators of lines and paragraphs; embeddings and isolates.
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[track_caller]
fn assert_shows(text: &str) {
    if let Some(hidden) = text.chars().find(|c| is_hidden(*c)) {
        panic!("{hidden:?} in {text:?}");
    }
}

/// The bytes that printable text stands for. `escapes` says which bytes `\xNN` may stand for.
fn undo(text: &str, escapes: fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let hex = |digits: &str| {
            let lower = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
            u32::from_str_radix(digits, 16).ok().filter(|_| lower)
        };
        let byte = rest.get(2..4).and_then(hex).and_then(|byte| u8::try_from(byte).ok());
        let code = rest[1..].strip_prefix("u{").and_then(|tail| tail.split_once('}')).and_then(|(code, _)| hex(code));
        let used = match rest.as_bytes() {
            [_, b'\\', ..] => {
                out.push(b'\\');
                2
            }
            [_, b'x', ..] if byte.is_some_and(escapes) => {
                out.extend(byte);
                4
            }
            [_, b'u', b'{', ..] => {
                let c = code.and_then(char::from_u32).unwrap_or_else(|| panic!("an escape of nothing in {text:?}"));
                out.extend_from_slice(c.to_string().as_bytes());
                format!("\\u{{{:x}}}", u32::from(c)).len()
            }
            _ => {
                out.push(b'\\');
                1
            }
        };
        rest = &rest[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Checks the functions `printable` and `frame`.
pub fn escape(data: &[u8]) {
    let text = printable(data);
    assert_shows(&text);
    assert_eq!(undo(&text, |byte| !(b' '..0x7f).contains(&byte)), data, "{text}");
    if data.iter().all(|byte| (b' '..0x7f).contains(byte) && *byte != b'\\') {
        assert_eq!(text.as_bytes(), data, "plain text is left alone");
    }
    let frame = frame(data);
    assert_shows(&frame);
    assert_eq!(undo(&frame, |byte| byte >= 0x7f || byte <= b' ' || byte == b';'), data, "{frame}");
    assert!(!frame.contains(';') && !ends_in_a_count(&frame), "{frame:?}");
}

/// Whether readers of folded stacks would read the end of `frame` as a count: digits and a point, after a space.
fn ends_in_a_count(frame: &str) -> bool {
    let tail = frame.trim_end().rsplit_once(' ').map(|(_, tail)| tail);
    tail.is_some_and(|tail| {
        tail.contains(|c: char| c.is_ascii_digit()) && !tail.contains(|c: char| !c.is_ascii_digit() && c != '.')
    })
}

/// Separates the cells in the input of [`render`].
const SEPARATOR: u8 = 0x1f;

/// Prints a report of hostile texts in every format: the numbers of rows, cells and lines must be right.
pub fn render(data: &[u8]) {
    let mut cells = data.split(|byte| *byte == SEPARATOR);
    let settings = cells.next().unwrap_or_default();
    let width = settings.first().map(|byte| usize::from(*byte));
    let report = report(settings, &cells.collect::<Vec<_>>());
    for width in [None, width] {
        table(&report, width);
    }
    csv(&report);
    json(&report);
    folded(&report);
}

/// A report with three texts in each row. The facts about the run contain the same hostile texts.
fn report(settings: &[u8], cells: &[&[u8]]) -> Report {
    let said = String::from_utf8_lossy(settings).into_owned();
    let rows = cells.chunks(3).enumerate().map(|(at, chunk)| {
        let cell = |place: usize| match chunk.get(place) {
            Some([b'#', b'0', ..]) => OwnedValue::Mark(Mark::ALL[at % Mark::ALL.len()]),
            Some([b'#', b'1', rest @ ..]) => OwnedValue::Number(i128::MIN + i128::from(rest.len() as u64)),
            Some([b'#', b'2', rest @ ..]) => OwnedValue::Number(-i128::from(rest.len() as u64)),
            Some(bytes) => OwnedValue::Text((*bytes).into()),
            None => OwnedValue::Text([].into()),
        };
        Row {
            statistics: [(at as u64).into(), 0.5.into()].into(),
            group: [cell(0), cell(1), cell(2)].into(),
            ..Row::default()
        }
    });
    let columns = Columns {
        statistics: ["samples", "avg_threads"].map(ReportColumn::of_numbers).into(),
        dimensions: vec![
            ReportColumn { in_parentheses: true, ..ReportColumn::of_texts("comm") },
            ReportColumn { divisor: 100, ..ReportColumn::of_numbers("filename") },
            ReportColumn { is_stack: true, ..ReportColumn::of_texts("kstack") },
        ],
    };
    Report {
        facts: facts(said),
        title: "Active Threads".to_owned(),
        states: States::Active,
        columns,
        rows: rows.collect(),
        rows_left_out: 1,
        other: None,
    }
}

/// An account of a run in which every text is `said`.
fn facts(said: String) -> Facts {
    Facts {
        unmeasured: vec![said.clone()],
        host_load: Some(psn::report::HostLoad {
            cpus: u64::MAX,
            load: Some([f64::INFINITY, 0.0, f64::NAN]),
            running: f64::MAX,
            seen: Some(psn::report::SeenLoad { throttled: -1.5, ..Default::default() }),
            ..Default::default()
        }),
        can_show_waits: true,
        sleepers: Some(psn::report::Sleepers {
            threads: 9,
            looked_at: 8,
            slept: 7.5,
            waits: vec![(said.clone(), 7.0), (String::new(), 0.5)],
        }),
        meta: Meta {
            version: said.clone(),
            host: said.clone(),
            kernel: said.clone(),
            started_ns: u64::MAX,
            duration_s: 1.5,
            hz: 20.0,
            scan: said.clone(),
            scan_level: Some(said.clone()),
            scan_reason: Some(said.clone()),
        },
        ticks: Ticks { expected: 9, completed: 5, missed: 4, throttled: 1, abandoned: 3 },
        tasks: Tasks { processes: 1, threads: 2, skipped: 3, unseen: 4, running_max: 5, cpus: 2 },
        cost: Cost::default(),
        health: vec![(said.clone(), Counts { ok: 5, denied: 1, dropped: u64::MAX, ..Counts::default() })],
        dropped: vec![(said.clone(), said.clone(), 7)],
        coverage: CoverageReport {
            rows: 9,
            checked: 5,
            torn: 1,
            denied: vec![(said.clone(), 3)],
            rejected: 2,
            refused: 1,
        },
        warnings: vec![said],
    }
}

/// The report as text; every character except line ends must be visible.
fn rendered(report: &Report, format: Format, layout: &RenderOptions) -> String {
    let mut out = Vec::new();
    psn::output::render(report, format, layout, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().for_each(assert_shows);
    text
}

fn table(report: &Report, width: Option<usize>) {
    let bare = rendered(report, Format::Table, &RenderOptions { width, footer: false, ..RenderOptions::default() });
    // The title line, empty lines, the header, a rule, the rows.
    assert_eq!(bare.lines().count(), if report.rows.is_empty() { 4 } else { 5 + report.rows.len() });
    let rule = bare.lines().nth(1).unwrap_or_default().width();
    for line in bare.lines().skip(3) {
        assert!(report.rows.is_empty() || line.width() <= rule, "{rule}: {line:?}");
    }
    let full = rendered(report, Format::Table, &RenderOptions { width, ..RenderOptions::default() });
    assert!(full.starts_with(&bare));
}

fn csv(report: &Report) {
    for defuse_formulas in [true, false] {
        let text = rendered(report, Format::Csv, &RenderOptions { defuse_formulas, ..RenderOptions::default() });
        let records: Vec<_> = csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap).collect();
        assert_eq!(records.len(), report.rows.len());
        for (record, row) in records.iter().zip(&report.rows) {
            assert_eq!(record.len(), report.columns.len());
            for (cell, (_, datum)) in record.iter().zip(report.columns.data(row)) {
                let Some(Datum::Value(Value::Text(bytes))) = datum else { continue };
                let shown = printable(bytes);
                let is_quoted = defuse_formulas && cell.strip_prefix('\'').is_some_and(|cell| cell == shown);
                assert!(cell == shown || is_quoted, "{cell:?} {shown:?}");
                let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@']) && cell != "-";
                assert!(!defuse_formulas || !is_formula, "{cell:?}");
            }
        }
    }
}

fn json(report: &Report) {
    let text = rendered(report, Format::Json, &RenderOptions::default());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(rows.len(), report.rows.len());
    for (shown, row) in rows.iter().zip(&report.rows) {
        for (column, datum) in report.columns.data(row) {
            let Some(Datum::Value(Value::Text(bytes))) = datum else { continue };
            let told = shown[column.name.as_str()].as_str().unwrap();
            assert_eq!(told, printable(bytes));
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let exact = shown.get(format!("{}_bytes", column.name));
            // The text is equal to the bytes, or the bytes are given too.
            assert_eq!(exact.and_then(|exact| exact.as_str()), (told.as_bytes() != bytes).then_some(hex.as_str()));
        }
    }
}

fn folded(report: &Report) {
    let text = rendered(report, Format::Folded, &RenderOptions::default());
    assert_eq!(text.lines().count(), report.rows.len());
    for (line, row) in text.lines().zip(&report.rows) {
        let (stack, samples) = line.rsplit_once(' ').unwrap();
        assert_eq!(samples.parse(), Ok(row.samples()));
        assert!(!ends_in_a_count(stack), "{line:?}");
        let functions = match &row.group[2] {
            OwnedValue::Text(stack) => stack.windows(2).fold((0, false), |(count, skip), pair| {
                let is_arrow = !skip && pair == b"->";
                (count + usize::from(is_arrow), is_arrow)
            }),
            _ => (0, false),
        };
        assert_eq!(stack.split(';').count(), 3 + functions.0, "{line:?}");
        assert!(stack.split(';').all(|frame| !frame.is_empty()));
    }
}
