//! The files that a thread waits for in poll(2) or select(2): their numbers from its memory, and what they are by their links.

use super::question::{KnownSet, Polled};
use super::sets::{ReadSet, count_other};
use crate::proc::health::Health;
use crate::proc::net::ThreadId;
use crate::proc::parse::fd_link;
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError, TaskDir};

/// The most entries of poll(2) that are read, and the most descriptors of select(2).
const MAX_ENTRIES: u64 = 1024;

/// The bytes of `struct pollfd`: the descriptor, then twice two bytes.
const ENTRY: usize = 8;

/// Reads what these calls wait for; `None` if a page of their arguments is not in memory.
pub(super) fn read(
    root: &ProcRoot,
    of: ThreadId,
    polled: Polled,
    buffer: &mut Buffer,
    health: &mut Health,
) -> Result<Option<ReadSet>, ReadError> {
    let dir = TaskDir { tgid: of.tgid, dir: None };
    let mut copy = |address: u64, len: u64| {
        let len = usize::try_from(len).map_err(|_| ReadError::Malformed)?;
        let bytes = root.copy_memory(dir, of.tid, address, len, buffer).map(|bytes| bytes.map(<[u8]>::to_vec));
        health.record(Source::Path, &bytes);
        bytes
    };
    let (mut numbers, mut read) = (Vec::new(), ReadSet::default());
    match polled {
        Polled::Poll { address, count } => {
            read.set.has_more = count > MAX_ENTRIES;
            let Some(entries) = copy(address, count.min(MAX_ENTRIES) * ENTRY as u64)? else { return Ok(None) };
            numbers.extend(entries.chunks_exact(ENTRY).filter_map(number));
        }
        Polled::Select { count, sets } => {
            read.set.has_more = count > MAX_ENTRIES;
            for address in sets.into_iter().filter(|address| *address != 0) {
                let Some(bits) = copy(address, count.min(MAX_ENTRIES).div_ceil(64) * 8)? else { return Ok(None) };
                let is_set = |number: &u32| {
                    let byte = usize::try_from(number / 8).ok().and_then(|at| bits.get(at));
                    byte.is_some_and(|byte| byte >> (number % 8) & 1 == 1)
                };
                let end = u32::try_from(count.min(MAX_ENTRIES)).unwrap_or(0);
                numbers.extend((0..end).filter(is_set));
            }
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        if read.set.files() >= KnownSet::MAX_POLLED {
            read.set.has_more = true;
            break;
        }
        let link = root.read_task_link(dir, of.tid, Source::Fd, Some(number));
        health.record(Source::Fd, &link);
        add(&mut read, &link?);
    }
    read.only = read.only.filter(|_| read.set.files() == 1);
    Ok(Some(read))
}

/// The descriptor of an entry of poll(2); `None` if the kernel passes it over.
fn number(entry: &[u8]) -> Option<u32> {
    let number = entry.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes))?;
    u32::try_from(number).ok()
}

/// Counts a file by its link.
fn add(read: &mut ReadSet, link: &[u8]) {
    if let Some(inode) = fd_link::socket_inode(link) {
        read.set.sockets += 1;
        read.only = Some(inode);
    } else if link.starts_with(b"pipe:[") {
        read.set.pipes += 1;
    } else {
        read.set.others += 1;
        count_other(&mut read.set, link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_descriptors_and_negative_ones_are_passed_over() {
        let entry = |number: i32| [&number.to_ne_bytes()[..], &[1, 0, 0, 0]].concat();
        assert_eq!((number(&entry(7)), number(&entry(-1)), number(&[])), (Some(7), None, None));
    }

    #[test]
    fn files_are_counted_by_their_links() {
        let mut read = ReadSet::default();
        for link in ["socket:[7]", "pipe:[8]", "/dev/pts/3", "anon_inode:[timerfd]", "anon_inode:[eventfd]"] {
            add(&mut read, link.as_bytes());
        }
        let set = KnownSet { sockets: 1, pipes: 1, timers: 1, events: 1, others: 1, has_more: false };
        assert_eq!(read, ReadSet { set, only: Some(7) });
    }
}
