//! Reads the records of a walk, which the program wrote one after another without gaps.

use crate::kernel::clock::BootClock;
use crate::kernel::parts::state::TaskState;
use crate::kernel::parts::{HEADER, RecordLayout, TaskRecord, WaitFacts, cpu, identity, record_flags};
use crate::kernel::record_words::RecordWords;

impl TaskRecord<'_> {
    /// The length of the longest name in a record, in bytes.
    const COMM_MAX: usize = 15;

    /// The name of the thread.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        until_0(&self.comm)
    }

    /// The name of the process, if the record has it.
    #[must_use]
    pub fn leader_comm(&self) -> Option<&[u8]> {
        self.leader.as_ref().map(until_0)
    }

    /// Whether the task waits: its state is not R, it has not ended, and it is not on a CPU, where a task about to sleep still is.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.is_on_cpu && self.state != TaskState::RUNNING && !self.state.has_ended()
    }

    /// Whether the task is a kernel thread.
    #[must_use]
    pub const fn is_kernel_thread(&self) -> bool {
        identity::is_kernel_thread(self.flags)
    }

    /// Whether the task is a worker that io_uring made for a program.
    #[must_use]
    pub const fn is_io_worker(&self) -> bool {
        identity::is_io_worker(self.flags)
    }

    /// Whether /proc may show a longer name. It appends the work to the name of a worker (`kworker/0:1-events`), and shows the full
    /// names of kernel threads.
    #[must_use]
    pub fn may_have_longer_comm(&self) -> bool {
        identity::is_worker(self.flags) || (self.is_kernel_thread() && self.comm().len() == Self::COMM_MAX)
    }
}

fn until_0(name: &[u8; 16]) -> &[u8] {
    let end = memchr::memchr(0, name).unwrap_or(name.len());
    name.get(..end).unwrap_or_default()
}

/// A record as the program wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    /// The part that every record has. It is an array so that the compiler knows its length and needs no bounds checks.
    header: &'a [u64; HEADER],
    words: RecordWords<'a>,
    record_layout: &'a RecordLayout,
}

/// What a record says about the task's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitInfo {
    /// Nothing: the task is in no wait, or waits were not requested.
    None,
    /// The task ran while the program looked at it.
    Moved,
    /// It is the wait that an earlier record described.
    Same,
    /// The record describes the wait.
    Taken,
}

impl<'a> RawRecord<'a> {
    #[inline]
    const fn header(&self) -> RecordWords<'a> {
        RecordWords(self.header)
    }

    /// What the record says about the task's wait.
    #[inline]
    pub(crate) fn wait(&self) -> WaitInfo {
        let record_flags = record_flags::read(self.header());
        if record_flags & record_flags::TAKEN != 0 {
            WaitInfo::Taken
        } else if record_flags & record_flags::SAME != 0 {
            WaitInfo::Same
        } else if record_flags & record_flags::MOVED != 0 {
            WaitInfo::Moved
        } else {
            WaitInfo::None
        }
    }

    /// The wait that the record describes, and its stack.
    pub(crate) fn facts(&self) -> (WaitFacts, &'a [u64]) {
        (self.record_layout.wait(self.words), self.record_layout.frames(self.words))
    }

    /// The thread id, the start time in nanoseconds of the boot clock, and the number of context switches.
    #[inline]
    pub(crate) fn identity(&self) -> (u32, u64, u64) {
        let header = self.header();
        (identity::read_tid(header), identity::read_start_ns(header), cpu::read_switches(header))
    }

    /// The complete record. `wait` is what the task waits for, if that is known.
    #[inline]
    pub(crate) fn task<'b>(&self, wait: Option<(&'b WaitFacts, &'b [u64])>, clock: BootClock) -> TaskRecord<'b> {
        let has_moved = match self.wait() {
            WaitInfo::None => false,
            WaitInfo::Moved => true,
            WaitInfo::Same | WaitInfo::Taken => wait.is_none(),
        };
        self.record_layout.task(self.header(), self.words, wait, has_moved, clock)
    }
}

/// An iterator over the records in a slice of words.
#[derive(Debug)]
pub(crate) struct RawRecords<'a> {
    words: &'a [u64],
    record_layout: &'a RecordLayout,
}

impl<'a> RawRecords<'a> {
    /// The records of this layout in `words`.
    pub(crate) const fn new(words: &'a [u64], record_layout: &'a RecordLayout) -> Self {
        Self { words, record_layout }
    }
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = RawRecord<'a>;

    /// The next record; `None` at the end, and if the record is incomplete.
    #[inline]
    fn next(&mut self) -> Option<RawRecord<'a>> {
        let header = self.words.first_chunk::<HEADER>()?;
        let length = self.record_layout.record_words(RecordWords(header), RecordWords(self.words))?;
        let (record, rest) = self.words.split_at_checked(length)?;
        self.words = rest;
        Some(RawRecord { header, words: RecordWords(record), record_layout: self.record_layout })
    }
}

/// Records for the tests of other modules.
#[cfg(test)]
impl TaskRecord<'static> {
    /// The record of a user thread in this state that is on no CPU, without optional parts.
    pub(crate) fn in_state(letter: u8) -> Self {
        let clock = BootClock { ns_per_tick: 1, offset_ns: 0 };
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"name");
        Self {
            tid: 7,
            tgid: 5,
            state: TaskState::all().find(|state| state.letter() == letter).unwrap(),
            cpu: 3,
            starttime_ticks: 99,
            flags: 0x40,
            switches: 1,
            comm,
            ..made::record_layout(crate::kernel::parts::Parts::default()).task(
                RecordWords(&[]),
                RecordWords(&[]),
                None,
                false,
                clock,
            )
        }
    }
}

/// Builds records for tests, in the form that the program writes.
#[cfg(test)]
pub(crate) mod made {
    use super::{RawRecord, RawRecords};
    use crate::kernel::bpf::btf::Btf;
    use crate::kernel::layout::KernelLayout;
    use crate::kernel::parts::{Parts, RecordLayout};

    /// The layout of records on the kernel of the test data.
    pub(crate) fn record_layout(parts: Parts) -> RecordLayout {
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/kernel");
        RecordLayout::new(&KernelLayout::find(&Btf::parse(bytes).unwrap()).unwrap().parts, parts)
    }

    /// Values of the part that every record has.
    pub(crate) struct TestHeader {
        pub(crate) tid: u32,
        pub(crate) start: u64,
        pub(crate) switches: u64,
        pub(crate) flags: u32,
        pub(crate) record_flags: i32,
    }

    /// A record with this header, the user 1000, and the parts of its wait.
    pub(crate) fn words(header: &TestHeader, wait: &[u64]) -> Vec<u64> {
        let mut bytes = [0; 56];
        let mut put = |place: usize, value: &[u8]| bytes[place..][..value.len()].copy_from_slice(value);
        put(2, &[1, header.record_flags as u8]);
        put(4, &7_u32.to_ne_bytes());
        put(8, &header.switches.to_ne_bytes());
        put(16, &header.tid.to_ne_bytes());
        put(20, &4_u32.to_ne_bytes());
        put(24, &header.start.to_ne_bytes());
        put(32, b"a) R 1\xff\0rest");
        put(48, &header.flags.to_ne_bytes());
        put(52, &1000_u32.to_ne_bytes());
        let header = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
        header.chain(wait.iter().copied()).collect()
    }

    /// The only record in these words.
    pub(crate) fn raw<'a>(words: &'a [u64], record_layout: &'a RecordLayout) -> RawRecord<'a> {
        let mut records = RawRecords::new(words, record_layout);
        let raw = records.next().unwrap();
        assert!(records.next().is_none());
        raw
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::made::{TestHeader, raw, record_layout};
    use super::*;
    use crate::kernel::parts::{Parts, RecordedCall, Registers};

    const ALL: Parts = Parts::OF_CALLS;
    const CLOCK: BootClock = BootClock { ns_per_tick: 10_000_000, offset_ns: -10_000_000 };

    fn words(flags: u32, record_flags: i32, wait: &[u64]) -> Vec<u64> {
        made::words(&TestHeader { tid: 5, start: 30_000_000, switches: 9, flags, record_flags }, wait)
    }

    fn call(number: u64) -> Vec<u64> {
        vec![number, 1, 2, 3, 4, 5, 6, 70, 80]
    }

    fn taken(words: &[u64], parts: Parts) -> (RecordedCall, Vec<u64>) {
        let record_layout = record_layout(parts);
        let raw = raw(words, &record_layout);
        assert_eq!(raw.wait(), WaitInfo::Taken);
        let (facts, frames) = raw.facts();
        (facts.call, frames.to_vec())
    }

    #[test]
    fn fields_come_back_as_they_were_written() {
        let words = words(0x42, record_flags::ON_CPU, &[]);
        let all = record_layout(ALL);
        let raw = raw(&words, &all);
        let record = raw.task(None, CLOCK);
        assert_eq!((record.tid, record.tgid, record.cpu, record.uid), (5, 4, 7, Some(1000)));
        assert_eq!((record.state.letter(), record.is_on_cpu, record.has_moved), (b'S', true, false));
        assert_eq!((record.starttime_ticks, record.flags, record.switches), (2, 0x42, 9));
        assert_eq!(record.comm(), b"a) R 1\xff");
        assert_eq!(raw.identity(), (5, 30_000_000, 9));
        assert_eq!(made::raw(&words, &record_layout(Parts::default())).task(None, CLOCK).uid, None);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_call_is_told_from_none_and_from_a_kernel_thread() {
        let registers = Registers { sp: 70, ip: 80 };
        let tail = |number| [call(number), vec![16, 11, 12]].concat();
        let some = |number, is_compat| RecordedCall::Some { number, is_compat, args: [1, 2, 3, 4, 5, 6], registers };
        assert_eq!(taken(&words(0, record_flags::TAKEN, &tail(202)), ALL), (some(202, false), vec![11, 12]));
        assert_eq!(taken(&words(0, record_flags::TAKEN | record_flags::COMPAT, &tail(3)), ALL).0, some(3, true));
        assert_eq!(taken(&words(0, record_flags::TAKEN, &tail(u64::MAX)), ALL).0, RecordedCall::None(registers));
        assert_eq!(taken(&words(0, record_flags::TAKEN, &tail(0xffff_ffff)), ALL).0, RecordedCall::None(registers));
        assert_eq!(taken(&words(0x0020_0000, record_flags::TAKEN, &tail(0)), ALL).0, RecordedCall::KernelThread);
        let parts = Parts { frames: 0, ..ALL };
        assert_eq!(taken(&words(0, record_flags::TAKEN, &call(1)), parts), (some(1, false), vec![]));
        let parts = Parts { call: false, ..ALL };
        assert_eq!(taken(&words(0, record_flags::TAKEN, &[8, 11]), parts), (RecordedCall::Unknown, vec![11]));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_leaders_name_is_before_the_wait() {
        let record_layout = record_layout(Parts { leader: true, ..ALL });
        let leader = [u64::from_ne_bytes(*b"a-leader"), u64::from_ne_bytes(*b"-x\0\0\0\0\0\0")];
        let long = words(0, record_flags::TAKEN, &[&leader[..], &call(1), &[8, 11]].concat());
        let all = [words(0, 0, &leader), long].concat();
        let records: Vec<_> = RawRecords::new(&all, &record_layout).collect();
        assert_eq!(records.len(), 2);
        for raw in &records {
            assert_eq!(raw.task(None, CLOCK).leader_comm(), Some(&b"a-leader-x"[..]));
        }
        assert_eq!(records[1].facts().1, [11]);
        let without = made::record_layout(ALL);
        assert_eq!(raw(&words(0, 0, &[]), &without).task(None, CLOCK).leader_comm(), None);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn records_follow_each_other_without_gaps() {
        let long = words(0, record_flags::TAKEN, &[call(1), vec![8, 1]].concat());
        let all = [
            long.clone(),
            words(0, record_flags::SAME, &[]),
            words(0, record_flags::MOVED, &[]),
            words(0, 0, &[]),
            long,
        ]
        .concat();
        let waits: Vec<_> = RawRecords::new(&all, &record_layout(ALL)).map(|raw| raw.wait()).collect();
        assert_eq!(waits, [WaitInfo::Taken, WaitInfo::Same, WaitInfo::Moved, WaitInfo::None, WaitInfo::Taken]);
    }

    #[test]
    fn records_are_no_larger_than_what_is_asked_for() {
        let bytes = |parts| {
            (record_layout(parts).short(), record_layout(parts).long() + record_layout(parts).max_frames_bytes())
        };
        assert_eq!(bytes(Parts::default()), (56, 56));
        assert_eq!(bytes(Parts { uid: true, ..Parts::default() }), (56, 56));
        assert_eq!(bytes(Parts { frames: 1, ..Parts::default() }), (56, 72));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(bytes(Parts::everything()), (96, 96 + 72 + 16 + 8 + 64 * 8));
    }

    #[test]
    fn names_that_may_be_longer_are_told() {
        let all = record_layout(ALL);
        let longer = |flags| raw(&words(flags, 0, &[]), &all).task(None, CLOCK).may_have_longer_comm();
        assert!(longer(0x0020_0020), "a worker's");
        assert!(!longer(0x0020_0000), "a kernel thread's that is short");
        assert!(!longer(0));
    }

    proptest! {
        #[test]
        fn no_words_panic(words: Vec<u64>, call: bool, frames: u8) {
            let record_layout = record_layout(Parts { call, frames, ..Parts::everything() });
            let clock = BootClock { ns_per_tick: 10, offset_ns: i64::MIN };
            for raw in RawRecords::new(&words, &record_layout) {
                let (facts, frames) = raw.facts();
                let _ = raw.task(Some((&facts, frames)), clock).comm().len();
            }
        }
    }
}
