//! The account of a run, below its table: how well it was sampled, what was not seen, what it cost.
//!
//! There is one line for each topic, unless there is nothing to say about it. Then come warnings, and last the offer of `--waits`.

use std::io::{self, Write};
use std::iter;

use unicode_width::UnicodeWidthStr as _;

use super::advice::{offer, warnings};
use super::charset::Charset;
use super::figures::{average, count, kilobytes, milliseconds, percent, rate, thousands};
use crate::proc::health::Counts;
use crate::proc::source::Source;
use crate::report::Report;
use crate::text::escape::printable;
use crate::text::sentence::sentence;

/// Lines are no longer than this, whatever the terminal.
const MAX_WIDTH: usize = 100;
/// The width of the labels.
const INDENT: usize = 10;
/// The indentation of a continued line, beyond that of texts.
const HANGING: usize = 2;

/// Writes the account, in lines that fit a terminal of `width` columns.
pub fn render(report: &Report, width: Option<usize>, charset: Charset, out: &mut dyn Write) -> io::Result<()> {
    let max = width.map_or(MAX_WIDTH, |width| width.min(MAX_WIDTH));
    writeln!(out)?;
    for (label, lines) in topics(report, width.is_some()) {
        let labels = iter::once(label).chain(iter::repeat(""));
        for (label, items) in labels.zip(lines) {
            write_wrapped(&format!("{label:<INDENT$}"), &in_charset(items, charset), max, out)?;
        }
    }
    for warning in warnings(report) {
        let warning = sentence(&warning).replace('\n', " ");
        let items = in_charset(words(warning, width.is_some()), charset);
        write_wrapped("warning:  ", &items, max, out)?;
    }
    if let Some(offer) = offer(report) {
        write_wrapped("sleepers: ", &words(offer, width.is_some()), max, out)?;
    }
    Ok(())
}

/// The items in the characters that may be written.
fn in_charset(items: Items, charset: Charset) -> Items {
    items.into_iter().map(|item| charset.text(&item).into_owned()).collect()
}

/// A line, as items between which it may be broken.
type Items = Vec<String>;

/// The topics and the lines of each. With `is_broken`, sentences may be broken between words.
fn topics(report: &Report, is_broken: bool) -> [(&'static str, Vec<Items>); 12] {
    let cost = &report.facts.cost;
    let (pass, late) = if report.facts.ticks.completed == 0 {
        (Vec::new(), Vec::new())
    } else {
        (vec![times(cost.pass_ms())], vec![times(cost.late_ms())])
    };
    [
        ("ticks:", vec![ticks(report)]),
        ("threads:", vec![threads(report)]),
        ("running:", running(report, is_broken)),
        ("host:", host(report)),
        ("scan:", scan(report, is_broken)),
        ("pass:", pass),
        ("late:", late),
        // Not known of a part of a recorded run.
        ("cost:", if cost.workers == 0 { Vec::new() } else { vec![expense(report)] }),
        ("reads:", reads(report)),
        ("torn:", torn(report)),
        ("denied:", denied(report)),
        ("rows:", left_out(report)),
    ]
}

fn ticks(report: &Report) -> Items {
    let ticks = &report.facts.ticks;
    let throttled = match ticks.throttled {
        0 => String::new(),
        number => format!(" ({} to keep within --max-cpu)", thousands(number)),
    };
    vec![
        format!("{} of {} taken,", thousands(ticks.completed), thousands(ticks.expected)),
        format!("{} missed{throttled};", thousands(ticks.missed)),
        format!("{} Hz asked for, {} Hz achieved", report.facts.meta.hz, rate(report.facts.achieved_hz())),
    ]
}

fn threads(report: &Report) -> Items {
    let tasks = &report.facts.tasks;
    let found = format!("{} in {}", thousands(tasks.threads), count(tasks.processes, "process", "processes"));
    if tasks.skipped == 0 {
        return vec![found];
    }
    let skipped = thousands(tasks.skipped);
    vec![format!("{found};"), format!("up to {skipped} more may have been missed by the listing")]
}

/// What state R means, if there were more threads in it than CPUs.
fn running(report: &Report, is_broken: bool) -> Vec<Items> {
    let tasks = &report.facts.tasks;
    if tasks.cpus == 0 || tasks.running_max <= tasks.cpus {
        return Vec::new();
    }
    let sentence = format!(
        "up to {} threads at once in state R, on {}: R includes threads that wait for a CPU; a kernel walk tells them \
         apart",
        thousands(tasks.running_max),
        count(tasks.cpus, "CPU", "CPUs")
    );
    vec![words(sentence, is_broken)]
}

/// How busy the host was, and what psn saw of that.
fn host(report: &Report) -> Vec<Items> {
    let Some(host) = &report.facts.host_load else { return Vec::new() };
    let load = host.load.map_or_else(String::new, |[load, ..]| format!(", load {}", average(load)));
    let counted = format!("{} running, {} blocked", average(host.running), average(host.blocked));
    let cpus = format!("{}{load};", count(host.cpus, "CPU", "CPUs"));
    let Some(seen) = &host.seen else { return vec![vec![cpus, counted]] };
    let throttled = match seen.throttled {
        0.0 => String::new(),
        threads => format!(" (and {} throttled)", average(threads)),
    };
    let seen = format!("seen: {} R{throttled}, {} D", average(seen.running), average(seen.blocked));
    vec![vec![cpus, format!("{counted};"), seen]]
}

/// How tasks were found: nothing if they were read from /proc and no walk was tried.
fn scan(report: &Report, is_broken: bool) -> Vec<Items> {
    let meta = &report.facts.meta;
    let reason = meta.scan_reason.as_ref().map(|reason| printable(reason.as_bytes()));
    let mut sentence = match (&meta.scan_level, reason) {
        (None, None) if report.facts.tasks.unseen == 0 => return Vec::new(),
        (None, None) => "/proc".to_owned(),
        (None, Some(reason)) => format!("/proc ({reason})"),
        (Some(_), None) => "kernel walk".to_owned(),
        (Some(level), Some(reason)) => format!("kernel walk by {} ({reason})", printable(level.as_bytes())),
    };
    if report.facts.tasks.unseen > 0 {
        let unseen = count(report.facts.tasks.unseen, "thread", "threads");
        let was = if report.facts.tasks.unseen == 1 { "was" } else { "were" };
        sentence.push_str(&format!(" ({unseen} it cannot see {was} read from /proc)"));
    }
    vec![words(sentence, is_broken)]
}

/// The words of a sentence in a terminal; elsewhere the whole sentence, so that a search finds it.
fn words(sentence: String, is_broken: bool) -> Items {
    if is_broken { sentence.split(' ').map(str::to_owned).collect() } else { vec![sentence] }
}

fn times([median, most, worst]: [f64; 3]) -> Items {
    vec![
        format!("median {},", milliseconds(median)),
        format!("99% within {},", milliseconds(most)),
        format!("worst {}", milliseconds(worst)),
    ]
}

fn expense(report: &Report) -> Items {
    let cost = &report.facts.cost;
    let share = if report.facts.meta.duration_s > 0.0 {
        format!(" ({:.1}% of one CPU)", cost.cpu_s / report.facts.meta.duration_s * 100.0)
    } else {
        String::new()
    };
    let time = format!("{:.2} s of CPU time{share}", cost.cpu_s);
    if cost.fds == 0 {
        return vec![time];
    }
    vec![
        format!("{time},"),
        format!("{} kept open", count(cost.fds, "file", "files")),
        format!("(about {} of kernel memory)", kilobytes(cost.kernel_kb_est)),
    ]
}

/// The number of reads; then a line for each file with failures other than that the thread had ended.
fn reads(report: &Report) -> Vec<Items> {
    if report.facts.health.is_empty() {
        return Vec::new();
    }
    let reads = || report.facts.health.iter().filter(|(file, _)| file != Source::Kernel.name());
    let sum = |of: fn(&Counts) -> u64| thousands(reads().map(|(_, counts)| of(counts)).fold(0, u64::saturating_add));
    let all = format!("{} in all, {} of threads that had ended", sum(Counts::attempts), sum(|counts| counts.gone));
    let notable = report.facts.health.iter().filter(|(_, counts)| counts.is_notable());
    let files = notable.map(|(file, counts)| classes(file, counts, &errors(report, file)));
    iter::once(vec![all]).chain(files).collect()
}

/// The reads of `file`, by class.
fn classes(file: &str, counts: &Counts, errors: &str) -> Items {
    let classes = [
        (counts.gone, "gone", ""),
        (counts.denied, "denied", ""),
        (counts.unsupported, "unsupported", ""),
        (counts.timed_out, "timed out", ""),
        (counts.dropped, "dropped", errors),
        (counts.malformed, "malformed", ""),
    ];
    let ok = format!("{}: {} ok", printable(file.as_bytes()), thousands(counts.ok));
    let others = classes.into_iter().filter(|(number, ..)| *number > 0);
    commas(iter::once(ok).chain(others.map(|(number, class, detail)| format!("{} {class}{detail}", thousands(number)))))
}

/// Puts a comma after every item but the last.
fn commas(items: impl Iterator<Item = String>) -> Items {
    let mut items: Items = items.collect();
    let (_, but_last) = items.split_last_mut().unzip();
    but_last.into_iter().flatten().for_each(|item: &mut String| item.push(','));
    items
}

/// The errors behind the dropped reads of `file`: ` (5 × Too many open files)`.
fn errors(report: &Report, file: &str) -> String {
    let of_file = report.facts.dropped.iter().filter(|(source, ..)| source == file);
    let errors: Vec<String> =
        of_file.map(|(_, error, count)| format!("{} × {}", thousands(*count), printable(error.as_bytes()))).collect();
    if errors.is_empty() { String::new() } else { format!(" ({})", errors.join(", ")) }
}

fn torn(report: &Report) -> Vec<Items> {
    let coverage = &report.facts.coverage;
    if coverage.checked == 0 {
        return Vec::new();
    }
    vec![vec![
        format!("{} of {}", thousands(coverage.torn), count(coverage.checked, "waiting thread", "waiting threads")),
        format!("({}) moved on while being read", percent(coverage.torn, coverage.checked)),
    ]]
}

fn denied(report: &Report) -> Vec<Items> {
    let coverage = &report.facts.coverage;
    if coverage.denied.is_empty() && coverage.refused == 0 {
        return Vec::new();
    }
    let files = coverage.denied.iter().map(|(file, number)| {
        let file = printable(file.as_bytes());
        format!("{file} in {} ({})", thousands(*number), percent(*number, coverage.rows))
    });
    let mut items = commas(files);
    if !items.is_empty() {
        items.push(format!("of {};", count(coverage.rows, "sample", "samples")));
    }
    if coverage.refused > 0 {
        items.push(format!("{} left out,", count(coverage.refused, "sample", "samples")));
        items.push("because a condition asks for what was denied;".to_owned());
    }
    items.push("psn --list shows which rights each file needs".to_owned());
    vec![items]
}

fn left_out(report: &Report) -> Vec<Items> {
    let more = report.rows_left_out;
    if more == 0 { Vec::new() } else { vec![vec![format!("{} more, left out by --limit", thousands(more))]] }
}

/// Writes `items` with spaces between them, in lines of `max` columns; only an item that is longer makes a longer line.
fn write_wrapped(label: &str, items: &[String], max: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut line = label.to_owned();
    let mut is_fresh = true;
    for item in items {
        if !is_fresh && line.width() + 1 + item.width() > max {
            writeln!(out, "{line}")?;
            line = " ".repeat(label.len() + HANGING);
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(item);
        is_fresh = false;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture;
    use crate::report::{CoverageReport, HostLoad, SeenLoad, Ticks};

    fn rendered(report: &Report, width: Option<usize>) -> String {
        let mut out = Vec::new();
        render(report, width, Charset::Utf8, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_good_run_is_short() {
        insta::assert_snapshot!(rendered(&fixture::mysqld(), Some(80)), @"

        ticks:    100 of 100 taken, 0 missed; 20 Hz asked for, 20.0 Hz achieved
        threads:  1,412 in 79 processes
        pass:     median 1.23 ms, 99% within 3.10 ms, worst 4.56 ms
        late:     median 0.06 ms, 99% within 0.21 ms, worst 0.31 ms
        cost:     0.14 s of CPU time (2.8% of one CPU), 512 files kept open
                    (about 2.5 MB of kernel memory)
        reads:    141,212 in all, 12 of threads that had ended
        ");
    }

    #[test]
    fn a_bad_run_says_why() {
        insta::assert_snapshot!(rendered(&fixture::trouble(), Some(80)), @r"

        ticks:    62 of 100 taken, 38 missed; 20 Hz asked for, 12.4 Hz achieved
        threads:  1,412 in 79 processes;
                    up to 17 more may have been missed by the listing
        host:     2 CPUs, load 4.9; 3.1 running, 0.2 blocked; seen: 3.0 R, 1.0 D
        scan:     /proc (psn lacks CAP_BPF\x1b[31m; run psn as root)
        pass:     median 71.0 ms, 99% within 140 ms, worst 1.25 s
        late:     median 0.06 ms, 99% within 0.21 ms, worst 0.31 ms
        cost:     4.20 s of CPU time (84.0% of one CPU), 512 files kept open
                    (about 3.0 GB of kernel memory)
        reads:    146,146 in all, 15 of threads that had ended
                  syscall: 20 ok, 3 gone, 290 denied
                  wchan: 300 ok, 1 timed out,
                    7 dropped (5 × Too many open files, 2 × Cannot allocate memory),
                    2 malformed
                  stack: 0 ok, 4,310 denied, 1 unsupported
        torn:     3 of 412 waiting threads (0.7%) moved on while being read
        denied:   syscall in 290 (6.7%), stack in 4,310 (100.0%), wchan in 1 (<0.1%)
                    of 4,310 samples; psn --list shows which rights each file needs
        rows:     1,012 more, left out by --limit
        warning:  20 Hz could not be held (12.4 achieved, 38 ticks missed): a pass over
                    the threads takes 71.0 ms, longer than the 50.0 ms between ticks;
                    fewer columns, fewer processes (-p) or a lower --hz would help
        warning:  process 12 (\x1b[31m) blocks whoever reads its files in /proc: it is
                    stuck in exec
        ");
    }

    #[test]
    fn more_threads_running_than_there_are_cpus_are_explained() {
        let mut report = fixture::mysqld();
        (report.facts.tasks.running_max, report.facts.tasks.cpus) = (6, 2);
        let text = rendered(&report, None);
        let line = text.lines().find(|line| line.starts_with("running:")).unwrap();
        assert_eq!(
            line,
            "running:  up to 6 threads at once in state R, on 2 CPUs: R includes threads that wait for a CPU; a \
             kernel walk tells them apart"
        );
        for (running_max, cpus) in [(2, 2), (6, 0), (0, 0)] {
            (report.facts.tasks.running_max, report.facts.tasks.cpus) = (running_max, cpus);
            assert!(!rendered(&report, None).contains("running:"));
        }
    }

    #[test]
    fn the_load_of_the_host_is_one_line() {
        let mut report = fixture::mysqld();
        let line = |report: &Report| {
            let text = rendered(report, Some(80));
            text.lines()
                .skip_while(|line| !line.starts_with("host:"))
                .take_while(|line| !line.starts_with("pass:"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(line(&report), "");
        let seen = SeenLoad { running: 3.04, throttled: 0.0, blocked: 0.96 };
        let load = HostLoad {
            cpus: 2,
            load: Some([4.91, 3.0, 2.0]),
            running: 3.11,
            blocked: 0.2,
            reads: 25,
            seen: Some(seen),
        };
        report.facts.host_load = Some(load);
        insta::assert_snapshot!(line(&report), @"host:     2 CPUs, load 4.9; 3.1 running, 0.2 blocked; seen: 3.0 R, 1.0 D");
        report.facts.host_load = Some(HostLoad { seen: None, cpus: 1, load: None, ..load });
        insta::assert_snapshot!(line(&report), @"host:     1 CPU; 3.1 running, 0.2 blocked");
        let seen = SeenLoad { running: 1101.0, throttled: 0.0, blocked: 104.0 };
        report.facts.host_load = Some(HostLoad {
            cpus: 128,
            load: Some([1204.4, 0.0, 0.0]),
            running: 1100.0,
            blocked: 104.0,
            reads: 5,
            seen: Some(seen),
        });
        insta::assert_snapshot!(line(&report), @"host:     128 CPUs, load 1,204; 1,100 running, 104 blocked; seen: 1,101 R, 104 D");
        report.facts.host_load = Some(HostLoad { seen: Some(SeenLoad { throttled: 12.0, ..seen }), ..load });
        insta::assert_snapshot!(line(&report), @"host:     2 CPUs, load 4.9; 3.1 running, 0.2 blocked;
            seen: 1,101 R (and 12.0 throttled), 104 D");
    }

    #[test]
    fn the_last_line_offers_waits_where_nothing_was_active() {
        let mut report = fixture::mysqld();
        report.facts.warnings = vec!["a warning".to_owned()];
        report.facts.can_show_waits = true;
        assert!(!rendered(&report, Some(80)).contains("sleepers:"));
        report.rows.clear();
        let last = rendered(&report, Some(80)).lines().last().unwrap().to_owned();
        assert_eq!(last, "sleepers: --waits shows those that wait for somebody or something");
    }

    #[test]
    fn the_scan_is_told() {
        let scan = |report: &Report| {
            let text = rendered(report, Some(80));
            let lines = text.lines().skip_while(|line| !line.starts_with("scan:"));
            lines.take_while(|line| !line.starts_with("pass:")).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(scan(&fixture::walked()), @"scan:     kernel walk (14 threads it cannot see were read from /proc)");
        let mut report = fixture::walked();
        report.facts.tasks.unseen = 0;
        report.facts.meta.scan_level = Some("the task iterator".to_owned());
        report.facts.meta.scan_reason = Some("this kernel has no kfuncs; it takes Linux 6.7".to_owned());
        insta::assert_snapshot!(scan(&report), @r"
        scan:     kernel walk by the task iterator (this kernel has no kfuncs; it takes
                    Linux 6.7)
        ");
        assert_eq!(scan(&fixture::mysqld()), "");
    }

    #[test]
    fn a_pipe_gets_warnings_whole() {
        let text = rendered(&fixture::trouble(), None);
        insta::assert_snapshot!(text, @r"

        ticks:    62 of 100 taken, 38 missed; 20 Hz asked for, 12.4 Hz achieved
        threads:  1,412 in 79 processes; up to 17 more may have been missed by the listing
        host:     2 CPUs, load 4.9; 3.1 running, 0.2 blocked; seen: 3.0 R, 1.0 D
        scan:     /proc (psn lacks CAP_BPF\x1b[31m; run psn as root)
        pass:     median 71.0 ms, 99% within 140 ms, worst 1.25 s
        late:     median 0.06 ms, 99% within 0.21 ms, worst 0.31 ms
        cost:     4.20 s of CPU time (84.0% of one CPU), 512 files kept open (about 3.0 GB of kernel memory)
        reads:    146,146 in all, 15 of threads that had ended
                  syscall: 20 ok, 3 gone, 290 denied
                  wchan: 300 ok, 1 timed out,
                    7 dropped (5 × Too many open files, 2 × Cannot allocate memory), 2 malformed
                  stack: 0 ok, 4,310 denied, 1 unsupported
        torn:     3 of 412 waiting threads (0.7%) moved on while being read
        denied:   syscall in 290 (6.7%), stack in 4,310 (100.0%), wchan in 1 (<0.1%) of 4,310 samples;
                    psn --list shows which rights each file needs
        rows:     1,012 more, left out by --limit
        warning:  20 Hz could not be held (12.4 achieved, 38 ticks missed): a pass over the threads takes 71.0 ms, longer than the 50.0 ms between ticks; fewer columns, fewer processes (-p) or a lower --hz would help
        warning:  process 12 (\x1b[31m) blocks whoever reads its files in /proc: it is stuck in exec
        ");
    }

    #[test]
    fn advice_fits_the_cause() {
        let advice = |change: &dyn Fn(&mut Report)| {
            let mut report = fixture::mysqld();
            change(&mut report);
            warnings(&report).join("\n")
        };
        insta::assert_snapshot!(advice(&|report| {
            report.facts.ticks = Ticks { expected: 4, completed: 4, missed: 0, throttled: 0, abandoned: 0 };
        }), @"only 4 ticks were taken, too few for more than a rough picture: sample longer (-d) or more often (--hz)");
        insta::assert_snapshot!(advice(&|report| {
            report.facts.ticks = Ticks { expected: 10, completed: 1, missed: 9, throttled: 0, abandoned: 0 };
            report.facts.cost.pass_p50_ms = 4100.0;
        }), @"20 Hz could not be held (0.200 achieved, 9 ticks missed, too many for more than a rough picture): a pass over the threads takes 4.10 s, longer than the 50.0 ms between ticks; fewer columns, fewer processes (-p) or a lower --hz would help");
        insta::assert_snapshot!(advice(&|report| {
            report.facts.ticks = Ticks { expected: 100, completed: 98, missed: 2, throttled: 0, abandoned: 0 };
            report.facts.cost.pass_max_ms = 130.0;
        }), @"20 Hz could not be held (19.6 achieved, 2 ticks missed): a pass over the threads took up to 130 ms, longer than the 50.0 ms between ticks; fewer columns, fewer processes (-p) or a lower --hz would help");
        insta::assert_snapshot!(advice(&|report| {
            report.facts.ticks = Ticks { expected: 100, completed: 98, missed: 2, throttled: 0, abandoned: 0 };
            report.facts.cost.late_max_ms = 130.0;
        }), @"20 Hz could not be held (19.6 achieved, 2 ticks missed): psn was up to 130 ms late to start a pass; a higher priority (--nice -5) or a lower --hz would help");
        insta::assert_snapshot!(advice(&|report| {
            report.facts.ticks = Ticks { expected: 100, completed: 0, missed: 100, throttled: 0, abandoned: 0 };
        }), @"20 Hz could not be held (0 achieved, 100 ticks missed, too many for more than a rough picture): no pass over the threads was completed; fewer columns, fewer processes (-p) or a lower --hz would help");
    }

    #[test]
    fn ticks_skipped_on_purpose_are_told_apart() {
        let mut report = fixture::empty();
        report.facts.ticks = Ticks { expected: 100, completed: 60, missed: 40, throttled: 38, abandoned: 0 };
        insta::assert_snapshot!(rendered(&report, Some(80)), @"

        ticks:    60 of 100 taken, 40 missed (38 to keep within --max-cpu);
                    20 Hz asked for, 12.0 Hz achieved
        threads:  1,412 in 79 processes
        pass:     median 1.23 ms, 99% within 3.10 ms, worst 4.56 ms
        late:     median 0.06 ms, 99% within 0.21 ms, worst 0.31 ms
        cost:     0.14 s of CPU time (2.8% of one CPU), 512 files kept open
                    (about 2.5 MB of kernel memory)
        reads:    141,212 in all, 12 of threads that had ended
        warning:  20 Hz could not be held (12.0 achieved, 40 ticks missed): psn kept
                    within --max-cpu; fewer columns, fewer processes (-p) or a lower
                    --hz would help
        ");
    }

    #[test]
    fn a_run_that_did_nothing_divides_by_nothing() {
        let mut report = fixture::empty();
        report.facts.meta.duration_s = 0.0;
        report.facts.ticks = Ticks::default();
        report.facts.coverage = CoverageReport { denied: vec![("io".to_owned(), 1)], ..CoverageReport::default() };
        insta::assert_snapshot!(rendered(&report, Some(80)), @"

        ticks:    0 of 0 taken, 0 missed; 20 Hz asked for, 0 Hz achieved
        threads:  1,412 in 79 processes
        cost:     0.14 s of CPU time, 512 files kept open
                    (about 2.5 MB of kernel memory)
        reads:    141,212 in all, 12 of threads that had ended
        denied:   io in 1 (<0.1%) of 0 samples;
                    psn --list shows which rights each file needs
        warning:  no tick was taken: sample longer (-d) or more often (--hz)
        ");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.061, 50.0, 130.4, 2500.0].map(milliseconds), ["0.06 ms", "50.0 ms", "130 ms", "2.50 s"]);
        assert_eq!([0.0, 0.05, 19.96, 998.7].map(rate), ["0", "0.050", "20.0", "999"]);
        assert_eq!([900, 2560, 3 << 20].map(kilobytes), ["900 kB", "2.5 MB", "3.0 GB"]);
        assert_eq!(percent(1, 100_000), "<0.1%");
    }

    #[test]
    fn what_a_condition_left_out_unseen_is_told() {
        let mut report = fixture::mysqld();
        report.facts.coverage = CoverageReport { rows: 50, rejected: 120, refused: 84, ..CoverageReport::default() };
        let denied = |report: &Report| denied(report).concat().join(" ");
        let told = "84 samples left out, because a condition asks for what was denied; psn --list shows which rights each file needs";
        assert_eq!(denied(&report), told);
        report.facts.coverage.denied = vec![("idle".to_owned(), 10)];
        assert_eq!(denied(&report), "idle in 10 (20.0%) of 50 samples; ".to_owned() + told);
        report.facts.coverage = CoverageReport { rows: 50, rejected: 120, ..CoverageReport::default() };
        assert_eq!(denied(&report), "");
    }
}
