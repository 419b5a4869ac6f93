//! Folded stacks, one line a group: the dimensions in order as frames, with `;` between them, then the samples.
//! A kernel stack becomes one frame for each function. Inferno and speedscope read this format.
//!
//! Values are escaped by [`frame`], so that none can add a frame, a line or a count. Marks are written as their text; an empty
//! text is written as `-`.

use std::io::{self, Write};

use crate::report::{Datum, Report, Row};
use crate::row::value::OwnedValue;
use crate::text::decimal::decimal;
use crate::text::escape::frame;

/// Writes the lines.
pub fn render(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for row in &report.rows {
        line.clear();
        for (column, value) in report.columns.dimensions.iter().zip(row.group.iter()) {
            match value {
                OwnedValue::Text(bytes) if column.is_stack => {
                    functions(bytes).for_each(|name| push_frame(&mut line, name));
                }
                OwnedValue::Text(bytes) => push_frame(&mut line, bytes),
                OwnedValue::Number(number) => push_frame(&mut line, decimal(*number, column.divisor).as_bytes()),
                OwnedValue::Mark(mark) => push_frame(&mut line, mark.text().as_bytes()),
            }
        }
        if line.is_empty() {
            push_frame(&mut line, b"");
        }
        writeln!(out, "{line} {}", samples(report, row))?;
    }
    Ok(())
}

/// The row's samples, wherever their column is.
fn samples(report: &Report, row: &Row) -> i128 {
    let mut data = report.columns.statistics.iter().zip(&row.statistics);
    match data.find(|(column, _)| column.name == "samples") {
        Some((_, Datum::Value(OwnedValue::Number(samples)))) => *samples,
        _ => 0,
    }
}

fn push_frame(line: &mut String, bytes: &[u8]) {
    if !line.is_empty() {
        line.push(';');
    }
    line.push_str(if bytes.is_empty() { "-" } else { "" });
    line.push_str(&frame(bytes));
}

/// `vfs_read()->pipe_read()` → `vfs_read`, `pipe_read`.
fn functions(stack: &[u8]) -> impl Iterator<Item = &[u8]> {
    const ARROW: &[u8] = b"->";
    let arrows = memchr::memmem::find_iter(stack, ARROW);
    let ends = arrows.chain([stack.len()]);
    ends.scan(0, |start, end| {
        let call = stack.get(*start..end).unwrap_or_default();
        *start = end + ARROW.len();
        Some(call.strip_suffix(b"()").unwrap_or(call))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::fixture::{self, bytes, columns, group};

    fn rendered(report: &Report) -> String {
        let mut out = Vec::new();
        render(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dimensions_are_frames() {
        insta::assert_snapshot!(rendered(&fixture::mysqld()), @"
        mysqld;Disk (Uninterruptible);fsync;_xfs_log_force_lsn 25
        mysqld;Running (ON CPU);[running];0 16
        mysqld;Disk (Uninterruptible);pwrite64;call_rwsem_down_write_failed 14
        kworker/*:*;Running (ON CPU);[kernel_thread];worker_thread 1
        ");
    }

    #[test]
    fn a_kernel_stack_is_a_frame_a_function() {
        insta::assert_snapshot!(rendered(&fixture::stacks()), @r"
        cat;ksys_read;vfs_read;xfs_file_read_iter;folio_wait_bit_common 9
        pool\x207;[denied] 4
        cp;- 2
        ");
    }

    #[test]
    fn hostile_names_are_one_frame() {
        insta::assert_snapshot!(rendered(&fixture::hostile()), @r#"
        \x1b[2Jroot\x07;/tmp/a\x3bb\x2012 5
        =1+1;a",b\x0d\x0a(c 4
        \xff\xfe;/\u{202e}gpj.exe 3
        | x |;unit\x2d1 \\x1b 2
        -;- 1
        "#);
    }

    #[test]
    fn without_rows_there_is_nothing() {
        assert_eq!(rendered(&fixture::empty()), "");
    }

    proptest! {
        #[test]
        fn a_line_has_its_frames_and_one_count(
            rows in proptest::collection::vec((any::<u32>(), any::<Vec<u8>>(), "[a-c;>() 0-9.-]{0,12}"), 0..8),
        ) {
            let mut report = fixture::empty();
            report.columns = columns(&["samples"], &["kstack", "comm"]);
            report.rows = rows
                .iter()
                .map(|(samples, stack, comm)| {
                    group([u64::from(*samples).into()], [bytes(stack), bytes(comm.as_bytes())])
                })
                .collect();
            let text = rendered(&report);
            prop_assert_eq!(text.lines().count(), rows.len());
            for (line, (samples, stack, _)) in text.lines().zip(&rows) {
                let (frames, count) = line.rsplit_once(' ').unwrap();
                prop_assert_eq!(count, samples.to_string());
                prop_assert_eq!(frames.split(';').count(), functions(stack).count() + 1);
                // A second number would be taken for the count of another profile.
                let tail = frames.trim_end().rsplit_once(' ').map_or("x", |(_, tail)| tail);
                prop_assert!(!tail.chars().all(|c| c.is_ascii_digit() || c == '.'), "{line}");
            }
        }
    }
}
