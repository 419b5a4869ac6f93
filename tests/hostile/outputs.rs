//! Every hostile name in every place where a process can put one, in every format of the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use psn::output::{Format, RenderOptions};
use psn::report::{Datum, Report, Row};
use psn::row::value::{Mark, Value};
use psn::tasks::users::Users;
use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr as _;

use super::names::NAMES;
use super::oracle::{self, decode, in_cells, in_frames};
use super::{Verdict, ensure, judge};
use crate::support::driver::Driver;
use crate::support::fake::{Content, FSYNC, FakeProc, Process, SMAPS, Thread, syscall_line};
use crate::support::report::{column, datum, value};

/// The process with the hostile name, and one beside it.
const HOSTILE: u32 = 10;
const NEIGHBOUR: u32 = 20;

/// The user with the hostile name.
const UID: u32 = 4_000_000_077;

/// The columns that can show the name, and `state_id` at the end, so that each line ends in a letter.
const PLACES: [&str; 10] =
    ["comm2", "name", "cmdline2", "exe", "cgroup", "filename2", "basename", "user", "pathname", "state_id"];

/// How often each thread is seen.
const TICKS: u64 = 3;

pub fn cases() -> Vec<String> {
    let of = |(name, _): &(&str, _)| FORMS.map(|(form, _)| format!("names/{name}/{form}"));
    NAMES.iter().flat_map(of).collect()
}

type Check = fn(&Report, &[u8]) -> Verdict;

/// The name as psn read it, and the report in each format.
const FORMS: [(&str, Check); 5] =
    [("values", values), ("table", table), ("csv", csv), ("json", json), ("folded", folded)];

/// Every place of a name, and the bytes that it has there.
fn places(name: &[u8]) -> BTreeMap<&'static str, Vec<u8>> {
    let path = [b"/", name].concat();
    // The kernel allows no newlines in names of control groups, and escapes them in names of mappings.
    let line = name.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mapped = path.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\012"[..]);
    BTreeMap::from([
        ("comm2", name.to_vec()),
        ("name", name.to_vec()),
        ("cmdline2", name.to_vec()),
        ("exe", path.clone()),
        ("cgroup", [b"/", line].concat()),
        ("filename2", path.clone()),
        ("basename", path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()),
        ("user", if is_user(name) { name.to_vec() } else { UID.to_string().into_bytes() }),
        ("pathname", mapped),
        ("state_id", b"D".to_vec()),
    ])
}

/// Whether a passwd file can give a user this name. Digits alone would be another user's number.
fn is_user(name: &[u8]) -> bool {
    !name.iter().all(u8::is_ascii_digit) && !name.iter().any(|byte| matches!(byte, b':' | b'\n'))
}

fn users(name: &[u8]) -> Users {
    let path = std::env::temp_dir().join(format!("psn-passwd-{}", std::process::id()));
    let entry = if is_user(name) { [name, format!(":x:{UID}:0::/:\n").as_bytes()].concat() } else { Vec::new() };
    std::fs::write(&path, entry).unwrap();
    let users = Users::from_passwd(&path);
    std::fs::remove_file(path).unwrap();
    users
}

/// The report on a process that has `name` in every possible place.
fn report_of(name: &[u8]) -> Report {
    let places = places(name);
    let of = |place: &str| &places[place][..];
    let thread = Thread::new(HOSTILE)
        .comm(name)
        .state('D')
        .file("cgroup", [b"0::", of("cgroup"), b"\n"].concat())
        .file("syscall", syscall_line(FSYNC, &[7]))
        .file("fd/7", Content::RawLink(of("filename2").to_vec()));
    let (mapping, lines) = SMAPS.split_once('\n').unwrap();
    let (numbers, _) = mapping.split_once('/').unwrap();
    let hostile = Process::new(HOSTILE)
        .uid(UID)
        .thread(thread)
        .file("cmdline", [name, b"\0"].concat())
        .file("exe", Content::RawLink(of("exe").to_vec()))
        .file("smaps", [numbers.as_bytes(), of("pathname"), b"\n", lines.as_bytes()].concat());
    let proc = FakeProc::of([hostile, Process::single(NEIGHBOUR, "neighbour", 'D')]);
    let columns = format!("pid,{}", PLACES.join(","));
    let mut engine = Driver::with_users(&proc, &["-a", "-g", &columns, "--workers", "1"], users(name));
    engine.refresh();
    (0..TICKS).for_each(|_| assert!(engine.pass().is_complete));
    engine.report()
}

/// The reports of all names, in their order.
fn reports() -> &'static [Report] {
    static REPORTS: OnceLock<Vec<Report>> = OnceLock::new();
    REPORTS.get_or_init(|| NAMES.iter().map(|(_, bytes)| report_of(bytes)).collect())
}

#[track_caller]
fn check(form: &str) {
    let (form, check) = FORMS.iter().find(|(name, _)| *name == form).unwrap();
    judge(NAMES.iter().zip(reports()).map(|((name, bytes), report)| {
        let verdict = check(report, bytes);
        (format!("names/{name}/{form}"), verdict)
    }));
}

#[test]
fn a_name_is_taken_for_its_bytes_and_for_nothing_else() {
    check("values");
}

#[test]
fn a_name_stays_in_its_cell_of_the_table_and_can_be_read_back() {
    check("table");
}

#[test]
fn a_name_stays_in_its_field_of_the_csv_runs_nowhere_and_can_be_read_back() {
    check("csv");
}

#[test]
fn a_name_stays_in_its_string_of_the_json_and_can_be_read_back() {
    check("json");
}

#[test]
fn a_name_stays_one_frame_of_a_stack_and_can_be_read_back() {
    check("folded");
}

/// An empty name cannot be an argument: then there are no arguments.
fn is_no_value(place: &str, bytes: &[u8]) -> bool {
    place == "cmdline2" && bytes.is_empty()
}

fn render(report: &Report, format: Format, layout: &RenderOptions) -> Result<String, String> {
    let mut out = Vec::new();
    psn::output::render(report, format, layout, &mut out).map_err(|error| error.to_string())?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

fn values(report: &Report, name: &[u8]) -> Verdict {
    ensure!(report.rows.len() == 2, "{} rows", report.rows.len());
    let row = report.rows.iter().find(|row| value(report, row, "pid") == HOSTILE.to_string());
    let row: &Row = row.ok_or("the thread is not there")?;
    ensure!(row.samples() == TICKS, "{} samples", row.samples());
    for (place, bytes) in places(name) {
        let found = datum(report, row, place);
        let expected = if is_no_value(place, &bytes) { Value::Mark(Mark::None) } else { Value::Text(&bytes) };
        ensure!(found == Datum::Value(expected), "{place} is {found:?}, not {expected:?}");
    }
    ensure!(column(report, "comm2").contains(&"neighbour".to_owned()), "the neighbour is not there");
    ensure!(report.facts.coverage.denied.is_empty(), "a name is taken for a refusal: {:?}", report.facts.coverage);
    let unclean = report.facts.health.iter().find(|(_, counts)| counts.is_notable());
    ensure!(unclean.is_none(), "{unclean:?}");
    Ok(())
}

/// Checks that `shown` stands for `bytes`. If `is_padded`, spaces at the end are padding.
fn stands_for(shown: &str, bytes: &[u8], escapes: fn(u8) -> bool, is_padded: bool) -> Verdict {
    let trimmed = |mut bytes: Vec<u8>| {
        while is_padded && bytes.last() == Some(&b' ') {
            bytes.pop();
        }
        bytes
    };
    let (found, wanted) = (trimmed(decode(shown, escapes)), trimmed(bytes.to_vec()));
    ensure!(found == wanted, "{shown:?} is \"{}\", not \"{}\"", found.escape_ascii(), wanted.escape_ascii());
    Ok(())
}

fn table(report: &Report, name: &[u8]) -> Verdict {
    let text = render(report, Format::Table, &RenderOptions { footer: false, ..RenderOptions::default() })?;
    text.lines().try_for_each(oracle::shows)?;
    let lines: Vec<&str> = text.lines().collect();
    // A blank line, the title, a blank line, the header, the rule, two rows.
    let [_, title, _, header, rule, rows @ ..] = &lines[..] else { return Err(format!("{} lines", lines.len())) };
    ensure!(rows.len() == 2, "{} rows", rows.len());
    ensure!(rule.chars().all(|c| c == '-') && title.starts_with("==="), "{title:?}, {rule:?}");
    let headers: Vec<&str> = oracle::cells(header, header)?.into_iter().map(str::trim).collect();
    let mut found = false;
    for row in rows {
        ensure!(row.width() <= rule.width(), "a row is {} wide, not {}", row.width(), rule.width());
        let cells = oracle::cells(header, row)?;
        let cell = |place: &str| cells[headers.iter().position(|header| *header == place).unwrap()];
        if cell("pid").trim() != HOSTILE.to_string() {
            continue;
        }
        found = true;
        for (place, bytes) in places(name) {
            let shown = cell(place);
            if is_no_value(place, &bytes) {
                ensure!(shown.trim_end() == "-", "{place} is {shown:?}");
                continue;
            }
            // The name is exactly the text between the parentheses.
            let inner = shown.trim_end().strip_prefix('(').and_then(|shown| shown.strip_suffix(')'));
            match inner.filter(|_| place == "comm2") {
                Some(inner) => stands_for(inner, &bytes, in_cells, false),
                None if place == "comm2" => Err(format!("no parentheses around {shown:?}")),
                None => stands_for(shown, &bytes, in_cells, true),
            }
            .map_err(|why| format!("{place}: {why}"))?;
        }
    }
    ensure!(found, "the thread is not there");

    // In a terminal cells are cut. Each row must still be one line and show something.
    for width in [40, 200] {
        let text = render(report, Format::Table, &RenderOptions { width: Some(width), ..RenderOptions::default() })?;
        text.lines().try_for_each(oracle::shows)?;
        let rows = text.lines().skip(5).take_while(|line| !line.is_empty()).count();
        ensure!(rows == 2, "{rows} rows in {width} columns");
    }
    Ok(())
}

fn csv(report: &Report, name: &[u8]) -> Verdict {
    for defuse_formulas in [true, false] {
        let text = render(report, Format::Csv, &RenderOptions { defuse_formulas, ..RenderOptions::default() })?;
        text.split("\r\n").try_for_each(oracle::shows)?;
        let records = oracle::records(&text)?;
        ensure!(records.len() == 3, "{} records", records.len());
        let at = |place: &str| records[0].iter().position(|(header, _)| header == place).unwrap();
        ensure!(records.iter().all(|record| record.len() == records[0].len()), "records of different lengths");
        let record = records.iter().find(|record| record[at("pid")].0 == HOSTILE.to_string());
        let record = record.ok_or("the thread is not there")?;
        for (place, bytes) in places(name) {
            let (cell, is_quoted) = &record[at(place)];
            // Spreadsheets in some locales begin a new cell there.
            ensure!(*is_quoted || !cell.contains(';'), "a bare semicolon in {place}: {cell:?}");
            if is_no_value(place, &bytes) {
                ensure!(cell == "-", "{place} is {cell:?}");
                continue;
            }
            ensure!(!defuse_formulas || !oracle::is_formula(cell), "{place} is run: {cell:?}");
            let defused = cell.strip_prefix('\'').filter(|cell| defuse_formulas && oracle::is_formula(cell));
            stands_for(defused.unwrap_or(cell), &bytes, in_cells, false)
                .or_else(|why| stands_for(cell, &bytes, in_cells, false).map_err(|_| why))
                .map_err(|why| format!("{place}: {why}"))?;
        }
    }
    Ok(())
}

fn json(report: &Report, name: &[u8]) -> Verdict {
    let text = render(report, Format::Json, &RenderOptions::default())?;
    text.split('\n').try_for_each(oracle::shows)?;
    let value: Json = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    let rows = value["rows"].as_array().ok_or("no rows")?;
    ensure!(rows.len() == 2, "{} rows", rows.len());
    let row = rows.iter().find(|row| row["pid"] == HOSTILE).ok_or("the thread is not there")?;
    for (place, bytes) in places(name) {
        let shown = row[place].as_str().ok_or_else(|| format!("{place} is {}", row[place]))?;
        if is_no_value(place, &bytes) {
            ensure!(shown == "-", "{place} is {shown:?}");
            continue;
        }
        stands_for(shown, &bytes, in_cells, false).map_err(|why| format!("{place}: {why}"))?;
        // If the text differs from the bytes, the JSON has the bytes too.
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let exact = row.get(format!("{place}_bytes")).and_then(Json::as_str);
        let wanted = (shown.as_bytes() != bytes).then_some(hex.as_str());
        ensure!(exact == wanted, "{place}_bytes is {exact:?}, not {wanted:?}");
    }
    Ok(())
}

fn folded(report: &Report, name: &[u8]) -> Verdict {
    let text = render(report, Format::Folded, &RenderOptions::default())?;
    text.split('\n').try_for_each(oracle::shows)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(lines.len() == 2, "{} lines", lines.len());
    let line = lines.iter().find(|line| line.starts_with("10;")).ok_or("the thread is not there")?;
    let (stack, count) = line.rsplit_once(' ').ok_or("no count")?;
    ensure!(count == TICKS.to_string(), "{count:?} is no count");
    let frames: Vec<&str> = stack.split(';').collect();
    ensure!(frames.len() == 1 + PLACES.len(), "{} frames: {line:?}", frames.len());
    let places = places(name);
    for (place, frame) in PLACES.iter().zip(&frames[1..]) {
        ensure!(!oracle::ends_in_a_count(frame), "a second count in {place}: {frame:?}");
        if places[place].is_empty() {
            ensure!(*frame == "-", "{place} is {frame:?}");
        } else {
            stands_for(frame, &places[place], in_frames, false).map_err(|why| format!("{place}: {why}"))?;
        }
    }
    Ok(())
}
