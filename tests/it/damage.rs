//! Recordings of every kind with every kind of damage. psn must end in time and within its memory, and must not panic. Where
//! a checksum exists, psn must report the damage rather than give another answer.
//!
//! `PSN_DAMAGED` is the number of files to try (default 360), `PSN_DAMAGED_SEED` selects another series. `PSN_DAMAGED_EXE` is
//! another psn to test, such as a release build, with which 20,000 files take minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use psn_stress::{Kind, Storm};
use rustix::process::Signal;

use crate::support::child::{Running, command, psn, run};
use crate::support::dir::Dir;
use crate::support::measured::{Measured, measured};
use crate::support::wait_until;

/// The memory that psn may take for any recording, whatever is in it.
const MEMORY_KB: u64 = 512 << 10;

/// The deadline of a run. A second would be enough on an idle machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How many failures are printed one by one.
const TOLD: usize = 20;

/// A kind of recording: a file to damage, and the files beside it.
struct Recorded {
    name: &'static str,
    /// The argument of `-i`.
    asked: PathBuf,
    /// The file that is damaged.
    file: PathBuf,
    bytes: Vec<u8>,
    /// Whether checksums cover the whole file, so that no damage may change the answer silently.
    has_checksum: bool,
    /// psn's report on the undamaged recording.
    answer: Vec<u8>,
}

/// A random number generator that gives the same damage on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Damages `bytes` in one of nine ways; returns its name.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) -> &'static str {
    let at = random.below(bytes.len());
    let len = random.below(bytes.len() - at).min(1 << random.below(13)).max(1);
    match random.below(9) {
        0 => {
            bytes[at] ^= 1 << random.below(8);
            "one bit"
        }
        1 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            "some bytes"
        }
        2 => {
            bytes.truncate(at);
            "cut off"
        }
        3 => {
            let fill = [0, 0xff, 0x7f, 0x80][random.below(4)];
            bytes[at..at + len].fill(fill);
            "a run of one byte"
        }
        4 => {
            let number = [0u64, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX, i64::MAX as u64][random.below(7)];
            let number = if random.below(2) == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
            let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[8 - width..]);
            "an extreme number"
        }
        5 => {
            let from = random.below(bytes.len() - len);
            bytes.copy_within(from..from + len, at);
            "a piece over another"
        }
        6 => {
            bytes.drain(at..at + len);
            "a piece left out"
        }
        7 => {
            let piece = bytes[at..at + len].to_vec();
            let times = 1 << random.below(11);
            bytes.splice(at..at, piece.iter().copied().cycle().take(len * times));
            "a piece again and again"
        }
        _ => {
            let fill = [b',', b'"', b'\n', 0, b'9', 0x80][random.below(6)];
            let len = 1_usize << random.below(21);
            bytes.splice(at..at, std::iter::repeat_n(fill, len));
            "a long run between"
        }
    }
}

fn ask(asked: &Path, scratch: &Path) -> Measured {
    let exe = std::env::var("PSN_DAMAGED_EXE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_psn").to_owned());
    let mut command = command(&exe);
    command.args(["-a", "-g", "comm2,state_id,wchan,utime", "--format", "json", "-i"]).arg(asked);
    measured(command.env("TZ", "UTC"), scratch, DEADLINE)
}

/// The file in the middle of the dataset in `dir`.
fn part_of(dir: &Path) -> PathBuf {
    let mut parts: Vec<PathBuf> = glob::glob(&format!("{}/**/*.parquet", dir.display())).unwrap().flatten().collect();
    parts.sort();
    parts.swap_remove(parts.len() / 2)
}

/// One recording of each kind, of the same threads.
fn recordings(dir: &Dir, scratch: &Path) -> Vec<Recorded> {
    let storm = Storm::builder()
        .processes(1)
        .exactly(Kind::Futex, 3)
        .exactly(Kind::Vfork, 2)
        .exactly(Kind::Spin, 1)
        .exactly(Kind::Fsync, 1)
        .spawn()
        .unwrap();
    let root = storm.root_pid().to_string();
    let columns = ["-a", "-g", "comm2,state_id,wchan,utime", "-p", &root, "-r", "--hz", "20"];
    let record = |name: &str, more: &[&str]| {
        let path = dir.path(name);
        let ended = run(&[&columns[..], &["-d", "1.5", "-q", "-o", &path], more].concat());
        assert!(ended.status.success(), "{ended:?}");
        PathBuf::from(path)
    };
    let db = record("r.db", &[]);
    let csv = record("r.csv", &[]);
    let dataset = record("r/", &["--flush", "300ms"]);
    let part = dir.itself().join("part.parquet");
    fs::copy(part_of(&dataset), &part).unwrap();
    let killed = killed(dir, &columns);
    let log = PathBuf::from(format!("{}-wal", killed.display()));
    let kinds = [
        ("SQLite", db.clone(), db, true),
        ("SQLite whose writer was killed", killed.clone(), killed.clone(), false),
        ("a log of SQLite", killed, log, false),
        ("CSV", csv.clone(), csv, false),
        ("Parquet", part.clone(), part, true),
        ("a dataset", dataset.clone(), part_of(&dataset), true),
        ("the original's", original(dir), original(dir), false),
    ];
    kinds.map(|(name, asked, file, has_checksum)| of(name, asked, file, has_checksum, scratch)).into()
}

fn of(name: &'static str, asked: PathBuf, file: PathBuf, has_checksum: bool, scratch: &Path) -> Recorded {
    let whole = ask(&asked, scratch);
    assert_eq!(whole.code, Some(0), "{name}: {whole:?}");
    let bytes = fs::read(&file).unwrap();
    Recorded { name, asked, bytes, file, has_checksum, answer: whole.stdout }
}

/// A database whose writer was killed, with data that is still in its log.
fn killed(dir: &Dir, columns: &[&str]) -> PathBuf {
    let path = PathBuf::from(dir.path("k.db"));
    let mut command = psn(columns);
    let running = Running::start(command.args(["-d", "0", "--flush", "100ms", "-q", "-o"]).arg(&path));
    let log = PathBuf::from(format!("{}-wal", path.display()));
    wait_until("there is something in the log", || fs::metadata(&log).is_ok_and(|log| log.len() > 100_000));
    running.signal(Signal::KILL);
    running.end();
    path
}

/// A database as the original psn writes it.
fn original(dir: &Dir) -> PathBuf {
    let path = PathBuf::from(dir.path("original.db"));
    let _ = fs::remove_file(&path);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TABLE stat(event_time TEXT, pid INT, task INT, comm TEXT, comm2 TEXT, state_id TEXT, state TEXT, utime INT);
         CREATE TABLE wchan(event_time TEXT, pid INT, task INT, wchan TEXT);
         WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < 299)
         INSERT INTO stat SELECT printf('2026-11-23T03:00:%02d.000000', x / 10), 7, x % 10, '(a)', 'a', 'S',
           'Sleep (Interruptible)', x FROM n;
         INSERT INTO wchan SELECT event_time, pid, task, 'futex_wait' FROM stat;",
    )
    .unwrap();
    path
}

#[test]
fn damage_is_told_whatever_the_report_has_no_place_for() {
    let dir = Dir::new();
    let path = dir.path("r.db");
    let me = std::process::id().to_string();
    let ended = run(&["-q", "-a", "-d", "0.5", "-p", &me, "-o", &path]);
    assert!(ended.status.success(), "{ended:?}");
    rusqlite::Connection::open(&path).unwrap().execute_batch("UPDATE ticks SET threads = 7 WHERE tick = 3").unwrap();
    let lost = "it is damaged: 1 of its ticks are lost";
    for format in ["table", "csv", "folded", "json"] {
        let ended = run(&["-i", &path, "-a", "-q", "--format", format]);
        let place = if format == "json" { &ended.stdout } else { &ended.stderr };
        assert!(ended.status.success() && place.contains(lost), "{format}: {ended:?}");
    }
}

/// What psn did wrong with a damaged file; `None` if nothing.
fn fault(recorded: &Recorded, answered: &Measured) -> Option<String> {
    if answered.timed_out {
        return Some(format!("no end within {DEADLINE:?}"));
    }
    if !matches!(answered.code, Some(0..=2)) || answered.stderr.contains("panicked") {
        return Some(format!("it ended with {:?}: {}", answered.code, answered.stderr));
    }
    if answered.max_rss_kb > MEMORY_KB {
        return Some(format!("it took {} kB", answered.max_rss_kb));
    }
    if answered.code != Some(0) {
        return answered.stderr.trim().is_empty().then(|| "it failed without a word".to_owned());
    }
    let warnings = |answer: &[u8]| {
        let report: Option<serde_json::Value> = serde_json::from_slice(answer).ok();
        report.map(|report| report["warnings"].clone())
    };
    let Some(warned) = warnings(&answered.stdout) else { return Some("its answer is no JSON".to_owned()) };
    let is_silent = answered.stderr.is_empty() && Some(warned) == warnings(&recorded.answer);
    let is_other = recorded.has_checksum && answered.stdout != recorded.answer;
    (is_silent && is_other)
        .then(|| format!("another answer, in silence: {}", String::from_utf8_lossy(&answered.stdout)))
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn no_damage_hangs_psn_takes_its_memory_or_changes_its_answer_in_silence() {
    let dir = Dir::new();
    let scratch = Dir::new();
    let recordings = recordings(&dir, scratch.itself());
    let seed = setting("PSN_DAMAGED_SEED", 1);
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    let mut failures = Vec::new();
    let count = setting("PSN_DAMAGED", 360);
    for number in 0..count {
        let recorded = &recordings[random.below(recordings.len())];
        let before = Random(random.0);
        let mut bytes = recorded.bytes.clone();
        let how = damage(&mut bytes, &mut random);
        fs::write(&recorded.file, &bytes).unwrap();
        let answered = ask(&recorded.asked, scratch.itself());
        fs::write(&recorded.file, &recorded.bytes).unwrap();
        if let Some(fault) = fault(recorded, &answered) {
            keep(&bytes, recorded.name, number);
            failures.push(format!("{} with {how}, number {number} (state {:#x}): {fault}", recorded.name, before.0));
        }
    }
    let told: Vec<&str> = failures.iter().take(TOLD).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), told.join("\n"));
}

/// Copies the file that failed to the directory `PSN_DAMAGED_KEEP`, if that is set.
fn keep(bytes: &[u8], name: &str, number: u64) {
    if let Some(keep) = std::env::var_os("PSN_DAMAGED_KEEP") {
        fs::write(Path::new(&keep).join(format!("{}-{number}", name.replace(' ', "-"))), bytes).unwrap();
    }
}
