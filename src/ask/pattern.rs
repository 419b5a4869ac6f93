//! Regular expressions as users type them: of `-p`, and of `--where` with `~`.

use regex::bytes::Regex;

/// Compiles `pattern` for bytes; `.` and character classes match UTF-8 characters.
///
/// # Errors
/// Why the pattern is invalid, on one line: the regex crate's drawing of the position is left out.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let message = error.to_string();
        message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
