//! The time that recordings cover.

use crate::record::{RecordError, Recording};
use crate::time::moment::local;

/// The times of the first and the last tick of all `recordings`, nanoseconds since 1970.
///
/// # Errors
/// When a recording cannot be read.
pub fn span(recordings: &mut [Box<dyn Recording>]) -> Result<Option<(u64, u64)>, RecordError> {
    let mut span: Option<(u64, u64)> = None;
    for recording in recordings {
        if let Some((first, last)) = recording.span()? {
            let (from, to) = span.unwrap_or((first, last));
            span = Some((from.min(first), to.max(last)));
        }
    }
    Ok(span)
}

/// The time of the last tick of all `recordings`, nanoseconds since 1970.
///
/// # Errors
/// When a recording cannot be read.
pub fn last_time(recordings: &mut [Box<dyn Recording>]) -> Result<Option<u64>, RecordError> {
    let mut last = None;
    for recording in recordings {
        last = last.max(recording.last_time()?);
    }
    Ok(last)
}

/// A span in words, for messages.
#[must_use]
pub fn span_text(span: Option<(u64, u64)>) -> String {
    match span {
        Some((from, to)) => format!("from {} to {}", local(from), local(to)),
        None => "without a tick".to_owned(),
    }
}
