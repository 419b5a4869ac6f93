//! Files that no healthy kernel writes: empty, cut short, huge, with too few or too many fields, with numbers that are too
//! large. The columns of such a file show a mark, and everything else goes on.

use std::fs;

use psn::proc::health::Counts;
use psn::proc::source::Source;
use psn::proc::{Call, Fault, ReadError};

use super::{Verdict, ensure, judge};
use crate::support::driver::Driver;
use crate::support::fake::{Content, FSYNC, FakeProc, Process, SMAPS, Thread, syscall_line};
use crate::support::faults::Script;
use crate::support::report::{column, counts, value};

const VICTIM: u32 = 10;

/// What takes the place of the file.
enum What {
    Bytes(&'static [u8]),
    Made(fn() -> Vec<u8>),
    Link(&'static str),
    Missing,
    /// A directory, which can be opened but not read.
    Directory,
}

use What::{Bytes, Directory, Link, Made, Missing};

/// A malformed file.
struct Case {
    name: &'static str,
    file: &'static str,
    what: What,
    column: &'static str,
    /// What the column shows; `None` if the thread is not counted.
    shows: Option<&'static str>,
    /// The class of the read in the accounts.
    class: Result<(), ReadError>,
}

const fn case(
    name: &'static str,
    what: What,
    column: &'static str,
    shows: &'static str,
    class: Result<(), ReadError>,
) -> Case {
    Case { name, file: file_of(name), what, column, shows: Some(shows), class }
}

/// A `stat` that cannot be parsed.
const fn no_row(name: &'static str, what: What) -> Case {
    Case { name, file: "stat", what, column: "state_id", shows: None, class: MALFORMED }
}

/// The file in the name of a case: the part before the last `/`.
const fn file_of(name: &'static str) -> &'static str {
    let (bytes, mut at) = (name.as_bytes(), name.len() - 1);
    while bytes[at] != b'/' {
        at -= 1;
    }
    name.split_at(at).0
}

const OK: Result<(), ReadError> = Ok(());
const MALFORMED: Result<(), ReadError> = Err(ReadError::Malformed);
const UNSUPPORTED: Result<(), ReadError> = Err(ReadError::Unsupported);
const DROPPED: Result<(), ReadError> = Err(ReadError::Dropped(rustix::io::Errno::ISDIR));

/// Longer than the initial size of any buffer of psn.
const MUCH: usize = 1 << 20;

/// A line of `stat` in which each field is as edited, by its number in proc(5).
fn stat(edit: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let line = String::from_utf8(thread().stat_line(1)).unwrap();
    let (head, numbers) = line.trim_end().split_once(") D ").unwrap();
    let mut fields: Vec<String> = ["", "", "", ""].into_iter().chain(numbers.split(' ')).map(str::to_owned).collect();
    edit(&mut fields);
    format!("{head}) D {}\n", fields[4..].join(" ")).into_bytes()
}

/// The same, with one field replaced.
fn stat_with(field: usize, text: &str) -> Vec<u8> {
    stat(|fields| fields[field] = text.to_owned())
}

fn thread() -> Thread {
    Thread::new(VICTIM).comm("victim").state('D')
}

fn lines(line: &str, count: usize) -> Vec<u8> {
    line.repeat(count).into_bytes()
}

const CASES: &[Case] = &[
    no_row("stat/empty", Bytes(b"")),
    no_row("stat/newline", Bytes(b"\n")),
    no_row("stat/garbage", Bytes(b"\x00\xff\x1b garbage")),
    no_row("stat/no-name", Bytes(b"10 D 1 2 3\n")),
    no_row("stat/name-without-end", Bytes(b"10 (victim D 1 2 3\n")),
    no_row("stat/nothing-after-name", Bytes(b"10 (victim)\n")),
    no_row("stat/state-of-two-letters", Bytes(b"10 (victim) DD 1 2 3\n")),
    no_row("stat/state-a-digit", Bytes(b"10 (victim) 5 1 2 3\n")),
    no_row("stat/state-no-ascii", Bytes(b"10 (victim) \xc3\xa9 1 2 3\n")),
    no_row("stat/without-newline", Made(|| thread().stat_line(1).strip_suffix(b"\n").unwrap().to_vec())),
    no_row("stat/without-start-time", Made(|| stat(|fields| fields.truncate(22)))),
    no_row("stat/id-overflows", Bytes(b"4294967296 (victim) D 1 2 3\n")),
    no_row("stat/id-negative", Bytes(b"-10 (victim) D 1 2 3\n")),
    no_row("stat/id-missing", Bytes(b"(victim) D 1 2 3\n")),
    no_row("stat/number-overflows", Made(|| stat_with(14, "18446744073709551616"))),
    no_row("stat/number-overflows-below", Made(|| stat_with(14, "-9223372036854775809"))),
    no_row("stat/number-of-a-thousand-digits", Made(|| stat_with(14, &"9".repeat(1000)))),
    no_row("stat/number-with-point", Made(|| stat_with(14, "1.5"))),
    no_row("stat/number-hexadecimal", Made(|| stat_with(14, "0x10"))),
    no_row("stat/number-empty", Made(|| stat_with(14, ""))),
    no_row("stat/number-a-sign", Made(|| stat_with(14, "-"))),
    no_row("stat/number-with-tab", Made(|| stat_with(14, "1\t2"))),
    no_row("stat/number-with-nul", Made(|| stat_with(14, "1\u{0}2"))),
    no_row("stat/start-time-negative", Made(|| stat_with(22, "-5"))),
    case("stat/oldest-fields", Made(|| stat(|fields| fields.truncate(43))), "utime", "0", OK),
    case("stat/oldest-has-no-newer", Made(|| stat(|fields| fields.truncate(43))), "exit_code", "[unsupported]", OK),
    case("stat/more-fields", Made(|| stat(|fields| fields.extend(["7", "8"].map(str::to_owned)))), "utime", "0", OK),
    case("stat/very-many-fields", Made(|| stat(|fields| fields.resize(100_000, "9".to_owned()))), "utime", "0", OK),
    case("stat/largest-number", Made(|| stat_with(14, "18446744073709551615")), "utime", "18446744073709551615", OK),
    case("stat/least-number", Made(|| stat_with(14, "-9223372036854775808")), "utime", "-9223372036854775808", OK),
    case("stat/space-before-newline", Made(|| stat(|fields| fields.push(String::new()))), "utime", "0", OK),
    case(
        "stat/unknown-state",
        Made(|| String::from_utf8(thread().stat_line(1)).unwrap().replace(") D ", ") Q ").into_bytes()),
        "state",
        "Q",
        OK,
    ),
    case(
        "stat/huge-name",
        Made(|| [b"10 (", &vec![b'x'; MUCH][..], &thread().stat_line(1)[10..]].concat()),
        "state_id",
        "D",
        OK,
    ),
    case("syscall/empty", Bytes(b""), "syscall", "[malformed]", MALFORMED),
    case("syscall/garbage", Bytes(b"\x00\xff garbage\n"), "syscall", "[malformed]", MALFORMED),
    case("syscall/without-newline", Bytes(b"202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8"), "eip", "[malformed]", MALFORMED),
    case("syscall/too-few-registers", Bytes(b"202 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n"), "syscall", "[malformed]", MALFORMED),
    case(
        "syscall/too-many-registers",
        Bytes(b"202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8 0x9\n"),
        "syscall",
        "[malformed]",
        MALFORMED,
    ),
    case(
        "syscall/number-overflows",
        Bytes(b"9223372036854775808 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"),
        "syscall",
        "[malformed]",
        MALFORMED,
    ),
    case(
        "syscall/register-overflows",
        Bytes(b"202 0x10000000000000000 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"),
        "arg0",
        "[malformed]",
        MALFORMED,
    ),
    case("syscall/huge", Made(|| lines("0x1 ", MUCH)), "syscall", "[malformed]", MALFORMED),
    case("syscall/unknown-number", Bytes(b"-38 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"), "syscall", "-38", OK),
    case("syscall/says-running", Bytes(b"running\n"), "syscall", "[torn]", OK),
    case("syscall/missing", Missing, "syscall", "[unsupported]", UNSUPPORTED),
    case("syscall/directory", Directory, "syscall", "[dropped]", DROPPED),
    case("wchan/empty", Bytes(b""), "wchan", "futex_do_wait", OK),
    case("wchan/zero", Bytes(b"0"), "wchan", "futex_do_wait", OK),
    case("wchan/escape-sequence", Bytes(b"\x1b[2J"), "wchan", "\\x1b[2J", OK),
    case("wchan/missing", Missing, "wchan", "[unsupported]", UNSUPPORTED),
    case("wchan/directory", Directory, "wchan", "[dropped]", DROPPED),
    case("stack/empty", Bytes(b""), "kstack", "-", OK),
    case("stack/garbage", Bytes(b"\x00\xff garbage\n"), "kstack", "-", OK),
    case("stack/without-newline", Bytes(b"[<0>] futex_wait+0x1/0x2\n[<0>] do_fut"), "kstack", "[malformed]", MALFORMED),
    case("stack/forged-arrow", Bytes(b"[<0>] a()->b+0x1/0x2\n"), "kstack", "a()->b()", OK),
    case("stack/without-names", Made(|| lines("[<0>] 0xffffffffffffffff\n", 500)), "kstack", "-", OK),
    case("stack/missing", Missing, "kstack", "[unsupported]", UNSUPPORTED),
    case("stack/directory", Directory, "kstack", "[dropped]", DROPPED),
    case("schedstat/empty", Bytes(b""), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/without-newline", Bytes(b"1000 200 3"), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/two-numbers", Bytes(b"1000 200\n"), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/four-numbers", Bytes(b"1000 200 3 4\n"), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/overflows", Bytes(b"18446744073709551616 200 3\n"), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/negative", Bytes(b"-1 200 3\n"), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/all-zero", Bytes(b"0 0 0\n"), "sched_run_ns", "0", OK),
    case("schedstat/huge", Made(|| lines("1 ", MUCH)), "sched_run_ns", "[malformed]", MALFORMED),
    case("schedstat/missing", Missing, "sched_run_ns", "[unsupported]", UNSUPPORTED),
    case("io/empty", Bytes(b""), "rchar", "[malformed]", MALFORMED),
    case("io/garbage", Bytes(b"\x00\xff garbage\n"), "rchar", "[malformed]", MALFORMED),
    case("io/without-newline", Bytes(b"rchar: 1\nwchar: 2345"), "wchar", "[malformed]", MALFORMED),
    case("io/without-newline-elsewhere", Bytes(b"rchar: 1\nwchar: 2345"), "rchar", "[malformed]", MALFORMED),
    case("io/overflows", Bytes(b"rchar: 18446744073709551616\n"), "rchar", "[malformed]", MALFORMED),
    case("io/negative", Bytes(b"rchar: -1\n"), "rchar", "[malformed]", MALFORMED),
    case("io/line-missing", Bytes(b"rchar: 1\n"), "wchar", "[malformed]", MALFORMED),
    case("io/line-twice", Bytes(b"rchar: 1\nrchar: 2\n"), "rchar", "1", OK),
    case("io/huge", Made(|| [lines("x: 1\n", MUCH), b"rchar: 7\n".to_vec()].concat()), "rchar", "7", OK),
    case("io/missing", Missing, "rchar", "[unsupported]", UNSUPPORTED),
    case("io/directory", Directory, "rchar", "[dropped]", DROPPED),
    case("status/empty", Bytes(b""), "vmrss_kb", "[malformed]", MALFORMED),
    case("status/garbage", Bytes(b"\x00\xff garbage\n"), "vmrss_kb", "-", OK),
    case("status/without-newline", Bytes(b"Name:\tx\nVmRSS:\t  16"), "vmrss_kb", "[malformed]", MALFORMED),
    case("status/without-newline-elsewhere", Bytes(b"Name:\tx\nVmRSS:\t  16"), "name", "[malformed]", MALFORMED),
    case("status/overflows", Bytes(b"VmRSS:\t18446744073709551616 kB\n"), "vmrss_kb", "[malformed]", MALFORMED),
    case("status/no-number", Bytes(b"VmRSS:\tmuch kB\n"), "vmrss_kb", "[malformed]", MALFORMED),
    case("status/line-missing", Bytes(b"Name:\tx\n"), "threads", "[unsupported]", OK),
    case("status/no-memory", Bytes(b"Name:\tx\n"), "vmrss_kb", "-", OK),
    case("status/huge", Made(|| [lines("x:\t1\n", MUCH), b"VmRSS:\t7 kB\n".to_vec()].concat()), "vmrss_kb", "7", OK),
    case("status/ids-without-newline", Bytes(b"Name:\tx\nUid:\t100"), "uid", "[malformed]", MALFORMED),
    case("status/ids-overflow", Bytes(b"Uid:\t99999999999999999999\t0\t0\t0\n"), "uid", "[malformed]", MALFORMED),
    case("status/user-beyond-32-bits", Bytes(b"Uid:\t4294967296\t0\t0\t0\n"), "user", "[malformed]", MALFORMED),
    case("status/missing", Missing, "vmrss_kb", "[unsupported]", UNSUPPORTED),
    case("status/directory", Directory, "vmrss_kb", "[dropped]", DROPPED),
    case("cgroup/empty", Bytes(b""), "cgroup", "[malformed]", MALFORMED),
    case("cgroup/without-newline", Bytes(b"0::/system.sli"), "cgroup", "[malformed]", MALFORMED),
    case("cgroup/garbage", Bytes(b"\x00\xff garbage\n"), "cgroup", "-", OK),
    case("cgroup/forged-line", Bytes(b"0::/a\n0::/b\n"), "cgroup", "/b", OK),
    case("cgroup/no-path", Bytes(b"0::relative\n"), "cgroup", "-", OK),
    case("cgroup/many-hierarchies", Made(|| lines("7:cpu:/\n", 10_000)), "cgroup", "/", OK),
    case("cgroup/missing", Missing, "cgroup", "[unsupported]", UNSUPPORTED),
    case("ns/pid/garbage", Link("garbage"), "pid_ns", "[malformed]", MALFORMED),
    case("ns/pid/overflows", Link("pid:[18446744073709551616]"), "pid_ns", "[malformed]", MALFORMED),
    case("ns/pid/unclosed", Link("pid:[1"), "pid_ns", "[malformed]", MALFORMED),
    case("ns/pid/a-path", Link("/etc/passwd"), "pid_ns", "[malformed]", MALFORMED),
    case("ns/pid/missing", Missing, "pid_ns", "[unsupported]", UNSUPPORTED),
    case("cmdline/empty", Bytes(b""), "cmdline2", "-", OK),
    case("cmdline/one-nul", Bytes(b"\0"), "cmdline2", "-", OK),
    case("cmdline/nuls", Made(|| vec![0; MUCH]), "cmdline2", " [... 917504 bytes left out ...] ", OK),
    case("cmdline/without-nul", Bytes(b"postgres: writer"), "cmdline2", "postgres: writer", OK),
    case("cmdline/nuls-within", Bytes(b"a\0\0\0b\0"), "cmdline2", "a b", OK),
    case(
        "cmdline/of-much-both-ends-are-shown",
        Made(|| [b"x".to_vec(), vec![0; MUCH], b"end\0".to_vec()].concat()),
        "cmdline2",
        "x  [... 917509 bytes left out ...]  end",
        OK,
    ),
    case("cmdline/missing", Missing, "cmdline2", "[unsupported]", UNSUPPORTED),
    case("exe/missing", Missing, "exe", "-", OK),
    case("exe/deleted", Link("/bin/x (deleted)"), "exe", "/bin/x (deleted)", OK),
    case("exe/relative", Link("../../etc"), "exe", "../../etc", OK),
    case("exe/itself", Link("exe"), "exe", "exe", OK),
    case("smaps/empty", Bytes(b""), "rss_kb", "-", OK),
    case("smaps/garbage", Bytes(b"\x00\xff garbage\n"), "rss_kb", "-", OK),
    case("smaps/header-alone", Bytes(b"00400000-00401000 r-xp 00000000 fe:00 11 /a\n"), "rss_kb", "[unsupported]", OK),
    case(
        "smaps/cut-in-a-number",
        Bytes(b"00400000-00401000 r-xp 00000000 fe:00 11 /a\nRss: 4"),
        "rss_kb",
        "[unsupported]",
        OK,
    ),
    case(
        "smaps/inode-overflows",
        Bytes(b"00400000-00401000 r-xp 00000000 fe:00 18446744073709551616 /a\nRss: 4 kB\n"),
        "inode",
        "[malformed]",
        OK,
    ),
    case(
        "smaps/number-overflows",
        Bytes(b"00400000-00401000 r-xp 00000000 fe:00 11 /a\nRss: 18446744073709551616 kB\n"),
        "rss_kb",
        "[unsupported]",
        OK,
    ),
    case("smaps/missing", Missing, "rss_kb", "[unsupported]", UNSUPPORTED),
    case("fd/7/missing", Missing, "filename", "[gone]", Err(ReadError::Gone)),
    case("fd/7/hostile", Link("/\u{1b}[2J"), "filename", "/\\x1b[2J", OK),
    case("fd/7/like-a-socket", Link("socket:[99"), "filename", "socket:[*", OK),
];

/// The files that belong to the process, rather than to each thread.
fn is_of_process(file: &str) -> bool {
    matches!(file, "cmdline" | "exe" | "smaps")
}

impl Case {
    fn proc(&self) -> FakeProc {
        let mut thread =
            thread().file("syscall", syscall_line(FSYNC, &[7])).file("fd/7", Content::Link("/data".to_owned()));
        let mut process = Process::new(VICTIM);
        let content = match &self.what {
            Bytes(bytes) => Some(Content::from(*bytes)),
            Made(make) => Some(Content::from(make())),
            Link(target) => Some(Content::Link((*target).to_owned())),
            Missing | Directory => None,
        };
        match (is_of_process(self.file), content) {
            (true, Some(content)) => process = process.file(self.file, content),
            (true, None) => process = process.without(self.file),
            (false, Some(content)) => thread = thread.file(self.file, content),
            (false, None) => thread = thread.without(self.file),
        }
        let proc = FakeProc::of([process.thread(thread), Process::single(20, "neighbour", 'D')]);
        if matches!(self.what, Directory) {
            fs::create_dir(proc.thread_path(VICTIM, VICTIM).join(self.file)).unwrap();
        }
        proc
    }

    fn run(&self) -> Verdict {
        let proc = self.proc();
        // Three passes: from the second on psn knows whether the thread has run.
        let report = Driver::new(&proc, &["-a", "-g", &format!("task,{}", self.column), "--workers", "1"]).run(3);
        let tasks = column(&report, "task");
        ensure!(tasks.contains(&"20".to_owned()), "the neighbour is not there: {tasks:?}");
        let row = report.rows.iter().find(|row| value(&report, row, "task") == VICTIM.to_string());
        let shown = row.map(|row| value(&report, row, self.column));
        ensure!(shown.as_deref() == self.shows, "{} is {shown:?}, not {:?}", self.column, self.shows);
        if let Some(row) = row {
            ensure!(value(&report, row, "samples") == "3", "{} samples", value(&report, row, "samples"));
        }
        let file = if self.file == "fd/7" { "fd" } else { self.file };
        check_class(&counts(&report, file), self.class)?;
        for (other, counts) in report.facts.health.iter().filter(|(other, _)| other != file) {
            ensure!(!counts.is_notable(), "{other}: {counts:?}");
        }
        Ok(())
    }
}

/// Checks that some reads are in `class`, and that all others are reads of the neighbour, or were parsed.
fn check_class(counts: &Counts, class: Result<(), ReadError>) -> Verdict {
    let of = match class {
        Ok(()) => counts.ok,
        Err(ReadError::Gone) => counts.gone,
        Err(ReadError::Unsupported) => counts.unsupported,
        Err(ReadError::Malformed) => counts.malformed,
        Err(ReadError::Dropped(_)) => counts.dropped,
        Err(other) => return Err(format!("no case is {other}")),
    };
    let is_clean = counts.attempts() == counts.ok + if class.is_ok() { 0 } else { of };
    ensure!(of > 0 && is_clean, "{counts:?} is not {class:?}");
    Ok(())
}

/// A file whose reads may end anywhere: a column, and what it shows if the read is complete.
struct Cut {
    source: Source,
    name: &'static str,
    column: &'static str,
    shows: &'static str,
}

const CUTS: [Cut; 8] = [
    Cut { source: Source::Stat, name: "stat", column: "exit_code", shows: "77" },
    Cut { source: Source::Syscall, name: "syscall", column: "eip", shows: "0x7f0000002000" },
    Cut { source: Source::Schedstat, name: "schedstat", column: "sched_wait_ns", shows: "200" },
    Cut { source: Source::Io, name: "io", column: "cancelled_write_bytes", shows: "7" },
    Cut { source: Source::Stack, name: "stack", column: "kstack", shows: "do_futex()->futex_do_wait()" },
    Cut { source: Source::Status, name: "status", column: "nonvoluntary_ctxt_switches", shows: "2" },
    Cut { source: Source::Cgroup, name: "cgroup", column: "cgroup", shows: "/system.slice/fake.service" },
    Cut { source: Source::Smaps, name: "smaps", column: "locked_kb", shows: "33" },
];

impl Cut {
    /// After a short read no column shows a part of a value.
    fn run(&self) -> Verdict {
        let proc = FakeProc::of([Process::new(VICTIM).thread(thread().stat(52, 77))]);
        let file = match self.source {
            Source::Smaps => proc.path().join("10/smaps"),
            _ => proc.thread_path(VICTIM, VICTIM).join(self.name),
        };
        let whole = fs::read(&file).unwrap();
        let len = whole.len();
        let step = if self.source == Source::Smaps { 7 } else { 1 };
        for limit in (0..=len).step_by(step).chain([len]) {
            let mut script = Script::new();
            if self.source == Source::Smaps {
                // The file is read to its end, however many pieces that takes.
                fs::write(&file, &whole[..limit]).unwrap();
            } else {
                script = script.always(Call::Read, self.source, Fault::Short(limit));
            }
            let report =
                Driver::with_faults(&proc, &["-a", "-g", self.column, "--workers", "1"], script.shared()).run(2);
            let found = column(&report, self.column);
            let is_whole = limit == len;
            let is_there = |text: &[u8]| String::from_utf8_lossy(text).contains(LOCKED);
            let may_show: &[&str] = match self.source {
                _ if is_whole => &[self.shows],
                // A thread without a `stat` line is not counted.
                Source::Stat => &[],
                // A stack may have no frames. A file that ends between two lines lacks the lines that follow.
                Source::Stack => &["[malformed]", "-", "futex_do_wait()", "do_futex()->futex_do_wait()"],
                Source::Status => &["[malformed]", "[unsupported]"],
                // The lines after the line of the value may be missing.
                Source::Smaps if is_there(&whole[..limit]) => &[self.shows],
                Source::Smaps => &["-", "[unsupported]"],
                _ => &["[malformed]"],
            };
            let is_so =
                found.iter().all(|shown| may_show.contains(&shown.as_str())) && found.is_empty() == may_show.is_empty();
            ensure!(is_so, "{limit} of {len} bytes show as {found:?}");
        }
        Ok(())
    }
}

const LOCKED: &str = "\nLocked:               33 kB\n";

pub fn cases() -> Vec<String> {
    let cases = CASES.iter().map(|case| format!("files/{}", case.name));
    cases.chain(CUTS.iter().map(|cut| format!("files/{}/cut-anywhere", cut.name))).collect()
}

#[test]
fn a_file_that_makes_no_sense_says_so_in_its_own_columns() {
    judge(CASES.iter().map(|case| (format!("files/{}", case.name), case.run())));
}

#[test]
fn a_read_that_ends_anywhere_gives_no_part_of_a_value() {
    assert!(SMAPS.contains(LOCKED));
    judge(CUTS.iter().map(|cut| (format!("files/{}/cut-anywhere", cut.name), cut.run())));
}
