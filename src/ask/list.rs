//! The output of `--list`.

mod idle;
#[cfg(test)]
mod reference;

use std::fmt::Write as _;

use crate::ask::column::Column;
use crate::ask::plan::STATISTICS;
use crate::ask::registry::COLUMNS;
use crate::proc::source::Source;

/// The path of the file of `source`, with PID and TID for the ids.
fn path(source: Source) -> String {
    match source {
        Source::Task => "/proc/PID/task/ (the directory itself)".to_owned(),
        Source::Kernel => "--scan kernel".to_owned(),
        Source::Fd => "/proc/PID/task/TID/fd/N".to_owned(),
        Source::Path => "/proc/PID/task/TID/mem and pagemap".to_owned(),
        Source::Mounts => "/proc/PID/task/TID/fdinfo/N and mountinfo".to_owned(),
        Source::Wait => "--scan kernel, or /proc/PID/task/TID/schedstat".to_owned(),
        Source::Socket => "--scan kernel, or /proc/PID/task/TID/fd/N and net/*".to_owned(),
        Source::Idle => "/proc/PID/task/TID/syscall, wchan and fd/N".to_owned(),
        Source::Comm | Source::Cmdline | Source::Exe | Source::Smaps => format!("/proc/PID/{}", source.name()),
        _ => format!("/proc/PID/task/TID/{}", source.name()),
    }
}

/// What the columns of the kernel walk show without one.
const KERNEL_ONLY: &str = "oncpu and iowait are [unsupported], and so is state2 for threads in state R";

/// The columns grouped by file, in the order of the registry.
fn by_file() -> Vec<(&'static str, Source, Vec<&'static Column>)> {
    let mut files: Vec<(&'static str, Source, Vec<&'static Column>)> = Vec::new();
    for column in COLUMNS {
        match files.iter_mut().find(|(name, ..)| *name == column.source.name()) {
            Some((.., columns)) => columns.push(column),
            None => files.push((column.source.name(), column.source, vec![column])),
        }
    }
    files
}

/// The output of `--list`.
#[must_use]
pub(crate) fn text() -> String {
    let mut text = String::new();
    for (name, source, columns) in by_file() {
        let _ = writeln!(text, "{name}: {}", path(source));
        if source.needs() != "-" {
            let _ = writeln!(text, "  needs: {}", source.needs());
        }
        if source == Source::Stat {
            let _ = writeln!(text, "  needs, for addresses and exit_code: {}", Source::Exe.needs());
        }
        if source == Source::Kernel {
            let _ = writeln!(text, "  with --scan proc: {KERNEL_ONLY}");
        }
        if source == Source::Smaps {
            let _ =
                writeln!(text, "  costly: stalls the process while it is read; a sample counts once for each mapping");
        }
        for column in columns {
            let since = if column.since.is_empty() { String::new() } else { format!(" [Linux {}]", column.since) };
            let _ = writeln!(text, "  {:<26}  {:<7}  {}{since}", column.name, column.kind.name(), column.help);
        }
        text.push('\n');
    }
    text.push_str("statistics of a group, for -s:\n");
    for (name, help) in STATISTICS {
        let _ = writeln!(text, "  {name:<26}  {:<7}  {help}", "gauge");
    }
    text.push_str(
        "  COL:max :avg :sum           gauge    maximum, mean or sum of a numeric column\n  \
         COL:p50 :p95 :p99           gauge    percentile of a numeric column, within 1.6%\n  \
         COL:distinct                gauge    number of different values, exact up to 256\n  \
         COL:delta                   counter  increase of a counter during the run\n  \
         COL:common :example         text     most frequent value; value of the earliest sample\n",
    );
    text.push('\n');
    text.push_str(&idle::rules());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_listed() {
        let text = text();
        for column in COLUMNS {
            assert!(text.contains(&format!("\n  {} ", column.name)), "{}", column.name);
        }
    }
}
