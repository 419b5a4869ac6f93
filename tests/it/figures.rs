//! Impossible figures in recordings: a recording may contain any number, and no report may show a wrong one for it.

use std::fs;

use crate::support::child::{Running, command, run};
use crate::support::dir::Dir;
use crate::support::json;

/// A CSV recording, with `change` applied to each of its lines.
fn recording(dir: &Dir, change: impl Fn(&str) -> String) -> String {
    let sleeper = Running::start(command("sleep").arg("100"));
    let path = dir.path("figures.csv");
    let pid = sleeper.pid().to_string();
    let ended = run(&["-q", "-a", "-d", "0.4", "--hz", "20", "-p", &pid, "-g", "comm2,utime", "-o", &path]);
    assert!(ended.status.success(), "{ended:?}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(",sleep,0,"), "{text}");
    fs::write(&path, text.lines().map(|line| change(line) + "\n").collect::<String>()).unwrap();
    path
}

#[test]
fn sums_of_numbers_as_large_as_can_be_are_marked_and_never_wrap() {
    let dir = Dir::with_mode(0o700);
    let path = recording(&dir, |line| line.replace(",sleep,0,", &format!(",sleep,{},", i128::MAX)));
    let select = "utime:sum,utime:avg,utime:max,utime:delta";
    let report = json::parse(&run(&["-i", &path, "-a", "-g", "comm2", "-s", select, "--format", "json"]));
    let row = &report.rows()[0];
    assert_eq!((&row["utime:sum"], &row["utime:avg"]), (&"[overflow]".into(), &"[overflow]".into()), "{row}");
    assert_eq!(row["utime:delta"], 0, "{row}");
    for format in ["table", "csv", "json"] {
        let ended = run(&["-q", "-i", &path, "-a", "-g", "comm2,utime", "-s", select, "--format", format]);
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stdout.contains("[overflow]") && ended.stdout.contains(&i128::MAX.to_string()), "{ended:?}");
        let is_negative =
            |word: &str| word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        assert!(!ended.stdout.split([' ', ',', '|', ':', '\n']).any(is_negative), "{ended:?}");
    }
}

#[test]
fn accounts_as_large_as_can_be_are_no_more_than_that() {
    let dir = Dir::with_mode(0o700);
    let max = u64::MAX.to_string();
    let path = recording(&dir, |line| {
        let mut line = line.to_owned();
        for name in [
            "due",
            "throttled",
            "abandoned",
            "ok",
            "gone",
            "denied",
            "fds",
            "kernel_kb_est",
            "expected",
            "missed",
            "threads",
        ] {
            let name = format!("\"\"{name}\"\":");
            let parts: Vec<String> = line.split(&name).map(str::to_owned).collect();
            let rest = parts[1..].iter().map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
            line = std::iter::once(&*parts[0]).chain(rest).collect::<Vec<_>>().join(&format!("{name}{max}"));
        }
        line
    });
    for args in
        [&["-i", &path][..], &["-i", &path, "--per", "1s"], &["-i", &path, "--from", "-10s"], &["diff", &path, &path]]
    {
        for format in ["table", "csv", "json"] {
            let ended = run(&[args, &["-a", "--format", format]].concat());
            assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{args:?}: {ended:?}");
            assert!(ended.stdout.contains("sleep"), "{args:?}: {ended:?}");
        }
    }
}
