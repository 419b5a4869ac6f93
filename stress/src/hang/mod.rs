//! Processes that block whoever reads their files in /proc: they wait for a file system that never answers.
//!
//! The program `psn-storm --hang` is that file system (FUSE, over `/dev/fuse`), and the parent of four victims:
//!
//! - the **holder** maps other memory over a shared mapping that it wrote to: the kernel writes the file back
//!   while it holds the process's memory lock (`fuse_vma_close`), for ever. Its `cmdline` and `smaps` block.
//! - the **execer** starts another program while a close-on-exec file is open: the kernel flushes the file
//!   half way through exec, for ever. Its `stat`, `wchan`, `syscall` and others block (`begin_new_exec`).
//! - the **caller** makes a system call whose path is in a page of another file that the kernel has not read: it waits for the
//!   page, for ever. Whoever reads this part of its memory (`mem`) blocks, and cannot even be killed.
//! - the **locker** holds its memory lock as the holder does, while another thread of it waits for the file system to look up a
//!   name. Whoever reads its memory (`mem`, `pagemap`) blocks.
//!
//! The file system is mounted nowhere: the victims open its files through a descriptor of the program, which is
//! then closed, so that no other process can reach it. All of it ends with the program, however that ends: the
//! kernel closes its descriptor of the device, aborts the requests that wait, and kills the victims.

mod fuse;
mod page;
pub(crate) mod roles;

use std::io::{self, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::getpid;

use self::roles::{HANG, read_line};
use crate::storm::find_program;

/// How long the victims may take until they hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long they may take to end before they are left to the kernel.
const ENDING_TIME: Duration = Duration::from_secs(20);

/// Four processes that hang. Dropping it ends them and waits until they are gone.
#[derive(Debug)]
pub struct Hang {
    server: Child,
    /// The process that holds its memory lock.
    pub holder: u32,
    /// The process that is stuck in exec.
    pub execer: u32,
    /// The process whose system call waits for its path.
    pub caller: u32,
    /// The process that holds its memory lock, with a thread in a system call.
    pub locker: u32,
}

impl Hang {
    /// Starts the processes, and returns once they hang.
    ///
    /// # Errors
    /// When the kernel has no FUSE, or this process may not mount it.
    pub fn start() -> io::Result<Self> {
        fuse::device()?;
        let program = find_program().map_err(io::Error::other)?;
        let mut server = Command::new(program)
            .arg(HANG)
            .arg(getpid().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = server.stdout.take();
        // From here on, dropping `hang` ends the program.
        let mut hang = Self { server, holder: 0, execer: 0, caller: 0, locker: 0 };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(stdout.map(|stdout| read_line(&mut BufReader::new(stdout)))));
        let line = receiver.recv_timeout(DEADLINE).map_err(|_| io::Error::from(ErrorKind::TimedOut))?;
        let line = line.unwrap_or_else(|| Err(ErrorKind::BrokenPipe.into()))?;
        let mut pids = line.split(' ').map(|pid| pid.parse().map_err(|_| io::Error::other(line.clone())));
        let mut next = || pids.next().unwrap_or_else(|| Err(ErrorKind::UnexpectedEof.into()));
        (hang.holder, hang.execer, hang.caller, hang.locker) = (next()?, next()?, next()?, next()?);
        Ok(hang)
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        // The end of its standard input tells the program to end the victims and itself.
        drop(self.server.stdin.take());
        let deadline = Instant::now() + ENDING_TIME;
        while matches!(self.server.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        // Both do nothing if the program has been reaped. The kernel kills the victims with it.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
