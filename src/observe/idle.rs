//! Whether a thread that sleeps waits for work.

use super::call::system_call;
use super::contents::{Descriptor, FileContents};
use super::epoll;
use super::socket::{self, Role, Told};
use super::thread::Thread;
use crate::ask::idle::{FileKind, Sleep, Verdict, decide};
use crate::proc::source::Source;
use crate::proc::syscall;
use crate::row::observation::{Mark, Observation};

/// Appends `yes`, `no` or `maybe`, and what the thread waits for; `-` for a thread that does not sleep.
pub(super) fn extract_idle(thread: &Thread<'_>, contents: &FileContents, row: &mut Observation) {
    let state = thread.state;
    if !matches!(state, b'S' | b'D') {
        return row.push_mark(Mark::None);
    }
    let call = system_call(thread, contents);
    if let Err(mark @ (Mark::Torn | Mark::Gone | Mark::Blocked | Mark::Dropped | Mark::Malformed)) = call {
        return row.push_mark(mark);
    }
    let is_denied = call.as_ref().err() == Some(&Mark::Denied);
    let sleep = Sleep {
        state,
        is_kernel_thread: thread.is_kernel_thread(),
        is_first: thread.tid == thread.tgid,
        call: call.as_ref().ok().and_then(|call| syscall::name(call.abi, call.number)).map(str::as_bytes),
        is_in_no_call: call.as_ref().err() == Some(&Mark::KernelDirect),
        args: call.as_ref().map_or([0; 6], |call| call.args),
        sp: call.as_ref().map_or(0, |call| call.sp),
        file: match call.ok().and_then(|call| epoll::only_polled(&call, contents)) {
            Some(known) => Some(kind_of_socket(&Told::of(known), thread.tgid)),
            None => kind_of_file(thread, contents),
        },
        watches_pipes: epoll::watched(thread, contents).map(epoll::are_few_pipes_and_others),
        kernel: wait_channel(thread, contents),
    };
    match decide(&sleep) {
        Some(rule) => row.push_text_with(|out| {
            out.extend_from_slice(rule.verdict.name().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(rule.what.as_bytes());
        }),
        None if is_denied => row.push_mark(Mark::Denied),
        None => row.push_text(Verdict::Maybe.name().as_bytes()),
    }
}

/// The function that the thread sleeps in, as far as it is known.
fn wait_channel<'a>(thread: &Thread<'a>, contents: &'a FileContents) -> &'a [u8] {
    match thread.record_for(Source::Wchan) {
        Some(_) => thread.wchan,
        None => contents.bytes(Source::Wchan).unwrap_or_default(),
    }
}

fn kind_of_file(thread: &Thread<'_>, contents: &FileContents) -> Option<FileKind> {
    if !matches!(contents.descriptor, Descriptor::Fd(_)) {
        return None;
    }
    if let Ok(told) = socket::told(thread, contents) {
        return Some(kind_of_socket(&told, thread.tgid));
    }
    Some(match contents.bytes(Source::Fd).ok()? {
        link if link.starts_with(b"socket:") => FileKind::Socket,
        link if link.starts_with(b"pipe:") => FileKind::Pipe,
        link if is_in(link, &[b"/dev/pts/", b"/dev/tty", b"/dev/console", b"/dev/hvc"]) => FileKind::Terminal,
        b"inotify" | b"anon_inode:inotify" => FileKind::Events,
        link if link.starts_with(b"anon_inode:[") => FileKind::Events,
        link if is_in(link, &[b"/dev/", b"/proc/", b"/sys/"]) && !link.starts_with(b"/dev/shm/") => FileKind::Device,
        _ => FileKind::Other,
    })
}

fn is_in(link: &[u8], places: &[&[u8]]) -> bool {
    places.iter().any(|place| link.starts_with(place))
}

fn kind_of_socket(told: &Told<'_>, tgid: u32) -> FileKind {
    match told.role(tgid) {
        Role::Server => FileKind::ServerSocket,
        Role::Client => FileKind::ClientSocket,
        Role::Unknown => FileKind::Socket,
    }
}
