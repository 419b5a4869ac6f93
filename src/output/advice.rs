//! Warnings: what makes a report doubtful, and what would help. And why a report has no rows.

use super::figures::{count, milliseconds, rate, thousands};
use crate::report::{Report, Row, Sleepers, States};

/// Below this number of ticks the report warns: one of nine is 11%.
const FEW_TICKS: u64 = 10;

/// All warnings: first those that follow from the report's numbers, then those of the run.
#[must_use]
pub fn warnings(report: &Report) -> Vec<String> {
    let ticks = &report.facts.ticks;
    let found = if ticks.missed > 0 {
        Some(rate_not_held(report))
    } else if ticks.completed < FEW_TICKS {
        Some(few_ticks(ticks.completed, report.facts.meta.scan == "replay"))
    } else {
        None
    };
    let other = report.other.map(|other| other.to_string());
    found.into_iter().chain(other).chain(report.facts.warnings.iter().cloned()).collect()
}

/// Waits of sleepers that are named, at most.
const MAX_WAITS: usize = 5;

/// Why there are no rows.
pub fn nothing_seen(report: &Report) -> String {
    let threads = match report.states {
        _ if report.facts.ticks.completed == 0 => return "no tick was taken".to_owned(),
        States::Active => "active threads",
        States::All | States::Waiting => "threads",
        States::Chosen => "threads in these states",
    };
    let sleepers = report.facts.sleepers.as_ref().filter(|_| report.states == States::Active);
    if report.facts.coverage.rejected > 0 {
        let others = average(report.facts.coverage.rejected, report.facts.ticks.completed);
        let sleepers = sleepers.map_or_else(String::new, |sleepers| format!("; of those that do, {}", slept(sleepers)));
        if report.states == States::Waiting {
            let doubtful = "--waits=all also shows those of which psn cannot tell";
            return format!("no threads met the conditions of --waits and --where ({others} did not); {doubtful}");
        }
        return format!("no {threads} met the conditions of --where ({others} did not){sleepers}");
    }
    match sleepers {
        Some(sleepers) => format!("no {threads}; {}", slept(sleepers)),
        None if report.states == States::Active && report.facts.meta.scan == "replay" => {
            format!("no {threads} were seen; -a shows sleeping and idle threads too, if they were recorded")
        }
        None if report.states == States::Active => {
            format!("no {threads} were seen; -a shows sleeping and idle threads too")
        }
        None => format!("no {threads} were seen"),
    }
}

/// Offers `--waits` if hardly a thread was active, and others slept. Both of the report's texts about sleepers, this and
/// [`nothing_seen`], are about reports on active threads.
#[expect(clippy::cast_precision_loss, reason = "a number of threads")]
pub fn offer(report: &Report) -> Option<String> {
    /// With fewer active threads than this on average, the report hardly has anything to tell.
    const FEW_ACTIVE: f64 = 1.0;
    let Report { facts, states, rows, other, .. } = report;
    let active: f64 = rows.iter().map(Row::average).sum();
    let sleeping = facts.tasks.threads as f64 - active;
    let is_wanted = *states == States::Active && facts.ticks.completed > 0 && other.is_none();
    (is_wanted && facts.can_show_waits && active < FEW_ACTIVE && sleeping >= 1.0)
        .then(|| "--waits shows those that wait for somebody or something".to_owned())
}

/// `15 slept: 13.95 in epoll_wait, 1.00 in futex (-a shows them)`
fn slept(sleepers: &Sleepers) -> String {
    let waits = sleepers.waits.iter().take(MAX_WAITS);
    let mut told: Vec<String> = waits.map(|(wait, average)| format!("{average:.2} in {wait}")).collect();
    let rest: f64 = sleepers.waits.iter().skip(MAX_WAITS).map(|(_, average)| average).sum();
    if sleepers.waits.len() > MAX_WAITS {
        told.push(format!("{rest:.2} in others"));
    }
    let sample = if sleepers.looked_at < sleepers.threads {
        format!("of {} threads, {} were looked at: ", thousands(sleepers.threads), thousands(sleepers.looked_at))
    } else {
        String::new()
    };
    format!("{sample}{:.0} slept: {} (-a shows them)", sleepers.slept, told.join(", "))
}

/// Average threads of so many samples.
#[expect(clippy::cast_precision_loss, reason = "an average is shown with two decimals")]
fn average(samples: u64, ticks: u64) -> String {
    format!("{:.2} on average", samples as f64 / ticks.max(1) as f64)
}

fn few_ticks(completed: u64, is_replay: bool) -> String {
    let found = match completed {
        0 => "no tick was taken".to_owned(),
        1 => "only 1 tick was taken, a single moment".to_owned(),
        _ => format!("only {completed} ticks were taken, too few for more than a rough picture"),
    };
    if is_replay {
        return format!("{found}: ask for a longer time (--from, --to)");
    }
    format!("{found}: sample longer (-d) or more often (--hz)")
}

/// Why ticks were missed: `--max-cpu`, long passes, or psn was not scheduled in time.
fn rate_not_held(report: &Report) -> String {
    let (ticks, cost, hz) = (&report.facts.ticks, &report.facts.cost, report.facts.meta.hz);
    let period_ms = 1000.0 / hz;
    let achieved = rate(report.facts.achieved_hz());
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
        format!("{held}: no pass over the threads was completed; {less_work}")
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

/// What would make a pass shorter and is not done yet in this run.
fn less_work(report: &Report) -> String {
    let cost = &report.facts.cost;
    let mut advice = vec!["fewer columns", "fewer processes (-p)"];
    if cost.workers < cost.cpus {
        advice.push("more --workers");
    }
    // Most reads must open and close the file, which takes half as long again. Walks read no files; in a replay the number of
    // kept files may not be known.
    if report.facts.meta.scan == "proc" && cost.fds.saturating_mul(4) < report.facts.tasks.threads {
        advice.push("more files kept open (ulimit -n, --fd-budget)");
    }
    format!("{} or a lower --hz would help", advice.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::fixture;

    fn empty() -> Report {
        Report { rows: Vec::new(), ..fixture::mysqld() }
    }

    #[test]
    fn where_threads_slept_is_told_if_none_was_active() {
        let waits = [("epoll_wait", 13.95), ("futex", 1.0)].map(|(wait, average)| (wait.to_owned(), average)).to_vec();
        let sleepers = Sleepers { threads: 15, looked_at: 15, slept: 14.95, waits };
        let mut report = empty();
        report.facts.sleepers = Some(sleepers);
        assert_eq!(
            nothing_seen(&report),
            "no active threads; 15 slept: 13.95 in epoll_wait, 1.00 in futex (-a shows them)"
        );
        let many = (0..7).map(|wait| (format!("wait{wait}"), f64::from(10 - wait))).collect();
        report.facts.sleepers = Some(Sleepers { threads: 100_000, looked_at: 1020, slept: 1000.0, waits: many });
        assert_eq!(
            nothing_seen(&report),
            "no active threads; of 100,000 threads, 1,020 were looked at: 1000 slept: 10.00 in wait0, 9.00 in wait1, \
             8.00 in wait2, 7.00 in wait3, 6.00 in wait4, 9.00 in others (-a shows them)"
        );
    }

    #[test]
    fn waits_are_offered_if_hardly_a_thread_was_active() {
        use crate::output::fixture::{columns, group, text};
        let mut report = Report { columns: columns(&["samples", "avg_threads"], &["comm"]), ..empty() };
        assert_eq!(offer(&report), None, "sleepers cannot be shown");
        report.facts.can_show_waits = true;
        assert!(offer(&report).unwrap().contains("--waits"));
        let row = |average: f64| group([0_u64.into(), average.into()], [text("mysqld")]);
        for (averages, is_offered) in [(vec![0.3, 0.6], true), (vec![0.6, 0.5], false), (vec![25.0], false)] {
            report.rows = averages.iter().map(|average| row(*average)).collect();
            assert_eq!(offer(&report).is_some(), is_offered, "{averages:?}");
        }
        report.rows.clear();
        for states in [States::All, States::Chosen] {
            assert_eq!(offer(&Report { states, ..report.clone() }), None, "{states:?}");
        }
        report.facts.ticks.completed = 0;
        assert_eq!(offer(&report), None);
        (report.facts.ticks.completed, report.facts.tasks.threads) = (100, 0);
        assert_eq!(offer(&report), None, "nobody sleeps");
    }

    #[test]
    fn nothing_is_advised_that_would_not_help() {
        let mut report = empty();
        (report.facts.ticks.completed, report.facts.ticks.missed, report.facts.tasks.threads, report.facts.cost.fds) =
            (50, 50, 1000, 0);
        report.facts.cost.pass_p50_ms = 1000.0;
        assert!(warnings(&report)[0].contains("more files kept open"));
        for scan in ["kernel", "replay"] {
            report.facts.meta.scan = scan.to_owned();
            assert!(!warnings(&report)[0].contains("files kept open"), "{scan}");
        }
        (report.facts.ticks.completed, report.facts.ticks.missed) = (3, 0);
        assert_eq!(
            warnings(&report),
            ["only 3 ticks were taken, too few for more than a rough picture: ask for a longer time (--from, --to)"]
        );
        report.facts.ticks.completed = 50;
        assert!(nothing_seen(&report).ends_with("if they were recorded"));
    }

    #[test]
    fn conditions_are_blamed_where_they_are_at_fault() {
        let mut report = empty();
        report.facts.ticks.completed = 100;
        report.facts.coverage.rejected = 250;
        assert_eq!(nothing_seen(&report), "no active threads met the conditions of --where (2.50 on average did not)");
        let waits = vec![("futex".to_owned(), 2.0)];
        report.facts.sleepers = Some(Sleepers { threads: 15, looked_at: 15, slept: 2.0, waits });
        assert_eq!(
            nothing_seen(&report),
            "no active threads met the conditions of --where (2.50 on average did not); of those that do, 2 slept: 2.00 \
             in futex (-a shows them)"
        );
        report.states = States::All;
        assert_eq!(nothing_seen(&report), "no threads met the conditions of --where (2.50 on average did not)");
        report.states = States::Waiting;
        assert_eq!(
            nothing_seen(&report),
            "no threads met the conditions of --waits and --where (2.50 on average did not); --waits=all also shows \
             those of which psn cannot tell"
        );
        report.states = States::Chosen;
        report.facts.coverage.rejected = 0;
        assert_eq!(nothing_seen(&report), "no threads in these states were seen");
        report.facts.ticks.completed = 0;
        assert_eq!(nothing_seen(&report), "no tick was taken");
    }
}
