//! Events that can end a storm: signals, the end of the parent, the end of a process of the storm.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, getppid, pidfd_open, set_parent_process_death_signal};

use crate::sys::process::pid;
use crate::sys::signals::signals_as_file;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// This signal asked the leader to end the storm.
    Told(&'static str),
    /// The process that started the storm has ended.
    ParentEnded,
    /// A child has ended, or stopped.
    Child,
    /// The file given to [`Watch::wait_or_readable`] can be read.
    Readable,
}

/// Watches for events; the only place where the leader sleeps.
pub(super) struct Watch {
    signals: OwnedFd,
    /// A pidfd of the parent. On kernels without pidfds the leader uses PR_SET_PDEATHSIG instead, which follows the
    /// *thread* that forked: a storm started by a short-lived thread ends with that thread.
    parent: Option<OwnedFd>,
}

impl Watch {
    /// Starts watching, and blocks the signals in this process and all that it starts from now on. Fails if the
    /// parent is not `parent`, where that is given.
    pub(super) fn start(parent: Option<u32>) -> io::Result<Self> {
        let signals = signals_as_file(&[Signal::INT, Signal::TERM, Signal::HUP, Signal::CHILD])?;
        let now = getppid();
        let watched = now.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        if watched.is_none() {
            set_parent_process_death_signal(Some(Signal::TERM))?;
        }
        // The parent may have ended before the pidfd was opened.
        if getppid() != now || parent.is_some_and(|parent| now != pid(parent)) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the parent has ended"));
        }
        Ok(Self { signals, parent: watched })
    }

    /// Sleeps until an event or until `timeout` has passed.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Option<Event> {
        self.wait_on(None, timeout)
    }

    /// Sleeps until an event, until `file` can be read, or until `timeout` has passed.
    pub(super) fn wait_or_readable(&self, file: &impl AsFd, timeout: Duration) -> Option<Event> {
        self.wait_on(Some(PollFd::new(file, PollFlags::IN)), Some(timeout))
    }

    fn wait_on(&self, file: Option<PollFd<'_>>, timeout: Option<Duration>) -> Option<Event> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut files = vec![PollFd::new(&self.signals, PollFlags::IN)];
        files.extend(self.parent.as_ref().map(|parent| PollFd::new(parent, PollFlags::IN)));
        files.extend(file);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut files, left.as_ref()) {
                Err(Errno::INTR) => continue,
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let mut ready = files.iter().map(|file| !file.revents().is_empty());
            let signalled = ready.next() == Some(true);
            let parent_ended = self.parent.is_some() && ready.next() == Some(true);
            // Checked before the signals: the file's writer ends right after it has written.
            if ready.next() == Some(true) {
                return Some(Event::Readable);
            }
            if signalled && let Some(event) = self.signal() {
                return Some(event);
            }
            if parent_ended {
                return Some(Event::ParentEnded);
            }
        }
    }

    fn signal(&self) -> Option<Event> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        rustix::io::read(&self.signals, &mut info[..]).ok()?;
        // The number of the signal is the first field.
        let number = u32::from_ne_bytes(*info.first_chunk()?);
        let is = |signal: Signal| number == signal.as_raw().unsigned_abs();
        if is(Signal::CHILD) {
            Some(Event::Child)
        } else if is(Signal::INT) {
            Some(Event::Told("SIGINT"))
        } else if is(Signal::HUP) {
            Some(Event::Told("SIGHUP"))
        } else {
            Some(Event::Told("SIGTERM"))
        }
    }
}
