//! Messages that contain names of files, hosts or columns, which others choose.
//!
//! [`printable`] is for a single name. It doubles some backslashes, so that no two names look the same. A message may contain
//! names that were escaped already, and must not be escaped twice.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::escape::printable;

/// Escapes the control characters in `text`, which may have several lines. Everything else, backslashes included, is unchanged.
#[must_use]
pub(crate) fn sentence(text: &str) -> Cow<'_, str> {
    // Between backslashes and line ends, `printable` neither doubles a backslash nor escapes a line end.
    let is_kept = |c: char| matches!(c, '\n' | '\\');
    let mut out = String::new();
    let mut is_changed = false;
    for part in text.split_inclusive(is_kept) {
        let body = part.strip_suffix(is_kept).unwrap_or(part);
        let shown = printable(body.as_bytes());
        is_changed |= shown != body;
        out.push_str(&shown);
        out.push_str(part.get(body.len()..).unwrap_or_default());
    }
    if is_changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// The path of a file, escaped for messages.
#[must_use]
pub(crate) fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_acts_upon_is_spelt_out_once() {
        assert_eq!(sentence("a\x1b[2J.db: gone\nnext"), "a\\x1b[2J.db: gone\nnext");
        assert_eq!(sentence("\u{202e}x \u{9b}31m \r"), "\\u{202e}x \\u{9b}31m \\x0d");
        assert_eq!(sentence("n\\xff.db, C:\\temp"), "n\\xff.db, C:\\temp");
        assert!(matches!(sentence("plain\nПривет"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_path_that_is_no_text_is_shown_whole() {
        assert_eq!(shown(Path::new(std::ffi::OsStr::from_bytes(b"n\xff\x1b.db"))), "n\\xff\\x1b.db");
    }

    proptest! {
        #[test]
        fn a_sentence_is_harmless_and_so_it_stays(text in ".*|\\PC*") {
            let once = sentence(&text).into_owned();
            prop_assert!(!once.chars().any(|c| c.is_control() && c != '\n'), "{once:?}");
            prop_assert_eq!(sentence(&once), once.as_str());
        }
    }
}
