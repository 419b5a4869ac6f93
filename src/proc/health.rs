//! The account of reads: each attempt is in exactly one class.

use super::attempts::Attempts;
use std::collections::BTreeMap;
#[cfg(debug_assertions)]
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::proc::ReadError;
use crate::proc::lookup::PerSource;
use crate::proc::source::Source;

/// The attempts to read one file, by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The bytes were read and understood.
    pub ok: u64,
    /// The task had ended.
    pub gone: u64,
    /// The kernel refused.
    pub denied: u64,
    /// This kernel has no such file.
    pub unsupported: u64,
    /// The read did not return in time.
    pub timed_out: u64,
    /// The read failed for lack of a resource or with an I/O error.
    pub dropped: u64,
    /// The bytes are in no known format.
    pub malformed: u64,
}

impl Counts {
    /// All attempts.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        // The counts may come from a recording, and be anything.
        self.ok
            .saturating_add(self.gone)
            .saturating_add(self.denied)
            .saturating_add(self.unsupported)
            .saturating_add(self.timed_out)
            .saturating_add(self.dropped)
            .saturating_add(self.malformed)
    }

    /// Whether any class but `ok` and `gone` occurred, which the report then mentions.
    #[must_use]
    pub const fn is_notable(&self) -> bool {
        self.denied > 0 || self.unsupported > 0 || self.timed_out > 0 || self.dropped > 0 || self.malformed > 0
    }

    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.gone += other.gone;
        self.denied += other.denied;
        self.unsupported += other.unsupported;
        self.timed_out += other.timed_out;
        self.dropped += other.dropped;
        self.malformed += other.malformed;
    }
}

/// The account of a worker or of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    sources: PerSource<Counts>,
    /// The errors behind `dropped`, by file.
    dropped: BTreeMap<(Source, i32), u64>,
}

impl Health {
    /// Counts one attempt.
    #[inline]
    pub fn record<T>(&mut self, source: Source, result: &Result<T, ReadError>) {
        match result {
            Ok(_) => self.sources[source].ok += 1,
            Err(error) => self.record_error(source, *error),
        }
    }

    /// Counts `count` attempts that succeeded.
    #[inline]
    pub(crate) fn record_ok(&mut self, source: Source, count: u64) {
        self.sources[source].ok += count;
    }

    /// Counts one attempt that failed.
    #[cold]
    pub(crate) fn record_error(&mut self, source: Source, error: ReadError) {
        let counts = &mut self.sources[source];
        match error {
            ReadError::Gone => counts.gone += 1,
            ReadError::Denied => counts.denied += 1,
            ReadError::Unsupported => counts.unsupported += 1,
            ReadError::TimedOut => counts.timed_out += 1,
            ReadError::Malformed => counts.malformed += 1,
            ReadError::Dropped(errno) => {
                counts.dropped += 1;
                *self.dropped.entry((source, errno.raw_os_error())).or_default() += 1;
            }
        }
    }

    /// Counts `count` attempts that failed for lack of a resource.
    pub(crate) fn record_dropped(&mut self, source: Source, errno: Errno, count: u64) {
        if count > 0 {
            self.sources[source].dropped += count;
            *self.dropped.entry((source, errno.raw_os_error())).or_default() += count;
        }
    }

    /// Moves one attempt from `ok` to the class of `error`, because its bytes turned out to be unusable.
    #[cold]
    pub(crate) fn correct(&mut self, source: Source, error: ReadError) {
        let ok = &mut self.sources[source].ok;
        debug_assert!(*ok > 0, "no attempt on {} was counted as understood", source.name());
        *ok = ok.saturating_sub(1);
        self.record_error(source, error);
    }

    /// Takes back one attempt that had timed out: it returned after all, and the caller counts its result.
    #[cold]
    pub(crate) fn retract_timeout(&mut self, source: Source) {
        let timed_out = &mut self.sources[source].timed_out;
        debug_assert!(*timed_out > 0, "no attempt on {} had timed out", source.name());
        *timed_out = timed_out.saturating_sub(1);
    }

    /// Adds another account and empties it.
    pub fn take(&mut self, other: &mut Self) {
        for ((_, mine), (_, theirs)) in self.sources.iter_mut().zip(other.sources.iter_mut()) {
            mine.add(theirs);
            *theirs = Counts::default();
        }
        for (key, count) in std::mem::take(&mut other.dropped) {
            *self.dropped.entry(key).or_default() += count;
        }
        self.debug_assert_sums();
    }

    /// In debug builds, checks that each of `attempts` is in exactly one class here, and nothing else is. Do not call it during a
    /// read.
    pub(crate) fn debug_assert_accounts_for(&self, attempts: &Attempts) {
        #[cfg(debug_assertions)]
        for ((source, counts), (_, attempts)) in self.sources.iter().zip(attempts.0.iter()) {
            // Of listings only the failed ones are counted, and the kernel's walk reads no file.
            if !matches!(source, Source::Task | Source::Kernel) {
                let attempts = attempts.load(Ordering::Relaxed);
                debug_assert_eq!(counts.attempts(), attempts, "reads of {}: {counts:?}", source.name());
            }
        }
        #[cfg(not(debug_assertions))]
        let _ = attempts;
    }

    /// In debug builds, checks for each file that every dropped read has an errno.
    fn debug_assert_sums(&self) {
        if cfg!(debug_assertions) {
            let mut errnos = PerSource::<u64>::default();
            self.dropped.iter().for_each(|((source, _), count)| errnos[*source] += count);
            for ((source, counts), (_, errnos)) in self.sources.iter().zip(errnos.iter()) {
                debug_assert_eq!(counts.dropped, *errnos, "dropped reads of {}", source.name());
            }
        }
    }

    /// The counts of the files that were tried, by file name, cheapest first.
    #[must_use]
    pub fn by_file(&self) -> Vec<(&'static str, Counts)> {
        let mut files: Vec<(&'static str, Counts)> = Vec::new();
        for (source, counts) in self.sources.iter() {
            match files.iter_mut().find(|(name, _)| *name == source.name()) {
                Some((_, sum)) => sum.add(counts),
                None => files.push((source.name(), *counts)),
            }
        }
        files.retain(|(_, counts)| counts.attempts() > 0);
        files
    }

    /// The errors behind `dropped`: file, errno, how many.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, Errno, u64)> {
        self.dropped.iter().map(|((source, errno), count)| (source.name(), Errno::from_raw_os_error(*errno), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_is_in_exactly_one_class() {
        let errors = [
            ReadError::Gone,
            ReadError::Denied,
            ReadError::Unsupported,
            ReadError::TimedOut,
            ReadError::Dropped(Errno::MFILE),
            ReadError::Malformed,
        ];
        let mut health = Health::default();
        health.record(Source::Stat, &Ok(()));
        for error in errors {
            health.record::<()>(Source::Stat, &Err(error));
        }
        let mut session = Health::default();
        session.take(&mut health);
        assert_eq!(health, Health::default());
        let [(name, counts)] = session.by_file()[..] else { panic!("one file") };
        assert_eq!((name, counts.attempts(), counts.ok, counts.dropped), ("stat", 7, 1, 1));
        assert!(counts.is_notable());
        assert_eq!(session.dropped().collect::<Vec<_>>(), [("stat", Errno::MFILE, 1)]);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_read_that_was_not_accounted_for_is_noticed_and_so_is_one_that_was_not_made() {
        let attempts = Attempts::default();
        let mut health = Health::default();
        let holds = |health: &Health| std::panic::catch_unwind(|| health.debug_assert_accounts_for(&attempts)).is_ok();
        attempts.count(Some(Source::Io));
        attempts.count(None);
        assert!(!holds(&health));
        health.record_error(Source::Stat, ReadError::Gone);
        assert!(!holds(&health), "of another file");
        attempts.count(Some(Source::Stat));
        health.record_error(Source::Io, ReadError::Denied);
        assert!(holds(&health));
        health.record_ok(Source::Io, 1);
        assert!(!holds(&health));
        attempts.forget();
        assert!(holds(&Health::default()));
    }

    #[test]
    fn ids_and_status_are_one_file() {
        let mut health = Health::default();
        health.record_ok(Source::Status, 2);
        health.record_ok(Source::Owner, 3);
        assert_eq!(health.by_file()[0].1.ok, 5);
    }
}
