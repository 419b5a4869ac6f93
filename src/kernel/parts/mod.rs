//! What the walk takes of a task, one file each: the kernel's fields, the words in the record, the instructions that fill
//! them, and how psn reads them back.
//!
//! A record is a row of 64-bit words. It begins with what the walk itself needs, and so every record has:
//!
//! | file | what |
//! |---|---|
//! | `state` | the state |
//! | `marks` | what kind of record it is |
//! | `cpu` | the CPU, and how often the task left one |
//! | `identity` | ids, start, name, flags; the ids in another PID namespace by `namespace` |
//!
//! Then come the parts of the list below that were asked for: those that are taken in each walk, and, in a record that describes
//! the task's wait, those that are taken once in each wait. The stack is the last. Offsets follow from the list. To add a part,
//! write a file with a [`Part`](part::Part) and add a line to the list; `docs/kernel-scan.md` says how.

mod call;
pub mod cpu;
mod epoll;
mod file;
pub mod identity;
mod io;
mod leader;
mod left;
mod list;
pub mod marks;
pub mod namespace;
mod part;
mod queued;
mod stack;
pub mod state;
mod throttled;
mod user;

use crate::kernel::bpf::asm::Code;
use crate::kernel::types::{Names, Types};
use crate::kernel::words::Words;

pub use call::{Call, Registers};
pub use epoll::EpollSet;
pub use file::{OpenFile, Socket};
#[cfg(test)]
pub use left::Since;
#[cfg(test)]
pub use queued::Queued;

use part::{Part, Placed, align, read};

list::parts! {
    each_walk {
        /// The real user.
        uid: user::Fields,
        /// The name of the process, filled up with zeros.
        leader: leader::Fields,
        /// When the walk saw the task, and since when it waits for a CPU.
        queued: queued::Fields,
        /// Whether the task may not run because its control group has used up its CPU time.
        throttled: throttled::Fields,
    }
    each_wait {
        /// The system call, its arguments and the user's registers.
        call: call::Fields,
        /// When the task left its CPU.
        left: left::Fields,
        /// Whether the task waits for I/O.
        io: io::Fields,
        /// The file that is the first argument of the system call.
        file: file::Fields,
        /// The files that the epoll instance watches in which the task waits.
        epoll: epoll::Fields,
    }
}

/// The words of the header, which every record has.
#[expect(clippy::cast_sign_loss, reason = "offsets are positive")]
pub const HEADER: usize = align(identity::END, 8) as usize / 8;

impl Form {
    /// Writes the instructions that note how much the scheduler's clock is apart, if a part needs it.
    pub fn write_clocks(&self, code: &mut Code) {
        if let Some(queued) = self.queued {
            queued.part().write_clocks(code);
        }
    }

    /// Whether a part needs to know how much the scheduler's clock is apart.
    pub const fn needs_clocks(&self) -> bool {
        self.queued.is_some()
    }

    /// Whether anything is taken of what tasks wait for.
    pub const fn takes_wait(&self) -> bool {
        self.end > self.wait
    }

    /// The size of a record without the parts of a wait.
    pub const fn short(&self) -> i32 {
        self.wait
    }

    /// The size of a record with the parts of a wait, all but the frames of its stack.
    pub const fn long(&self) -> i32 {
        self.end
    }

    /// The size of the deepest stack that is taken.
    pub fn max_frames_bytes(&self) -> i32 {
        self.frames.map_or(0, stack::Placed::max_bytes)
    }

    /// Adds the size of the stack in a record to a register.
    pub fn add_frames_bytes(&self, code: &mut Code, to: crate::kernel::bpf::asm::Register) {
        if let Some(stack) = self.frames {
            stack.add_bytes(code, to);
        }
    }

    /// The length in words of the record at the start of `words`, whose first words are the `header`.
    #[inline]
    pub fn record_words(&self, header: Words<'_>, words: Words<'_>) -> Option<usize> {
        if marks::read(header) & marks::TAKEN == 0 {
            return usize::try_from(self.wait / 8).ok();
        }
        let frames = self.frames.map_or(0, |stack| stack.read_bytes(words) / 8);
        usize::try_from(self.end / 8).ok()?.checked_add(usize::try_from(frames).ok()?)
    }

    /// The stack in a record that has the parts of a wait.
    #[inline]
    pub fn frames<'a>(&self, record: Words<'a>) -> &'a [u64] {
        self.frames.map_or(&[], |stack| stack.read(record))
    }
}
