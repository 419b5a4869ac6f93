//! Processes that block whoever reads their files in /proc: they are stuck on a file system that never answers.
//!
//! The program `psn-storm --hang` is that file system (FUSE, over `/dev/fuse`), and the parent of two victims:
//!
//! - the **holder** maps another thing over a shared mapping that it wrote to: the kernel writes the file back
//!   under the process's memory lock (`fuse_vma_close`), for ever. Its `cmdline` and `smaps` block.
//! - the **execer** starts another program with a file open that is to be closed on exec: the kernel flushes it
//!   half way through, for ever. Its `stat`, `wchan`, `syscall` and others block (`begin_new_exec`).
//!
//! The file system is mounted nowhere: the victims open its file through a descriptor of the program, which is closed
//! then, so that nobody can walk into it. All of it ends with the program, however that ends: with its descriptor of
//! the device the kernel aborts what waits, and the victims are killed.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::getpid;

use crate::fuse;
use crate::sys::process::{self, tie_to};
use crate::{mapping, storm};

/// The first argument of the program that hangs others, and of its victims.
const HANG: &str = "--hang";
const HOLDER: &str = "--hang-holder";
const EXECER: &str = "--hang-execer";

/// How long the victims may take to be where they are to hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long they may take to end before they are left to the kernel.
const ENDING_TIME: Duration = Duration::from_secs(20);

/// The victims, hanging. Dropping it lets them go and waits for their end.
#[derive(Debug)]
pub struct Hang {
    server: Child,
    /// The process that holds its memory lock.
    pub holder: u32,
    /// The process that is stuck in exec.
    pub execer: u32,
}

impl Hang {
    /// Makes them hang.
    ///
    /// # Errors
    /// Why it can not be done here: the kernel has no FUSE, or this process may not mount it.
    pub fn start() -> io::Result<Self> {
        fuse::device()?;
        let program = storm::find_program().map_err(io::Error::other)?;
        let mut server = Command::new(program)
            .arg(HANG)
            .arg(getpid().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = server.stdout.take();
        // From here on, dropping it ends it.
        let mut hang = Self { server, holder: 0, execer: 0 };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(stdout.map(|stdout| read_line(&mut BufReader::new(stdout)))));
        let line = receiver.recv_timeout(DEADLINE).map_err(|_| io::Error::from(ErrorKind::TimedOut))?;
        let line = line.unwrap_or_else(|| Err(ErrorKind::BrokenPipe.into()))?;
        let mut pids = line.split(' ').map(|pid| pid.parse().map_err(|_| io::Error::other(line.clone())));
        let mut next = || pids.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()));
        (hang.holder, hang.execer) = (next()?, next()?);
        Ok(hang)
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        // Its word to end the victims and itself.
        drop(self.server.stdin.take());
        let deadline = Instant::now() + ENDING_TIME;
        while matches!(self.server.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        // Of one that has been waited for, both do nothing. The kernel kills the victims with it.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// If this program was started to hang, or to be hung, does that and returns `true` when it is over.
#[must_use]
pub fn hang_if_told() -> bool {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next();
    let parent = arguments.next().and_then(|pid| process::pid(pid.parse().ok()?));
    let path = arguments.next().map(PathBuf::from).unwrap_or_default();
    let play: fn(&Path) -> io::Result<()> = match role.as_deref() {
        Some(HANG) => serve,
        Some(HOLDER) => hold,
        Some(EXECER) => exec,
        _ => return false,
    };
    if let Err(error) = tie_to(parent).and_then(|()| play(&path)) {
        // Standard error may be closed.
        let _ = writeln!(io::stderr(), "psn-storm {}: {error}", role.unwrap_or_default());
    }
    true
}

/// Starts the victims, says who they are, and ends them when its standard input ends.
fn serve(_: &Path) -> io::Result<()> {
    let device = fuse::device()?;
    let mount = fuse::mount(&device)?;
    let is_dead = Arc::new(AtomicBool::new(false));
    let is_dead_there = Arc::clone(&is_dead);
    let server = thread::spawn(move || fuse::serve(device, &is_dead_there, &io::stdin()));
    let path = format!("/proc/{}/fd/{}/{}", std::process::id(), mount.as_raw_fd(), fuse::FILE);
    let mut victims = start_victims(path.as_ref())?;
    // The victims have the file open; for everybody else it is gone.
    drop(mount);
    is_dead.store(true, Ordering::SeqCst);
    let mut pids = Vec::new();
    for Victim { child, .. } in &mut victims {
        pids.push(child.id().to_string());
        // Its word to go on.
        drop(child.stdin.take());
    }
    println!("{}", pids.join(" "));
    server.join().map_err(|_| io::Error::other("the file system has failed"))?;
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
    [HOLDER, EXECER].into_iter().map(|role| start_victim(role, path)).collect()
}

/// Starts one and waits until it has the file open.
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

fn read_line(from: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::Error::other("it ended without a word"));
    }
    Ok(line.trim_end().to_owned())
}

/// Says that it is ready, and waits for the word to go on.
fn wait_for_word() -> io::Result<()> {
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn hold(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mapping = mapping::SharedPage::of(&file)?;
    // The file system must still answer for this.
    mapping.read();
    wait_for_word()?;
    mapping.write();
    mapping.replace()
}

fn exec(path: &Path) -> io::Result<()> {
    // Closed on exec, as all that is opened here.
    let file = File::open(path)?;
    wait_for_word()?;
    let error = Command::new("sleep").arg("3600").stdin(Stdio::null()).exec();
    drop(file);
    Err(error)
}
