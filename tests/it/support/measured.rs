//! Runs programs and measures how they ended, how long they took and their peak memory.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How a program ended.
#[derive(Debug)]
pub struct Measured {
    /// The exit code; `None` if a signal ended the program.
    pub code: Option<i32>,
    /// Whether the program was killed at the deadline.
    pub timed_out: bool,
    /// Peak memory, in kB (`ru_maxrss` of getrusage(2)).
    pub max_rss_kb: u64,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs `command` to its end, or to the deadline. Its output may be large, so it goes through files in `scratch`.
pub fn measured(command: &mut Command, scratch: &Path, deadline: Duration) -> Measured {
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    #[expect(clippy::zombie_processes, reason = "wait4 waits for it, below")]
    let mut child = command.spawn().unwrap();
    let pid = child.id().cast_signed();
    let begin = Instant::now();
    let mut timed_out = false;
    let (status, usage) = loop {
        let mut status = 0;
        // SAFETY: a plain old structure, for which zeros are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to locals that outlive the call; the child has not been waited for.
        if unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) } == pid {
            break (status, usage);
        }
        if begin.elapsed() > deadline && !timed_out {
            timed_out = true;
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    Measured {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        timed_out,
        max_rss_kb: usage.ru_maxrss.cast_unsigned(),
        stdout: fs::read(&out).unwrap(),
        stderr: String::from_utf8_lossy(&fs::read(&err).unwrap()).into_owned(),
    }
}
