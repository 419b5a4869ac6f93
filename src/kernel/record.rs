//! What the program and we agree on: where in the shared memory the control words lie, and what a record looks like.
//!
//! A record is a row of 64-bit words: the fixed part, then the system call where it was asked for, then the stack where it
//! was asked for, preceded by its length. So records are as long as their stacks are deep, and follow each other without gaps.

use crate::kernel::recipe::BootClock;
use crate::kernel::state::State;

/// Control words, by their offsets in bytes.
pub mod control {
    /// Bytes of records written: where the next one goes.
    pub const USED: i32 = 0;
    /// Tasks that passed and found no room.
    pub const MISSED: i32 = 8;
    /// A bit for each state, by its number: those that pass.
    pub const GATE: i32 = 16;
    /// Which bits of a thread id …
    pub const SLICE_MASK: i32 = 24;
    /// … must be these.
    pub const SLICE: i32 = 32;
    /// The address of the PID namespace whose ids are wanted.
    pub const NAMESPACE: i32 = 40;
    /// How deep our own PID namespace lies.
    pub const LEVEL: i32 = 48;
    /// Tasks seen in each state: as many words as a byte's half can number.
    pub const COUNTS: i32 = 64;
    /// The number of words there, a power of two.
    pub const COUNTS_LEN: i32 = 16;
    /// The state's number for each combination of state bits: bytes.
    pub const STATES: i32 = COUNTS + 8 * COUNTS_LEN;
    /// The number of bytes there, a power of two.
    pub const STATES_LEN: i32 = 256;
    /// All of it.
    pub const SIZE: usize = (STATES + STATES_LEN) as usize;
}

/// Fields of a record, by their offsets in bytes.
pub mod field {
    /// `u32`
    pub const TID: i32 = 0;
    /// `u32`
    pub const TGID: i32 = 4;
    /// `u64`, ns of the boot clock
    pub const START: i32 = 8;
    /// `u32`, `PF_…`
    pub const FLAGS: i32 = 16;
    /// `u32`
    pub const UID: i32 = 20;
    /// `u8`, the state's number
    pub const STATE: i32 = 24;
    /// `u8`, of [`super::mark`]
    pub const MARKS: i32 = 25;
    /// `u16`, the bits of `__state`
    pub const RAW_STATE: i32 = 26;
    /// `u32`
    pub const CPU: i32 = 28;
    /// `u64`, how often the task was switched out
    pub const SWITCHES: i32 = 32;
    /// `u8[16]`
    pub const COMM: i32 = 40;
    /// Where the optional parts begin.
    pub const END: i32 = 56;

    /// The size of the leader's name, where it was asked for: `u8[16]`
    pub const LEADER_SIZE: i32 = 16;

    /// The system call, from its own start: `i64`
    pub const CALL_NUMBER: i32 = 0;
    /// `u64[6]`
    pub const CALL_ARGS: i32 = 8;
    /// `u64`
    pub const CALL_SP: i32 = 56;
    /// `u64`
    pub const CALL_IP: i32 = 64;
    /// Its size.
    pub const CALL_SIZE: i32 = 72;

    /// The stack, from its own start: its length in bytes, `u64`; then the frames.
    pub const STACK_FRAMES: i32 = 8;
}

/// Bits of a record's `MARKS`.
pub mod mark {
    /// It was on a CPU.
    pub const ON_CPU: i32 = 1;
    /// Its system call is of the 32-bit table.
    pub const COMPAT: i32 = 2;
    /// The registers were read.
    pub const CALL: i32 = 4;
    /// It moved on while it was looked at: what it waits for is not known.
    pub const MOVED: i32 = 8;
    /// What it waits for follows.
    pub const TAKEN: i32 = 16;
    /// It still waits for what it was last described to.
    pub const SAME: i32 = 32;
}

/// The size of what is kept in the kernel of a task whose wait was described: a `u64`, 0 where there is none.
pub const SEEN_SIZE: usize = 8;

/// What to take of each task beside the fixed part. Each costs something for every task that passes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// The user.
    pub uid: bool,
    /// The name of the process, which is its leader's.
    pub leader: bool,
    /// The system call, its arguments and the user's registers.
    pub syscall: bool,
    /// Frames of the kernel's stack, innermost first: 1 suffices for the wait channel. At most [`Parts::MAX_FRAMES`].
    pub frames: u8,
}

impl Parts {
    /// As many as /proc shows (`MAX_STACK_TRACE_DEPTH`).
    pub const MAX_FRAMES: u8 = 64;

    /// Whether anything is taken of what tasks wait for.
    #[must_use]
    pub const fn takes_wait(self) -> bool {
        self.syscall || self.frames > 0
    }

    /// Where the system call's part begins: behind the leader's name.
    pub(super) const fn call(self) -> i32 {
        if self.leader { field::END + field::LEADER_SIZE } else { field::END }
    }

    /// Where the stack's part begins.
    pub(super) const fn stack(self) -> i32 {
        if self.syscall { self.call() + field::CALL_SIZE } else { self.call() }
    }

    /// The size of a record without its frames.
    pub(super) const fn size(self) -> i32 {
        if self.frames == 0 { self.stack() } else { self.stack() + field::STACK_FRAMES }
    }

    /// Bytes of frames at most.
    pub(super) fn frames_size(self) -> i32 {
        8 * i32::from(self.frames)
    }
}

/// One task, as it was at one instant.
///
/// "One instant" is meant literally for what it waits for: the system call, the registers and the stack are there only if the
/// task was in the state shown and on no CPU from before they were taken until after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRecord<'a> {
    /// The thread's id.
    pub tid: u32,
    /// Its process's id.
    pub tgid: u32,
    /// Its state as /proc has it.
    pub state: State,
    /// Whether it was on a CPU, which a task in state R need not be.
    pub is_on_cpu: bool,
    /// The CPU it is or was last on: `processor` in /proc.
    pub cpu: u32,
    /// Its real user, if asked for.
    pub uid: Option<u32>,
    /// When it started, in clock ticks after boot: field 22 of `stat`.
    pub starttime_ticks: u64,
    /// The kernel's `PF_…` bits.
    pub flags: u32,
    /// How often it was switched out; unchanged means that it was on no CPU since.
    pub switches: u64,
    /// What it waits for, as its registers say.
    pub call: Call,
    /// The kernel's stack, innermost frame first; empty if not asked for, or if it was not at rest.
    pub frames: &'a [u64],
    /// Whether it moved on while it was looked at, so that what it waits for is not known although it was asked for.
    pub has_moved: bool,
    /// Its name, up to the first 0.
    pub(crate) comm: [u8; 16],
    /// Its process's name, if asked for.
    pub(crate) leader: Option<[u8; 16]>,
}

/// How a task came into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Not asked for, or not known: it was running, had ended, or moved on.
    Unknown,
    /// It is a thread of the kernel's own.
    KernelThread,
    /// Not through a system call: a page fault, a signal stop.
    None(Registers),
    /// Through a system call.
    Some {
        /// The number in the program's own table.
        number: i64,
        /// Whether that is the table of 32-bit programs.
        is_compat: bool,
        /// The arguments as the registers hold them.
        args: [u64; 6],
        /// Where the program is.
        registers: Registers,
    },
}

/// Where a program is in its own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// The stack pointer.
    pub sp: u64,
    /// The program counter.
    pub ip: u64,
}

impl TaskRecord<'_> {
    /// `PF_KTHREAD`
    const KERNEL_THREAD: u32 = 0x0020_0000;
    /// `PF_IO_WORKER`
    const IO_WORKER: u32 = 0x0000_0010;
    /// `PF_WQ_WORKER`
    const WORKER: u32 = 0x0000_0020;
    /// The most a name takes here.
    const COMM_MAX: usize = 15;

    /// Its name.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        until_0(&self.comm)
    }

    /// The name of its process, if asked for: that of the process's first thread.
    #[must_use]
    pub fn leader_comm(&self) -> Option<&[u8]> {
        self.leader.as_ref().map(until_0)
    }

    /// Whether it waits: not so for a task in state R, for one that has ended, nor for one that is about to sleep but still on
    /// a CPU.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.is_on_cpu && self.state != State::RUNNING && !self.state.has_ended()
    }

    /// The record without its stack: all that outlives the walk.
    #[must_use]
    pub const fn without_frames(&self) -> TaskRecord<'static> {
        TaskRecord {
            tid: self.tid,
            tgid: self.tgid,
            state: self.state,
            is_on_cpu: self.is_on_cpu,
            cpu: self.cpu,
            uid: self.uid,
            starttime_ticks: self.starttime_ticks,
            flags: self.flags,
            switches: self.switches,
            call: self.call,
            frames: &[],
            has_moved: self.has_moved,
            comm: self.comm,
            leader: self.leader,
        }
    }

    /// Whether it is a thread of the kernel's own.
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & Self::KERNEL_THREAD != 0
    }

    /// Whether it is a worker that io_uring has made of a program's thread.
    #[must_use]
    pub const fn is_io_worker(&self) -> bool {
        self.flags & Self::IO_WORKER != 0 && !self.is_kernel_thread()
    }

    /// Whether /proc may show a longer name: of a worker it appends the work (`kworker/0:1-events`), and of kernel threads it
    /// knows the full name.
    #[must_use]
    pub fn may_have_longer_comm(&self) -> bool {
        self.flags & Self::WORKER != 0 || (self.is_kernel_thread() && self.comm().len() == Self::COMM_MAX)
    }
}

/// A record as the program wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) fixed: &'a [u64; FIXED],
    pub(super) leader: Option<&'a [u64; LEADER]>,
    pub(super) wait: RawWait<'a>,
}

/// What a task waits for, as the program wrote it.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawWait<'a> {
    /// Nothing, or it was not asked for.
    None,
    /// It moved on.
    Moved,
    /// What it was last described to.
    Same,
    /// This.
    Taken { call: Call, frames: &'a [u64] },
}

/// The words of a record's fixed part.
const FIXED: usize = field::END as usize / 8;
/// The words of a leader's name.
const LEADER: usize = field::LEADER_SIZE as usize / 8;
/// The words of a system call.
const CALL: usize = field::CALL_SIZE as usize / 8;

/// The records in `words`.
#[derive(Debug)]
pub(super) struct Records<'a> {
    words: &'a [u64],
    parts: Parts,
}

impl<'a> Records<'a> {
    /// The records that fill `words`, taken with `parts`.
    pub(super) const fn new(words: &'a [u64], parts: Parts) -> Self {
        Self { words, parts }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Raw<'a>;

    #[inline]
    fn next(&mut self) -> Option<Raw<'a>> {
        let (fixed, rest) = self.words.split_first_chunk::<FIXED>()?;
        let (leader, rest) = if self.parts.leader {
            let (leader, rest) = rest.split_first_chunk::<LEADER>()?;
            (Some(leader), rest)
        } else {
            (None, rest)
        };
        let raw = Raw { fixed, leader, wait: RawWait::None };
        let has = |mark| raw.has(mark);
        let (wait, rest) = if has(mark::TAKEN) {
            self.taken(raw, rest)?
        } else if has(mark::SAME) {
            (RawWait::Same, rest)
        } else if has(mark::MOVED) {
            (RawWait::Moved, rest)
        } else {
            (RawWait::None, rest)
        };
        self.words = rest;
        Some(Raw { wait, ..raw })
    }
}

impl<'a> Records<'a> {
    fn taken(&self, raw: Raw<'a>, mut rest: &'a [u64]) -> Option<(RawWait<'a>, &'a [u64])> {
        let mut call = Call::Unknown;
        if self.parts.syscall {
            let (words, after) = rest.split_first_chunk::<CALL>()?;
            rest = after;
            if raw.has(mark::CALL) {
                call = decode_call(words, raw.has(mark::COMPAT));
            } else if raw.flags() & TaskRecord::KERNEL_THREAD != 0 {
                call = Call::KernelThread;
            }
        }
        let mut frames: &[u64] = &[];
        if self.parts.frames > 0 {
            let (bytes, after) = rest.split_first()?;
            (frames, rest) = after.split_at_checked(usize::try_from(bytes / 8).ok()?)?;
        }
        Some((RawWait::Taken { call, frames }, rest))
    }
}

impl Raw<'_> {
    fn has(&self, mark: i32) -> bool {
        let [_, _, _, state_cpu, ..] = *self.fixed;
        let [_, marks, ..] = state_cpu.to_ne_bytes();
        i32::from(marks) & mark != 0
    }

    const fn flags(&self) -> u32 {
        let [_, _, flags_uid, ..] = *self.fixed;
        halves(flags_uid).0
    }

    /// The thread's id, when it started in ns of the boot clock, and how often it was switched out.
    pub(super) const fn identity(&self) -> (u32, u64, u64) {
        let [ids, start, _, _, switches, ..] = *self.fixed;
        (halves(ids).0, start, switches)
    }

    /// The record, with what the task waits for if that is known.
    #[inline]
    pub(super) fn record<'a>(&self, wait: Option<(Call, &'a [u64])>, parts: Parts, clock: BootClock) -> TaskRecord<'a> {
        let [ids, start_boottime_ns, flags_uid, state_cpu, switches, comm_0, comm_1] = *self.fixed;
        let (tid, tgid) = halves(ids);
        let (flags, uid) = halves(flags_uid);
        let (state_marks, cpu) = halves(state_cpu);
        let [state, ..] = state_marks.to_ne_bytes();
        let comm = name(&[comm_0, comm_1]);
        let has_moved = match self.wait {
            RawWait::None => false,
            RawWait::Moved => true,
            RawWait::Same | RawWait::Taken { .. } => wait.is_none(),
        };
        let (call, frames) = wait.unwrap_or((Call::Unknown, &[]));
        TaskRecord {
            tid,
            tgid,
            state: State::from_index(state),
            is_on_cpu: self.has(mark::ON_CPU),
            cpu,
            uid: parts.uid.then_some(uid),
            starttime_ticks: clock.ticks(start_boottime_ns),
            flags,
            switches,
            call,
            frames,
            has_moved,
            comm,
            leader: self.leader.map(name),
        }
    }
}

/// The bytes of a name, in the words it was written in.
fn name([first, second]: &[u64; LEADER]) -> [u8; 16] {
    (u128::from(second.to_le()) << 64 | u128::from(first.to_le())).to_le_bytes()
}

fn until_0(name: &[u8; 16]) -> &[u8] {
    let end = memchr::memchr(0, name).unwrap_or(name.len());
    name.get(..end).unwrap_or_default()
}

/// Records made by hand, for the tests of those who use them.
#[cfg(test)]
impl TaskRecord<'static> {
    /// A user's thread in this state, on no CPU, of which nothing else is known.
    pub(crate) fn in_state(letter: u8) -> Self {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"name");
        Self {
            tid: 7,
            tgid: 5,
            state: State::all().find(|state| state.letter() == letter).unwrap(),
            is_on_cpu: false,
            cpu: 3,
            uid: None,
            starttime_ticks: 99,
            flags: 0x40,
            switches: 1,
            call: Call::Unknown,
            frames: &[],
            has_moved: false,
            comm,
            leader: None,
        }
    }
}

fn decode_call(words: &[u64; CALL], is_compat: bool) -> Call {
    let [number, a, b, c, d, e, f, sp, ip] = *words;
    let registers = Registers { sp, ip };
    // The kernel itself looks at the lower half alone (`syscall_get_nr`).
    match halves(number.to_le()).0.cast_signed() {
        -1 => Call::None(registers),
        number => Call::Some { number: number.into(), is_compat, args: [a, b, c, d, e, f], registers },
    }
}

/// A word's halves, in the order in which they lie in memory.
const fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Parts = Parts { uid: true, leader: false, syscall: true, frames: 4 };

    /// A record's words, as the program writes them.
    fn words(flags: u32, marks: i32, tail: &[u64]) -> Vec<u64> {
        let mut bytes = [0; field::END as usize];
        let mut put = |place: i32, value: &[u8]| bytes[place as usize..][..value.len()].copy_from_slice(value);
        put(field::TID, &5_u32.to_ne_bytes());
        put(field::TGID, &4_u32.to_ne_bytes());
        put(field::START, &30_000_000_u64.to_ne_bytes());
        put(field::FLAGS, &flags.to_ne_bytes());
        put(field::UID, &1000_u32.to_ne_bytes());
        put(field::STATE, &[1]);
        put(field::MARKS, &[marks as u8]);
        put(field::CPU, &7_u32.to_ne_bytes());
        put(field::SWITCHES, &9_u64.to_ne_bytes());
        put(field::COMM, b"a) R 1\xff\0rest");
        let fixed = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        fixed.chain(tail.iter().copied()).collect()
    }

    fn call(number: u64) -> Vec<u64> {
        vec![number, 1, 2, 3, 4, 5, 6, 70, 80]
    }

    fn taken(words: &[u64], parts: Parts) -> (Call, Vec<u64>) {
        let mut records = Records::new(words, parts);
        let raw = records.next().unwrap();
        assert!(records.next().is_none());
        match raw.wait {
            RawWait::Taken { call, frames } => (call, frames.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_come_back_as_they_were_written() {
        let clock = BootClock { ns_per_tick: 10_000_000, offset_ns: -10_000_000 };
        let words = words(0x42, mark::ON_CPU, &[]);
        let raw = Records::new(&words, ALL).next().unwrap();
        let record = raw.record(None, ALL, clock);
        assert_eq!((record.tid, record.tgid, record.cpu, record.uid), (5, 4, 7, Some(1000)));
        assert_eq!((record.state.letter(), record.is_on_cpu, record.has_moved), (b'S', true, false));
        assert_eq!((record.starttime_ticks, record.flags, record.switches), (2, 0x42, 9));
        assert_eq!(record.comm(), b"a) R 1\xff");
        assert_eq!(raw.identity(), (5, 30_000_000, 9));
        assert_eq!(raw.record(None, Parts::default(), clock).uid, None);
    }

    #[test]
    fn a_call_is_told_from_none_and_from_a_kernel_thread() {
        let registers = Registers { sp: 70, ip: 80 };
        let marks = mark::TAKEN | mark::CALL;
        let tail = |number| [call(number), vec![16, 11, 12]].concat();
        let some = |number, is_compat| Call::Some { number, is_compat, args: [1, 2, 3, 4, 5, 6], registers };
        assert_eq!(taken(&words(0, marks, &tail(202)), ALL), (some(202, false), vec![11, 12]));
        assert_eq!(taken(&words(0, marks | mark::COMPAT, &tail(3)), ALL).0, some(3, true));
        assert_eq!(taken(&words(0, marks, &tail(u64::MAX)), ALL).0, Call::None(registers));
        assert_eq!(taken(&words(0, marks, &tail(0xffff_ffff)), ALL).0, Call::None(registers));
        assert_eq!(taken(&words(0x0020_0000, mark::TAKEN, &tail(0)), ALL).0, Call::KernelThread);
        let parts = Parts { frames: 0, ..ALL };
        assert_eq!(taken(&words(0, marks, &call(1)), parts), (some(1, false), vec![]));
        let parts = Parts { syscall: false, ..ALL };
        assert_eq!(taken(&words(0, mark::TAKEN, &[8, 11]), parts), (Call::Unknown, vec![11]));
    }

    #[test]
    fn the_leaders_name_is_behind_the_fixed_part() {
        let clock = BootClock { ns_per_tick: 1, offset_ns: 0 };
        let parts = Parts { leader: true, ..ALL };
        let leader = [u64::from_ne_bytes(*b"a-leader"), u64::from_ne_bytes(*b"-x\0\0\0\0\0\0")];
        let marks = mark::TAKEN | mark::CALL;
        let all = [words(0, 0, &leader), words(0, marks, &[&leader[..], &call(1), &[8, 11]].concat())].concat();
        let records: Vec<_> = Records::new(&all, parts).collect();
        assert_eq!(records.len(), 2);
        for raw in &records {
            assert_eq!(raw.record(None, parts, clock).leader_comm(), Some(&b"a-leader-x"[..]));
        }
        assert!(matches!(records[1].wait, RawWait::Taken { frames: &[11], .. }));
        assert_eq!(Records::new(&words(0, 0, &[]), ALL).next().unwrap().record(None, ALL, clock).leader_comm(), None);
    }

    #[test]
    fn records_follow_each_other_without_gaps() {
        let long = words(0, mark::TAKEN | mark::CALL, &[call(1), vec![8, 1]].concat());
        let all =
            [long.clone(), words(0, mark::SAME, &[]), words(0, mark::MOVED, &[]), words(0, 0, &[]), long].concat();
        let waits: Vec<_> = Records::new(&all, ALL).map(|raw| std::mem::discriminant(&raw.wait)).collect();
        assert_eq!(waits.len(), 5);
        assert_eq!(waits[0], waits[4]);
    }

    #[test]
    fn names_that_may_be_longer_are_told() {
        let clock = BootClock { ns_per_tick: 1, offset_ns: 0 };
        let longer = |flags| {
            let words = words(flags, 0, &[]);
            let raw = Records::new(&words, ALL).next().unwrap();
            raw.record(None, ALL, clock).may_have_longer_comm()
        };
        assert!(longer(0x0020_0020), "a worker's");
        assert!(!longer(0x0020_0000), "a kernel thread's that is short");
        assert!(!longer(0));
    }

    proptest! {
        #[test]
        fn no_words_panic(words: Vec<u64>, syscall: bool, frames: u8) {
            let parts = Parts { uid: true, leader: syscall, syscall, frames };
            let clock = BootClock { ns_per_tick: 10, offset_ns: i64::MIN };
            for raw in Records::new(&words, parts) {
                let _ = raw.record(None, parts, clock).comm().len();
            }
        }
    }
}
