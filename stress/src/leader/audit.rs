//! Reads the storm's threads from `/proc`: the ground truth is what the kernel shows, not what was planned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::board::{Arrival, Board};
use crate::plan::kind::Kind;
use crate::sys::nap;

/// What `/proc` shows of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ThreadState {
    pub(super) state: Option<char>,
    /// The number of the system call, or -1 outside of any.
    pub(super) syscall_nr: Option<i64>,
    pub(super) running: bool,
    pub(super) wchan: Option<String>,
}

/// Waits until every thread of the `wanted` kinds is in the state its kind has once it has settled, or
/// until `interrupted` returns true. Fails when `deadline` has passed, with a thread that has not settled.
pub(super) fn await_settled(
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
            return Err(unsettled(first, pending.len()));
        }
        nap(Duration::from_millis(2));
    }
}

/// Says that `count` threads have not settled, of which `first` is one.
fn unsettled(first: &Arrival, count: usize) -> String {
    let Arrival { kind, pid, tid } = first;
    let expected = kind.settled_state().unwrap_or('?');
    let found = observe(*pid, *tid);
    format!(
        "{count} threads did not settle; thread {tid} of process {pid} is {kind} and should be in state {expected:?} but \
         is {found:?}"
    )
}

/// Counts the threads of every process that has arrivals. Fails if a process has more or fewer threads
/// than have arrived.
pub(super) fn check_counts(board: &Board) -> Result<(), String> {
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

/// The state of one thread of each kind.
pub(super) fn examples(board: &Board) -> BTreeMap<Kind, ThreadState> {
    let mut seen = BTreeSet::new();
    board
        .arrivals()
        .filter(|(_, arrival)| seen.insert(arrival.kind))
        .map(|(_, arrival)| (arrival.kind, observe(arrival.pid, arrival.tid)))
        .collect()
}

/// Reads the state of one thread.
pub(super) fn observe(pid: u32, tid: u32) -> ThreadState {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let syscall = read("syscall");
    let syscall = syscall.as_deref().and_then(|line| line.split_whitespace().next());
    ThreadState {
        state: TaskDir::default().state(pid, tid).ok().flatten(),
        syscall_nr: syscall.and_then(|word| word.parse().ok()),
        running: syscall == Some("running"),
        wchan: read("wchan").filter(|wchan| wchan != "0" && !wchan.is_empty()),
    }
}

/// How many threads a process has.
pub(super) fn threads_of(pid: u32) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata(format!("/proc/{pid}/task"))?.nlink().saturating_sub(2))
}

/// The `task` directory that was used last, kept open for the next thread of the same process.
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

/// The state letter in a line of `stat`: it follows the name, which ends at the last closing parenthesis.
fn state_letter(stat: &[u8]) -> Option<char> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).map(|byte| char::from(*byte))
}

/// The name of a system call that a thread of the storm can be in.
pub(super) fn syscall_name(number: i64) -> Option<&'static str> {
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
    fn a_process_can_observe_itself() {
        let state = observe(std::process::id(), rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        assert_eq!(state.state, Some('R'));
        assert!(threads_of(std::process::id()).unwrap() >= 1);
    }
}
