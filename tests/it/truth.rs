//! Figures that mean what they seem to mean.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::child::{Ended, Running, command, psn};
use crate::support::driver::sample;
use crate::support::fake::{FakeProc, Process, Thread};
use crate::support::report::{only, value};
use crate::support::{json, skip};

/// A program that the test writes byte by byte; removed when dropped.
struct Program(PathBuf);

impl Program {
    /// A 64-bit program of x86-64 that runs `code`, loaded at `0x400078`.
    fn of_code(name: &str, code: &[u8]) -> Self {
        let mut elf = Vec::new();
        let mut word = |bytes: &[u8]| elf.extend_from_slice(bytes);
        word(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        // An executable for x86-64, its entry point, and one program header after this header.
        [2_u16, 62].iter().for_each(|half| word(&half.to_le_bytes()));
        word(&1_u32.to_le_bytes());
        [0x40_0078_u64, 64, 0].iter().for_each(|long| word(&long.to_le_bytes()));
        word(&0_u32.to_le_bytes());
        [64_u16, 56, 1, 0, 0, 0].iter().for_each(|half| word(&half.to_le_bytes()));
        // The whole file, readable and executable.
        [1_u32, 5].iter().for_each(|half| word(&half.to_le_bytes()));
        let len = 0x78 + code.len() as u64;
        [0, 0x40_0000, 0x40_0000, len, len, 0x1000_u64].iter().for_each(|long| word(&long.to_le_bytes()));
        word(code);
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::write(&path, elf).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Sleeps for ever in nanosleep of the 32-bit table, whose number means sync in the 64-bit table.
fn sleep_by_int80() -> Vec<u8> {
    // mov $162, %eax; mov $0x400088, %ebx; xor %ecx, %ecx; int $0x80; and again. Then the time: an hour.
    let code = b"\xb8\xa2\0\0\0\xbb\x88\0\x40\0\x31\xc9\xcd\x80\xeb\xf0";
    [&code[..], &3600_u32.to_le_bytes(), &[0; 4]].concat()
}

#[test]
fn a_call_of_the_32_bit_table_in_a_64_bit_program_is_named_by_that_table() {
    if !cfg!(target_arch = "x86_64") {
        skip("only x86-64 has a second table for the same program");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skip("only root may read kernel stacks, which tell the tables apart");
        return;
    }
    let program = Program::of_code("psn-int80", &sleep_by_int80());
    let child = Running::start(&mut Command::new(&program.0));
    std::thread::sleep(Duration::from_millis(200));
    let pid = child.pid().to_string();
    let line = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    if !line.starts_with("162 ") {
        skip(&format!("this kernel runs no calls of 32-bit programs: {line:?}"));
        return;
    }
    for scan in ["proc", "auto"] {
        for columns in ["syscall", "syscall,wchan", "syscall,kstack", "syscall,filename"] {
            let report = json::sample(&[
                "--scan",
                scan,
                "-a",
                "-p",
                &pid,
                "-d",
                "0.4",
                "-g",
                columns,
                "--where",
                "syscall_id=162",
            ]);
            let calls = report.samples(&["syscall"]);
            assert_eq!(calls.keys().collect::<Vec<_>>(), ["nanosleep"], "{columns} by {scan}: {calls:?}");
            assert_eq!(calls.values().sum::<u64>(), report.completed(), "{columns} by {scan}");
        }
    }
    // psn reads the stack once for the address in the program, not once for each sample.
    let report = json::sample(&["--scan", "proc", "-a", "-p", &pid, "-d", "1", "-g", "syscall"]);
    assert!(report.completed() > 5, "{}", report.0["ticks"]);
    assert_eq!(report.health("stack")["ok"], 1, "{}", report.0["health"]);
}

#[test]
fn numbers_of_x32_are_named_wherever_the_stack_lies() {
    let thread = Thread::new(7)
        .state('S')
        .stat(28, 0xffb0_0000_u64)
        .file("syscall", "1073741824 0x0 0x0 0x0 0x0 0x0 0x0 0xffaf0000 0x401000\n");
    let report = sample(&FakeProc::of([Process::new(7).thread(thread)]), &["-a", "-g", "syscall"], 1);
    let expected = if cfg!(target_arch = "x86_64") { "read" } else { "1073741824" };
    assert_eq!(value(&report, only(&report), "syscall"), expected);
}

#[test]
fn workers_of_io_uring_are_in_no_call_and_on_no_file() {
    let worker = Thread::new(8)
        .comm("iou-wrk-7")
        .state('S')
        .stat(9, 0x0040_4050)
        .file("syscall", "426 0x5 0x1 0x0 0x0 0x0 0x0 0x0 0x0\n")
        .file("fd/5", crate::support::fake::Content::Link("/etc/hostname".to_owned()))
        .file("wchan", "io_wq_worker");
    let proc = FakeProc::of([Process::new(7).thread(worker)]);
    let report = sample(&proc, &["-a", "-g", "comm2,syscall,filename,wchan"], 1);
    let row = only(&report);
    assert_eq!(value(&report, row, "syscall"), "[user_worker]");
    assert_eq!(value(&report, row, "filename"), "-");
    assert_eq!(value(&report, row, "wchan"), "io_wq_worker");
}

#[test]
fn delays_that_are_not_measured_are_no_number() {
    let proc = |sysctl: Option<&str>| {
        let proc = FakeProc::of([Process::new(7).thread(Thread::new(7).state('D').stat(42, 0))]);
        if let Some(sysctl) = sysctl {
            fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
            fs::write(proc.path().join("sys/kernel/task_delayacct"), sysctl).unwrap();
        }
        proc
    };
    let delays = |proc: &FakeProc| {
        let report = sample(proc, &["-g", "delayacct_blkio_ticks"], 1);
        value(&report, only(&report), "delayacct_blkio_ticks")
    };
    assert_eq!(delays(&proc(Some("0\n"))), "[unsupported]");
    assert_eq!(delays(&proc(Some("1\n"))), "0");
    assert_eq!(delays(&proc(None)), "0", "an older kernel");
    let off = proc(Some("0\n"));
    let run = |args: &[&str]| -> Ended {
        let mut psn = psn(args);
        psn.arg("--procfs").arg(off.path()).args(["--scan", "proc", "-d", "0.2"]);
        Running::start(&mut psn).end()
    };
    let ended = run(&["-s", "delayacct_blkio_ticks:max,delayacct_blkio_ticks", "-g", "state_id"]);
    assert_eq!(ended.stdout.matches("[unsupported] |").count(), 2, "{ended:?}");
    assert!(ended.stdout.contains("sysctl kernel.task_delayacct=1"), "{ended:?}");
}

#[test]
fn more_threads_in_state_r_than_cpus_are_explained_without_a_walk() {
    let many = (1..=5000).map(|pid| Process::single(pid, "busy", 'R'));
    let proc = FakeProc::of(many);
    let run = |args: &[&str]| -> Ended {
        let mut psn = psn(args);
        psn.arg("--procfs").arg(proc.path()).args(["--scan", "proc", "-d", "0.3", "--hz", "5"]);
        Running::start(&mut psn).end()
    };
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    if !online.starts_with('0') {
        skip("the kernel does not say how many CPUs it has");
        return;
    }
    let ended = run(&[]);
    assert!(ended.stdout.contains("Running (ON CPU)"), "{ended:?}");
    assert!(ended.stdout.contains("running:  up to 5,000 threads at once in state R, on "), "{ended:?}");
    assert!(ended.stdout.contains("R includes threads that wait for a CPU"), "{ended:?}");
    // Threads that are not counted do not matter.
    assert!(!run(&["--states", "D"]).stdout.contains("running:"));
}

#[test]
fn where_the_locale_is_not_utf8_people_are_shown_ascii_and_programs_utf8() {
    let proc = FakeProc::of([Process::single(7, "A\u{db}2JB", 'R')]);
    let run = |format: &str, locale: &[(&str, &str)]| {
        let mut psn: Command = command(env!("CARGO_BIN_EXE_psn"));
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            psn.env_remove(name);
        }
        psn.envs(locale.iter().copied());
        psn.arg("--procfs").arg(proc.path()).args(["--scan", "proc", "-d", "0.2", "-g", "comm2", "--format", format]);
        Running::start(&mut psn).end().stdout
    };
    for locale in
        [&[("LC_ALL", "C")][..], &[("LC_CTYPE", "de_DE.ISO-8859-1"), ("LANG", "de_DE.UTF-8")], &[("LANG", "C")]]
    {
        let text = run("table", locale);
        assert!(text.is_ascii() && text.contains(r"(A\u{db}2JB)"), "{locale:?}: {text}");
        for format in ["csv", "json", "folded"] {
            assert!(run(format, locale).contains("A\u{db}2JB"), "{format} is for programs");
        }
    }
    for locale in [&[("LC_ALL", "C.UTF-8")][..], &[("LANG", "de_DE.utf8")], &[("LC_ALL", ""), ("LANG", "C.UTF-8")], &[]]
    {
        assert!(run("table", locale).contains("(A\u{db}2JB)"), "{locale:?}");
    }
}
