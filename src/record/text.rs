//! The form in which recordings store values: text that every engine accepts, without loss.
//!
//! A name may be any bytes, and a thread may be named `[denied]`. Marks must stay distinct from such names, and some engines
//! accept only UTF-8. So a text that is not UTF-8, or could be read as something else, is *escaped*: it begins with `\e:`,
//! and after that a backslash is `\\` and a byte that is not UTF-8 is `\xHH`. Every other text is stored as it is. Marks are
//! stored as they are printed, numbers in decimal.

use std::borrow::Cow;
use std::io::Write as _;

use crate::row::observation::{Mark, Value};
use crate::text::escape::{is_formula, printable};

/// The prefix of escaped texts.
const ESCAPED: &str = "\\e:";

/// The stored form of a text.
#[must_use]
pub(super) fn store(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(plain) if !plain.starts_with(ESCAPED) && !is_mark(text) && !text.contains(&0) => Cow::Borrowed(plain),
        _ => Cow::Owned(escape(text, |character| character == '\0')),
    }
}

/// The stored form of a text in files that people open: what a terminal or a spreadsheet would act upon is escaped.
#[must_use]
pub(super) fn store_harmless(text: &[u8]) -> Cow<'_, str> {
    match store(text) {
        Cow::Borrowed(plain) if printable(text) == plain && !is_formula(plain) => Cow::Borrowed(plain),
        _ => Cow::Owned(escape(text, |character| {
            let mut bytes = [0; 4];
            let alone = character.encode_utf8(&mut bytes);
            printable(alone.as_bytes()) != *alone && character != '\\'
        })),
    }
}

fn is_mark(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'[' | b'-')) && Mark::from_text(text).is_some()
}

/// Escapes bytes that are not UTF-8, and the characters for which `must_go` holds.
fn escape(text: &[u8], must_go: impl Fn(char) -> bool) -> String {
    let mut out = Vec::with_capacity(ESCAPED.len() + text.len());
    out.extend_from_slice(ESCAPED.as_bytes());
    for chunk in text.utf8_chunks() {
        // Writing to a vector cannot fail.
        let hex = |out: &mut Vec<u8>, bytes: &[u8]| bytes.iter().for_each(|byte| drop(write!(out, "\\x{byte:02x}")));
        for character in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            match character {
                '\\' => out.extend_from_slice(b"\\\\"),
                _ if must_go(character) => hex(&mut out, bytes),
                _ => out.extend_from_slice(bytes),
            }
        }
        hex(&mut out, chunk.invalid());
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The text or mark that was stored as `stored`.
///
/// Text that psn did not write is taken as it is: a recording may have been edited by hand.
#[must_use]
pub(super) fn load<'a>(stored: &'a [u8], buffer: &'a mut Vec<u8>) -> Value<'a> {
    if let Some(escaped) = stored.strip_prefix(ESCAPED.as_bytes()) {
        unescape(escaped, buffer);
        return Value::Text(buffer);
    }
    let mark = if is_mark(stored) { Mark::from_text(stored) } else { None };
    mark.map_or(Value::Text(stored), Value::Mark)
}

fn unescape(escaped: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = escaped;
    loop {
        rest = match rest {
            [] => return,
            [b'\\', b'\\', after @ ..] => {
                out.push(b'\\');
                after
            }
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(*low));
                after
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

/// The value of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A') + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &[u8]) -> (String, Vec<u8>) {
        let stored = store(text).into_owned();
        let mut buffer = Vec::new();
        let back = match load(stored.as_bytes(), &mut buffer) {
            Value::Text(back) => back.to_vec(),
            other => panic!("{stored} is read as {other:?}"),
        };
        (stored, back)
    }

    #[test]
    fn ordinary_texts_are_stored_as_they_are() {
        for text in ["mysqld", "", "système\\x2dfoo.slice", "a,b\"c\nd", "[deniedx]"] {
            assert_eq!(round_trip(text.as_bytes()), (text.to_owned(), text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn what_could_be_misread_is_escaped() {
        for (text, wanted) in [
            (&b"[denied]"[..], "\\e:[denied]"),
            (b"-", "\\e:-"),
            (b"\xff\\", "\\e:\\xff\\\\"),
            (b"a\0b", "\\e:a\\x00b"),
            (b"\\e:x", "\\e:\\\\e:x"),
        ] {
            assert_eq!(round_trip(text), (wanted.to_owned(), text.to_vec()));
        }
    }

    #[test]
    fn what_a_terminal_or_a_spreadsheet_acts_upon_is_escaped_for_people() {
        assert_eq!(store_harmless(b"mysqld"), "mysqld");
        assert_eq!(store_harmless(b"=1+1"), "\\e:=1+1");
        assert_eq!(store_harmless(b"\x1b[2Ja\\"), "\\e:\\x1b[2Ja\\\\");
        assert_eq!(store_harmless("\u{202e}x".as_bytes()), "\\e:\\xe2\\x80\\xaex");
    }

    #[test]
    fn marks_stay_marks() {
        for mark in Mark::ALL {
            assert_eq!(load(mark.text().as_bytes(), &mut Vec::new()), Value::Mark(mark));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'e'), Just(b':')], 0..40)) {
            prop_assert_eq!(&round_trip(&text).1, &text);
            let harmless = store_harmless(&text).into_owned();
            let mut buffer = Vec::new();
            prop_assert_eq!(load(harmless.as_bytes(), &mut buffer), Value::Text(&text));
            prop_assert!(!harmless.chars().any(char::is_control), "{harmless}");
        }

        #[test]
        fn anything_can_be_read(stored in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = load(&stored, &mut Vec::new());
        }
    }
}
