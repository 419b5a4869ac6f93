//! Formats numbers for people.

/// `41,200`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 sample`, `2 samples`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// An average number of threads: with one decimal if it is below 100.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of threads; saturates")]
pub(super) fn average(threads: f64) -> String {
    if threads < 99.95 { format!("{threads:.1}") } else { thousands(threads.round() as u64) }
}

/// With three digits; from a second on, in seconds with two decimals.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..100.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}

/// A rate in Hz.
pub fn rate(hz: f64) -> String {
    match hz {
        0.0 => "0".to_owned(),
        ..1.0 => format!("{hz:.3}"),
        ..100.0 => format!("{hz:.1}"),
        _ => format!("{hz:.0}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with one decimal")]
pub(super) fn percent(part: u64, whole: u64) -> String {
    let percent = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    if part > 0 && percent < 0.05 { "<0.1%".to_owned() } else { format!("{percent:.1}%") }
}

#[expect(clippy::cast_precision_loss, reason = "a size is shown with one decimal")]
pub(super) fn kilobytes(kb: u64) -> String {
    let kb = kb as f64;
    match kb {
        ..1024.0 => format!("{kb:.0} kB"),
        ..1_048_576.0 => format!("{:.1} MB", kb / 1024.0),
        _ => format!("{:.1} GB", kb / 1_048_576.0),
    }
}
