//! The registry of columns as text: `--list`, and `docs/columns.md`.

use std::fmt::Write as _;

use crate::ask::column::Column;
use crate::ask::plan::STATISTICS;
use crate::ask::registry::COLUMNS;
use crate::proc::source::Source;

/// The path of a source's file, with the ids in capitals.
fn path(source: Source) -> String {
    match source {
        Source::Task => "/proc/PID/task/ (the directory itself)".to_owned(),
        Source::Kernel => "--scan kernel".to_owned(),
        Source::Fd => "/proc/PID/task/TID/fd/N".to_owned(),
        Source::Comm | Source::Cmdline | Source::Exe | Source::Smaps => format!("/proc/PID/{}", source.name()),
        _ => format!("/proc/PID/task/TID/{}", source.name()),
    }
}

/// What becomes of the kernel walk's columns without it.
const KERNEL_ONLY: &str = "oncpu is [unsupported], and so is state2 of threads in state R";

/// What a reader of `docs/columns.md` must know of a file's columns, beside what each of them means.
const fn remarks(source: Source) -> &'static str {
    match source {
        Source::Stat => {
            "\n`state` is by the original's names. Where the kernel's own walk found the thread, `Running (ON CPU)` is one that has a\n\
             CPU and `Runnable (waiting for CPU)` one that waits for one; through `/proc` both are `Running (ON CPU)`, as nobody can\n\
             tell, and the report says so where there are more of them than CPUs. `--where state=R` and `--states R` mean both.\n\n\
             `delayacct_blkio_ticks` is `[unsupported]` where `kernel.task_delayacct` is 0, as it is by default since Linux 5.14.\n\
             Addresses and the exit code of other users' processes are `[denied]` without CAP_SYS_PTRACE: the kernel shows 0 or 1.\n"
        }
        Source::Syscall => {
            "\nOf threads in no system call: `[running]`, on a CPU or waiting for one; `[kernel_thread]`; `[kernel_direct]`, in the\n\
             kernel by another way, such as a page fault; `[user_worker]`, a worker that io_uring or vhost made of a program, which\n\
             has the registers of a call of its maker's. A number without a name is one of no call that psn knows.\n\n\
             On x86-64 a 64-bit program may call the kernel as a 32-bit one does (`int $0x80`), with other numbers. A walk knows.\n\
             The file does not tell, but the kernel's stack does: where psn may read it (root), it is read once for each place in a\n\
             program at which threads are met waiting. Without that right the number is taken to be a 64-bit one.\n"
        }
        Source::Schedstat => {
            "\nBoth are `[unsupported]` on kernels that keep no such times (no `CONFIG_SCHEDSTATS`, and `kernel.task_delayacct` 0).\n"
        }
        Source::Cgroup => {
            "\n`container` is looked for on every line of the file, for hosts with both versions of control groups. `--where` takes the\n\
             whole id as well: `container = 4fe3bb2004...`.\n"
        }
        _ => "",
    }
}

/// Columns by the file they come from, in the order of the registry.
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

/// What `--list` prints.
#[must_use]
pub fn text() -> String {
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
            let _ = writeln!(text, "  costly: stalls the process while it is read; one sample counts once a mapping");
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
        "  COL:max :avg :sum           gauge    of a column of numbers\n  \
         COL:delta                   counter  the increase of a counter during the run\n  \
         COL:common :example         text     the commonest value; the value of the earliest sample\n",
    );
    text
}

/// What `docs/columns.md` holds.
#[must_use]
pub fn markdown() -> String {
    let mut text = "# Columns\n\nMade from the registry in `src/ask/registry.rs`; a test checks that both agree. `psn --list` shows the same.\n\n\
        Any column may stand in `-g`, `-G`, `-s` and `--where`. A *counter* only grows while its thread lives; a *gauge* goes up\n\
        and down; an *id* is a number that names something. In `-s` a bare name takes the sensible aggregate of its kind:\n\
        counters the increase during the run, gauges the maximum, texts and ids the commonest value.\n\n\
        ## Conditions\n\n\
        `--where` takes `COLUMN OP VALUE`, with `OP` one of `= != ~ !~ < <= > >=` (`~` is a regular expression), or\n\
        `COLUMN in (VALUE, ...)` and `COLUMN not in (...)`. Several are put together by `and`, `or` and parentheses; `and` binds\n\
        closer than `or`, and several `--where` must all hold:\n\n\
        ```sh\n\
        psn --where 'state in (R, D)' --where 'comm = mysqld or user = mysql'\n\
        psn --where '(state = D and syscall ~ ^f(data)?sync$) or wchan = jbd2_log_wait_commit'\n\
        ```\n\n\
        A value goes on until an `and` or `or` that begins another condition; in quotes it is taken as it stands. A value is typed\n\
        as it is printed: names with or without the table's parentheses, escapes (`\\x1b`), marks (`[denied]`, `-`). What a column\n\
        never shows (`state = Q`, `kthread = 7`, a digit in `comm`) is an error that says what it does.\n"
        .to_owned();
    for (name, source, columns) in by_file() {
        let needs = if source.needs() == "-" { "nothing: any user may read it" } else { source.needs() };
        let _ = write!(text, "\n## {name}\n\nFrom `{}`. Needs: {needs}.\n", path(source));
        if source == Source::Kernel {
            let _ = write!(text, "\nNo file of `/proc` tells these: with `--scan proc`, {KERNEL_ONLY}.\n");
        }
        text.push_str(remarks(source));
        if source == Source::Smaps {
            text.push_str(
                "\nCostly: the kernel stalls the process while it is read, so it is read once a refresh of the task list at\n\
                 most, beside the sampling. A sample of a thread counts once for each mapping of its process. Of a process\n\
                 with more than 48 MiB of text a row of `[dropped]` stands for the mappings that are left out, and the report\n\
                 says so. A thread that outlives the first of its process has the mappings all the same.\n",
            );
        }
        if source == Source::Cmdline {
            text.push_str(
                "\nPrograms rewrite it as they go, and execute others: it is of the row's own moment, or shows `[stale]`. See\n\
                 [titles.md](titles.md), which shows it on PostgreSQL. Up to 128 KiB are shown; of a longer one 64 KiB from\n\
                 either end, with `[... N bytes left out ...]` between them, and the report says so.\n",
            );
        }
        if source == Source::Exe {
            text.push_str("\nOf the row's own moment, as the command line is; a process without one (a kernel thread, a zombie) has `-`.\n");
        }
        text.push_str("\n| column | type | since | meaning |\n|---|---|---|---|\n");
        for column in columns {
            let since = if column.since.is_empty() { "" } else { column.since };
            let _ = writeln!(text, "| `{}` | {} | {since} | {} |", column.name, column.kind.name(), column.help);
        }
    }
    text.push_str(
        "\n## Statistics of a group\n\nFor `-s`; the first two are always shown.\n\n| name | meaning |\n|---|---|\n",
    );
    for (name, help) in STATISTICS {
        let _ = writeln!(text, "| `{name}` | {help} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_listed() {
        let (text, markdown) = (text(), markdown());
        for column in COLUMNS {
            assert!(text.contains(&format!("\n  {} ", column.name)), "{}", column.name);
            assert!(markdown.contains(&format!("| `{}` |", column.name)), "{}", column.name);
        }
    }

    #[test]
    fn the_column_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/columns.md");
        if std::env::var_os("PSN_UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept == markdown(), "docs/columns.md is out of date: PSN_UPDATE_DOCS=1 cargo test writes it anew");
    }
}
