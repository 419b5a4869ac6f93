//! The roles of `psn-storm` as the file system and as a victim, see [`super`].

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::getpid;
use rustix::thread::gettid;

use super::fuse;
use super::page::SharedPage;
use crate::sys::process::{pid, tie_to};

/// The first argument of the program that is the file system, and of its victims.
pub(super) const HANG: &str = "--hang";
const HOLDER: &str = "--hang-holder";
const EXECER: &str = "--hang-execer";
const CALLER: &str = "--hang-caller";
const LOCKER: &str = "--hang-locker";

/// If this process was started as the file system or as a victim, plays this role until it is told to end, and returns
/// `true`.
#[must_use]
pub fn hang_if_told() -> bool {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next();
    let parent = arguments.next().and_then(|number| pid(number.parse().ok()?));
    let path = arguments.next().map(PathBuf::from).unwrap_or_default();
    let play: fn(&Path) -> io::Result<()> = match role.as_deref() {
        Some(HANG) => serve,
        Some(HOLDER) => hold,
        Some(EXECER) => exec,
        Some(CALLER) => call,
        Some(LOCKER) => lock,
        _ => return false,
    };
    if let Err(error) = tie_to(parent).and_then(|()| play(&path)) {
        // Standard error may be closed.
        let _ = writeln!(io::stderr(), "psn-storm {}: {error}", role.unwrap_or_default());
    }
    true
}

/// Plays the file system: starts the victims, prints their process ids, and ends them when its standard input ends.
fn serve(_: &Path) -> io::Result<()> {
    let device = fuse::device()?;
    let mount = fuse::mount(&device)?;
    let is_dead = Arc::new(AtomicBool::new(false));
    let is_dead_there = Arc::clone(&is_dead);
    let server = thread::spawn(move || fuse::serve(device, &is_dead_there, &io::stdin()));
    let path = format!("/proc/{}/fd/{}/{}", std::process::id(), mount.as_raw_fd(), fuse::FILE);
    let mut victims = start_victims(path.as_ref())?;
    // The victims have the file open; no other process can open it now.
    drop(mount);
    is_dead.store(true, Ordering::SeqCst);
    let mut pids = Vec::new();
    for Victim { child, .. } in &mut victims {
        pids.push(child.id().to_string());
        // The end of its standard input tells the victim to go on.
        drop(child.stdin.take());
    }
    println!("{}", pids.join(" "));
    server.join().map_err(|_| io::Error::other("the thread that serves the file system panicked"))?;
    for Victim { child, .. } in &mut victims {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

struct Victim {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

fn start_victims(path: &Path) -> io::Result<Vec<Victim>> {
    [HOLDER, EXECER, CALLER, LOCKER].into_iter().map(|role| start_victim(role, path)).collect()
}

/// Starts a victim and waits until it has the file open.
fn start_victim(role: &str, path: &Path) -> io::Result<Victim> {
    let mut child = Command::new("/proc/self/exe")
        .arg(role)
        .arg(getpid().to_string())
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    let mut stdout = BufReader::new(stdout);
    read_line(&mut stdout)?;
    Ok(Victim { child, _stdout: stdout })
}

pub(super) fn read_line(from: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::Error::other("it ended and printed nothing"));
    }
    Ok(line.trim_end().to_owned())
}

/// Prints that this victim is ready, and waits until its standard input ends.
fn wait_until_told() -> io::Result<()> {
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn hold(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mapping = SharedPage::of(&file)?;
    // The file system must still answer this request.
    mapping.read();
    wait_until_told()?;
    mapping.write();
    mapping.replace()
}

fn exec(path: &Path) -> io::Result<()> {
    // Close-on-exec, like every file that std opens.
    let file = File::open(path)?;
    wait_until_told()?;
    let error = Command::new("sleep").arg("3600").stdin(Stdio::null()).exec();
    drop(file);
    Err(error)
}

fn call(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path.with_file_name(fuse::UNREAD_FILE))?;
    let mapping = SharedPage::of(&file)?;
    wait_until_told()?;
    mapping.open_as_path();
    Ok(())
}

fn lock(path: &Path) -> io::Result<()> {
    let directory =
        openat(CWD, path.parent().ok_or(ErrorKind::NotFound)?, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let file = File::options().read(true).write(true).open(path.with_file_name(fuse::LOCKED_FILE))?;
    let mapping = SharedPage::of(&file)?;
    mapping.read();
    wait_until_told()?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        // Fails if the process ends.
        let _ = sender.send(gettid());
        openat(&directory, fuse::UNKNOWN_FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    })?;
    let tid = receiver.recv().map_err(io::Error::other)?.as_raw_nonzero();
    // The kernel has to read the path before the memory is locked.
    let call = format!("{} ", libc::SYS_openat);
    while !std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall"))?.starts_with(&call) {
        thread::sleep(Duration::from_millis(1));
    }
    mapping.write();
    mapping.replace()
}
