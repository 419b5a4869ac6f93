//! How side readers read the files of a process. Each file is kept up to a limit, and the fact says if it is longer.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::proc::health::Health;
use crate::proc::parse::stat::{Stat, field};
use crate::proc::parse::{schedstat, smaps, stat, status};
use crate::proc::source::Source;
use crate::proc::{Buffer, ProcRoot, ReadError, TaskDir};
use crate::tasks::facts::fact::Fact;
use crate::tasks::facts::store::ProgramAddresses;
use crate::tasks::facts::witness::RunCount;

/// Command lines are kept up to this many bytes. Of a longer one half as many are kept from each end.
pub(super) const CMDLINE_BYTES: usize = 128 << 10;

/// No more of a command line is read.
const CMDLINE_READ: usize = 16 << 20;

/// The most bytes of `smaps` that are kept of a process, without padding.
pub(super) const SMAPS_BYTES: usize = 48 << 20;

/// The process whose files are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactSubject {
    pub(super) tgid: u32,
    /// A thread other than the leader, which may have ended.
    pub(super) tid: Option<u32>,
}

/// Reads the files of a process.
pub(super) struct ProcessFiles<'a> {
    pub(super) root: &'a ProcRoot,
    pub(super) health: &'a mut Health,
    /// Called between two pieces of a long file; returns whether to go on.
    pub(super) goes_on: &'a mut dyn FnMut() -> bool,
    pub(super) buffer: &'a mut Buffer,
    /// The lines of `smaps` that are kept.
    pub(super) smaps_keys: smaps::SmapsKeys,
}

impl ProcessFiles<'_> {
    /// Reads one fact.
    pub(super) fn fact(&mut self, of: FactSubject, source: Source) -> Fact {
        let own = self.read(of.tgid, None, source);
        // A leader that ended before the other threads shows nothing, but they show the same facts.
        let is_nothing = match &own {
            Ok(Fact::Known(bytes)) => bytes.is_empty(),
            Ok(_) => false,
            Err(error) => matches!(error, ReadError::Gone | ReadError::Unsupported),
        };
        let result = match of.tid.filter(|tid| is_nothing && *tid != of.tgid) {
            Some(tid) => self.read(of.tgid, Some(tid), source).or(own),
            None => own,
        };
        result.unwrap_or_else(Fact::Failed)
    }

    fn read(&mut self, tgid: u32, tid: Option<u32>, source: Source) -> Result<Fact, ReadError> {
        let result = match source {
            Source::Exe => {
                let link = match tid {
                    Some(tid) => self.root.read_task_link(TaskDir { tgid, dir: None }, tid, source, None),
                    None => self.root.read_process_link(tgid, source, source.name()),
                };
                link.map(|link| Fact::Known(link.into()))
            }
            Source::Smaps => self.mappings(tgid, tid),
            _ => self.command_line(tgid, tid),
        };
        let is_there = || self.root.owner(tgid).is_some();
        let result = match result {
            // A kernel thread or a zombie has no executable, so there is no link.
            Err(ReadError::Gone | ReadError::Unsupported) if source == Source::Exe && is_there() => {
                Ok(Fact::Known(Arc::default()))
            }
            // The process exists and its file does not: this kernel has no such file.
            Err(ReadError::Gone) if is_there() => Err(ReadError::Unsupported),
            other => other,
        };
        match &result {
            Ok(Fact::Cut(_)) if source == Source::Smaps => {
                self.health.record_dropped(source, rustix::io::Errno::FBIG, 1)
            }
            other => self.health.record(source, other),
        }
        result
    }

    fn command_line(&mut self, tgid: u32, tid: Option<u32>) -> Result<Fact, ReadError> {
        let mut ends = Ends::default();
        let goes_on = &mut *self.goes_on;
        self.root.stream(tgid, tid, Source::Cmdline, self.buffer, &mut |piece| {
            ends.push(piece);
            if ends.len < CMDLINE_READ && goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(ends.into_fact())
    }

    fn mappings(&mut self, tgid: u32, tid: Option<u32>) -> Result<Fact, ReadError> {
        let mut digest = smaps::Digest::new(self.smaps_keys.clone());
        let goes_on = &mut *self.goes_on;
        self.root.stream(tgid, tid, Source::Smaps, self.buffer, &mut |piece| {
            digest.push(piece);
            if digest.len() < SMAPS_BYTES && goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let is_cut = digest.len() >= SMAPS_BYTES;
        let text: Arc<[u8]> = digest.finish().into();
        Ok(if is_cut { Fact::Cut(text) } else { Fact::Known(text) })
    }

    /// How often a thread has run: by `schedstat`, or by its switches if `by_switches` or if this kernel has no `schedstat`.
    pub(super) fn runs(&mut self, tgid: u32, tid: u32, by_switches: bool) -> Option<RunCount> {
        if !by_switches {
            match self.slices(tgid, tid) {
                Ok(None) | Err(ReadError::Unsupported) => {}
                other => return other.ok().flatten(),
            }
        }
        let text = self.root.read_task(TaskDir { tgid, dir: None }, tid, Source::Status, self.buffer);
        self.health.record(Source::Status, &text);
        Some(RunCount::Switches(switches(text.ok()?)?))
    }

    fn slices(&mut self, tgid: u32, tid: u32) -> Result<Option<RunCount>, ReadError> {
        let text = self.root.read_task(TaskDir { tgid, dir: None }, tid, Source::Schedstat, self.buffer);
        let times = text.and_then(|text| Ok(schedstat::parse(text)?));
        self.health.record(Source::Schedstat, &times);
        times.map(slices)
    }

    /// Where the program lies in memory; `None` if psn may not know.
    pub(super) fn program_addresses(&mut self, of: FactSubject) -> Option<ProgramAddresses> {
        /// The last field that is needed.
        const LAST: usize = field::START_BRK;
        let tid = of.tid.unwrap_or(of.tgid);
        let line = self.root.read_task(TaskDir { tgid: of.tgid, dir: None }, tid, Source::Stat, self.buffer);
        let stat = line.and_then(|line| Ok(Stat::parse(stat::whole(line)?, LAST)?));
        self.health.record(Source::Stat, &stat);
        let stat = stat.ok()?;
        let number = |number| stat.number(number).and_then(|number| u64::try_from(number).ok());
        let addresses = [field::STARTCODE, field::ENDCODE, field::STARTSTACK, LAST].map(|at| number(at).unwrap_or(0));
        // The kernel prints 1 and 0 for addresses that psn may not know (fs/proc/array.c, `do_task_stat`).
        addresses.iter().any(|address| *address > 1).then_some(addresses)
    }
}

/// The run count of `schedstat`; `None` if this kernel does not keep it.
#[must_use]
pub fn slices(times: schedstat::Schedstat) -> Option<RunCount> {
    let is_kept = (times.run_ns, times.timeslices) != (0, 0);
    is_kept.then_some(RunCount::Slices { run_ns: times.run_ns, timeslices: times.timeslices })
}

/// How often a thread was switched out, by the text of `status`.
#[must_use]
pub(crate) fn switches(text: &[u8]) -> Option<u64> {
    let count = |key: &[u8]| status::value(text, key).and_then(crate::proc::parse::unsigned);
    Some(count(b"voluntary_ctxt_switches")?.wrapping_add(count(b"nonvoluntary_ctxt_switches")?))
}

/// The beginning and the end of a text that is read in pieces.
#[derive(Debug, Default)]
struct Ends {
    /// The whole text, or its beginning.
    head: Vec<u8>,
    /// The end, if the text is too long.
    tail: Vec<u8>,
    len: usize,
}

impl Ends {
    const HALF: usize = CMDLINE_BYTES / 2;

    fn push(&mut self, piece: &[u8]) {
        self.len += piece.len();
        if self.tail.is_empty() && self.len <= CMDLINE_BYTES {
            return self.head.extend_from_slice(piece);
        }
        if self.tail.is_empty() {
            self.tail = self.head.split_off(Self::HALF.min(self.head.len()));
            let missing = Self::HALF - self.head.len();
            let (to_head, to_tail) = piece.split_at(missing.min(piece.len()));
            self.head.extend_from_slice(to_head);
            self.tail.extend_from_slice(to_tail);
        } else {
            self.tail.extend_from_slice(piece);
        }
        let surplus = self.tail.len().saturating_sub(Self::HALF);
        self.tail.drain(..surplus);
    }

    fn into_fact(mut self) -> Fact {
        if self.tail.is_empty() {
            return Fact::Known(self.head.into());
        }
        let left_out = self.len - self.head.len() - self.tail.len();
        let (than, tail) = if self.len < CMDLINE_READ { ("", &self.tail[..]) } else { ("more than ", &[][..]) };
        self.head.extend_from_slice(format!(" [... {than}{left_out} bytes left out ...] ").as_bytes());
        self.head.extend_from_slice(tail);
        Fact::Cut(self.head.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &[u8], piece: usize) -> Fact {
        let mut ends = Ends::default();
        text.chunks(piece).for_each(|piece| ends.push(piece));
        ends.into_fact()
    }

    #[test]
    fn a_command_line_is_whole_up_to_its_bound_and_has_both_ends_beyond() {
        let text: Vec<u8> = (0..3 * CMDLINE_BYTES).map(|at| b'a' + (at % 23) as u8).collect();
        for piece in [1, 4096, 70_000, 1 << 20] {
            assert_eq!(kept(&text[..CMDLINE_BYTES], piece), Fact::Known(text[..CMDLINE_BYTES].into()));
            for len in [CMDLINE_BYTES + 1, CMDLINE_BYTES + 4097, text.len()] {
                let text = &text[..len];
                let half = CMDLINE_BYTES / 2;
                let mark = format!(" [... {} bytes left out ...] ", len - CMDLINE_BYTES);
                let expected = [&text[..half], mark.as_bytes(), &text[len - half..]].concat();
                assert!(kept(text, piece) == Fact::Cut(expected.into()), "{len} in pieces of {piece}");
            }
        }
    }
}
