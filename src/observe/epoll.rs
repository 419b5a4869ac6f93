//! The files that a thread waits for: those that an epoll instance watches, or that poll(2) or select(2) was given.

use std::io::Write as _;

use super::contents::{Descriptor, FileContents, SystemCall};
use super::socket::{Told, write_connection};
use super::thread::Thread;
use crate::kernel::EpollSet;
use crate::proc::syscall::{self, Abi};
use crate::tasks::lookups::{Found, KnownSet, KnownSocket, Polled};

/// How many files of which kind are watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchedSet<'a> {
    set: KnownSet,
    /// No more are counted.
    most: u32,
    /// The socket, if it is one and nothing else, and if it is known.
    only: Option<&'a KnownSocket>,
}

/// A walk counts no more. Of so many files at most, each number of them is shown in summaries too.
const FEW: u32 = 7;

/// The files that are watched, if a walk or a side reader has told.
pub(super) fn watched<'a>(thread: &Thread<'_>, contents: &'a FileContents) -> Option<WatchedSet<'a>> {
    match &contents.found {
        Some(Found::Set(set)) => return Some(WatchedSet { set: *set, most: set.files(), only: None }),
        Some(Found::Only(known)) => {
            let set = KnownSet { sockets: 1, ..KnownSet::default() };
            return Some(WatchedSet { set, most: 1, only: Some(known) });
        }
        _ => {}
    }
    if !matches!(contents.descriptor, Descriptor::Fd(_)) {
        return None;
    }
    let set = match &contents.kept {
        Some(kept) => kept.epoll,
        None => thread.record?.epoll(),
    }?;
    let EpollSet { sockets, pipes, others, has_more } = set;
    let [sockets, pipes, others] = [sockets, pipes, others].map(u32::from);
    Some(WatchedSet {
        set: KnownSet { sockets, pipes, others, has_more, ..KnownSet::default() },
        most: FEW,
        only: None,
    })
}

/// What poll(2) or select(2) was given; `None` in other calls. Sets of 32-bit programs and of big-endian machines are not read.
pub(super) fn polled(call: &SystemCall) -> Option<Polled> {
    if call.abi != Abi::native() || cfg!(target_endian = "big") {
        return None;
    }
    let [first, second, third, fourth, ..] = call.args;
    match syscall::name(call.abi, call.number)? {
        // The kernel takes 32 bits.
        "poll" | "ppoll" => Some(Polled::Poll { address: first, count: second & u64::from(u32::MAX) }),
        "select" | "pselect6" => {
            let count = u64::from(u32::try_from(first & u64::from(u32::MAX)).ok()?);
            Some(Polled::Select { count, sets: [second, third, fourth] })
        }
        _ => None,
    }
}

/// The socket, if a thread waits in poll(2) or select(2) for that alone.
pub(super) fn only_polled<'a>(call: &SystemCall, contents: &'a FileContents) -> Option<&'a KnownSocket> {
    match &contents.found {
        Some(Found::Only(known)) if polled(call).is_some() => Some(known),
        _ => None,
    }
}

/// Whether there is more to know of a set than a walk tells.
pub(super) const fn is_worth_asking(set: EpollSet) -> bool {
    set.has_more || (set.sockets == 1 && set.pipes == 0 && set.others == 0)
}

/// Whether these are a few files: pipes, files of other kinds, and no sockets.
pub(super) const fn are_few_pipes_and_others(watched: WatchedSet<'_>) -> bool {
    let KnownSet { sockets, pipes, has_more, .. } = watched.set;
    let files = watched.set.files();
    sockets == 0 && pipes > 0 && files > pipes && files <= FEW && !has_more
}

/// Appends how many files of which kind a thread waits for in a call: `epoll: 37 sockets, 1 timer`; of one socket, its connection. As a
/// summary, numbers above a few are a `*`.
pub(super) fn write_set(watched: WatchedSet<'_>, call: &SystemCall, is_summary: bool, out: &mut Vec<u8>) {
    let WatchedSet { set, most, only } = watched;
    out.extend_from_slice(match syscall::name(call.abi, call.number) {
        Some("poll" | "ppoll") => b"poll: ",
        Some("select" | "pselect6") => b"select: ",
        _ => b"epoll: ",
    });
    if let Some(known) = only {
        return write_connection(&Told::of(known), is_summary, out);
    }
    if set.has_more {
        // Writing to a vector can not fail.
        let _ = write!(out, "more than {most} files");
        return;
    }
    let mut is_first = true;
    for (count, one) in [
        (set.sockets, "socket"),
        (set.pipes, "pipe"),
        (set.timers, "timer"),
        (set.events, "event"),
        (set.others, "other"),
    ] {
        if count > 0 {
            let (before, plural) = (if is_first { "" } else { ", " }, if count == 1 { "" } else { "s" });
            // Writing to a vector can not fail.
            let _ = match count {
                8.. if is_summary => write!(out, "{before}* {one}s"),
                _ => write!(out, "{before}{count} {one}{plural}"),
            };
            is_first = false;
        }
    }
    if is_first {
        out.extend_from_slice(b"nothing");
    }
}
