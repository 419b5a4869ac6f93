//! Points in time, durations and sizes as text: parsed as users type them, formatted for people and for machines.

use std::sync::OnceLock;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// A point in time as typed, which may depend on the end of the recording that it is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePoint {
    /// Nanoseconds since 1970.
    At(u64),
    /// Nanoseconds before the end of the recording.
    BeforeEnd(u64),
    /// This local time of day, the last time before the end of the recording.
    OfDay(Time),
}

/// The accepted forms of a time, for messages.
const FORMS: &str = "give a time as 03:05, 'yesterday 03:05', '2026-11-23 03:05', 2026-11-23T03:05:00Z, \
                     '2026-11-23T03:05[Europe/Berlin]', '1 hour ago', -15m (before the end of the recording), or seconds since 1970";

impl TimePoint {
    /// Parses a time, in the time zone of this host unless it names another:
    /// - `03:05`: the last such time before the end of the recording
    /// - `yesterday 03:05`, `today`, `now`, `1 hour ago`, `1h30m ago`: relative to the current time
    /// - `2026-11-23 03:05`, `2026-11-23T03:05:00Z`, `2026-11-23T03:05[Europe/Berlin]`
    /// - `-15m`, `-1m30s`: before the end of the recording
    /// - `1795402800`, `@1795402800.5`: seconds since 1970
    ///
    /// # Errors
    /// What to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let zone = zone().as_ref().map_err(String::clone);
        Self::parse_in(text.trim(), &Timestamp::now(), zone)
    }

    fn parse_in(text: &str, now: &Timestamp, zone: Result<&TimeZone, String>) -> Result<Self, String> {
        if let Some(length) = text.strip_prefix('-') {
            return Ok(Self::BeforeEnd(nanoseconds(parse_duration(length)?)));
        }
        if let Some(length) = text.strip_suffix(" ago") {
            return at(now.checked_sub(parse_duration(length)?).map_err(|_| "the time is too long ago".to_owned())?);
        }
        if let Some(seconds) = since_1970(text)? {
            return Ok(seconds);
        }
        if text.contains('[') {
            // The text names its time zone.
            return at(text.parse::<Zoned>().map_err(|error| format!("{error}; {FORMS}"))?.timestamp());
        }
        match text.parse::<Timestamp>() {
            Ok(timestamp) => at(timestamp),
            Err(_) => Self::parse_local(text, now, zone?),
        }
    }

    /// Parses the forms that are in local time.
    fn parse_local(text: &str, now: &Timestamp, zone: &TimeZone) -> Result<Self, String> {
        let wanted = |_| FORMS.to_owned();
        let (day, rest) = text.split_once(' ').unwrap_or((text, ""));
        let days_ago = match day {
            "now" if rest.is_empty() => return at(*now),
            "today" => Some(0),
            "yesterday" => Some(1),
            _ => None,
        };
        if let Some(days_ago) = days_ago {
            let today = now.to_zoned(zone.clone()).date();
            let date = today.checked_sub(Span::new().days(days_ago)).map_err(wanted)?;
            let time = if rest.is_empty() { Time::midnight() } else { time_of_day(rest)? };
            return at(date.to_datetime(time).to_zoned(zone.clone()).map_err(wanted)?.timestamp());
        }
        if let Ok(time) = time_of_day(text) {
            return Ok(Self::OfDay(time));
        }
        let local: DateTime = text.parse().map_err(wanted)?;
        at(local.to_zoned(zone.clone()).map_err(wanted)?.timestamp())
    }

    /// The nanoseconds since 1970 for a recording that ends at `end_ns`.
    #[must_use]
    pub(crate) fn resolve(self, end_ns: u64) -> u64 {
        match self {
            Self::At(ns) => ns,
            Self::BeforeEnd(ns) => end_ns.saturating_sub(ns),
            Self::OfDay(time) => last_at(time, end_ns, &zone_or_utc()).unwrap_or(0),
        }
    }
}

fn at(timestamp: Timestamp) -> Result<TimePoint, String> {
    u64::try_from(timestamp.as_nanosecond()).map(TimePoint::At).map_err(|_| "the time is before 1970".to_owned())
}

/// Parses `03:05` and `03:05:07`; a number without a colon is not a time of day.
fn time_of_day(text: &str) -> Result<Time, String> {
    let is_one = text.contains(':') && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let time = if is_one { text.parse::<Time>().ok() } else { None };
    time.ok_or_else(|| FORMS.to_owned())
}

/// Parses `1795402800` and `@1795402800.5`. A short number without `@` is refused: it probably lacks its unit.
fn since_1970(text: &str) -> Result<Option<TimePoint>, String> {
    let (number, is_marked) = text.strip_prefix('@').map_or((text, false), |number| (number, true));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Ok(None);
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !is_marked && whole.len() < 9 {
        return Err(format!("{number} has no unit: {FORMS}"));
    }
    let whole: Option<u64> = whole.parse().ok().filter(|_| part.len() <= 9 && !part.contains('.'));
    let part: u64 = format!("{part:0<9}").parse().unwrap_or(0);
    let ns = whole.and_then(|whole| whole.checked_mul(1_000_000_000)?.checked_add(part));
    ns.map(|ns| Some(TimePoint::At(ns))).ok_or_else(|| FORMS.to_owned())
}

/// The last point in time at or before `end_ns` when it was `time` in `zone`.
fn last_at(time: Time, end_ns: u64, zone: &TimeZone) -> Option<u64> {
    let end = Timestamp::from_nanosecond(end_ns.into()).ok()?;
    let date = end.to_zoned(zone.clone()).date();
    let dates = [Some(date), date.yesterday().ok()];
    let times = dates.into_iter().flatten().filter_map(|date| date.to_datetime(time).to_zoned(zone.clone()).ok());
    let times = times.map(|zoned| zoned.timestamp()).filter(|timestamp| *timestamp <= end);
    u64::try_from(times.max()?.as_nanosecond()).ok()
}

/// The time zone of this host, or why it is unknown.
fn zone() -> &'static Result<TimeZone, String> {
    static ZONE: OnceLock<Result<TimeZone, String>> = OnceLock::new();
    ZONE.get_or_init(|| {
        let named = std::env::var_os("TZ").filter(|name| !name.is_empty());
        match (TimeZone::try_system(), named) {
            (Ok(zone), _) => Ok(zone),
            (Err(_), Some(name)) => Err(format!(
                "the time zone {} in the variable TZ is unknown; set TZ to a name in /usr/share/zoneinfo",
                name.to_string_lossy()
            )),
            // The C library does the same.
            (Err(_), None) => Ok(TimeZone::UTC),
        }
    })
}

fn zone_or_utc() -> TimeZone {
    zone().clone().unwrap_or(TimeZone::UTC)
}

/// The warning if times are shown in UTC because the time zone of this host is unknown.
#[must_use]
pub(crate) fn unknown_zone() -> Option<String> {
    zone().as_ref().err().map(|reason| format!("{reason}; times are shown in UTC"))
}

/// The units of time: their names, and their lengths in seconds.
const UNITS: [(&[&str], f64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 0.001),
    (&["s", "sec", "second", "seconds"], 1.0),
    (&["m", "min", "minute", "minutes"], 60.0),
    (&["h", "hour", "hours"], 3600.0),
    (&["d", "day", "days"], 86_400.0),
    (&["w", "week", "weeks"], 604_800.0),
];

/// Parses a duration above 0, such as `90s`, `5m`, `1h30m`, `7d` or `500ms`; a number without a unit is seconds.
///
/// # Errors
/// What to write.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let duration = parse_units(if is_bare { format!("{text}s") } else { text.to_owned() }.as_str())?;
    if duration.is_zero() { Err(lengths("a duration above 0,")) } else { Ok(duration) }
}

/// Parses a duration above 0 that must have a unit.
///
/// # Errors
/// What to write.
pub(crate) fn parse_duration_with_unit(text: &str) -> Result<Duration, String> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!("{0} has no unit: write {0}d, {0}h or {0}m", text.trim()));
    }
    parse_duration(text)
}

/// Parses a duration, in which a number without a unit is seconds, and 0 means until stopped, as in the original.
///
/// # Errors
/// What to write.
pub(crate) fn parse_duration_or_none(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|duration| *duration <= LONGEST)
            .ok_or_else(|| lengths("a number of seconds, 0 or more, or a duration")),
        Err(_) => parse_units(text).map_err(|_| lengths("a number of seconds, 0 or more, or a duration")),
    }
}

/// The longest duration of a run: 31 years.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// The message that asks for `what`, with examples.
fn lengths(what: &str) -> String {
    format!("give {what} such as 90s, 15m, 1h30m or 7d")
}

/// Parses numbers that each have a unit, such as `1h30m`.
fn parse_units(text: &str) -> Result<Duration, String> {
    let wanted = || lengths("a duration");
    let mut seconds = 0.0;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: f64 = number.parse().map_err(|_| wanted())?;
        let (_, length) = UNITS.iter().find(|(names, _)| names.contains(&unit)).ok_or_else(wanted)?;
        seconds += number * length;
        rest = after.trim_start();
        if rest.is_empty() {
            return Duration::try_from_secs_f64(seconds).map_err(|_| "the duration is too long".to_owned());
        }
    }
}

/// `duration` in nanoseconds, at most `u64::MAX` (584 years).
#[must_use]
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Formats `ns` nanoseconds as users type durations: `10s`, `1m30s`, `500ms`.
#[must_use]
pub(crate) fn length(ns: u64) -> String {
    let units = [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)];
    let mut rest = ns;
    let mut text = String::new();
    for (unit, length) in units {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    match rest {
        0 if text.is_empty() => "0s".to_owned(),
        0 => text,
        rest => format!("{text}{}ms", rest as f64 / 1e6),
    }
}

/// Formats the time `ns` nanoseconds after 1970 for machines: RFC 3339 in UTC, with as many digits as needed.
#[must_use]
pub(crate) fn timestamp(ns: u64) -> Option<String> {
    Timestamp::from_nanosecond(ns.into()).ok().map(|timestamp| timestamp.to_string())
}

/// Formats the time `ns` nanoseconds after 1970 for people: in the time zone of this host, with its offset, to the
/// millisecond. `--from` accepts this form.
#[must_use]
pub(crate) fn local(ns: u64) -> String {
    format_in(
        ns,
        &zone_or_utc(),
        if ns % 1_000_000_000 < 1_000_000 { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S%.3f%:z" },
    )
}

/// Formats the time `ns` nanoseconds after 1970 in the time zone of this host, by a format of strftime(3).
#[must_use]
pub(crate) fn local_as(ns: u64, form: &str) -> String {
    format_in(ns, &zone_or_utc(), form)
}

fn format_in(ns: u64, zone: &TimeZone, form: &str) -> String {
    let timestamp = Timestamp::from_nanosecond(ns.into()).ok();
    timestamp.map(|timestamp| timestamp.to_zoned(zone.clone()).strftime(form).to_string()).unwrap_or_default()
}

/// Parses a number of bytes with a unit: `512M`, `20G`, `100B`.
///
/// # Errors
/// What to write.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wanted = || "give a size such as 512M or 20G".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" if unit == "B" => 0,
        "" if unit.is_empty() && !number.is_empty() => {
            return Err(format!("{number} has no unit: write {number}M or {number}G"));
        }
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
    fn lengths_are_numbers_with_units() {
        for (text, ms) in [
            ("90s", 90_000),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("7d", 7 * 86_400_000),
            ("2w", 14 * 86_400_000),
            ("500ms", 500),
            ("1 hour", 3_600_000),
            ("10", 10_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "m", "0s", "0", "-5s", "5 parsecs", "1e400d", "9999999999999999999999d", "ス", "1h30", "."] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_removes_recordings_wants_a_unit() {
        assert_eq!(parse_duration_with_unit("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert!(parse_duration_with_unit("7").unwrap_err().contains("7 has no unit: write 7d"));
        assert!(parse_bytes("20").unwrap_err().contains("20 has no unit: write 20M or 20G"));
    }

    #[test]
    fn a_run_may_be_of_seconds_alone_or_for_ever() {
        assert_eq!(parse_duration_or_none("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration_or_none("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration_or_none("1h30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["-1", "soon", "nan", "inf", "1e30", ""] {
            assert!(parse_duration_or_none(wrong).unwrap_err().contains("0 or more"), "{wrong}");
        }
    }

    #[test]
    fn lengths_are_shown_as_they_are_typed() {
        for text in ["10s", "1m30s", "500ms", "2d", "1h1ms", "1.5ms"] {
            assert_eq!(length(nanoseconds(parse_duration(text).unwrap())), text);
        }
        assert_eq!((length(0), length(90_000_000_000)), ("0s".to_owned(), "1m30s".to_owned()));
    }

    /// A summer day in Berlin: 2026-07-02T00:30:00+02:00.
    fn berlin(text: &str) -> Result<TimePoint, String> {
        let now: Timestamp = "2026-07-01T22:30:00Z".parse().unwrap();
        TimePoint::parse_in(text, &now, Ok(&TimeZone::get("Europe/Berlin").unwrap()))
    }

    fn utc(text: &str) -> Result<TimePoint, String> {
        at(text.parse().unwrap())
    }

    #[test]
    fn moments_are_taken_in_every_form() {
        assert_eq!(berlin("1970-01-01T00:01:00Z"), Ok(TimePoint::At(60_000_000_000)));
        assert_eq!(berlin("1970-01-01T01:01:00+01:00"), Ok(TimePoint::At(60_000_000_000)));
        assert_eq!(berlin("-15m"), Ok(TimePoint::BeforeEnd(900_000_000_000)));
        assert_eq!(berlin("-1m30s"), Ok(TimePoint::BeforeEnd(90_000_000_000)));
        assert_eq!(berlin("-15m").unwrap().resolve(1_000_000_000_000), 100_000_000_000);
        assert_eq!(berlin("2026-11-23 03:00"), utc("2026-11-23T02:00:00Z"));
        assert_eq!(berlin("2026-07-01 03:00"), utc("2026-07-01T01:00:00Z"));
        assert_eq!(berlin("yesterday 03:05"), utc("2026-07-01T01:05:00Z"));
        assert_eq!(berlin("yesterday"), utc("2026-06-30T22:00:00Z"));
        assert_eq!(berlin("today 00:10:30"), utc("2026-07-01T22:10:30Z"));
        assert_eq!(berlin("now"), utc("2026-07-01T22:30:00Z"));
        assert_eq!(berlin("1 hour ago"), utc("2026-07-01T21:30:00Z"));
        assert_eq!(berlin("1h30m ago"), utc("2026-07-01T21:00:00Z"));
        assert_eq!(berlin("1795402800"), utc("2026-11-23T03:00:00Z"));
        assert_eq!(berlin("@1795402800.5"), utc("2026-11-23T03:00:00.5Z"));
        assert_eq!(berlin("@0"), Ok(TimePoint::At(0)));
        for wrong in
            ["", "-", "noon", "1960-01-01T00:00:00Z", "25:00", "tomorrow", "10", "yesterday 3", "3", "@", "1.2.3"]
        {
            assert!(berlin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_zone_in_a_time_is_honoured() {
        assert_eq!(berlin("2026-11-23T03:05[Asia/Tokyo]"), utc("2026-11-22T18:05:00Z"));
        assert_eq!(berlin("2026-11-23T03:05[Europe/Berlin]"), utc("2026-11-23T02:05:00Z"));
        assert!(berlin("2026-11-23T03:05[Europe/Nowhere]").unwrap_err().contains("Europe/Nowhere"));
        assert!(berlin("2026-11-23T03:05+09:00[Europe/Berlin]").is_err(), "one of the two is wrong");
    }

    #[test]
    fn a_time_of_day_is_the_last_one_before_the_end() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let ns = |text: &str| u64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        let last = |time: &str, end: &str| last_at(time.parse().unwrap(), ns(end), &zone);
        assert_eq!(last("03:05", "2026-07-02T06:00:00Z"), Some(ns("2026-07-02T01:05:00Z")));
        assert_eq!(last("03:05", "2026-07-02T01:00:00Z"), Some(ns("2026-07-01T01:05:00Z")));
        assert!(matches!(berlin("03:05"), Ok(TimePoint::OfDay(_))));
    }

    #[test]
    fn a_local_time_wants_a_known_zone_and_others_do_not() {
        let now = Timestamp::now();
        let parse = |text: &str| TimePoint::parse_in(text, &now, Err("the time zone X is not known".to_owned()));
        assert!(parse("2026-11-23 03:00").unwrap_err().contains("zone X"));
        assert!(parse("03:00").unwrap_err().contains("zone X"));
        assert!(parse("2026-11-23T03:00:00Z").is_ok() && parse("-5m").is_ok() && parse("1h ago").is_ok());
    }

    #[test]
    fn people_read_local_time_with_its_offset() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(format_in(1_795_402_800_000_000_000, &zone, "%Y-%m-%dT%H:%M:%S%:z"), "2026-11-23T04:00:00+01:00");
        assert_eq!(timestamp(1_795_402_800_000_000_000).unwrap(), "2026-11-23T03:00:00Z");
        let shown = local(1_795_402_800_123_000_000);
        assert_eq!(TimePoint::parse(&shown), Ok(TimePoint::At(1_795_402_800_123_000_000)), "{shown}");
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("20GiB"), Ok(20 << 30));
        assert_eq!(parse_bytes("20 gb"), Ok(20 << 30));
        assert_eq!(parse_bytes("4096B"), Ok(4096));
        for wrong in ["", "0B", "G", "1X", "4096", "99999999999999999999G", "9999999999999T"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
