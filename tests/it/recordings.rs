//! Recordings: psn reads back what it recorded, whatever happened to psn, the disk or the file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use psn_stress::{Kind, Storm};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::child::{Ended, Running, command, has_program, is_root, psn, run};
use crate::support::dir::Dir;
use crate::support::{json, skip, wait_until};

/// A file name of a recording in each format.
const FORMATS: [&str; 3] = ["r.db", "r.csv", "r/"];

#[track_caller]
fn success(args: &[&str]) -> Ended {
    let ended = run(args);
    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{args:?}: {ended:?}");
    ended
}

/// Threads whose state does not change, threads whose state changes all the time, and threads that are born and end.
fn storm() -> Storm {
    Storm::builder()
        .processes(2)
        .exactly(Kind::Futex, 10)
        .exactly(Kind::Pipe, 5)
        .exactly(Kind::Vfork, 3)
        .exactly(Kind::Spin, 1)
        .exactly(Kind::Fsync, 2)
        .argument("--births")
        .argument("200")
        .spawn()
        .unwrap()
}

const QUESTION: [&str; 6] =
    ["-a", "-G", "syscall,wchan", "-s", "max_threads,ci95,utime,minflt:max,comm2:common,task:example", "-q"];

#[test]
fn a_replay_without_active_threads_says_where_they_slept() {
    let storm = Storm::builder().exactly(Kind::Futex, 5).exactly(Kind::Pipe, 2).spawn().unwrap();
    let pids = storm.truth().all_pids().filter(|pid| *pid != storm.root_pid());
    let pids = pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(",");
    let dir = Dir::new();
    let record = |name: &str, args: &[&str]| {
        let path = dir.path(name);
        let run = ["-p", &pids, "-d", "0.3", "-q", "-g", "comm2", "-o", &path];
        success(&[&run[..], args].concat());
        path
    };
    let asleep = record("asleep.db", &["-a", "--record", "syscall"]);
    let text = success(&["-i", &asleep, "-q"]).stdout;
    assert!(text.contains("no active threads; 7 slept: 5.00 in futex, 2.00 in read (-a shows them)"), "{text}");
    let text = success(&["-i", &asleep, "-q", "--where", "comm2 = storm-pipe"]).stdout;
    assert!(text.contains("no active threads; 2 slept: 2.00 in read (-a shows them)"), "{text}");
    let text = success(&["-i", &asleep, "-q", "-a", "--where", "comm2 = nobody"]).stdout;
    assert!(text.contains("no threads met the conditions of --where (7.00 on average did not)"), "{text}");
    // Without their waits psn cannot say where they sleep.
    let bare = record("bare.db", &["-a"]);
    let text = success(&["-i", &bare, "-q"]).stdout;
    assert!(text.contains("no active threads were seen; -a shows sleeping and idle threads too"), "{text}");
    // A recording that cannot answer --waits is not offered it.
    let told = record("told.db", &["-a", "--record", "idle"]);
    for (path, is_offered) in [(&told, true), (&bare, false), (&asleep, false)] {
        let text = success(&["-i", path]).stdout;
        assert_eq!(text.lines().last().unwrap().starts_with("sleepers: --waits "), is_offered, "{text}");
        assert!(!is_offered || success(&["-i", path, "--waits", "-q"]).stdout.contains("storm-"), "{path}");
    }
}

#[test]
fn a_replay_gives_the_report_of_the_live_run_to_the_digit() {
    let storm = storm();
    let dir = Dir::new();
    for name in FORMATS {
        for format in ["json", "table", "csv", "folded"] {
            let path = dir.path(&format!("{format}-{name}"));
            let asked = [&QUESTION[..], &["--format", format, "--where", "comm ~ ^storm"]].concat();
            let root = storm.root_pid().to_string();
            let live = success(&[&["-d", "0.5", "--hz", "40", "-o", &path, "-p", &root, "-r"], &asked[..]].concat());
            let replayed = success(&[&["-i", &path], &asked[..]].concat());
            assert!(live.stdout.lines().count() > 3, "{live:?}");
            assert_eq!(replayed.stdout, live.stdout, "{path}");
        }
    }
}

#[test]
fn the_footer_of_a_replay_is_that_of_the_run() {
    let dir = Dir::new();
    let path = dir.path("r.db");
    let live = success(&["-a", "-d", "0.3", "-o", &path]);
    assert!(live.stdout.contains("\nticks:"), "{live:?}");
    assert_eq!(success(&["-i", &path, "-a"]).stdout, live.stdout);
}

#[test]
fn other_questions_than_the_first_are_answered() {
    let storm = storm();
    let dir = Dir::new();
    let root = storm.root_pid().to_string();
    for name in FORMATS {
        let path = dir.path(name);
        success(&["-q", "-a", "-d", "0.5", "-o", &path, "-p", &root, "-r", "--record", "syscall,wchan"]);
        let ask = |args: &[&str]| json::parse(&success(&[&["-i", &path, "--format", "json"], args].concat()));
        let active = ask(&["-g", "comm2,state_id"]);
        let ticks = active.completed();
        assert_eq!(active.samples(&["comm2", "state_id"]).get("storm-vfork | D"), Some(&(3 * ticks)));
        assert!(!active.samples(&["state_id"]).contains_key("S"), "without -a, sleepers are left out");
        let waits = ask(&["-a", "-g", "wchan", "--where", "comm2 = storm-pipe"]);
        assert_eq!(waits.rows().len(), 1, "{:?}", waits.0);
        let one = ask(&["-g", "task", "--states", "D", "--where", "comm2=storm-vfork", "--limit", "1"]);
        assert_eq!((one.rows().len(), &one.0["rows_left_out"]), (1, &Value::from(2)));
        let task = one.rows()[0]["task"].to_string();
        let of_task = ask(&["-a", "-g", "task,state_id", "-t", &task]);
        assert_eq!(of_task.samples(&["task", "state_id"]).into_values().sum::<u64>(), ticks);
        let all = ask(&["-a", "-g", "pid,pcomm"]);
        let (pid, name) = (all.rows()[0]["pid"].clone(), all.rows()[0]["pcomm"].as_str().unwrap().to_owned());
        let named = ask(&["-a", "-g", "pid", "-p", &format!("^{name}$")]).samples(&["pid"]);
        assert_eq!(
            named.get(&pid.to_string()),
            all.samples(&["pid"]).get(&pid.to_string()),
            "all threads of the process"
        );
    }
}

#[test]
fn a_column_that_was_not_recorded_is_named_with_those_that_were() {
    let dir = Dir::new();
    for name in FORMATS {
        let path = dir.path(name);
        success(&["-q", "-a", "-d", "0.1", "-o", &path]);
        let ended = run(&["-i", &path, "-G", "wchan"]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        for part in ["'wchan' was not recorded", "comm2", "state_id", &path] {
            assert!(ended.stderr.contains(part), "{part} in {ended:?}");
        }
    }
}

#[test]
fn windows_and_slices_of_time_add_up() {
    let storm = storm();
    let dir = Dir::new();
    let root = storm.root_pid().to_string();
    for name in FORMATS {
        let path = dir.path(name);
        success(&["-q", "-a", "-d", "1.2", "--hz", "50", "-o", &path, "-p", &root, "-r"]);
        let ask = |args: &[&str]| json::parse(&success(&[&["-i", &path, "-a", "--format", "json"], args].concat()));
        let whole = ask(&[]);
        let (early, late) = (ask(&["--to", "-500ms"]), ask(&["--from=-500ms"]));
        assert_eq!(early.completed() + late.completed(), whole.completed());
        let sum = |report: &json::Json| report.samples(&[]).into_values().sum::<u64>();
        assert_eq!(sum(&early) + sum(&late), sum(&whole));
        assert!(late.completed() >= 5 && late.completed() <= 26, "{}", late.0);
        let slices = ask(&["--per", "200ms"]);
        assert_eq!(slices.completed(), whole.completed());
        let by_time = slices.samples(&["time"]);
        assert!((6..=8).contains(&by_time.len()), "{by_time:?}");
        assert_eq!(by_time.into_values().sum::<u64>(), sum(&whole));
        let table = success(&["-i", &path, "--per", "200ms", "-q"]).stdout;
        assert!(table.contains("trend") && table.contains('█'), "{table}");
        let nothing = run(&["-i", &path, "--from", "2031-01-01T00:00:00Z"]);
        assert!(!nothing.status.success() && nothing.stderr.contains("there are recordings from 20"), "{nothing:?}");
    }
}

#[test]
fn what_has_changed_is_told_from_noise() {
    let dir = Dir::new();
    let (before, after) = (dir.path("before.db"), dir.path("after.csv"));
    let record = |path: &str, vforks: u32| {
        let storm = Storm::builder().exactly(Kind::Vfork, vforks).exactly(Kind::Pipe, 4).spawn().unwrap();
        success(&["-q", "-a", "-d", "1", "--hz", "40", "-o", path, "-r", "-p", &storm.root_pid().to_string()]);
    };
    record(&before, 2);
    record(&after, 5);
    let ended = success(&["diff", &before, &after, "-a", "-g", "comm2,state_id", "--format", "json"]);
    let diff = json::parse(&ended);
    let of = |name: &str| {
        let place = diff.rows().iter().position(|row| row["comm2"] == name).unwrap();
        let row = &diff.rows()[place];
        (place, row["change"].as_f64().unwrap(), row["significant"].as_str().unwrap())
    };
    let (forks, pipes) = (of("storm-vfork"), of("storm-pipe"));
    assert_eq!(((forks.1, forks.2), (pipes.1, pipes.2)), ((3.0, "yes"), (0.0, "no")), "{}", diff.0);
    assert!(forks.0 < pipes.0, "the most changed come first");
    let only =
        success(&["diff", &before, &after, "-a", "-g", "comm2,state_id", "--significant", "--format", "csv"]).stdout;
    assert!(only.contains("storm-vfork") && !only.contains("storm-pipe"), "{only}");
    let window =
        success(&["diff", &format!("{before}@..-500ms"), &format!("{before}@-500ms.."), "-a", "-g", "comm2"]).stdout;
    assert!(window.contains("storm-vfork") && window.contains("before: "), "{window}");
}

#[test]
fn copies_in_every_format_answer_alike() {
    let storm = storm();
    let dir = Dir::new();
    let root = storm.root_pid().to_string();
    let first = dir.path("first.db");
    success(&[
        "-q",
        "-a",
        "-d",
        "0.6",
        "--hz",
        "40",
        "-o",
        &first,
        "-p",
        &root,
        "-r",
        "--record",
        "syscall,wchan,utime,utime_sec,minflt",
    ]);
    let mut from = first.clone();
    let asked = [&QUESTION[..], &["--format", "json"]].concat();
    let wanted = success(&[&["-i", &first], &asked[..]].concat()).stdout;
    for to in ["copy.csv", "copy/", "again.db", "again/", "again.csv"] {
        let to = dir.path(to);
        success(&["export", &from, &to, "-q"]);
        assert_eq!(success(&[&["-i", &to], &asked[..]].concat()).stdout, wanted, "{from} to {to}");
        from = to;
    }
}

/// How often psn is killed in each format. `PSN_KILLS=1000 cargo test --release --test it killed` takes almost an hour.
fn kills() -> u64 {
    std::env::var("PSN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

#[test]
fn a_killed_psn_leaves_what_it_had_flushed() {
    let dir = Dir::new();
    for kill in 0..kills() {
        for name in FORMATS {
            let path = dir.path(&format!("{kill}-{name}"));
            let args = ["record", "-o", &path, "-a", "--hz", "200", "--flush", "20ms", "-q", "-p", "1"];
            let running = Running::start(&mut psn(&args));
            wait_until("something is flushed", || ticks_in(Path::new(&path)).is_some_and(|ticks| ticks > 0));
            // Kill at any time between two flushes.
            std::thread::sleep(Duration::from_micros(kill * 7919 % 60_000));
            let flushed = ticks_in(Path::new(&path)).unwrap();
            running.signal(Signal::KILL);
            running.end();
            let left = ticks_in(Path::new(&path));
            assert!(left >= Some(flushed), "{flushed} ticks were flushed, {left:?} are left in {path}");
            let report = json::parse(&success(&["-i", &path, "-a", "--format", "json"]));
            assert_eq!(Some(report.completed() as usize), left);
            let warnings = report.0["warnings"].to_string();
            assert!(warnings.contains("cut off"), "{warnings}");
            let _ = fs::remove_dir_all(&path);
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{path}{suffix}"));
            }
        }
    }
}

#[test]
fn a_service_ends_cleanly_when_it_is_told_to() {
    let dir = Dir::new();
    for name in FORMATS {
        let path = dir.path(name);
        let running = Running::start(&mut psn(&["record", "-o", &path, "-a", "--hz", "50", "--flush", "50ms"]));
        wait_until("a tick is recorded", || ticks_in(Path::new(&path)).is_some_and(|ticks| ticks > 0));
        running.signal(Signal::TERM);
        let ended = running.end();
        assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.contains("recorded"), "{ended:?}");
        let report = json::parse(&success(&["-i", &path, "-a", "-G", "syscall,wchan,filename", "--format", "json"]));
        assert!(!report.0["warnings"].to_string().contains("cut off"), "{}", report.0["warnings"]);
        assert!(
            report.0["health"].as_array().is_some_and(|health| !health.is_empty()),
            "the run's own account is there"
        );
    }
}

#[test]
fn nothing_is_overwritten_followed_or_left_open_to_others() {
    let dir = Dir::new();
    for name in ["r.db", "r.csv"] {
        let path = dir.path(name);
        fs::write(&path, "precious").unwrap();
        let ended = run(&["-d", "0.1", "-q", "-o", &path]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("exists") && ended.stderr.contains("--force"), "{ended:?}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        success(&["-d", "0.1", "-q", "-a", "-o", &path, "--force"]);
        success(&["-i", &path, "-a"]);

        let (link, target) = (dir.path(&format!("link-{name}")), dir.path(&format!("target-{name}")));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(!run(&["-d", "0.1", "-q", "-o", &link]).status.success());
        success(&["-d", "0.1", "-q", "-a", "-o", &link, "--force"]);
        assert_eq!(fs::read(&target).unwrap(), b"precious", "what a link leads to is left alone");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        if is_root() {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn a_run_with_nothing_to_report_leaves_no_file_behind() {
    let dir = Dir::new();
    for name in ["r.db", "r.csv"] {
        let path = dir.path(name);
        assert_eq!(run(&["-d", "0.1", "-q", "-o", &path, "-p", "4294967295"]).status.code(), Some(1));
        assert!(!Path::new(&path).exists());
    }
}

#[test]
fn a_second_writer_refuses() {
    let dir = Dir::new();
    for name in FORMATS {
        let path = dir.path(name);
        let first = Running::start(&mut psn(&["record", "-o", &path, "-a"]));
        wait_until("a tick is recorded", || ticks_in(Path::new(&path)).is_some_and(|ticks| ticks > 0));
        let second = run(&["-d", "0.1", "-q", "-o", &path, "--force"]);
        assert_eq!(second.status.code(), Some(1), "{second:?}");
        assert!(second.stderr.contains("is being written by another psn"), "{second:?}");
        first.signal(Signal::TERM);
        assert!(first.end().status.success());
        assert!(json::parse(&success(&["-i", &path, "-a", "--format", "json"])).completed() > 0);
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_what_was_flushed() {
    if !is_root() || !has_program("unshare") {
        return skip("a small file system takes root and unshare");
    }
    let dir = Dir::new();
    let mount = dir.path("small");
    fs::create_dir(&mount).unwrap();
    for name in FORMATS {
        // In a separate mount namespace, so that the mount ends with the shell.
        let script = format!(
            "mount -t tmpfs -o size=256k tmpfs {mount} || exit 77\n\
             {psn} -o {mount}/{name} -a -p $$ -d 20 --hz 200 --flush 20ms --format json > {mount}.json 2> {mount}.err\n\
             echo $? > {mount}.code\n\
             {psn} -i {mount}/{name} -a --format json > {mount}.replay 2>> {mount}.err",
            psn = env!("CARGO_BIN_EXE_psn"),
        );
        let ended = Running::start(command("unshare").args(["-m", "sh", "-c", &script])).end();
        if ended.status.code() == Some(77) {
            return skip("tmpfs can not be mounted here");
        }
        let read = |what: &str| fs::read_to_string(format!("{mount}.{what}")).unwrap();
        assert!(ended.status.success(), "{name}: {ended:?} {}", read("err"));
        assert_eq!(read("code").trim(), "1", "{name}: {}", read("err"));
        assert!(read("err").contains("not everything was recorded"), "{name}: {}", read("err"));
        let live: Value = serde_json::from_str(&read("json")).unwrap();
        let replay: Value = serde_json::from_str(&read("replay")).unwrap();
        let (all, kept) = (&live["ticks"]["completed"], &replay["ticks"]["completed"]);
        assert!(kept.as_u64() > Some(0) && kept.as_u64() < all.as_u64(), "{name}: {kept} of {all}");
    }
}

/// A small recording, as bytes.
fn small(dir: &Dir, name: &str) -> (PathBuf, Vec<u8>) {
    let path = dir.path(name);
    // Only this thread: the test reads thousands of pieces of the file.
    let me = rustix::thread::gettid().as_raw_nonzero().to_string();
    success(&["-q", "-a", "-d", "0.2", "--hz", "20", "-o", &path, "-t", &me]);
    let bytes = fs::read(&path).unwrap();
    (PathBuf::from(path), bytes)
}

/// Reads a recording in this process, which is much faster than starting psn for each of thousands of files.
fn ticks_in(path: &Path) -> Option<usize> {
    use psn::ask::column::Column;
    use psn::record::{Query, open};
    let mut recordings = open::recordings(&[path.to_owned()], &[], &std::sync::Arc::default()).ok()?;
    let query = Query { columns: vec![Column::find("comm2").unwrap()], from_ns: 0, to_ns: u64::MAX };
    let mut ticks = 0;
    for recording in &mut recordings {
        recording
            .read(&query, &mut |piece| {
                ticks += usize::from(piece.is_last);
                Ok(())
            })
            .ok()?;
    }
    Some(ticks)
}

#[test]
fn a_recording_cut_off_anywhere_is_read_as_far_as_it_goes() {
    let dir = Dir::new();
    let (path, bytes) = small(&dir, "whole.csv");
    let all = ticks_in(&path).unwrap();
    let cut = dir.itself().join("cut.csv");
    let mut last = 0;
    for len in 0..bytes.len() {
        fs::write(&cut, &bytes[..len]).unwrap();
        let ticks = ticks_in(&cut).unwrap_or(0);
        assert!(ticks >= last && ticks <= all, "{ticks} ticks of {len} bytes, {last} of one less");
        last = ticks;
    }
    assert_eq!(last, all);

    let (_, bytes) = small(&dir, "whole.db");
    let cut = dir.itself().join("cut.db");
    for len in (0..bytes.len()).step_by(61) {
        fs::write(&cut, &bytes[..len]).unwrap();
        // psn may reject the file, but must neither panic nor run for ever.
        assert!(ticks_in(&cut).unwrap_or(0) <= all + 10);
    }
}

/// The log beside a database holds what was written last. If the log is cut off anywhere, only its end is lost.
#[test]
fn a_log_cut_off_anywhere_loses_its_end_only() {
    let dir = Dir::new();
    let path = dir.path("r.db");
    let me = std::process::id().to_string();
    let running =
        Running::start(&mut psn(&["record", "-o", &path, "-a", "--hz", "50", "--flush", "20ms", "-q", "-p", &me]));
    wait_until("twenty ticks are flushed", || ticks_in(Path::new(&path)).is_some_and(|ticks| ticks >= 20));
    running.signal(Signal::KILL);
    running.end();
    let (db, wal) = (fs::read(&path).unwrap(), fs::read(format!("{path}-wal")).unwrap());
    let cut = dir.path("cut.db");
    let mut last = 0;
    let mut lengths: Vec<usize> = (0..wal.len()).step_by(509).collect();
    lengths.push(wal.len());
    for len in lengths {
        for suffix in ["-shm", "-wal"] {
            let _ = fs::remove_file(format!("{cut}{suffix}"));
        }
        fs::write(&cut, &db).unwrap();
        fs::write(format!("{cut}-wal"), &wal[..len]).unwrap();
        let ticks = ticks_in(Path::new(&cut)).unwrap_or(0);
        assert!(ticks >= last, "{ticks} ticks of {len} bytes, {last} of fewer");
        last = ticks;
    }
    assert!(last >= 20);
}

#[test]
fn a_damaged_recording_is_an_error_or_a_shorter_one_never_a_panic() {
    let dir = Dir::new();
    // Random numbers that give the same damage on every machine.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for name in ["r.db", "r.csv"] {
        let (_, bytes) = small(&dir, name);
        let damaged = dir.itself().join(format!("damaged-{name}"));
        for _ in 0..300 {
            let mut bytes = bytes.clone();
            for _ in 0..=random() % 8 {
                let at = (random() % bytes.len() as u64) as usize;
                bytes[at] = random() as u8;
            }
            fs::write(&damaged, &bytes).unwrap();
            ticks_in(&damaged);
        }
    }
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let dir = Dir::new();
    for (name, content) in
        [("text.db", "hello"), ("empty.db", ""), ("text.csv", "a,b\n1,2\n"), ("empty.csv", ""), ("x.txt", "x")]
    {
        let path = dir.path(name);
        fs::write(&path, content).unwrap();
        let ended = run(&["-i", &path]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is not a recording") && ended.stderr.contains(name), "{ended:?}");
    }
    let other = dir.path("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(run(&["-i", &other]).stderr.contains("some other SQLite database"));
    assert!(run(&["-i", &dir.path("nowhere.db")]).stderr.contains("No such file"));
    assert!(run(&["-i", &dir.path("nothing-*.db")]).stderr.contains("nothing matches"));
    assert_eq!(run(&["-d", "0.1", "-o", "/tmp/psn-recording-of-no-format"]).status.code(), Some(2));
    assert_eq!(run(&["record"]).status.code(), Some(2));
}

#[test]
fn sqlite_answers_over_recordings() {
    if !has_program("sqlite3") {
        return skip("sqlite3 is not installed");
    }
    let storm = storm();
    let dir = Dir::new();
    let path = dir.path("r.db");
    let root = storm.root_pid().to_string();
    let args = ["-a", "-d", "0.5", "-o", &path, "-p", &root, "-r", "-G", "syscall,wchan", "-s", "utime_sec:max"];
    let report = json::parse(&success(&[&args[..], &["--format", "json"]].concat()));
    let ask = |sql: &str| {
        let ended =
            Running::start(Command::new("sqlite3").args([&path, sql]).stdout(std::process::Stdio::piped())).end();
        assert!(ended.status.success(), "{sql}: {ended:?}");
        ended.stdout.trim().to_owned()
    };
    let counts = ask("select comm, state, count(*) from samples group by 1, 2 order by 3 desc, 1, 2");
    for (group, samples) in report.samples(&["comm", "state"]) {
        let line = format!("{}|{samples}", group.replace(" | ", "|"));
        assert!(counts.lines().any(|found| found == line), "{line} in {counts}");
    }
    let joined =
        "select count(*) from stat join syscall using (event_time, pid, task) join wchan using (event_time, pid, task)
                  where state_id = 'D' and wchan.wchan = 'kernel_clone'";
    assert_eq!(ask(joined), (3 * report.completed()).to_string(), "the original's tables");
    assert_eq!(ask("select count(*) from ticks"), report.completed().to_string());
    let time = ask("select event_time from stat limit 1");
    assert!(time.len() == 26 && time.contains('T'), "{time}");
}
