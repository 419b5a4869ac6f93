//! The link of the descriptor that a thread waits on is read once in each wait.

use psn::proc::Call;
use psn::proc::source::Source;

use crate::support::driver::Driver;
use crate::support::fake::{Content, FSYNC, FakeProc, Process, Thread, syscall_line};
use crate::support::faults::Script;
use crate::support::report::column;

const TID: u32 = 40;

/// A thread that waits on a file, after it has run so often.
fn thread(start: u64, timeslices: u64, link: &str) -> Thread {
    Thread::new(TID)
        .state('D')
        .stat(22, start)
        .file("syscall", syscall_line(FSYNC, &[7]))
        .file("schedstat", format!("1000 200 {timeslices}\n"))
        .file("fd/7", Content::Link(link.to_owned()))
}

/// What is shown of the thread's file in 5 ticks each, first as `one` and then as `other`, and how often its link was read.
#[track_caller]
fn looks(one: Thread, other: Thread) -> (Vec<(String, u64)>, u64) {
    let root = FakeProc::of([Process::new(TID).thread(one)]);
    let script = Script::new().shared();
    let mut driver = Driver::with_faults(&root, &["-a", "-g", "filename"], script.clone());
    for now in [None, Some(other)] {
        if let Some(thread) = now {
            root.remove(TID);
            root.add(&Process::new(TID).thread(thread));
        }
        driver.refresh();
        for _ in 0..5 {
            assert!(driver.pass().is_complete);
        }
    }
    let report = driver.report();
    let samples = column(&report, "samples").into_iter().map(|samples| samples.parse().unwrap());
    let mut rows: Vec<_> = column(&report, "filename").into_iter().zip(samples).collect();
    rows.sort_unstable();
    (rows, script.calls(Call::Open, Some(Source::Fd)))
}

fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(link, samples)| ((*link).to_owned(), *samples)).collect()
}

#[test]
fn in_the_same_wait_it_is_read_once() {
    let (told, reads) = looks(thread(5, 3, "/a"), thread(5, 3, "/a"));
    assert_eq!(told, rows(&[("/a", 10)]));
    assert!(reads <= 2, "{reads}");
}

#[test]
fn in_another_wait_it_is_read_anew() {
    let (told, _) = looks(thread(5, 3, "/a"), thread(5, 4, "/b"));
    assert_eq!(told, rows(&[("/a", 5), ("/b", 5)]));
}

#[test]
fn of_another_thread_with_the_same_id_it_is_read_anew() {
    let (told, _) = looks(thread(5, 3, "/a"), thread(6, 3, "/b"));
    assert_eq!(told, rows(&[("/a", 5), ("/b", 5)]));
}

#[test]
fn in_another_call_it_is_read_anew() {
    let other = thread(5, 3, "/b").file("syscall", syscall_line(FSYNC, &[7, 1]));
    let (told, _) = looks(thread(5, 3, "/a"), other);
    assert_eq!(told, rows(&[("/a", 5), ("/b", 5)]));
}
