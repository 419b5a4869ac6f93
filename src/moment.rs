//! Points and lengths of time as people type them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds since 1970.
    At(u64),
    /// Nanoseconds before the end of what is looked at.
    BeforeEnd(u64),
}

impl Moment {
    /// Understands `-15m`, `2026-11-23T03:00:00Z` and `2026-11-23 03:00`; the last is in this host's time zone.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(length) = text.strip_prefix('-') {
            return Ok(Self::BeforeEnd(nanoseconds(parse_duration(length)?)));
        }
        let timestamp = match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => timestamp,
            Err(_) => {
                let wanted =
                    || "give a time as 2026-11-23T03:00:00Z or '2026-11-23 03:00', or -15m before the end".to_owned();
                let local: DateTime = text.parse().map_err(|_| wanted())?;
                local.to_zoned(TimeZone::system()).map_err(|_| wanted())?.timestamp()
            }
        };
        u64::try_from(timestamp.as_nanosecond()).map(Self::At).map_err(|_| "times begin in 1970".to_owned())
    }

    /// Nanoseconds since 1970, if what is looked at ends at `end_ns`.
    #[must_use]
    pub const fn resolve(self, end_ns: u64) -> u64 {
        match self {
            Self::At(ns) => ns,
            Self::BeforeEnd(ns) => end_ns.saturating_sub(ns),
        }
    }
}

/// Understands `90s`, `15m`, `2h`, `7d` and `500ms`; a number alone is seconds.
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("give a length of time as 90s, 15m, 2h or 7d".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 => {
            Duration::try_from_secs_f64(number * seconds).map_err(|_| "that is too long a time".to_owned())
        }
        _ => Err("give a length of time as 90s, 15m, 2h or 7d".to_owned()),
    }
}

/// `duration` in nanoseconds, as far as they can be counted: 584 years.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The time `ns` nanoseconds after 1970, RFC 3339, UTC, with as many digits as it needs.
#[must_use]
pub fn timestamp(ns: u64) -> Option<String> {
    jiff::Timestamp::from_nanosecond(ns.into()).ok().map(|timestamp| timestamp.to_string())
}

/// Understands a number of bytes: `512M`, `20G`, or bytes alone.
///
/// # Errors
/// What would be right.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wanted = || "give a size as 512M or 20G".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wanted()),
    };
    let number: u64 = number.parse().map_err(|_| wanted())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        for wrong in ["", "m", "0s", "-5s", "5 weeks", "1e400d", "9999999999999999999999d", "ス"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments() {
        assert_eq!(Moment::parse("1970-01-01T00:01:00Z"), Ok(Moment::At(60_000_000_000)));
        assert_eq!(Moment::parse("1970-01-01T01:01:00+01:00"), Ok(Moment::At(60_000_000_000)));
        assert_eq!(Moment::parse("-15m"), Ok(Moment::BeforeEnd(900_000_000_000)));
        assert_eq!(Moment::parse("-15m").unwrap().resolve(1_000_000_000_000), 100_000_000_000);
        assert!(matches!(Moment::parse("2026-11-23 03:00"), Ok(Moment::At(_))));
        for wrong in ["", "-", "yesterday", "1960-01-01T00:00:00Z", "25:00"] {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("20GiB"), Ok(20 << 30));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        for wrong in ["", "0", "G", "1X", "99999999999999999999G", "9999999999999T"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
