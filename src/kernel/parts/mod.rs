//! The parts of a record, one file for each: the kernel's fields, the words in the record, the instructions that fill them, and
//! how psn reads them.
//!
//! A record is a sequence of 64-bit words. It begins with what the walk itself needs, which every record has:
//!
//! | file | what |
//! |---|---|
//! | `state` | the state |
//! | `record_flags` | what kind of record it is |
//! | `cpu` | the CPU, and the number of context switches |
//! | `identity` | ids, start time, name, `PF_…` flags; `namespace` has the ids in another PID namespace |
//!
//! Then come those parts of the list below that were requested: first the parts of each walk, then, in a record that describes
//! the task's wait, the parts of a wait, which are taken only once in each wait. The stack is the last. Offsets follow from the
//! list. To add a part, write a file with a `RecordPart` and add a line to the list; `docs/kernel-scan.md` says how.

mod call;
pub(crate) mod cpu;
mod epoll;
mod file;
pub(crate) mod identity;
mod io;
mod leader;
mod left;
mod list;
pub(crate) mod namespace;
mod part;
mod queued;
pub(crate) mod record_flags;
mod stack;
pub(crate) mod state;
mod throttled;
mod user;

use crate::kernel::bpf::asm::Code;
use crate::kernel::record_words::RecordWords;
use crate::kernel::types::{TypeNames, Types};

pub use call::{RecordedCall, Registers};
pub use epoll::EpollSet;
pub use file::{OpenFile, Socket};
#[cfg(test)]
pub(crate) use left::Since;
#[cfg(test)]
pub(crate) use queued::Queued;

use part::{PlacedPart, RecordPart, align, read};

list::parts! {
    each_walk {
        /// The real user id.
        uid: user::UserFields,
        /// The name of the process, padded with zeros.
        leader: leader::LeaderFields,
        /// When the walk saw the task, and since when the task waits for a CPU.
        queued: queued::QueuedFields,
        /// Whether the task may not run because its control group has used up its CPU time.
        throttled: throttled::ThrottledFields,
    }
    each_wait {
        /// The system call, its arguments and the user registers.
        call: call::CallFields,
        /// When the task left its CPU.
        left: left::LeftFields,
        /// Whether the task waits for I/O.
        io: io::IoFields,
        /// The file whose descriptor is the first argument of the system call.
        file: file::FileFields,
        /// The files that the epoll instance watches in which the task waits.
        epoll: epoll::EpollFields,
    }
}

#[cfg(test)]
impl Parts {
    /// The system call and the stack, with the user: what tests of the layout need.
    pub(crate) const OF_CALLS: Self = Self {
        uid: true,
        leader: false,
        queued: false,
        throttled: false,
        call: true,
        left: false,
        io: false,
        file: false,
        epoll: true,
        frames: Self::MAX_FRAMES,
    };
}

/// The number of words that every record has.
#[expect(clippy::cast_sign_loss, reason = "offsets are positive")]
pub(crate) const HEADER: usize = align(identity::END, 8) as usize / 8;

impl RecordLayout {
    /// Writes the instructions that store the offset of the scheduler's clock, if a part needs it.
    pub(crate) fn write_clocks(&self, code: &mut Code) {
        if let Some(queued) = self.queued {
            queued.part().write_clocks(code);
        }
    }

    /// Whether a part needs the offset of the scheduler's clock.
    pub(crate) const fn needs_clocks(&self) -> bool {
        self.queued.is_some()
    }

    /// Whether records have any part of a wait.
    pub(crate) const fn takes_wait(&self) -> bool {
        self.end > self.wait
    }

    /// The size of a record without the parts of a wait, in bytes.
    pub(crate) const fn short(&self) -> i32 {
        self.wait
    }

    /// The size of a record with the parts of a wait, without the frames of its stack, in bytes.
    pub(crate) const fn long(&self) -> i32 {
        self.end
    }

    /// The size of the frames of the deepest stack that a record can have, in bytes.
    pub(crate) fn max_frames_bytes(&self) -> i32 {
        self.frames.map_or(0, stack::PlacedStack::max_bytes)
    }

    /// Adds the size of the frames in a record to a register.
    pub(crate) fn add_frames_bytes(&self, code: &mut Code, to: crate::kernel::bpf::asm::Register) {
        if let Some(stack) = self.frames {
            stack.add_bytes(code, to);
        }
    }

    /// The length in words of the record at the start of `words`, whose first words are the `header`.
    #[inline]
    pub(crate) fn record_words(&self, header: RecordWords<'_>, words: RecordWords<'_>) -> Option<usize> {
        if record_flags::read(header) & record_flags::TAKEN == 0 {
            return usize::try_from(self.wait / 8).ok();
        }
        let frames = self.frames.map_or(0, |stack| stack.read_bytes(words) / 8);
        usize::try_from(self.end / 8).ok()?.checked_add(usize::try_from(frames).ok()?)
    }

    /// The stack in a record that has the parts of a wait.
    #[inline]
    pub(crate) fn frames<'a>(&self, record: RecordWords<'a>) -> &'a [u64] {
        self.frames.map_or(&[], |stack| stack.read(record))
    }
}
