//! Looks the storm up in `/proc`: the ground truth is what the kernel says, not what was intended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::board::{Arrival, Board};
use crate::plan::kind::Kind;
use crate::sys::nap;

/// How a thread looks in `/proc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) state: Option<char>,
    /// The number of the system call, or -1 outside of any.
    pub(crate) syscall_nr: Option<i64>,
    pub(crate) running: bool,
    pub(crate) wchan: Option<String>,
}

/// Waits until every thread of the `wanted` kinds is in the state its kind has once it is settled. Errs
/// with the first that is not, when `deadline` has passed.
pub(crate) fn settle(
    board: &Board,
    deadline: Instant,
    wanted: impl Fn(Kind) -> bool,
    mut interrupted: impl FnMut() -> bool,
) -> Result<(), String> {
    let settles = |kind: Kind| kind.settled_state().is_some() && wanted(kind);
    let arrivals = board.arrivals().map(|(_, arrival)| arrival);
    let mut pending: Vec<Arrival> = arrivals.filter(|arrival| settles(arrival.kind)).collect();
    loop {
        let mut tasks = TaskDir::default();
        pending.retain(|arrival| {
            let state = tasks.state(arrival.pid, arrival.tid).ok().flatten();
            state != arrival.kind.settled_state()
        });
        let Some(first) = pending.first() else {
            return Ok(());
        };
        if interrupted() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let look = look(first.pid, first.tid);
            return Err(format!(
                "{} threads did not settle; thread {} of process {} is {} and should be in state {:?} but looks like {look:?}",
                pending.len(),
                first.tid,
                first.pid,
                first.kind,
                first.kind.settled_state().unwrap_or('?'),
            ));
        }
        nap(Duration::from_millis(2));
    }
}

/// Counts the threads of the processes that have arrivals, and says where there are more or fewer
/// than have arrived.
pub(crate) fn recount(board: &Board) -> Result<(), String> {
    let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
    for (_, arrival) in board.arrivals() {
        *expected.entry(arrival.pid).or_default() += 1;
    }
    for (pid, expected) in expected {
        let found = threads_of(pid).map_err(|error| format!("/proc/{pid}/task: {error}"))?;
        if found != expected {
            return Err(format!("process {pid} has {found} threads, not {expected}"));
        }
    }
    Ok(())
}

/// One thread of each kind as an example of how they look.
pub(crate) fn examples(board: &Board) -> BTreeMap<Kind, Look> {
    let mut seen = BTreeSet::new();
    board
        .arrivals()
        .filter(|(_, arrival)| seen.insert(arrival.kind))
        .map(|(_, arrival)| (arrival.kind, look(arrival.pid, arrival.tid)))
        .collect()
}

/// How one thread looks.
pub(crate) fn look(pid: u32, tid: u32) -> Look {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let syscall = read("syscall");
    let syscall = syscall.as_deref().and_then(|line| line.split_whitespace().next());
    Look {
        state: TaskDir::default().state(pid, tid).ok().flatten(),
        syscall_nr: syscall.and_then(|word| word.parse().ok()),
        running: syscall == Some("running"),
        wchan: read("wchan").filter(|wchan| wchan != "0" && !wchan.is_empty()),
    }
}

/// How many threads a process has.
pub(crate) fn threads_of(pid: u32) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(format!("/proc/{pid}/task"))?.nlink().saturating_sub(2))
}

/// The `task` directory last used, kept open for the next thread of the same process.
#[derive(Default)]
struct TaskDir {
    open: Option<(u32, File)>,
}

impl TaskDir {
    fn state(&mut self, pid: u32, tid: u32) -> io::Result<Option<char>> {
        let dir = match &mut self.open {
            Some((open, dir)) if *open == pid => dir,
            open => &mut open.insert((pid, File::open(format!("/proc/{pid}/task"))?)).1,
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut stat = [0u8; 512];
        let file = rustix::fs::openat(dir, format!("{tid}/stat"), flags, Mode::empty())?;
        let len = File::from(file).read(&mut stat)?;
        Ok(state_letter(&stat[..len]))
    }
}

/// The letter after the name, which ends at the last closing parenthesis.
fn state_letter(stat: &[u8]) -> Option<char> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).map(|byte| char::from(*byte))
}

/// The name of a system call that a thread of the storm can be in.
pub(crate) fn syscall_name(number: i64) -> Option<&'static str> {
    const NAMES: &[(i64, &str)] = &[
        (libc::SYS_futex, "futex"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_epoll_pwait2, "epoll_pwait2"),
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_read, "read"),
        (libc::SYS_clone, "clone"),
        (libc::SYS_clone3, "clone3"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_ppoll, "ppoll"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_epoll_wait, "epoll_wait"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_pause, "pause"),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_poll, "poll"),
    ];
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_last_parenthesis() {
        assert_eq!(state_letter(b"17 (a) R 1 2) S 1 17 17"), Some('S'));
        assert_eq!(state_letter(b"17 () D 1"), Some('D'));
        assert_eq!(state_letter(b"17 (x)"), None);
        assert_eq!(state_letter(b""), None);
    }

    #[test]
    fn a_look_at_oneself() {
        let look = look(std::process::id(), rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        assert_eq!(look.state, Some('R'));
        assert!(threads_of(std::process::id()).unwrap() >= 1);
    }
}
