//! The tables, in Markdown.

use std::fmt::Write as _;

use super::targets;
use crate::compare::figures::{Comparison, Measurement, SERIES, StepFigures, StormFigures};
use crate::compare::spread::Spread;

/// The whole document. `name` is that of the comparison's files.
pub(in crate::compare) fn document(comparison: &Comparison, name: &str) -> String {
    let mut text = format!("# Comparison of {}\n\n", comparison.started.split('T').next().unwrap_or_default());
    text += &machine(comparison);
    text += "\n\n## Targets\n\n";
    text += &targets_table(comparison);
    let _ = write!(
        text,
        "\n## Charts\n\n![CPU time per thread and tick, by number of threads]({name}-cost.svg)\n\n![Threads visited per second, by \
         workers]({name}-throughput.svg)\n"
    );
    for storm in &comparison.storms {
        let _ = write!(text, "\n## {}\n\n{}", storm.title(), steady(storm));
        let _ = write!(text, "\n{}", throughput(storm));
        let errors: Vec<&StepFigures> = storm.steps.iter().filter(|step| step.error.is_some()).collect();
        for step in errors {
            let _ = write!(
                text,
                "\nNot measured in every run: {}: {}\n",
                step.name,
                step.error.as_deref().unwrap_or_default()
            );
        }
    }
    text += "\n";
    text += HOW;
    text
}

const HOW: &str = "## How to read this

Times are CPU time, user and system, as the kernel accounts it to the process (`wait4`), per thread of the host and pass. Each
figure is the median over the runs, with the least and the largest; each ratio is of two steps of the same run, and then the
median is taken. What each step is, and how starting and listing are kept apart from sampling, is in docs/performance.md.
";

/// The machine, and how the comparison was made.
pub(super) fn machine(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let others = Spread::of(
        comparison
            .storms
            .iter()
            .flat_map(|storm| &storm.steps)
            .flat_map(|step| step.runs.iter().flatten())
            .map(|run| run.others_cpu),
    );
    let mut text = String::new();
    let _ = write!(
        text,
        "{}, {} cores{}, {:.0} GiB, Linux {} ({}), open files limited to {} (soft) and {} (hard), {}.\n\
         {}, measured {}; {} runs, at least {} s a step.",
        machine.cpu,
        machine.cores,
        if machine.is_virtual { " of a virtual machine" } else { "" },
        machine.memory_kb as f64 / f64::from(1 << 20),
        machine.kernel,
        machine.architecture,
        limit(machine.open_files.0),
        limit(machine.open_files.1),
        if machine.as_root { "as root" } else { "as an ordinary user" },
        comparison.version,
        comparison.started,
        comparison.runs,
        comparison.seconds,
    );
    for (storm, started) in comparison.storms.iter().filter_map(|storm| Some((storm, storm.started.as_ref()?))) {
        let _ = write!(text, " {}: measured {started}.", storm.title());
    }
    if let Some(others) = others {
        let _ = write!(
            text,
            " All else on the host took {:.1}% of a core at the median, {:.0}% at most{}.",
            others.median * 100.0,
            others.max * 100.0,
            if others.median > 0.05 { ": it was NOT quiet, and the figures are worth little" } else { "" },
        );
    }
    text
}

/// The table of targets.
pub(super) fn targets_table(comparison: &Comparison) -> String {
    let mut text = "| what | target | measured | |\n|---|---|---|---|\n".to_owned();
    for target in targets::targets(comparison) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            target.what,
            target.wanted,
            target.measured,
            targets::mark(&target)
        );
    }
    text
}

/// The table of what each step costs.
pub(super) fn steady(storm: &StormFigures) -> String {
    let mut text = "| | CPU µs per thread and tick | ÷ bare loop | passes/s asked | achieved | peak RSS | kernel memory | files kept | start-up CPU |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for step in storm.steps.iter().filter(|step| !step.is_throughput()) {
        let ratio = step.floor.as_ref().and_then(|floor| storm.ratio(&step.id, floor));
        let kernel = match step.probe.kernel_kb_est {
            Some(estimate) => format!("{} (says {})", megabytes(step.probe.kernel_kb), megabytes(estimate)),
            None => megabytes(step.probe.kernel_kb),
        };
        let start_up = step.runs.iter().flatten().filter_map(|run| run.start_up_cpu_s);
        let cells = [
            escape(&step.name),
            spread(step.us(), 2),
            spread(ratio, 3),
            step.hz.map_or_else(|| "as fast as it can".to_owned(), |hz| format!("{hz}")),
            step.spread(|run| run.passes_per_s).map_or(String::new(), |rate| significant(rate.median)),
            megabytes(step.probe.peak_rss_kb),
            kernel,
            kept(step),
            Spread::of(start_up).map_or(String::new(), |start_up| format!("{:.2} s", start_up.median)),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if let Some(refreshing) = refreshing(storm) {
        let _ = writeln!(
            text,
            "\nOf that, keeping the task list current takes {:.3} ({:.3} to {:.3}) µs per thread and second: psn less psn that hardly \
             ever looks.",
            refreshing.median, refreshing.min, refreshing.max
        );
    }
    text
}

/// CPU microseconds per thread and second that refreshing the task list takes.
fn refreshing(storm: &StormFigures) -> Option<Spread> {
    let (psn, unlisted) = (storm.step("psn")?, storm.step("psn-unlisted")?);
    let hz = psn.hz?;
    let pairs = psn.runs.iter().zip(&unlisted.runs);
    Spread::of(
        pairs.filter_map(|(with, without)| {
            Some((with.as_ref()?.us_per_visit() - without.as_ref()?.us_per_visit()) * hz)
        }),
    )
}

/// The table of how many threads one worker and several visit in a second.
pub(super) fn throughput(storm: &StormFigures) -> String {
    let mut workers: Vec<usize> =
        storm.steps.iter().filter(|step| step.is_throughput()).map(|step| step.workers).collect();
    workers.sort_unstable();
    workers.dedup();
    if workers.is_empty() {
        return String::new();
    }
    let mut text = "| flat out, million threads visited per second |".to_owned();
    for workers in &workers {
        let _ = write!(text, " {workers} worker{} |", if *workers == 1 { "" } else { "s" });
    }
    text += " CPU µs per thread, by workers (of psn with its start) |\n|---|";
    text += &"---|".repeat(workers.len() + 1);
    text += "\n";
    for id in SERIES {
        let Some(first) = storm.steps.iter().find(|step| step.is_throughput() && step.base() == id) else { continue };
        let name = first.name.rsplit_once(',').map_or(first.name.as_str(), |(name, _)| name);
        let _ = write!(text, "| {} |", escape(name));
        let mut costs = Vec::new();
        for workers in &workers {
            let step = storm.step(&format!("{id}@{workers}"));
            let rate = step.and_then(|step| step.spread(Measurement::visits_per_s));
            let scaling = if *workers == 1 { None } else { storm.scaling(id, *workers) };
            let scaling = scaling.map_or(String::new(), |scaling| format!(", {:.2} ×", scaling.median));
            let _ =
                write!(text, " {}{scaling} |", rate.map_or(String::new(), |rate| format!("{:.3}", rate.median / 1e6)));
            costs.extend(step.and_then(StepFigures::us).map(|us| format!("{:.2}", us.median)));
        }
        let _ = writeln!(text, " {} |", costs.join(", "));
    }
    text
}

/// The files kept open. A file that is open only once was open for a read at that moment.
fn kept(step: &StepFigures) -> String {
    let kept = step
        .probe
        .kept
        .iter()
        .filter(|kept| kept.count > 1)
        .map(|kept| format!("{} {}", kept.count, escape(&kept.file)));
    kept.collect::<Vec<_>>().join(", ")
}

/// `4.51 (4.44–4.60)`
fn spread(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or(String::new(), |Spread { median, min, max }| {
        format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
    })
}

fn megabytes(kb: u64) -> String {
    if kb == 0 { String::new() } else { format!("{:.1} MB", kb as f64 / 1024.0) }
}

fn significant(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Escapes characters that would break a table or be read as markup.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "\\<").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::comparison;

    #[test]
    fn a_document_has_every_step_and_no_markup_of_theirs() {
        let text = document(&comparison(), "2026-01-02-0304-2-cores");
        assert!(text.contains("| \\<psn> | 4.95 (4.40–5.00) | 1.100 (1.000–1.100) | 100 | 100 |"), "{text}");
        assert!(
            text.contains("(2026-01-02-0304-2-cores-cost.svg)") && text.contains("## 1000 threads in 10 processes")
        );
    }

    #[test]
    fn cells_can_not_break_out() {
        assert_eq!(escape("a|b<c\nd"), "a\\|b\\<c d");
    }
}
