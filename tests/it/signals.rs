//! Signals that psn turns into errors, and signals that were ignored when psn was started.

use std::time::Duration;

use psn_stress::{Kind, Storm};
use rustix::process::Signal;

use crate::support::child::{Running, command, run};
use crate::support::dir::Dir;
use crate::support::json;

/// psn, started by a shell that runs `script` first.
fn after(script: &str, args: &[&str]) -> Running {
    let mut command = command("sh");
    command.args(["-c", &format!("{script}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_psn")]).args(args);
    Running::start(&mut command)
}

#[test]
fn a_limit_on_file_sizes_ends_the_recording_as_a_full_disk_does() {
    let dir = Dir::with_mode(0o700);
    // Threads that keep going to sleep, so that databases grow with each tick.
    let storm = Storm::builder().exactly(Kind::NapConstant, 20).spawn().unwrap();
    let root = storm.root_pid().to_string();
    let options = ["-q", "-a", "-d", "3", "--hz", "100", "-g", "comm2,state,syscall,wchan", "--flush", "100ms"];
    // In blocks of 512 or 1,024 bytes: more than the first flush writes, less than all flushes do. A part of a dataset is
    // written whole.
    for (name, blocks, is_read_back) in [("x.db", 160, true), ("x.csv", 400, true), ("x/", 4, false)] {
        let path = dir.path(name);
        let args = [&options[..], &["-p", &root, "-r", "-o", &path]].concat();
        let ended = after(&format!("ulimit -f {blocks}"), &args).end();
        assert_eq!(ended.status.code(), Some(1), "{name}: {ended:?}");
        assert!(
            ended.stderr.starts_with("psn: not everything was recorded (files may not be larger than"),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("=== Active Threads"), "{name}: {ended:?}");
        if is_read_back {
            let report = json::parse(&run(&["-q", "-i", &path, "-a", "-g", "state", "--format", "json"]));
            assert!(report.completed() < 300, "{name}");
        }
    }
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)] {
        let args = ["-a", "-d", "1.5", "--hz", "20", "--format", "json"];
        let psn = after(&format!("trap '' {name}"), &args);
        psn.wait_until_it_says("Sampling");
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            psn.signal(signal);
        }
        let report = json::parse(&psn.end());
        assert_eq!(report.0["ticks"]["expected"], 30, "{name}: {}", report.0["ticks"]);
    }
}
