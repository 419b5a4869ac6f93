//! Comma-separated values as RFC 4180 has them: CRLF, a header, quotes where needed. Marks stand as their text.
//!
//! A spreadsheet runs a cell that begins like a formula. Such texts get a `'` in front, which spreadsheets do not show.
//! Numbers are not changed.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::report::{Datum, Report};
use crate::row::value::Value;
use crate::text::decimal::decimal;
use crate::text::escape::{is_formula, printable};

/// Writes the header and the rows.
pub fn render(report: &Report, defuse_formulas: bool, out: &mut dyn Write) -> io::Result<()> {
    rows(report, defuse_formulas, true, out)
}

/// Writes the rows, with the header before them if `is_first`.
pub fn rows(report: &Report, defuse_formulas: bool, is_first: bool, out: &mut dyn Write) -> io::Result<()> {
    let text = |bytes| {
        let text = printable(bytes);
        if defuse_formulas && is_formula(&text) { Cow::Owned(format!("'{text}")) } else { text }
    };
    let mut writer = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::CRLF)
        // There are no comments. Naming `;` has it quoted: in some locales, spreadsheets take it for the separator.
        .comment(Some(b';'))
        .from_writer(out);
    let write = |writer: &mut ::csv::Writer<_>, cell: Cow<'_, str>| writer.write_field(cell.as_bytes());
    if is_first {
        for column in report.columns.iter() {
            write(&mut writer, text(column.name.as_bytes()))?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    for row in &report.rows {
        for (column, datum) in report.columns.data(row) {
            let cell = match datum {
                Some(Datum::Decimal(number)) => Cow::Owned(plain(number)),
                Some(Datum::Value(Value::Number(number))) => Cow::Owned(decimal(number, column.divisor)),
                Some(Datum::Value(Value::Text(bytes))) => text(bytes),
                Some(Datum::Value(Value::Mark(mark))) => Cow::Borrowed(mark.text()),
                // A record has a field for every column, also if the row is too short.
                None => Cow::Borrowed(""),
            };
            write(&mut writer, cell)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()
}

/// Six decimals at most, without trailing zeros.
fn plain(number: f64) -> String {
    let text = format!("{number:.6}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::fixture::{self, bytes, columns, group};

    fn rendered(report: &Report, defuse_formulas: bool) -> String {
        let mut out = Vec::new();
        render(report, defuse_formulas, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_records() {
        let text = rendered(&fixture::mysqld(), true);
        assert_eq!(text.matches("\r\n").count(), 5);
        assert_eq!(text.matches('\n').count(), 5);
        insta::assert_snapshot!(text, @"
        samples,avg_threads,comm,state,syscall,wchan
        25,3.125,mysqld,Disk (Uninterruptible),fsync,_xfs_log_force_lsn
        16,2,mysqld,Running (ON CPU),[running],0
        14,1.75,mysqld,Disk (Uninterruptible),pwrite64,call_rwsem_down_write_failed
        1,0.125,kworker/*:*,Running (ON CPU),[kernel_thread],worker_thread
        ");
    }

    #[test]
    fn hostile_names_are_cells() {
        insta::assert_snapshot!(rendered(&fixture::hostile(), true), @r#"
        samples,avg_threads,utime_sec:max,ci95,comm,filename
        5,0.625,123.45,0.25,\x1b[2Jroot\x07,"/tmp/a;b 12"
        4,0.5,-0.05,0.333333,'=1+1,"a"",b\x0d\x0a(c"
        3,0.375,0.00,-,\xff\xfe,/\u{202e}gpj.exe
        2,0.25,-,0,| x |,unit\x2d1 \\x1b
        1,0.125,-7.00,36893488147419103230,,-
        "#);
    }

    #[test]
    fn formulas_are_left_alone_when_asked_for() {
        let text = rendered(&fixture::hostile(), false);
        assert!(text.contains(",=1+1,") && !text.contains('\''));
    }

    #[test]
    fn without_rows_there_is_the_header() {
        assert_eq!(rendered(&fixture::empty(), true), "samples,avg_threads\r\n");
    }

    #[test]
    fn what_a_spreadsheet_runs_is_known() {
        for text in ["=1", "+1", "-1", "@SUM", "  =1", "\u{ff1d}1", "-a", "--"] {
            assert!(is_formula(text), "{text}");
        }
        for text in ["", "-", "a=1", "[running]", "0", "(+)"] {
            assert!(!is_formula(text), "{text}");
        }
    }

    #[test]
    fn decimals_are_as_many_as_needed() {
        let cases =
            [(0.0, "0"), (3.125, "3.125"), (1.0 / 3.0, "0.333333"), (100.0, "100"), (-0.5, "-0.5"), (1e-9, "0")];
        for (number, text) in cases {
            assert_eq!(plain(number), text);
        }
    }

    proptest! {
        #[test]
        fn every_record_has_every_field(cells in proptest::collection::vec(any::<(Vec<u8>, String)>(), 0..8)) {
            let mut report = fixture::empty();
            report.columns = columns(&[], &["comm", "wchan"]);
            report.rows =
                cells.iter().map(|(first, second)| group([], [bytes(first), bytes(second.as_bytes())])).collect();
            for defuse in [true, false] {
                let text = rendered(&report, defuse);
                let records: Vec<_> = ::csv::Reader::from_reader(text.as_bytes()).into_records().collect();
                prop_assert_eq!(records.len(), cells.len());
                for (record, (first, second)) in records.into_iter().zip(&cells) {
                    let record = record.unwrap();
                    prop_assert_eq!(record.len(), 2);
                    let expected = [printable(first), printable(second.as_bytes())];
                    for (cell, expected) in record.iter().zip(&expected) {
                        prop_assert!(cell == expected || (defuse && cell.strip_prefix('\'') == Some(expected)));
                        prop_assert!(!defuse || !is_formula(cell));
                    }
                }
            }
        }
    }
}
