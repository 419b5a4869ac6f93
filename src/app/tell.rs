//! The only place that writes to standard error. Control characters in foreign text (names of files, hosts, columns) are escaped
//! before they are written.

use std::io::{self, IsTerminal as _, Write as _};

use crate::text::sentence::sentence;

/// Writes a line.
pub(super) fn line(text: &str) {
    self::text(&format!("{text}\n"));
}

/// Writes text without adding a line break. Errors are ignored: there is no other place to report them.
#[expect(clippy::disallowed_methods, reason = "the only place that writes to standard error")]
pub(super) fn text(text: &str) {
    let _ = io::stderr().lock().write_all(sentence(text).as_bytes());
}

/// Whether standard error is a terminal.
#[expect(clippy::disallowed_methods, reason = "nothing is written")]
pub(super) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}
