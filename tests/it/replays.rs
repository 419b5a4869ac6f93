//! Questions to recordings of every format and size: by time, by slice, by name; and the memory that they may take.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use psn_stress::{Kind, Storm};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::child::{self, Ended, Running, command, has_program, psn, run};
use crate::support::dir::Dir;
use crate::support::{json, skip};

/// 2026-11-23T03:00:00Z
const START: u64 = 1_795_402_800_000_000_000;

const S: u64 = 1_000_000_000;

const COLUMNS: [&str; 9] = ["pid", "task", "starttime", "state_id", "comm", "comm2", "pcomm", "state", "processor"];

#[track_caller]
fn success(args: &[&str]) -> Ended {
    let ended = run(args);
    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{args:?}: {ended:?}");
    ended
}

fn quoted(json: &Value) -> String {
    format!("\"{}\"", json.to_string().replace('"', "\"\""))
}

/// The first two lines of a recording of `host` at 20 Hz.
fn head(host: &str) -> String {
    let columns: Vec<Value> = COLUMNS
        .iter()
        .map(|name| {
            let kind = if ["pid", "task", "starttime", "processor"].contains(name) { "id" } else { "text" };
            json!({ "name": name, "kind": kind, "divisor": 1 })
        })
        .collect();
    let header = json!({
        "format": 1, "version": "0.1.0", "run": format!("run-{host}"), "host": host, "kernel": "6.1", "boot_id": "b",
        "started_ns": START, "monotonic_ns": 1, "boottime_ns": 2, "hz": 20.0, "args": ["psn"], "states": "RSD",
        "filters": [], "columns": columns,
    });
    format!("#recording,{}\ntick,time,{}\n", quoted(&header), COLUMNS.join(","))
}

/// The line before the rows of a tick.
fn tick(time_ns: u64, due: u64, rows: usize) -> String {
    let tick = json!({
        "time_ns": time_ns, "late_ns": 1000, "pass_ns": 1_000_000 * (1 + due % 3), "due": due, "throttled": 0, "abandoned": 0,
        "lost": 0, "processes": 1, "threads": rows, "states": {}, "rows": rows,
    });
    format!("#tick,{}\n", quoted(&tick))
}

fn row(task: usize, name: &str) -> String {
    format!("0,t,{task},{task},1,R,{name},{name},{name},Running (ON CPU),0\n")
}

/// Writes a recording to `path`: ticks with these numbers and times, each with one row for each name.
fn write(path: &str, ticks: impl Iterator<Item = (u64, u64, Vec<&'static str>)>) {
    let mut out = std::io::BufWriter::new(File::create(path).unwrap());
    out.write_all(head("db1").as_bytes()).unwrap();
    for (due, time_ns, names) in ticks {
        out.write_all(tick(time_ns, due, names.len()).as_bytes()).unwrap();
        for (task, name) in names.iter().enumerate() {
            out.write_all(row(task + 1, name).as_bytes()).unwrap();
        }
    }
    out.flush().unwrap();
}

/// The time of tick number `due` at 20 Hz.
fn at(due: u64) -> u64 {
    START + (due - 1) * S / 20
}

#[test]
fn csv_of_any_size_is_read_and_copied_in_little_memory() {
    let dir = Dir::new();
    let sparse = |name: &str, pieces: &dyn Fn(&mut File, usize)| {
        let path = dir.path(name);
        let mut file = File::create(&path).unwrap();
        for piece in 0..200 {
            pieces(&mut file, piece);
        }
        path
    };
    let hole = |file: &mut File| {
        file.seek(SeekFrom::Current(60 << 20)).unwrap();
    };
    let begun = format!("{}{}", head("db1"), tick(START, 1, 100_000));
    let begin = |file: &mut File, piece: usize| {
        if piece == 0 {
            file.write_all(begun.as_bytes()).unwrap();
        }
    };
    let files = [
        sparse("cells.csv", &|file, piece| {
            begin(file, piece);
            file.write_all(b"0,t,1,1,").unwrap();
            hole(file);
            file.write_all(b",R,a,a,a,Running,0\n").unwrap();
        }),
        sparse("quote.csv", &|file, piece| {
            begin(file, piece);
            file.write_all(if piece == 0 { b"\"" } else { b"\n" }).unwrap();
            hole(file);
        }),
        sparse("commas.csv", &|file, piece| {
            begin(file, piece);
            file.write_all(&vec![b','; 1 << 18]).unwrap();
        }),
        sparse("header.csv", &|file, piece| {
            file.write_all(if piece == 0 { b"#recording,\"" } else { b"\n" }).unwrap();
            hole(file);
        }),
    ];
    for path in &files {
        for asked in [vec!["-i", path, "-a"], vec!["-i", path, "-a", "--per", "1s", "--format", "csv"]] {
            let (peak, ended) = Running::start(&mut psn(&asked)).end_with_peak(child::DEADLINE);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(peak < 128 << 20, "{path}: {} MiB", peak >> 20);
            assert!(said.contains("than any that psn writes") || asked.contains(&"csv"), "{path}: {said}");
        }
        for copy in ["copy.db", "copy.csv", "copy/"] {
            let copy = dir.path(copy);
            let (peak, ended) =
                Running::start(&mut psn(&["export", path, &copy, "--force"])).end_with_peak(child::DEADLINE);
            assert!(peak < 256 << 20 && !ended.stderr.contains("panicked"), "{path}: {} MiB, {ended:?}", peak >> 20);
        }
    }
}

#[test]
fn a_tick_that_takes_too_much_memory_is_not_copied_and_says_so() {
    let dir = Dir::new();
    let path = dir.path("large.csv");
    let mut out = File::create(&path).unwrap();
    // Each row is a megabyte of the same byte.
    out.write_all(format!("{}{}", head("db1"), tick(START, 1, 200)).as_bytes()).unwrap();
    let name = "x".repeat(1 << 20);
    (1..=200).for_each(|task| out.write_all(row(task, &name).as_bytes()).unwrap());
    for copy in ["copy.db", "copy.csv", "copy/"] {
        let copy = dir.path(copy);
        let (peak, ended) = Running::start(&mut psn(&["export", &path, &copy])).end_with_peak(child::DEADLINE);
        assert!(peak < 512 << 20, "{copy}: {} MiB", peak >> 20);
        assert!(ended.stderr.contains("MiB, the limit of a copy"), "{copy}: {ended:?}");
    }
}

/// Some compressed megabytes that expand to gigabytes without a valid line.
fn endless(path: &str) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(head("db1").as_bytes()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&encoder.finish().unwrap()).unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let lines = "#nothing\n".repeat(1 << 16);
    (0..32).for_each(|_| encoder.write_all(lines.as_bytes()).unwrap());
    let piece = encoder.finish().unwrap();
    (0..2000).for_each(|_| file.write_all(&piece).unwrap());
}

#[test]
fn ctrl_c_ends_whatever_reads_recordings() {
    let dir = Dir::new();
    let path = dir.path("endless.csv.gz");
    endless(&path);
    let copy = dir.path("copy.db");
    for args in [
        vec!["-i", &path],
        vec!["-i", &path, "--from=-5m"],
        vec!["-i", &path, "--per", "1s", "--format", "json"],
        vec!["diff", &path, &path],
        vec!["export", &path, &copy],
        vec!["-i", "-"],
    ] {
        // Nothing is ever written to its standard input.
        let running = Running::start(psn(&args).stdin(Stdio::piped()));
        std::thread::sleep(Duration::from_millis(700));
        let asked = Instant::now();
        running.signal(Signal::INT);
        let ended = running.end();
        assert!(asked.elapsed() < Duration::from_secs(5), "{args:?}: {:?}", asked.elapsed());
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), stopped(&args)), "{args:?}");
    }
}

fn stopped(args: &[&str]) -> &'static str {
    if args == ["-i", "-"] { "psn: -i: stopped\n" } else { "psn: stopped\n" }
}

#[test]
fn csv_is_known_by_what_is_in_it_wherever_it_comes_from() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    write(&path, (1..=20).map(|due| (due, at(due), vec!["mysqld"])));
    let bytes = fs::read(&path).unwrap();
    let asked = ["-g", "comm2", "-q"];
    let wanted = success(&[&["-i", &path], &asked[..]].concat()).stdout;
    assert!(wanted.contains("20 |        1.00 | (mysqld)"), "{wanted}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes).unwrap();
    let compressed = encoder.finish().unwrap();
    for (name, content) in
        [("R.CSV", &bytes), ("r", &bytes), ("r.db", &bytes), ("r.gz", &compressed), ("r.csv.gz", &compressed)]
    {
        let path = dir.path(name);
        fs::write(&path, content).unwrap();
        assert_eq!(success(&[&["-i", &path], &asked[..]].concat()).stdout, wanted, "{name}");
    }
    for content in [&bytes, &compressed] {
        for name in ["-", "/dev/stdin", "/dev/fd/0"] {
            for from in ["--from=-5m", "--states=R"] {
                let mut running = Running::start(psn(&["-i", name, "-g", "comm2", "-q", from]).stdin(Stdio::piped()));
                running.stdin().unwrap().write_all(content).unwrap();
                assert_eq!(running.end().stdout, wanted, "{name}");
            }
        }
        let file = File::open(&path).unwrap();
        assert_eq!(Running::start(psn(&["-i", "-", "-g", "comm2", "-q"]).stdin(file)).end().stdout, wanted);
    }
}

#[test]
fn what_is_no_recording_says_why_and_each_reason_once() {
    let dir = Dir::new();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path(name);
        fs::write(&path, content).unwrap();
        path
    };
    let pipe = dir.path("pipe.db");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let pattern = dir.path("p*.db");
    for (path, why) in [
        (file("zero.db", b""), "it is empty"),
        (file("zero.csv", b""), "it is empty"),
        ("/dev/null".to_owned(), "it is a device, not a regular file"),
        (pipe, "it is a pipe"),
        (pattern, "it is a pipe"),
        (file("notes.txt", b"buy milk"), "its first bytes are not those of a recording: recordings are SQLite"),
        (file("other.csv", b"a,b\n1,2\n"), "its first line is not '#recording' with a header"),
        (dir.path("none.db"), "No such file or directory"),
    ] {
        let ended = run(&["-i", &path]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stderr.matches(why).count(), 1, "{path}: {ended:?}");
        assert!(ended.stderr.starts_with("psn: -i: ") && ended.stderr.lines().count() == 1, "{ended:?}");
        assert!(ended.stderr.matches(dir.itself().to_str().unwrap()).count() <= 1, "{ended:?}");
    }
    let mut running = Running::start(psn(&["-i", "-"]).stdin(Stdio::piped()));
    running.stdin().unwrap().write_all(b"SQLite format 3\0and so on").unwrap();
    let ended = running.end();
    assert!(ended.stderr.contains("only CSV can be read from a pipe"), "{ended:?}");
}

#[test]
fn a_process_is_asked_for_by_its_own_name_live_and_recorded() {
    // This process, and one of its threads with a different name.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::Builder::new().name("just-a-thread".to_owned()).spawn(move || stopped.recv()).unwrap();
    let name = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
    let (name, me) = (name.trim(), std::process::id().to_string());
    let dir = Dir::new();
    for scan in ["auto", "proc"] {
        for recording in ["r.csv", "r.db", "r/"] {
            let path = dir.path(&format!("{scan}-{recording}"));
            success(&["record", "-q", "-d", "0.3", "-o", &path, "-p", &me, "--scan", scan]);
            let by_name = |name: &str| {
                let pattern = format!("^{name}$");
                let asked = ["-i", &path, "-a", "-p", &pattern, "-g", "pid,pcomm,comm2", "--format", "json"];
                json::parse(&success(&asked)).samples(&["pid", "pcomm", "comm2"])
            };
            let found = by_name(name);
            assert!(found.contains_key(&format!("{me} | {name} | just-a-thread")), "{found:?}");
            assert!(found.keys().all(|group| group.starts_with(&format!("{me} | {name} | "))), "{found:?}");
            assert!(by_name("just-a-thread").is_empty(), "a thread's name is no process's");
        }
    }
    let live = run(&["-p", "^just-a-thread$", "-d", "0.1", "-q"]);
    assert_eq!(live.status.code(), Some(1), "nor is it live: {live:?}");
    drop(stop);
    let _ = thread.join();
}

#[test]
fn a_recording_without_the_names_of_processes_says_so() {
    let dir = Dir::new();
    let path = dir.path("old.csv");
    let whole = format!("{}{}{}", head("db1"), tick(START, 1, 1), row(1, "mysqld"));
    // A recording from before the column existed.
    let old = whole.replace("{\"\"name\"\":\"\"pcomm\"\",\"\"kind\"\":\"\"text\"\",\"\"divisor\"\":1},", "");
    let old = old.replace(",pcomm,", ",").replace("mysqld,mysqld,mysqld", "mysqld,mysqld");
    let old = if old.contains("pcomm") { old.replace(&pcomm_member(), "") } else { old };
    fs::write(&path, &old).unwrap();
    assert!(!old.contains("pcomm"), "{old}");
    success(&["-i", &path, "-p", "1"]);
    let ended = run(&["-i", &path, "-p", "mysqld"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("-p: the names of processes (column pcomm) were not recorded in"), "{ended:?}");
}

/// The column as a header contains it, whatever the order of its members.
fn pcomm_member() -> String {
    let member = json!({ "name": "pcomm", "kind": "text", "divisor": 1 });
    format!("{},", member.to_string().replace('"', "\"\""))
}

/// Twenty ticks a second for a minute, with some missing from the 8th second on. `b` occurs only in the second half.
fn minute() -> impl Iterator<Item = (u64, u64, Vec<&'static str>)> {
    let taken = (1..=1200).filter(|due| !(161..=200).contains(due));
    taken.map(|due| (due, at(due), if due > 600 { vec!["a", "b", "b", "c"] } else { vec!["a", "c"] }))
}

#[test]
fn slices_tell_the_ticks_that_were_due_in_each_in_every_format() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    write(&path, minute());
    for (name, args) in [("whole", &[][..]), ("part", &["--from", "2026-11-23T03:00:00Z"][..])] {
        let asked = [&["-i", &path, "-g", "comm2", "--per", "5s"], args].concat();
        let report = json::parse(&success(&[&asked[..], &["--format", "json"]].concat()));
        let slices = report.0["slices"].as_array().unwrap();
        assert_eq!(slices.len(), 12, "{name}");
        for (place, slice) in slices.iter().enumerate() {
            // 8 to 10 seconds are missing.
            let completed = if place == 1 { 60 } else { 100 };
            assert_eq!(
                (&slice["ticks"]["expected"], &slice["ticks"]["completed"]),
                (&json!(100), &json!(completed)),
                "{slice}"
            );
            assert!(
                slice["pass_ms"]["max"].as_f64() > Some(2.9) && slice["late_ms"]["p99"].as_f64() > Some(0.0),
                "{slice}"
            );
        }
        assert_eq!(report.completed(), 1160);
        let row =
            report.rows().iter().find(|row| row["time"] == "2026-11-23T03:00:05Z" && row["comm2"] == "a").unwrap();
        assert_eq!((&row["ticks_due"], &row["ticks_taken"], &row["samples"]), (&json!(100), &json!(60), &json!(60)));
        let csv = success(&[&asked[..], &["--format", "csv"]].concat()).stdout;
        assert!(
            csv.starts_with("time,ticks_due,ticks_taken,pass_p99_ms,late_p99_ms,samples,avg_threads,comm2\r\n"),
            "{csv}"
        );
        assert!(
            csv.lines().any(|line| line.starts_with("2026-11-23T03:00:05Z,100,60,") && line.ends_with(",60,1,a")),
            "{csv}"
        );
        let table = success(&asked).stdout;
        assert!(table.contains("|       100 |          60 |"), "{table}");
        let folded = success(&[&asked[..], &["--format", "folded"]].concat()).stdout;
        assert!(folded.contains("2026-11-23T03:00:05Z;a 60"), "{folded}");
    }
}

#[test]
fn a_slice_in_which_no_tick_was_taken_is_told_as_that() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    write(&path, (1..=200).filter(|due| !(41..=140).contains(due)).map(|due| (due, at(due), vec!["a"])));
    let report = json::parse(&success(&["-i", &path, "-g", "comm2", "--per", "1s", "--format", "json"]));
    let taken: Vec<u64> = report.0["slices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slice| slice["ticks"]["completed"].as_u64().unwrap())
        .collect();
    assert_eq!(taken, [20, 20, 0, 0, 0, 0, 0, 20, 20, 20]);
    let table = success(&["-i", &path, "-g", "comm2", "--per", "1s", "-q"]).stdout;
    let row = table.lines().find(|line| line.contains("(a)")).unwrap();
    assert_eq!((row.matches("|        - ").count(), row.matches("██     ███").count()), (5, 1), "{table}");
}

#[test]
fn the_matrix_has_a_row_a_group_the_top_ones_of_the_whole_time_and_all_slices_in_the_sparkline() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    write(&path, minute());
    let table = success(&["-i", &path, "-g", "comm2", "--per", "5s", "-q", "--limit", "2"]).stdout;
    let rows: Vec<&str> = table.lines().filter(|line| line.contains(" | (")).collect();
    // b has 1200 samples, all in the second half; a and c have 1160 each, and a comes first.
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows[0].contains("(b)") && rows[0].contains("|       ██████ |"), "{table}");
    assert!(rows[1].contains("(a)") && rows[1].contains("| ████████████ |"), "{table}");
    assert!(rows[0].contains("1200 |        1.03 |") && rows[0].matches("2.00").count() == 6, "{table}");
    assert!(table.contains("by 5s =") && table.contains(":00:55 | comm2"), "{table}");
    let csv = success(&["-i", &path, "-g", "comm2", "--per", "5s", "--limit", "1", "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 1 + 6, "b in six slices: {csv}");
    let folded = success(&["-i", &path, "-g", "comm2", "--per", "1s", "-q"]).stdout;
    assert!(folded.contains("by 1s, 3 of 60 slices to a column"), "{folded}");
    assert_eq!(
        folded.lines().find(|line| line.contains("avg_threads")).unwrap().matches('|').count(),
        3 + 20,
        "{folded}"
    );
}

#[test]
fn twenty_thousand_slices_take_little_memory() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    let names = vec!["a", "b", "c", "d", "e", "f", "g", "h"];
    // One tick a second, although 20 Hz were asked for.
    write(&path, (0..20_000).map(|number| (number * 20 + 1, START + number * S, names.clone())));
    for format in ["table", "csv", "json"] {
        let args = ["-i", &path, "-g", "comm2", "--per", "1s", "--format", format, "-q"];
        let (peak, ended) = Running::start(psn(&args).stdout(Stdio::null())).end_with_peak(child::DEADLINE);
        assert!(ended.status.success(), "{ended:?}");
        assert!(peak < 96 << 20, "{format}: {} MiB", peak >> 20);
    }
    let ended = run(&["-i", &path, "-g", "comm2", "--per", "1ms"]);
    assert!(ended.stderr.contains("more than 250000 slices"), "{ended:?}");
}

#[test]
fn slices_of_several_hosts_are_put_together() {
    let dir = Dir::new();
    let (first, second) = (dir.path("1.csv"), dir.path("2.csv"));
    write(&first, minute());
    let other = fs::read_to_string(&first).unwrap().replace("run-db1", "run-db2").replace("\"\"db1\"\"", "\"\"db2\"\"");
    fs::write(&second, other).unwrap();
    let asked = ["-i", &first, "-i", &second, "-g", "comm2", "--format", "json"];
    let whole = json::parse(&success(&asked)).samples(&["comm2"]);
    let sliced = json::parse(&success(&[&asked[..], &["--per", "100ms"]].concat()));
    assert_eq!(sliced.samples(&["comm2"]), whole);
    assert_eq!(sliced.0["slices"].as_array().unwrap().len(), 600);
}

#[test]
fn a_clock_that_was_set_back_is_told_and_times_count_back_from_the_last_tick() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    // Ten seconds, and then five seconds of an hour before.
    let time = |due: u64| if due > 200 { at(due) - 3600 * S } else { at(due) };
    write(&path, (1..=300).map(|due| (due, time(due), vec![if due > 260 { "late" } else { "early" }])));
    let mut paths = vec![path.clone()];
    for copy in ["copy.db", "copy/"] {
        let copy = dir.path(copy);
        success(&["export", &path, &copy, "-q"]);
        paths.push(copy);
    }
    for path in paths {
        let whole = json::parse(&success(&["-i", &path, "--format", "json"]));
        let warnings = whole.0["warnings"].to_string();
        assert!(
            warnings.contains("the clock of db1 was set back once") && warnings.contains("by up to 59m59s950ms"),
            "{warnings}"
        );
        let last = json::parse(&success(&["-i", &path, "-g", "comm2", "--from=-2s", "--format", "json"]));
        assert_eq!(last.samples(&["comm2"]).into_iter().collect::<Vec<_>>(), [("late".to_owned(), 40)], "{path}");
        let slices = json::parse(&success(&["-i", &path, "-g", "comm2", "--per", "5s", "--format", "json"]));
        assert_eq!(slices.samples(&["time"]).into_values().collect::<Vec<_>>(), [100, 100, 100], "{path}");
    }
}

#[test]
fn times_are_taken_as_people_say_them_and_shown_in_local_time() {
    let dir = Dir::new();
    let path = dir.path("r.csv");
    write(&path, minute());
    let ask = |zone: &str, args: &[&str]| {
        let mut command = psn(&[&["-i", &path, "-g", "comm2", "--format", "json"], args].concat());
        let ended = Running::start(command.env("TZ", zone)).end();
        if ended.status.success() { Ok(json::parse(&ended).completed()) } else { Err(ended.stderr) }
    };
    // The last half minute, in every way to write the time.
    for (zone, from) in [
        ("UTC", "03:00:30"),
        ("Europe/Berlin", "04:00:30"),
        ("Europe/Berlin", "2026-11-23 04:00:30"),
        ("America/New_York", "2026-11-23T04:00:30[Europe/Berlin]"),
        ("UTC", "2026-11-23T03:00:30Z"),
        ("UTC", "2026-11-23T12:00:30+09:00"),
        ("UTC", "1795402830"),
        ("UTC", "@1795402830.0"),
        ("Europe/Nowhere", "2026-11-23T03:00:30Z"),
    ] {
        assert_eq!(ask(zone, &["--from", from]), Ok(600), "{zone} {from}");
    }
    assert_eq!(ask("UTC", &["--from", "-0.5m"]), Ok(600), "before the last tick");
    let unknown = ask("Europe/Nowhere", &["--from", "03:00:30"]).unwrap_err();
    assert!(unknown.contains("Europe/Nowhere") && unknown.contains("TZ"), "{unknown}");
    let never = ask("Europe/Berlin", &["--from", "yesterday 03:05", "--to", "1 hour ago"]);
    assert!(
        never.as_ref().is_err_and(|said| said.contains("from 2026-11-23T04:00:00+01:00 to 2026-11-23T04:00:59")),
        "{never:?}"
    );
    let table = |format: &str| {
        let mut command = psn(&["-i", &path, "--per", "10s", "--format", format]);
        Running::start(command.env("TZ", "Asia/Tokyo")).end().stdout
    };
    assert!(table("table").contains("from 2026-11-23T12:00:00+09:00 by 10s"), "{}", table("table"));
    assert!(table("csv").contains("\n2026-11-23T03:00:00Z,") && table("json").contains("\"2026-11-23T03:00:00Z\""));
    let told = Running::start(psn(&["-i", &path]).env("TZ", "Europe/Nowhere")).end().stdout;
    assert!(told.contains("Europe/Nowhere") && told.contains("shown in UTC"), "{told}");
}

#[test]
fn a_service_records_sleepers_and_what_they_wait_for_and_can_be_told_not_to() {
    let storm = Storm::builder().processes(1).exactly(Kind::Futex, 3).exactly(Kind::Spin, 1).spawn().unwrap();
    let dir = Dir::new();
    let root = storm.root_pid().to_string();
    let record = |name: &str, args: &[&str]| {
        let path = dir.path(name);
        success(&[&["record", "-q", "-d", "0.3", "-o", &path, "-p", &root, "-r"], args].concat());
        let ask = |args: &[&str]| json::parse(&success(&[&["-i", &path, "-a", "--format", "json"], args].concat()));
        (ask(&["-g", "comm2"]).samples(&["comm2"]), ask(&["-g", "syscall,wchan,filename"]).rows().len())
    };
    let (all, waits) = record("all.db", &[]);
    assert!(all.contains_key("storm-futex") && all.contains_key("storm-spin") && waits > 0, "{all:?}");
    let (active, _) = record("active.db", &["--active"]);
    assert!(!active.contains_key("storm-futex") && active.contains_key("storm-spin"), "{active:?}");
    let (chosen, _) = record("chosen.db", &["--states", "R", "--record", "utime"]);
    assert!(!chosen.contains_key("storm-futex") && chosen.contains_key("storm-spin"), "{chosen:?}");
    let sums = success(&["-i", &dir.path("chosen.db"), "-g", "syscall", "-s", "utime:max", "-q"]).stdout;
    assert!(sums.contains("utime:max") && sums.contains("syscall"), "--record adds: {sums}");
}

#[test]
fn numbers_that_could_be_of_anything_want_their_unit() {
    for (args, parts) in [
        (&["record", "-o", "x/", "--keep", "7"][..], &["--keep", "7 has no unit", "7d"][..]),
        (&["record", "-o", "x/", "--max-size", "20"], &["--max-size", "20 has no unit", "20G"]),
        (&["-i", "x", "--from", "10"], &["--from", "10 has no unit"]),
        (&["-d", "1h30"], &["--duration", "1h30m"]),
    ] {
        let ended = run(args);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{args:?}: {}", ended.stderr);
    }
    for long in ["300ms", "0.3s", "0.3", "0.005m"] {
        success(&["-q", "-d", long]);
    }
}

#[test]
fn paths_may_be_any_bytes_and_what_must_be_text_is_named() {
    let dir = Dir::new();
    let me = std::process::id().to_string();
    let name = dir.itself().join(std::ffi::OsStr::from_bytes(b"n\xff\x1b[2J.db"));
    let recorded = Running::start(psn(&["-a", "-q", "-d", "0.2", "-p", &me, "-o"]).arg(&name)).end();
    assert!(recorded.status.success(), "{recorded:?}");
    let copy = dir.itself().join(std::ffi::OsStr::from_bytes(b"c\xff.csv"));
    let copied = Running::start(psn(&["export"]).arg(&name).arg(&copy)).end();
    assert!(copied.status.success() && copied.stderr.contains("c\\xff.csv"), "{copied:?}");
    for path in [&name, &copy] {
        let replayed = Running::start(psn(&["-a", "-q", "-i"]).arg(path)).end();
        assert!(replayed.status.success() && replayed.stdout.contains(" | "), "{replayed:?}");
        let compared = Running::start(psn(&["diff", "-a"]).arg(path).arg(path)).end();
        assert!(compared.status.success() && compared.stdout.contains("before: "), "{compared:?}");
    }
    let bad = std::ffi::OsStr::from_bytes(b"comm2=\xfe");
    let refused = Running::start(psn(&["-d", "0.1", "-o"]).arg(&name).arg("--where").arg(bad)).end();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--where: 'comm2=\\xfe' is not valid UTF-8"), "{refused:?}");
}

#[test]
fn no_name_reaches_a_terminal_as_it_is() {
    let dir = Dir::new();
    let hostile = "\u{1b}[2J\u{202e}\u{9b}31m";
    let path = dir.path(&format!("x{hostile}.csv"));
    // A host, a column and a state with that name, and a tick that was cut off.
    let text = format!("{}{}", head(hostile), tick(START, 1, 5))
        .replace("\"\"name\"\":\"\"processor\"\"", &format!("\"\"name\"\":\"\"p{}\"\"", "\\\\u001b[2J"));
    fs::write(&path, text).unwrap();
    let other = dir.path(&format!("y{hostile}.csv"));
    fs::write(&other, "no recording").unwrap();
    let (pattern, copy) = (dir.path("x*.csv"), dir.path(&format!("copy{hostile}.db")));
    for args in [
        vec!["-i", &pattern],
        vec!["-i", &path, "--format", "json"],
        vec!["-i", &path, "-g", "wchan"],
        vec!["-i", &path, "--host", "nobody"],
        vec!["-i", &path, "--from", "2031-01-01T00:00:00Z"],
        vec!["-i", &path, "-p", "x"],
        vec!["-i", &other],
        vec!["-i", &dir.path(&format!("none{hostile}"))],
        vec!["diff", &path, &path],
        vec!["diff", &path, &other],
        vec!["export", &path, &copy],
        vec!["export", &path, &copy],
        vec!["-i", &path, &other],
        vec![&other],
        vec!["-o", &copy, "-d", "0.1"],
    ] {
        let ended = run(&args);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let acted_upon =
            said.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\r')) || matches!(c, '\u{202e}'));
        assert_eq!(acted_upon, None, "{args:?}: {said:?}");
    }
}

#[test]
fn an_option_that_does_nothing_is_refused_and_says_what_to_do() {
    for (args, parts) in [
        (&["--from", "-5m"][..], &["--from does nothing here", "-i PATH"][..]),
        (&["--to", "03:00"], &["--to does nothing here", "-i PATH"]),
        (&["--host", "db1"], &["--host does nothing here", "-i PATH"]),
        (&["--per", "1m"], &["--per does nothing here", "-i PATH"]),
        (&["-i", "x.db", "--hz", "10"], &["--hz does nothing here", "nothing is sampled"]),
        (&["--keep", "7d"], &["--keep does nothing here", "-o PATH"]),
        (&["--raw-csv"], &["--raw-csv does nothing here", "--format csv"]),
        (&["record", "-o", "x.db", "--format", "json"], &["--format does nothing here", "psn -i"]),
    ] {
        let ended = run(args);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn fish_offers_values_after_an_option() {
    if !has_program("fish") {
        return skip("it takes fish");
    }
    let dir = Dir::new();
    fs::write(dir.path("a-file"), "").unwrap();
    let script = success(&["completions", "fish"]).stdout;
    fs::write(dir.path("psn.fish"), script).unwrap();
    for (line, wanted) in [
        ("psn --scan ", "kernel"),
        ("psn --format ", "json"),
        ("psn record --scan ", "kernel"),
        ("psn -g ", "cmdline2"),
        ("psn --sort ", "max_threads"),
        ("psn completions ", "zsh"),
    ] {
        let text = format!("source psn.fish; complete -C'{line}'");
        let ended = Running::start(command("fish").args(["-c", &text]).current_dir(dir.itself())).end();
        assert!(ended.stdout.lines().any(|offer| offer.starts_with(wanted)), "{line}: {ended:?}");
        assert!(!ended.stdout.contains("a-file"), "{line}: {ended:?}");
    }
    let text = "source psn.fish; complete -C'psn -i '";
    let ended = Running::start(command("fish").args(["-c", text]).current_dir(dir.itself())).end();
    assert!(ended.stdout.contains("a-file"), "{ended:?}");
    assert!(Path::new(&dir.path("a-file")).exists());
}
