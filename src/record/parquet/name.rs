//! The names of files and directories in a dataset. They sort by time, and are safe in paths whatever hosts and runs are
//! called.

use std::fmt;

/// The extension of complete parts.
const EXTENSION: &str = ".parquet";

/// The name of a part: `part-START-RUN-NUMBER.parquet`. A merged part has two numbers, the first and the last of what it was
/// merged from: `FIRST_LAST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartName {
    /// The time of the first tick, in microseconds, UTC.
    pub start: String,
    /// The run, encoded.
    pub run: String,
    /// The part's number in the run, or the first of a merged part.
    pub first: u64,
    /// The last number of a merged part; otherwise the same.
    pub last: u64,
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part-{}-{}-{:08}", self.start, self.run, self.first)?;
        if self.last != self.first {
            write!(f, "_{:08}", self.last)?;
        }
        f.write_str(EXTENSION)
    }
}

impl PartName {
    /// The name of part `number` of a run, whose first tick is at `start_ns`.
    pub(super) fn new(start_ns: u64, run: &str, number: u64) -> Self {
        Self { start: start(start_ns), run: encode(run), first: number, last: number }
    }

    /// The name of the part that `first` to `last` are merged into.
    pub(super) fn merged(first: &Self, last: &Self) -> Self {
        Self { last: last.last, ..first.clone() }
    }

    /// Parses a name; none if it is not that of a part.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (start, rest) = name.strip_prefix("part-")?.strip_suffix(EXTENSION)?.split_once('-')?;
        let (run, numbers) = rest.rsplit_once('-')?;
        let (first, last) = numbers.split_once('_').unwrap_or((numbers, numbers));
        let name = Self { start: start.to_owned(), run: run.to_owned(), first: number(first)?, last: number(last)? };
        (is_start(start) && name.first <= name.last && !run.contains('/')).then_some(name)
    }

    /// The name that a part has while it is written.
    pub(super) fn temporary(name: &str) -> String {
        format!(".{name}.tmp")
    }

    /// Whether this is the name that a part has while it is written.
    pub(super) fn is_temporary(name: &str) -> bool {
        let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
        name.is_some_and(|name| Self::parse(name).is_some())
    }

    /// Whether the part `other` belongs to those that are merged into this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let is_larger = self.last - self.first > other.last.saturating_sub(other.first);
        is_larger && self.run == other.run && self.first <= other.first && other.last <= self.last
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn is_start(text: &str) -> bool {
    const FORM: &[u8] = b"00000000T000000.000000Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}

fn utc(ns: u64) -> jiff::civil::DateTime {
    let timestamp = jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::Offset::UTC.to_datetime(timestamp)
}

/// A time in the form in which names contain it.
pub(super) fn start(ns: u64) -> String {
    let time = utc(ns);
    let (date, clock) = (time.date(), time.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:06}Z",
        date.year(),
        date.month(),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.subsec_nanosecond() / 1000
    )
}

/// The directory of an hour, relative to that of its host. Hours sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hour {
    /// `date=2026-11-23`
    pub date: String,
    /// `hour=03`
    pub hour: String,
}

impl Hour {
    /// The hour of a time.
    pub(super) fn of(ns: u64) -> Self {
        let time = utc(ns);
        let date = time.date();
        Self {
            date: format!("date={:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
            hour: format!("hour={:02}", time.hour()),
        }
    }

    /// Whether the directory `name` could be of a date.
    pub(super) fn is_date(name: &str) -> bool {
        name.starts_with("date=")
    }

    /// Whether the directory `name` could be of an hour.
    pub(super) fn is_hour(name: &str) -> bool {
        name.starts_with("hour=")
    }
}

/// The name of a host's directory.
pub(super) fn host(name: &str) -> String {
    format!("host={}", if name.is_empty() { "unknown".to_owned() } else { encode(name) })
}

/// The name of the hidden directory for the parts that become the single file `name`.
pub(super) fn staging(name: &str) -> String {
    format!(".{name}.parts")
}

/// Encodes `text`: every byte that could have a meaning in a path becomes `%XX`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            // Engines ignore files whose names begin like this.
            b'.' | b'_' if place == 0 => out.push_str(&format!("%{byte:02X}")),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: u64 = 1_795_405_493_123_456_789;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = PartName::new(NS, "4f2c-17-99", 7);
        assert_eq!(name.to_string(), "part-20261123T034453.123456Z-4f2c-17-99-00000007.parquet");
        assert_eq!(PartName::parse(&name.to_string()), Some(name.clone()));
        let merged = PartName::merged(&name, &PartName { first: 12, last: 12, ..name.clone() });
        assert_eq!(merged.to_string(), "part-20261123T034453.123456Z-4f2c-17-99-00000007_00000012.parquet");
        assert_eq!(PartName::parse(&merged.to_string()), Some(merged.clone()));
        assert!(merged.covers(&name) && !name.covers(&merged) && !merged.covers(&merged));
        assert!(PartName::is_temporary(&PartName::temporary(&name.to_string())));
    }

    #[test]
    fn other_files_are_not_taken_for_parts() {
        for name in [
            "part-0.parquet",
            "part-20261123T034453.123456Z-a-1.csv",
            "part-20261123-a-1.parquet",
            "part-20261123T034453.123456Z-a-x.parquet",
            "part-20261123T034453.123456Z-a-5_4.parquet",
            "part-20261123T034453.123456Z-1.parquet",
            "data.parquet",
            "",
        ] {
            assert_eq!(PartName::parse(name), None, "{name}");
            assert!(!PartName::is_temporary(name));
        }
        assert!(!PartName::is_temporary(".data.parquet.tmp"));
    }

    #[test]
    fn no_host_leads_out_of_the_dataset() {
        assert_eq!(host("web-1.example"), "host=web-1.example");
        assert_eq!(host("../x"), "host=%2E.%2Fx");
        assert_eq!(host("_a b="), "host=%5Fa%20b%3D");
        assert_eq!(host(""), "host=unknown");
    }

    #[test]
    fn hours_sort_by_time() {
        let hour = Hour::of(NS);
        assert_eq!((hour.date.as_str(), hour.hour.as_str()), ("date=2026-11-23", "hour=03"));
        assert!(hour < Hour::of(NS + 3_600_000_000_000) && start(NS) < start(NS + 1000));
    }
}
