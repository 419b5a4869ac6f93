//! The table, in the layout of the original: a title and a rule as wide as the rows, numbers to the right.
//!
//! Widths are columns of a terminal, not bytes. Cells are formatted twice, to be measured and to be written: the text of a
//! long report is never in memory as a whole.

use std::borrow::Cow;
use std::io::{self, Write};
use std::iter;

use unicode_width::UnicodeWidthStr as _;

use super::advice::nothing_seen;
use super::charset::Charset;
use crate::ask::column::Column;
use crate::report::{Align, Columns, Datum, Report, ReportColumn, Row};
use crate::row::value::Value;
use crate::text::decimal::decimal;
use crate::text::escape::units;

/// The least width to which a column of texts is shortened.
const MIN_TEXT_WIDTH: usize = 4;
const SEPARATOR: &str = " | ";

/// Writes the table. With `terminal`, texts are shortened so that lines have that many columns, if `MIN_TEXT_WIDTH` allows it.
pub fn render(report: &Report, terminal: Option<usize>, charset: Charset, out: &mut dyn Write) -> io::Result<()> {
    let mut widths = natural_widths(report, charset);
    match terminal {
        Some(terminal) => fit(&mut widths, &report.columns, terminal),
        None => limit_padding(&mut widths, report.rows.len()),
    }
    let total = table_width(&widths);
    let title = format!("=== {} ", charset.text(&report.title));
    writeln!(out, "\n{title}{}\n", "=".repeat(total.saturating_sub(title.width())))?;
    if report.rows.is_empty() {
        return writeln!(out, " {}", charset.printable(nothing_seen(report).as_bytes()));
    }
    let line = Line { columns: &report.columns, widths: &widths, charset, is_cut: terminal.is_some() };
    let headers = report.columns.iter().map(|column| charset.printable(column.name.as_bytes()));
    line.write(headers, out)?;
    writeln!(out, "{}", "-".repeat(total))?;
    report.rows.iter().try_for_each(|row| line.write(cells(&report.columns, row, charset), out))
}

/// The cells of a row; empty ones where it is too short.
fn cells<'a>(columns: &'a Columns, row: &'a Row, charset: Charset) -> impl Iterator<Item = Cow<'a, str>> {
    let data = columns.data(row);
    data.map(move |(column, datum)| {
        let Some(datum) = datum else { return Cow::Borrowed("") };
        let is_number = matches!(datum, Datum::Decimal(_) | Datum::Value(Value::Number(_)));
        let sign = if column.has_bounds && is_number { charset.bound(row.bounds) } else { "" };
        let cell = cell(column, datum, charset);
        if sign.is_empty() { cell } else { Cow::Owned(format!("{sign}{cell}")) }
    })
}

fn cell<'a>(column: &ReportColumn, datum: Datum<&'a [u8]>, charset: Charset) -> Cow<'a, str> {
    match datum {
        Datum::Decimal(number) => Cow::Owned(format!("{number:.2}")),
        Datum::Value(Value::Number(number)) => Cow::Owned(decimal(number, column.divisor)),
        Datum::Value(Value::Text(bytes)) if column.in_parentheses => {
            Cow::Owned(format!("({})", charset.printable(bytes)))
        }
        Datum::Value(Value::Text(bytes)) if is_of_psn(column) => charset.bars(bytes),
        Datum::Value(Value::Text(bytes)) => charset.printable(bytes),
        Datum::Value(Value::Mark(mark)) => Cow::Borrowed(mark.text()),
    }
}

/// Whether the column's texts are made by psn, such as a `trend`.
fn is_of_psn(column: &ReportColumn) -> bool {
    !column.name.contains(':') && Column::find(&column.name).is_none()
}

/// The width of each column's widest cell.
fn natural_widths(report: &Report, charset: Charset) -> Vec<usize> {
    let mut widths: Vec<usize> =
        report.columns.iter().map(|column| charset.printable(column.name.as_bytes()).width()).collect();
    for row in &report.rows {
        for (width, cell) in widths.iter_mut().zip(cells(&report.columns, row, charset)) {
            *width = (*width).max(cell.width());
        }
    }
    widths
}

/// The width of the table if nothing is shortened.
#[must_use]
pub fn natural_width(report: &Report, charset: Charset) -> usize {
    table_width(&natural_widths(report, charset))
}

/// The columns, the separators between them, and a space at either end.
fn table_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + SEPARATOR.len() * widths.len().saturating_sub(1) + 2
}

/// Makes the widest columns of texts narrower until the table is `terminal` columns wide.
fn fit(widths: &mut [usize], columns: &Columns, terminal: usize) {
    let excess = table_width(widths).saturating_sub(terminal);
    for _ in 0..excess {
        let texts = widths.iter_mut().zip(columns.iter()).filter(|(_, column)| column.align == Align::Left);
        match texts.map(|(width, _)| width).max_by_key(|width| **width) {
            Some(widest) if *widest > MIN_TEXT_WIDTH => *widest -= 1,
            _ => return,
        }
    }
}

/// Bytes of padding at most: a text of a megabyte must not make every row that long.
const MAX_PADDING: usize = 64 << 20;

/// Makes columns narrower if the padding of all rows would exceed `MAX_PADDING`. Longer texts are still written whole.
fn limit_padding(widths: &mut [usize], rows: usize) {
    if rows.saturating_mul(table_width(widths)) > MAX_PADDING {
        let most = (MAX_PADDING / rows.max(1) / widths.len().max(1)).max(1);
        widths.iter_mut().for_each(|width| *width = (*width).min(most));
    }
}

/// How the lines of a table are written.
struct Line<'a> {
    columns: &'a Columns,
    widths: &'a [usize],
    charset: Charset,
    /// Whether cells that are wider than their columns are shortened.
    is_cut: bool,
}

impl Line<'_> {
    fn write<'a>(&self, cells: impl Iterator<Item = Cow<'a, str>>, out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        for ((column, width), cell) in self.columns.iter().zip(self.widths).zip(cells) {
            line.push_str(if line.is_empty() { " " } else { SEPARATOR });
            let ellipsis = self.charset.ellipsis();
            let cell = if self.is_cut { shorten(&cell, *width, column.is_stack, ellipsis) } else { cell };
            let padding = iter::repeat_n(' ', width.saturating_sub(cell.width()));
            match column.align {
                Align::Right => line.extend(padding.chain(cell.chars())),
                Align::Left => line.extend(cell.chars().chain(padding)),
            }
        }
        writeln!(out, "{}", line.trim_end_matches(' '))
    }
}

/// `text`, or as much of it as fits with an ellipsis. A closing parenthesis is kept. With `keep_end`, the end of the text is
/// kept: the last function of a stack says most.
fn shorten<'a>(text: &'a str, width: usize, keep_end: bool, ellipsis: &str) -> Cow<'a, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let room = width.saturating_sub(ellipsis.width());
    if keep_end {
        let parts: Vec<&str> = units(text).collect();
        let kept = parts.len() - fitting(parts.iter().rev().copied(), room);
        return Cow::Owned([ellipsis].into_iter().chain(parts.into_iter().skip(kept)).collect());
    }
    let tail = if text.starts_with('(') && text.ends_with(')') { ")" } else { "" };
    let count = fitting(units(text), room.saturating_sub(tail.len()));
    Cow::Owned(units(text).take(count).chain([ellipsis, tail]).collect())
}

/// How many of `parts` fit into `room` columns.
fn fitting<'a>(parts: impl Iterator<Item = &'a str>, room: usize) -> usize {
    let ends = parts.scan(0, |end, part| {
        *end += part.width();
        Some(*end)
    });
    ends.take_while(|end| *end <= room).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::fixture::{self, bytes, columns, group, text, with_name};
    use crate::report::{Bounds, States};
    use crate::row::value::{Mark, OwnedValue};

    fn rendered(report: &Report, terminal: Option<usize>) -> String {
        let mut out = Vec::new();
        render(report, terminal, Charset::Utf8, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_layout_is_the_originals() {
        insta::assert_snapshot!(rendered(&fixture::mysqld(), None), @"

        === Active Threads ==============================================================================================

         samples | avg_threads | comm          | state                  | syscall         | wchan
        -----------------------------------------------------------------------------------------------------------------
              25 |        3.12 | (mysqld)      | Disk (Uninterruptible) | fsync           | _xfs_log_force_lsn
              16 |        2.00 | (mysqld)      | Running (ON CPU)       | [running]       | 0
              14 |        1.75 | (mysqld)      | Disk (Uninterruptible) | pwrite64        | call_rwsem_down_write_failed
               1 |        0.12 | (kworker/*:*) | Running (ON CPU)       | [kernel_thread] | worker_thread
        ");
    }

    #[test]
    fn ages_that_are_bounds_have_a_sign() {
        let mut report = fixture::empty();
        report.columns = columns(&["samples", "wait_ms:avg", "wait_ms:max"], &["wait_ms", "comm"]);
        for (name, divisor) in [("wait_ms:avg", 1), ("wait_ms:max", 1000), ("wait_ms", 1000)] {
            let columns = report.columns.statistics.iter_mut().chain(&mut report.columns.dimensions);
            columns.filter(|column| column.name == name).for_each(|column| {
                (column.divisor, column.has_bounds, column.align) = (divisor, true, Align::Right);
            });
        }
        let row = |has_at_least, has_at_most, age: OwnedValue| {
            let statistics = [7_u64.into(), 1.5.into(), Datum::Value(age.clone())];
            Row { bounds: Bounds { has_at_least, has_at_most }, ..group(statistics, [age, text("a")]) }
        };
        let number = || OwnedValue::Number(12_345);
        report.rows = vec![
            row(false, false, number()),
            row(true, false, number()),
            row(false, true, number()),
            row(true, true, number()),
            row(true, false, OwnedValue::Mark(Mark::Torn)),
        ];
        insta::assert_snapshot!(rendered(&report, None), @"

        === Active Threads ===================================

         samples | wait_ms:avg | wait_ms:max | wait_ms | comm
        ------------------------------------------------------
               7 |        1.50 |      12.345 |  12.345 | (a)
               7 |       ≥1.50 |     ≥12.345 | ≥12.345 | (a)
               7 |       ≤1.50 |     ≤12.345 | ≤12.345 | (a)
               7 |       ~1.50 |     ~12.345 | ~12.345 | (a)
               7 |       ≥1.50 |      [torn] |  [torn] | (a)
        ");
        let mut ascii = Vec::new();
        render(&report, None, Charset::Ascii, &mut ascii).unwrap();
        let ascii = String::from_utf8(ascii).unwrap();
        assert!(ascii.is_ascii() && ascii.contains(">=12.345 | >=12.345") && ascii.contains("<=1.50"), "{ascii}");
    }

    #[test]
    fn hostile_names_stay_in_their_cells() {
        insta::assert_snapshot!(rendered(&fixture::hostile(), None), @r#"

        === Active Threads ==================================================================================

         samples | avg_threads | utime_sec:max |                 ci95 | comm              | filename
        -----------------------------------------------------------------------------------------------------
               5 |        0.62 |        123.45 |                 0.25 | (\x1b[2Jroot\x07) | /tmp/a;b 12
               4 |        0.50 |         -0.05 |                 0.33 | (=1+1)            | a",b\x0d\x0a(c
               3 |        0.38 |          0.00 |                    - | (\xff\xfe)        | /\u{202e}gpj.exe
               2 |        0.25 |             - |                 0.00 | (| x |)           | unit\x2d1 \\x1b
               1 |        0.12 |         -7.00 | 36893488147419103230 | ()                | -
        "#);
    }

    #[test]
    fn wide_characters_and_marks_are_aligned() {
        let mut report = fixture::mysqld();
        for (row, name) in report.rows.iter_mut().zip(["日本語", "e\u{301}te\u{301}", "Привет", "🦀"]) {
            *row = with_name(row, text(name));
        }
        insta::assert_snapshot!(rendered(&report, None), @"

        === Active Threads =========================================================================================

         samples | avg_threads | comm     | state                  | syscall         | wchan
        ------------------------------------------------------------------------------------------------------------
              25 |        3.12 | (日本語) | Disk (Uninterruptible) | fsync           | _xfs_log_force_lsn
              16 |        2.00 | (été)    | Running (ON CPU)       | [running]       | 0
              14 |        1.75 | (Привет) | Disk (Uninterruptible) | pwrite64        | call_rwsem_down_write_failed
               1 |        0.12 | (🦀)     | Running (ON CPU)       | [kernel_thread] | worker_thread
        ");
    }

    #[test]
    fn a_narrow_terminal_shortens_the_widest_texts() {
        insta::assert_snapshot!(rendered(&fixture::mysqld(), Some(80)), @"

        === Active Threads =============================================================

         samples | avg_threads | comm         | state       | syscall     | wchan
        --------------------------------------------------------------------------------
              25 |        3.12 | (mysqld)     | Disk (Unin… | fsync       | _xfs_log_f…
              16 |        2.00 | (mysqld)     | Running (O… | [running]   | 0
              14 |        1.75 | (mysqld)     | Disk (Unin… | pwrite64    | call_rwsem…
               1 |        0.12 | (kworker/*…) | Running (O… | [kernel_th… | worker_thr…
        ");
    }

    #[test]
    fn a_terminal_too_narrow_gets_the_narrowest_table() {
        insta::assert_snapshot!(rendered(&fixture::mysqld(), Some(10)), @"

        === Active Threads ================================

         samples | avg_threads | comm | sta… | sys… | wch…
        ---------------------------------------------------
              25 |        3.12 | (m…) | Dis… | fsy… | _xf…
              16 |        2.00 | (m…) | Run… | [ru… | 0
              14 |        1.75 | (m…) | Dis… | pwr… | cal…
               1 |        0.12 | (k…) | Run… | [ke… | wor…
        ");
    }

    #[test]
    fn of_a_stack_the_innermost_functions_are_kept() {
        insta::assert_snapshot!(rendered(&fixture::stacks(), Some(70)), @"

        === Active Threads ===================================================

         samples | avg_threads | comm     | kstack
        ----------------------------------------------------------------------
               9 |        1.12 | (cat)    | …_iter()->folio_wait_bit_common()
               4 |        0.50 | (pool 7) | [denied]
               2 |        0.25 | (cp)     | -
        ");
    }

    #[test]
    fn no_rows_are_said_in_words() {
        insta::assert_snapshot!(rendered(&Report { rows: Vec::new(), ..fixture::mysqld() }, None), @"

        === Active Threads =====================================

         no active threads were seen; -a shows sleeping and idle threads too
        ");
        let all = Report { rows: Vec::new(), states: States::All, ..fixture::mysqld() };
        assert!(rendered(&all, Some(80)).ends_with("\n no threads were seen\n"));
    }

    #[test]
    fn a_table_is_as_wide_as_its_widest_text_however_wide_that_is() {
        let mut report = fixture::mysqld();
        report.rows[0] = with_name(&report.rows[0], bytes(&vec![0xff; 30_000]));
        let table = rendered(&report, None);
        let rule = table.lines().find(|line| line.starts_with("---")).unwrap();
        assert!(rule.len() > 120_000 && table.lines().nth(1).unwrap().len() == rule.len(), "{}", rule.len());
        assert!(table.contains(&r"\xff".repeat(30_000)));
    }

    #[test]
    fn one_long_text_does_not_make_every_row_as_long() {
        let mut report = fixture::mysqld();
        report.rows.truncate(1);
        let row = report.rows[0].clone();
        report.rows = vec![row; 2000];
        report.rows[0] = with_name(&report.rows[0], bytes(&vec![b'x'; 1 << 20]));
        let table = rendered(&report, None);
        assert!(table.len() < MAX_PADDING + (2 << 20), "{}", table.len());
        assert!(table.contains(&"x".repeat(1 << 20)) && table.lines().count() > 2000);
    }

    #[test]
    fn escapes_and_wide_characters_are_not_cut_in_two() {
        assert_eq!(shorten(r"ab\x1bcd", 6, false, "…"), "ab…");
        assert_eq!(shorten(r"ab\x1bcd", 7, false, "…"), r"ab\x1b…");
        assert_eq!(shorten(r"ab\x1bcd", 6, true, "…"), "…cd");
        assert_eq!(shorten("日本語", 4, false, "…"), "日…");
        assert_eq!(shorten("(mysqld)", 7, false, "…"), "(mysq…)");
        assert_eq!(shorten("abc", 3, false, "…"), "abc");
    }

    #[test]
    fn a_row_that_is_too_short_is_still_a_row() {
        let mut report = fixture::mysqld();
        report.rows[0].group = report.rows[0].group[..1].into();
        report.rows.truncate(1);
        assert!(rendered(&report, None).contains("\n      25 |        3.12 | (mysqld) |"));
    }

    fn value() -> impl Strategy<Value = OwnedValue> {
        prop_oneof![
            any::<Vec<u8>>().prop_map(|text| bytes(&text)),
            ".{0,30}".prop_map(|name| text(&name)),
            proptest::sample::select(Mark::ALL.to_vec()).prop_map(OwnedValue::Mark),
        ]
    }

    proptest! {
        #[test]
        fn the_terminal_is_never_exceeded(
            rows in proptest::collection::vec((0u64..1_000_000, value(), value()), 0..8),
            terminal in 40usize..120,
        ) {
            let mut report = fixture::empty();
            report.columns = columns(&["samples", "avg_threads"], &["comm", "wchan"]);
            report.rows = rows
                .into_iter()
                .map(|(samples, first, second)| group([samples.into(), 0.5.into()], [first, second]))
                .collect();
            let table = rendered(&report, Some(terminal));
            let lines: Vec<&str> = table.lines().collect();
            // A blank line, the title, a blank line; then the header and the rule, or a sentence.
            prop_assert_eq!(lines.len(), if report.rows.is_empty() { 4 } else { 5 + report.rows.len() });
            for line in lines.iter().filter(|_| !report.rows.is_empty()) {
                prop_assert!(line.width() <= terminal, "{} > {terminal}: {line}", line.width());
            }
        }
    }
}
