//! Who knows the names of users: a passwd file, and `getent` for those that are not in it.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::fs::{Mode, OFlags};

use crate::proc::DEFAULT_ROOT;
use crate::proc::signals;
use crate::tasks::users::{Answers, Users};
use crate::text::sentence::shown;

/// The program that is asked where nothing else is said: by its path, for what `PATH` names is its user's affair.
pub const GETENT: &str = "/usr/bin/getent";

/// This system's users.
const PASSWD: &str = "/etc/passwd";

/// Why a user has no name.
pub(super) const NO_ANSWER: &str = "the user directory did not answer in time";

/// How long one call may take for many users, and for one. `getent` tells nothing before it knows all.
const PATIENCE: Duration = Duration::from_secs(3);
const PATIENCE_FOR_ONE: Duration = Duration::from_secs(1);

/// Users in one call.
const BATCH: usize = 32;

/// Calls for one user in a row that may come to nothing; then the directory is taken for dead.
const MAX_SILENT: u32 = 3;

/// What `getent` may say of a batch.
const MAX_ANSWER: u64 = 1 << 16;

impl Users {
    /// The users of the system whose processes the proc root at `root` shows, asked for by a thread of their own; of this
    /// system, `getent` is asked as well.
    ///
    /// # Errors
    /// When no thread can be had.
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
        // The passwd file is the first to be waited for.
        crate::tasks::users::lock(&users.answers.account).pending = 1;
        std::thread::Builder::new().name("psn-users".to_owned()).stack_size(256 << 10).spawn(move || server.run())?;
        Ok(users)
    }

    fn with_requests(requests: Sender<u32>) -> Self {
        Self { requests: Some(requests), ..Self::default() }
    }
}

/// User ids and names in the text of a passwd file.
pub(super) fn passwd(text: &[u8]) -> impl Iterator<Item = (u32, Arc<[u8]>)> {
    text.split(|byte| *byte == b'\n').filter_map(entry).map(|(uid, name)| (uid, name.into()))
}

/// User id and name of a line `name:x:uid:…`. A name of digits alone would pass for another user's number.
fn entry(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    (!name.iter().all(u8::is_ascii_digit)).then_some((uid, name))
}

/// Whose processes a proc root shows.
enum World {
    /// This system's, whose directory can be asked.
    Own,
    /// Another's, of which there is its passwd file.
    Other(OwnedFd),
    /// Another's, of which nothing can be known.
    Unknown(String),
}

/// The thread that answers.
struct Server {
    root: PathBuf,
    getent: PathBuf,
    answers: Arc<Answers>,
    queue: Receiver<u32>,
    /// Calls for one user in a row that came to nothing.
    silent: u32,
}

impl Server {
    fn run(mut self) {
        let world = self.world();
        let file = match &world {
            World::Own => std::fs::File::open(PASSWD),
            World::Other(file) => file.try_clone().map(Into::into),
            World::Unknown(_) => Err(io::ErrorKind::NotFound.into()),
        };
        let mut text = Vec::new();
        let read = file.and_then(|file| file.take(Users::MAX_PASSWD).read_to_end(&mut text));
        self.answers.add(passwd(&text));
        let world = match (world, read) {
            (World::Other(_), Err(error)) => World::Unknown(format!("{}: {error}", shown(&self.passwd_path()))),
            (world, _) => world,
        };
        let known: HashSet<u32> = passwd(&text).map(|(uid, _)| uid).collect();
        drop(text);
        self.answers.answer(1);
        while let Ok(first) = self.queue.recv() {
            // Those of a listing come together.
            std::thread::sleep(Duration::from_millis(2));
            let asked: Vec<u32> = std::iter::once(first).chain(self.queue.try_iter().take(BATCH - 1)).collect();
            let unknown: Vec<u32> = asked.iter().filter(|uid| !known.contains(uid)).copied().collect();
            self.answers.answer(asked.len() - unknown.len());
            match &world {
                World::Own => self.ask(&unknown),
                World::Other(_) => self.answers.answer(unknown.len()),
                World::Unknown(reason) => self.answers.fail(unknown.len(), || reason.clone()),
            }
        }
    }

    /// The passwd file of the system whose processes are shown.
    fn passwd_path(&self) -> PathBuf {
        self.root.join("1/root").join(PASSWD.trim_start_matches('/'))
    }

    /// Whose processes are shown: this system's, if its first process has the same passwd file.
    fn world(&self) -> World {
        let is_default = self.root == Path::new(DEFAULT_ROOT);
        match open_passwd(&self.root) {
            Ok(file) if is_same(&file, Path::new(PASSWD)) => World::Own,
            Ok(file) => World::Other(file),
            // Most users may not look there; then what most hosts are is assumed.
            Err(_) if is_default => World::Own,
            Err(error) => World::Unknown(format!(
                "{} has the users of those processes, and can not be read: {error}",
                shown(&self.passwd_path())
            )),
        }
    }

    /// Asks for the names of `uids` together, and if that takes too long, one by one.
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

    /// One call; none if there was no answer, and then nothing is noted. An answer is also that there is no such user, or no such program.
    fn call(&self, uids: &[u32], patience: Duration) -> Option<()> {
        let mut child = match getent(&self.getent, uids) {
            Ok(child) => child,
            Err(error) => {
                let reason = || format!("{} can not be run: {error}", shown(&self.getent));
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
        let text = said(&mut child).unwrap_or_default();
        self.answers.add(passwd(&text).filter(|(uid, _)| uids.contains(uid)));
        self.answers.answer(uids.len());
        Some(())
    }
}

/// Opens the passwd file below the root directory of the first process in the proc root at `root`, without following any link
/// that may lead out of it.
fn open_passwd(root: &Path) -> io::Result<OwnedFd> {
    const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
    let open = |dir: &OwnedFd, name: &CStr, flags| {
        rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    // This is the kernel's own link.
    let world = rustix::fs::openat(rustix::fs::CWD, root.join("1/root"), DIR | OFlags::PATH, Mode::empty())?;
    let etc = open(&world, c"etc", DIR | OFlags::PATH)?;
    let file = open(&etc, c"passwd", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(file)
}

fn is_same(file: &OwnedFd, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (rustix::fs::fstat(file), std::fs::metadata(path)) else { return false };
    #[allow(clippy::unnecessary_cast, reason = "of other widths on some architectures")]
    let identity = (one.st_dev as u64, one.st_ino as u64);
    identity == (other.dev(), other.ino())
}

/// Starts the program, with no environment and no rights that are not its user's.
fn getent(path: &Path, uids: &[u32]) -> io::Result<Child> {
    let mut command = Command::new(path);
    command.arg("passwd").args(uids.iter().map(u32::to_string));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    signals::as_if_new(&mut command);
    command.spawn()
}

/// What a program that has ended has said; a child of its own may hold the pipe open still.
fn said(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let Some(stdout) = child.stdout.take() else { return Ok(text) };
    let flags = rustix::fs::fcntl_getfl(stdout.as_fd())?;
    rustix::fs::fcntl_setfl(stdout.as_fd(), flags | OFlags::NONBLOCK)?;
    match stdout.take(MAX_ANSWER).read_to_end(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_passwd_file() {
        assert_eq!(entry(b"root:x:0:0:root:/root:/bin/bash"), Some((0, &b"root"[..])));
        for no_entry in [&b"+nisuser"[..], b":x:7:7::/:", b"", b"1000:x:7:7::/:"] {
            assert_eq!(entry(no_entry), None);
        }
    }
}
