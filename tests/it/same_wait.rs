//! What is kept of a wait is that of the same wait alone: threads that sleep on, that wake and sleep again on another file between ticks, and that exec.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use psn_stress::{Kind, Storm};

use crate::support::child::{Running, command, has_program};
use crate::support::dir::Dir;
use crate::support::json::{self, Json};
use crate::support::{skip, wait_until};
use crate::waits::{blocked, look, scans};
use crate::walk::has_walks;

/// The rows of a report, without those of a thread that was seen between two waits.
fn told(report: &Json, columns: &[&str]) -> BTreeSet<String> {
    let is_wait = |row: &String| !row.contains("[running]") && !row.contains("[torn]") && !row.ends_with("| -");
    report.samples(columns).into_keys().filter(is_wait).collect()
}

fn link_of(fd: i32) -> String {
    fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn of_a_thread_that_sleeps_on_the_link_is_read_once() {
    if !has_walks() {
        return;
    }
    let storm = Storm::builder().exactly(Kind::Pipe, 20).spawn().unwrap();
    let root = storm.root_pid().to_string();
    std::thread::sleep(Duration::from_millis(300));
    let args = ["--scan", "kernel", "-p", &root, "-r", "-a", "-d", "1", "--where", "comm2 = storm-pipe"];
    for columns in ["comm2,filename", "comm2,filename,idle"] {
        let report = json::sample(&[&args[..], &["-g", columns]].concat());
        assert!(report.completed() >= 5, "{report:?}");
        let samples: u64 = report.rows().iter().map(|row| row["samples"].as_u64().unwrap()).sum();
        assert_eq!(samples, 20 * report.completed());
        for row in report.rows() {
            assert!(row["filename"].as_str().unwrap().starts_with("pipe:["), "{row}");
        }
        assert_eq!(report.health("fd")["ok"], 20, "{columns}: {:?}", report.health("fd"));
    }
}

#[test]
fn of_a_socket_that_a_walk_tells_no_link_is_read() {
    if !has_walks() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (here, there) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    blocked("sk-client", move || drop(client.read(&mut [0])));
    let report = look("kernel", "sk-client", &["-g", "comm2,filename,proto,conn_state"]);
    let expected = format!("sk-client | tcp {here}->{there} | tcp | ESTABLISHED");
    assert_eq!(
        report.samples(&["comm2", "filename", "proto", "conn_state"]).into_keys().collect::<Vec<_>>(),
        [expected]
    );
    assert!(report.health("fd").is_empty(), "{:?}", report.health("fd"));
    let report = look("kernel", "sk-client", &["-g", "comm2,basename"]);
    let name = report.samples(&["comm2", "basename"]).into_keys().next().unwrap();
    assert!(name.starts_with("sk-client | socket:["), "{name}");
}

/// A thread that reads one byte from two pipes in turns, by the same call on the same descriptor. Its name says from which.
#[test]
fn a_thread_that_wakes_and_sleeps_again_on_another_file_is_told_with_that() {
    let own = std::process::id().to_string();
    let pipes: [_; 2] = std::array::from_fn(|_| std::io::pipe().unwrap());
    let truth: BTreeSet<String> = pipes
        .iter()
        .zip(["sw-one", "sw-two"])
        .map(|((from, _), name)| format!("{name} | {}", link_of(from.as_raw_fd())))
        .collect();
    let [(first, mut to_first), (second, mut to_second)] = pipes;
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    let thread = std::thread::spawn(move || {
        let mut at = rustix::io::dup(&first).unwrap();
        for (name, from) in [(c"sw-one", &first), (c"sw-two", &second)].into_iter().cycle() {
            rustix::thread::set_name(name).unwrap();
            rustix::io::dup2(from, &mut at).unwrap();
            rustix::io::read(&at, &mut [0]).unwrap();
            if ends.load(Ordering::Relaxed) {
                break;
            }
        }
        // Open until the other thread has written its last.
        (first, second)
    });
    let ends = Arc::clone(&is_over);
    let waker = std::thread::spawn(move || {
        // Sometimes the thread sleeps on for several ticks.
        for pause_ms in [3, 9, 27, 2, 14, 40, 1].into_iter().cycle() {
            to_first.write_all(&[0]).unwrap();
            std::thread::sleep(Duration::from_millis(pause_ms));
            to_second.write_all(&[0]).unwrap();
            std::thread::sleep(Duration::from_millis(pause_ms));
            if ends.load(Ordering::Relaxed) {
                // Whichever of them it reads from, it ends.
                to_first.write_all(&[0]).unwrap();
                to_second.write_all(&[0]).unwrap();
                break;
            }
        }
    });
    for scan in scans() {
        let args = ["-p", &own, "-a", "--scan", scan, "-d", "2", "--hz", "100", "-g", "comm2,filename2"];
        let report = json::sample(&[&args[..], &["--where", "comm2 ~ '^sw-(one|two)$'"]].concat());
        assert_eq!(told(&report, &["comm2", "filename2"]), truth, "{scan}");
    }
    is_over.store(true, Ordering::Relaxed);
    waker.join().unwrap();
    drop(thread.join().unwrap());
}

/// A program that reads its descriptor 0, and executes itself under another name to read another file there.
#[test]
fn a_thread_that_execs_is_told_with_the_file_of_its_new_program() {
    if !has_program("python3") {
        return skip("there is no python3");
    }
    let dir = Dir::new();
    let [one, two] = ["one", "two"].map(|name| {
        let path = dir.path(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        path
    });
    // The exec is made by the first thread, or by another one, which takes over the id of the first.
    let by_itself = "os.read(0, 1); run()";
    let by_another = "threading.Thread(target=lambda: (os.read(3, 1), run())).start(); os.read(0, 9)";
    for (is_by_itself, act) in [(true, by_itself), (false, by_another)] {
        for scan in scans() {
            let open = |path| fs::File::options().read(true).write(true).open(path).unwrap();
            let script = format!(
                "import os, sys, threading\n\
                 os.dup2(os.open('{one}', os.O_RDWR), 0)\n\
                 if {is_by_itself}: os.dup2(0, 3)\n\
                 else: os.dup2(os.open('{two}', os.O_RDWR), 3)\n\
                 def run():\n\
                 \x20   os.dup2(os.open('{two}', os.O_RDWR), 0)\n\
                 \x20   os.execvp('cat', ['cat'])\n\
                 {act}\n",
                is_by_itself = if is_by_itself { "True" } else { "False" },
            );
            let child = Running::start(command("python3").args(["-c", &script]));
            let pid = child.pid().to_string();
            let waits_for = |path: &str| {
                wait_until("the program waits for its file", || {
                    let is_there =
                        fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|link| link.to_str() == Some(path));
                    is_there && fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") S ")
                });
            };
            waits_for(&one);
            let wakes = if is_by_itself { &one } else { &two };
            let mut waker = open(wakes);
            let woken = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700));
                waker.write_all(&[0]).unwrap();
                waker
            });
            let args = ["--scan", scan, "-p", &pid, "-a", "-d", "1.6", "--hz", "50", "-g", "comm,filename"];
            let report = json::sample(&[&args[..], &["--where", &format!("task = {pid}")]].concat());
            drop(woken.join().unwrap());
            let seen: BTreeSet<String> = told(&report, &["comm", "filename"])
                .into_iter()
                .filter(|row| row.contains(dir.itself().to_str().unwrap()))
                .collect();
            let expected = BTreeSet::from([format!("cat | {two} (stdin)"), format!("python* | {one} (stdin)")]);
            assert_eq!(seen, expected, "{scan}, by itself: {is_by_itself}");
        }
    }
}
