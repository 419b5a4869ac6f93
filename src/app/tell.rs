//! Standard error: the only place that writes to it. What is not ours in it (names of files, hosts, columns) is harmless
//! by the time it gets there.

use std::io::{self, IsTerminal as _, Write as _};

use crate::text::sentence::sentence;

/// Writes a line.
pub fn line(text: &str) {
    self::text(&format!("{text}\n"));
}

/// Writes text as it stands, with no end of line of its own. With standard error gone there is nobody left to tell.
#[expect(clippy::disallowed_methods, reason = "all that psn says there passes here")]
pub fn text(text: &str) {
    let _ = io::stderr().lock().write_all(sentence(text).as_bytes());
}

/// Whether anybody looks.
#[expect(clippy::disallowed_methods, reason = "nothing is written")]
pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}
