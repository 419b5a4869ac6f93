//! The files that are watched by the epoll instance in the descriptor argument of a thread's system call.

use std::io::Write as _;

use super::contents::{Descriptor, FileContents};
use super::thread::Thread;
use crate::kernel::EpollSet;
use crate::tasks::descriptors::{Found, KnownSet};

/// How many files of which kind are watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    set: KnownSet,
    /// No more are counted.
    most: u32,
}

/// A walk counts no more.
const MOST_OF_WALKS: u32 = 7;

/// The files that are watched, if a walk or a side reader has told.
pub(super) fn watched(thread: &Thread<'_>, contents: &FileContents) -> Option<Watched> {
    if !matches!(contents.descriptor, Descriptor::Fd(_)) {
        return None;
    }
    if let Some(Found::Set(set)) = contents.found {
        return Some(Watched { set, most: KnownSet::MAX_FILES });
    }
    let EpollSet { sockets, pipes, others, has_more } = thread.record?.epoll()?;
    let [sockets, pipes, others] = [sockets, pipes, others].map(u32::from);
    Some(Watched { set: KnownSet { sockets, pipes, others, has_more }, most: MOST_OF_WALKS })
}

/// Whether these are a few files, of which some are pipes and none are sockets.
pub(super) const fn are_few_pipes(watched: Watched) -> bool {
    let KnownSet { sockets, pipes, others, has_more } = watched.set;
    sockets == 0 && pipes > 0 && pipes + others <= MOST_OF_WALKS && !has_more
}

/// Appends how many files of which kind are watched: `epoll: 2 sockets, 1 pipe`.
pub(super) fn write_set(watched: Watched, out: &mut Vec<u8>) {
    let Watched { set, most } = watched;
    out.extend_from_slice(b"epoll: ");
    if set.has_more {
        // Writing to a vector can not fail.
        let _ = write!(out, "more than {most} files");
        return;
    }
    let mut is_first = true;
    for (count, one, many) in
        [(set.sockets, "socket", "sockets"), (set.pipes, "pipe", "pipes"), (set.others, "other", "others")]
    {
        if count > 0 {
            let before = if is_first { "" } else { ", " };
            // Writing to a vector can not fail.
            let _ = write!(out, "{before}{count} {}", if count == 1 { one } else { many });
            is_first = false;
        }
    }
    if is_first {
        out.extend_from_slice(b"nothing");
    }
}
