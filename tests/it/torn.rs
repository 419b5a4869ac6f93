//! Rows of one instant, for threads whose state changes all the time.

use std::collections::BTreeMap;

use psn_stress::{Kind, Storm};
use serde_json::Value;

use crate::support::child::{Running, psn};
use crate::support::json::{Json, parse, text};

/// psn over the storm, in JSON, for three seconds.
fn started(storm: &Storm, group_by: &str) -> Running {
    let root = storm.root_pid().to_string();
    let rate = ["-d", "3", "--hz", "100", "-q", "--format", "json", "-r", "-a", "-s", "ci95"];
    Running::start(&mut psn(&[&rate[..], &["-p", &root, "-g", group_by]].concat()))
}

fn average_by_state(report: &Json) -> BTreeMap<String, (f64, f64)> {
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or(0.0);
    let mut states: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for row in report.rows() {
        let state = states.entry(text(&row["state_id"])).or_default();
        state.0 += number(row, "avg_threads");
        // The sum of the intervals of a state's groups is at least the interval of their sum.
        state.1 += number(row, "ci95");
    }
    states
}

#[test]
fn rows_of_restless_threads_are_of_one_instant_and_their_averages_those_of_the_state_alone() {
    let storm = Storm::builder().processes(2).exactly(Kind::Fsync, 8).exactly(Kind::Futex, 5).spawn().unwrap();
    // Both run at the same time, so that they see the same load.
    let whole = started(&storm, "state_id,syscall,wchan");
    let bare = started(&storm, "state_id");
    let (whole, bare) = (parse(&whole.end()), parse(&bare.end()));
    assert!(whole.completed() > 0 && bare.completed() > 0);

    for row in whole.rows() {
        let (state, syscall, wchan) = (text(&row["state_id"]), text(&row["syscall"]), text(&row["wchan"]));
        let runs = syscall == "[running]";
        assert!(!(state == "R" && !(runs && wchan == "0")), "running, and in a wait: {row}");
        assert!(!(state != "R" && runs), "waiting, and running: {row}");
    }
    let (whole, bare) = (average_by_state(&whole), average_by_state(&bare));
    for (state, (average, width)) in &bare {
        let (with_details, their_width) = whole.get(state).copied().unwrap_or_default();
        // Four intervals, because the load of the machine changes between the looks of the two.
        let tolerance = 4.0 * (width + their_width) + 0.5;
        assert!(
            (average - with_details).abs() <= tolerance,
            "state {state}: {average} alone, {with_details} with details; {bare:?} {whole:?}"
        );
    }
}
