//! The sentences that a reader of the report must not miss: what makes it doubtful, and what would help.

use super::footer::{count, milliseconds, rate};
use crate::report::Report;

/// Fewer ticks than this say little: one of nine is 11%.
const FEW_TICKS: u64 = 10;

/// Everything to be warned of: what the report's numbers tell, then what its maker knew.
#[must_use]
pub fn warnings(report: &Report) -> Vec<String> {
    let ticks = &report.ticks;
    let found = if ticks.missed > 0 {
        Some(rate_not_held(report))
    } else if ticks.completed < FEW_TICKS {
        Some(few_ticks(ticks.completed))
    } else {
        None
    };
    let other = report.other.map(|other| other.to_string());
    found.into_iter().chain(other).chain(report.warnings.iter().cloned()).collect()
}

fn few_ticks(completed: u64) -> String {
    let found = match completed {
        0 => "no tick was taken".to_owned(),
        1 => "only 1 tick was taken, a single moment".to_owned(),
        _ => format!("only {completed} ticks were taken, too few for more than a rough picture"),
    };
    format!("{found}: sample longer (-d) or more often (--hz)")
}

/// Ticks were missed: psn held back as it was told to, or the work is too long, or psn did not get to it.
fn rate_not_held(report: &Report) -> String {
    let (ticks, cost, hz) = (&report.ticks, &report.cost, report.meta.hz);
    let period_ms = 1000.0 / hz;
    let achieved = rate(report.achieved_hz());
    let missed = count(ticks.missed, "tick", "ticks");
    let rough = if ticks.completed < FEW_TICKS { ", too many for more than a rough picture" } else { "" };
    let held = format!("{hz} Hz could not be held ({achieved} achieved, {missed} missed{rough})");

    let [median, worst, late] = [cost.pass_p50_ms, cost.pass_max_ms, cost.late_max_ms].map(milliseconds);
    let period = milliseconds(period_ms);
    let less_work = less_work(report);
    if ticks.throttled > ticks.missed / 2 {
        format!("{held}: psn kept within --max-cpu; {less_work}")
    } else if ticks.abandoned > ticks.missed / 2 {
        format!(
            "{held}: {} given up because a process blocked its reader",
            count(ticks.abandoned, "tick was", "ticks were")
        )
    } else if ticks.completed == 0 {
        format!("{held}: no pass over the threads came to its end; {less_work}")
    } else if cost.pass_p50_ms > period_ms {
        format!("{held}: a pass over the threads takes {median}, longer than the {period} between ticks; {less_work}")
    } else if cost.pass_max_ms > period_ms {
        format!(
            "{held}: a pass over the threads took up to {worst}, longer than the {period} between ticks; {less_work}"
        )
    } else {
        format!(
            "{held}: psn was up to {late} late to start a pass; a higher priority (--nice -5) or a lower --hz would help"
        )
    }
}

/// What would make a pass shorter, of what this run leaves open.
fn less_work(report: &Report) -> String {
    let cost = &report.cost;
    let mut advice = vec!["fewer columns", "fewer processes (-p)"];
    if cost.workers < cost.cpus {
        advice.push("more --workers");
    }
    // Most reads open and close: a matter of half the time again.
    if cost.fds.saturating_mul(4) < report.tasks.threads {
        advice.push("more files kept open (ulimit -n, --fd-budget)");
    }
    format!("{} or a lower --hz would help", advice.join(", "))
}
