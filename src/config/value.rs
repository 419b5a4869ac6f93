//! Parsers of option values. Their errors say what to give instead.

use crate::proc::state::state_name;
use crate::time::moment::parse_bytes;

pub(super) fn hertz(text: &str) -> Result<f64, String> {
    number(text, 0.01, 1000.0, "a rate from 0.01 to 1000 per second")
}

pub(super) fn discover_hertz(text: &str) -> Result<f64, String> {
    number(text, 0.01, 100.0, "a rate from 0.01 to 100 per second")
}

pub(super) fn fraction(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0, "a fraction from 0 to 1")
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    number(text, 0.1, 1e6, "a percentage of one CPU, 0.1 or more; 200 is two CPUs")
}

pub(super) fn memory(text: &str) -> Result<u64, String> {
    let wanted = || "give a size of at least 1M with its unit, such as 256M or 1G".to_owned();
    let has_unit = text.trim().ends_with(|c: char| c.is_ascii_alphabetic());
    parse_bytes(text).ok().filter(|bytes| has_unit && *bytes >= 1 << 20).ok_or_else(wanted)
}

/// Parses a number from `min` to `max`; the error asks for `wanted`.
fn number(text: &str, min: f64, max: f64, wanted: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("give {wanted}")),
    }
}

pub(super) fn states(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|letter| state_name(letter).is_some()) {
        Ok(text.to_owned())
    } else {
        Err("give state letters, out of R S D T t X Z P I, such as RD".to_owned())
    }
}
