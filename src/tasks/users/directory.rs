//! The thread that looks up the names of users: in a passwd file, and for users that are not in it with `getent`.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::fs::OFlags;

use crate::proc::DEFAULT_ROOT;
use crate::proc::signals;
use crate::tasks::users::Users;
use crate::tasks::users::answers::{NO_ANSWER, NameAnswers};
use crate::tasks::users::passwd::{self, PASSWD};
use crate::text::sentence::shown;

/// The program that looks users up, unless the configuration names another one. It is an absolute path, because the user of psn
/// controls `PATH`.
pub const GETENT: &str = "/usr/bin/getent";

/// How long a call for many users may take, and a call for one user. `getent` prints nothing before it has all answers.
const PATIENCE: Duration = Duration::from_secs(3);
const PATIENCE_FOR_ONE: Duration = Duration::from_secs(1);

/// The most users in one call.
const BATCH: usize = 32;

/// After so many calls for one user without an answer in a row, the directory is not asked any more.
const MAX_SILENT: u32 = 3;

/// The most bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 16;

impl Users {
    /// The users of the system whose processes the proc root at `root` shows. Starts the thread that looks them up; it asks
    /// `getent` only if that system is the one that psn runs on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(root: &Path, getent: &Path) -> io::Result<Self> {
        let (requests, queue) = unbounded();
        let users = Self::with_requests(requests);
        let server = Server {
            root: root.to_owned(),
            getent: getent.to_owned(),
            answers: Arc::clone(&users.answers),
            queue,
            silent: 0,
        };
        users.answers.await_passwd();
        std::thread::Builder::new().name("psn-users".to_owned()).stack_size(256 << 10).spawn(move || server.run())?;
        Ok(users)
    }

    fn with_requests(requests: Sender<u32>) -> Self {
        Self { requests: Some(requests), ..Self::default() }
    }
}

/// The system whose processes a proc root shows.
enum System {
    /// The one that psn runs on: `getent` knows its users.
    Own,
    /// Another one, with its passwd file.
    Other(OwnedFd),
    /// Another one whose users cannot be known, and why.
    Unknown(String),
}

/// The state of the thread.
struct Server {
    root: PathBuf,
    getent: PathBuf,
    answers: Arc<NameAnswers>,
    queue: Receiver<u32>,
    /// Calls for one user in a row that had no answer.
    silent: u32,
}

impl Server {
    fn run(mut self) {
        let system = self.system();
        let file = match &system {
            System::Own => std::fs::File::open(PASSWD),
            System::Other(file) => file.try_clone().map(Into::into),
            System::Unknown(_) => Err(io::ErrorKind::NotFound.into()),
        };
        let mut text = Vec::new();
        let read = file.and_then(|file| file.take(passwd::MAX_BYTES).read_to_end(&mut text));
        self.answers.add(passwd::parse(&text));
        let system = match (system, read) {
            (System::Other(_), Err(error)) => {
                System::Unknown(format!("{}: {error}", shown(&passwd::path_below(&self.root))))
            }
            (system, _) => system,
        };
        let known: HashSet<u32> = passwd::parse(&text).map(|(uid, _)| uid).collect();
        drop(text);
        self.answers.answer(1);
        while let Ok(first) = self.queue.recv() {
            // The users of a listing come in quick succession.
            std::thread::sleep(Duration::from_millis(2));
            let asked: Vec<u32> = std::iter::once(first).chain(self.queue.try_iter().take(BATCH - 1)).collect();
            let unknown: Vec<u32> = asked.iter().filter(|uid| !known.contains(uid)).copied().collect();
            self.answers.answer(asked.len() - unknown.len());
            match &system {
                System::Own => self.ask(&unknown),
                System::Other(_) => self.answers.answer(unknown.len()),
                System::Unknown(reason) => self.answers.fail(unknown.len(), || reason.clone()),
            }
        }
    }

    /// Which system the proc root shows: the one that psn runs on if its first process has the same passwd file.
    fn system(&self) -> System {
        let is_default = self.root == Path::new(DEFAULT_ROOT);
        match passwd::open_below(&self.root) {
            Ok(file) if passwd::is_same(&file, Path::new(PASSWD)) => System::Own,
            Ok(file) => System::Other(file),
            // Most users may not open that file. The default root nearly always shows the system that psn runs on.
            Err(_) if is_default => System::Own,
            Err(error) => System::Unknown(format!(
                "{} lists the users of those processes, and cannot be read: {error}",
                shown(&passwd::path_below(&self.root))
            )),
        }
    }

    /// Asks `getent` for the names of `uids` together and, if that takes too long, one by one.
    fn ask(&mut self, uids: &[u32]) {
        if uids.is_empty() {
            return;
        }
        if self.silent == 0 && self.call(uids, PATIENCE).is_some() {
            return;
        }
        for (index, uid) in uids.iter().enumerate() {
            let now = Instant::now();
            if self.silent >= MAX_SILENT || self.answers.deadline(now) < now {
                return self.answers.fail(uids.len() - index, || NO_ANSWER.to_owned());
            }
            match self.call(&[*uid], PATIENCE_FOR_ONE) {
                Some(()) => self.silent = 0,
                None => {
                    self.silent += 1;
                    self.answers.fail(1, || NO_ANSWER.to_owned());
                }
            }
        }
    }

    /// Runs `getent` once, and counts its users as answered; `None` if it did not answer in time, and then nothing is counted.
    /// That there is no such user, or no such program, is an answer too.
    fn call(&self, uids: &[u32], patience: Duration) -> Option<()> {
        let mut child = match getent(&self.getent, uids) {
            Ok(child) => child,
            Err(error) => {
                let reason = || format!("cannot run {}: {error}", shown(&self.getent));
                self.answers.fail(uids.len(), reason);
                return Some(());
            }
        };
        let latest = Instant::now() + patience;
        while child.try_wait().ok()?.is_none() {
            if Instant::now() >= self.answers.deadline(latest) {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = output_of(&mut child).unwrap_or_default();
        self.answers.add(passwd::parse(&text).filter(|(uid, _)| uids.contains(uid)));
        self.answers.answer(uids.len());
        Some(())
    }
}

/// Starts `getent` with an empty environment and the rights of the user alone.
fn getent(path: &Path, uids: &[u32]) -> io::Result<Child> {
    let mut command = Command::new(path);
    command.arg("passwd").args(uids.iter().map(u32::to_string));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    signals::as_if_new(&mut command);
    command.spawn()
}

/// The output of a program that has ended. Does not wait for its end, because a child of the program may keep the pipe open.
fn output_of(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let Some(stdout) = child.stdout.take() else { return Ok(text) };
    let flags = rustix::fs::fcntl_getfl(stdout.as_fd())?;
    rustix::fs::fcntl_setfl(stdout.as_fd(), flags | OFlags::NONBLOCK)?;
    match stdout.take(MAX_ANSWER).read_to_end(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(text),
    }
}
