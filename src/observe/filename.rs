//! The file that a thread's system call is about.

use super::call::call_with_file;
use super::contents::{Descriptor, FileContents};
use super::thread::Thread;
use super::{epoll, socket};
use crate::ask::column::FilenameForm;
use crate::proc::parse::fd_link;
use crate::proc::source::Source;
use crate::row::observation::{Mark, Observation};

/// Appends the name of the file that the thread's system call is about to `row`.
pub(super) fn extract_filename(
    form: FilenameForm,
    thread: &Thread<'_>,
    contents: &FileContents,
    row: &mut Observation,
) {
    let call = match call_with_file(thread, contents) {
        Ok(call) => call,
        Err(mark) => return row.push_mark(mark),
    };
    let shows_sets = matches!(form, FilenameForm::Normal | FilenameForm::Raw | FilenameForm::Summary);
    let is_summary = form == FilenameForm::Summary;
    let fd = match contents.descriptor {
        Descriptor::Fd(fd) => fd,
        Descriptor::WorkingDirectory => return row.push_mark(Mark::WorkingDirectory),
        Descriptor::Pid(pid) => {
            return row.push_text_with(|out| {
                out.extend_from_slice(b"pid:[");
                out.extend_from_slice(itoa::Buffer::new().format(pid).as_bytes());
                out.push(b']');
            });
        }
        Descriptor::None => {
            return match epoll::watched(thread, contents).filter(|_| shows_sets) {
                Some(set) => row.push_text_with(|out| epoll::write_set(set, &call, is_summary, out)),
                None => row.push_mark(contents.mark_of_polled().filter(|_| shows_sets).unwrap_or(Mark::None)),
            };
        }
    };
    if shows_sets {
        // Where neither is known, the link says at least what kind of file it is.
        if let Ok(told) = socket::told(thread, contents) {
            return row.push_text_with(|out| socket::write_connection(&told, is_summary, out));
        }
        if let Some(set) = epoll::watched(thread, contents) {
            return row.push_text_with(|out| epoll::write_set(set, &call, is_summary, out));
        }
    }
    contents.push_value(Source::Fd, row, |link, row| {
        row.push_text_with(|out| {
            match form {
                FilenameForm::Normal => fd_link::filename(link, out),
                FilenameForm::Raw => out.extend_from_slice(link),
                FilenameForm::Summary => fd_link::filename_sum(link, out),
                FilenameForm::Basename => fd_link::basename(link, out),
                FilenameForm::Dirname => fd_link::dirname(link, out),
            }
            if shows_sets {
                out.extend_from_slice(match fd {
                    0 => b" (stdin)",
                    1 => b" (stdout)",
                    2 => b" (stderr)",
                    _ => b"",
                });
            }
        });
    });
}
