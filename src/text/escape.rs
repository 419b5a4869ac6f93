//! Escapes bytes as printable text. All output of names goes through here.
//!
//! A thread's name is whatever its program wrote there: control sequences, incomplete characters, marks that reverse the
//! direction of text. Escaped text moves no cursor, hides nothing and has no line ends. The escaping is lossless: different
//! bytes give different text.
//!
//! | input | output |
//! |---|---|
//! | a visible UTF-8 character | unchanged |
//! | an ASCII control character, DEL | `\x1b`: the byte, in lower-case hexadecimal |
//! | a byte that is not part of valid UTF-8 | `\xff`: the byte |
//! | any other character that is invisible or reorders its neighbours | `\u{202e}`: its code point |
//! | a combining mark without a base character, or after too many others | `\u{301}`: its code point |
//! | a backslash that, with what follows, could be read as one of these escapes | `\\` |
//! | any other backslash | unchanged, so that `\x2d` in the name of a systemd unit stays readable |
//!
//! `ascii` also escapes every character beyond ASCII (`\u{e9}`), for terminals that may not support UTF-8.
//! `frame` also escapes `;` as `\x3b`, and a space before a number at the end as `\x20`.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// The largest number of consecutive zero-width characters: more of them would draw over neighbouring lines.
const MAX_MARKS: usize = 4;

/// Escapes `bytes` for a terminal, a table's cell or a string.
#[must_use]
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, EscapeTarget::Cell)
}

/// Escapes `bytes` as ASCII.
#[must_use]
pub(crate) fn ascii(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, EscapeTarget::Ascii)
}

/// Escapes `bytes` as a frame of a folded stack, in which `;` ends a frame and a number after a space is a count.
///
/// A line that compares two profiles has two counts, so a name must not end in what looks like the first one.
#[must_use]
pub fn frame(bytes: &[u8]) -> Cow<'_, str> {
    let text = escape(bytes, EscapeTarget::Frame);
    let is_count = |tail: &str| tail.chars().all(|c| c.is_ascii_digit() || c == '.' || c.is_whitespace());
    match text.rsplit_once(' ') {
        Some((head, tail)) if is_count(tail) => Cow::Owned(format!(r"{head}\x20{tail}")),
        _ => text,
    }
}

/// The units between which escaped text may be cut: characters and complete escapes.
pub(crate) fn units(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (unit, tail) = rest.split_at(escape_len(rest.as_bytes()).unwrap_or(first.len_utf8()));
        rest = tail;
        Some(unit)
    })
}

/// Decodes [printable] text; what is not an escape stands for itself.
#[must_use]
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for unit in units(text) {
        let meant = match unit.as_bytes() {
            [b'\\', b'\\'] => Some(b"\\".to_vec()),
            [b'\\', b'x', high, low] => hex_byte(*high, *low).map(|byte| vec![byte]),
            [b'\\', b'u', b'{', hex @ .., b'}'] => character(hex).map(|c| c.to_string().into_bytes()),
            _ => None,
        };
        match meant {
            // `printable` never writes `\x2d`: it is systemd's escape for a dash, and stands for itself.
            Some(bytes) if unit.len() != 4 || bytes.iter().all(|byte| EscapeTarget::Cell.has_escape_for(*byte)) => {
                out.extend(bytes);
            }
            _ => out.extend_from_slice(unit.as_bytes()),
        }
    }
    out
}

fn character(hex: &[u8]) -> Option<char> {
    let hex = std::str::from_utf8(hex).ok()?;
    u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
}

/// Where escaped text is used, which decides what must be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EscapeTarget {
    Cell,
    Frame,
    /// A cell in which only ASCII is allowed.
    Ascii,
}

impl EscapeTarget {
    /// Whether an ASCII character is always escaped.
    const fn escapes(self, byte: u8) -> bool {
        byte < b' ' || byte == 0x7f || (matches!(self, Self::Frame) && byte == b';')
    }

    /// Whether `byte` may be written as `\xNN`.
    const fn has_escape_for(self, byte: u8) -> bool {
        byte >= 0x80 || self.escapes(byte) || (matches!(self, Self::Frame) && byte == b' ')
    }

    /// Whether a backslash before `rest` could be read as the beginning of an escape.
    fn is_ambiguous_before(self, rest: &[u8]) -> bool {
        match rest {
            [b'x', high, low, ..] => hex_byte(*high, *low).is_some_and(|byte| self.has_escape_for(byte)),
            [b'u', b'{', ..] => true,
            [first, ..] => *first == b'\\' || self.has_escape_for(*first),
            [] => false,
        }
    }
}

/// Escapes `bytes` for `target`.
fn escape(bytes: &[u8], target: EscapeTarget) -> Cow<'_, str> {
    let is_plain = |byte: &u8| byte.is_ascii() && *byte != b'\\' && !target.escapes(*byte);
    if let Ok(text) = std::str::from_utf8(bytes)
        && bytes.iter().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() * 2);
    let mut marks = MAX_MARKS;
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            at += c.len_utf8();
            marks = if c.width() == Some(0) { marks + 1 } else { 0 };
            match u8::try_from(c).ok().filter(u8::is_ascii) {
                Some(byte) if target.escapes(byte) => push_byte(&mut out, byte),
                Some(b'\\') if target.is_ambiguous_before(bytes.get(at..).unwrap_or_default()) => out.push_str(r"\\"),
                None if target == EscapeTarget::Ascii || is_hidden(c) || marks > MAX_MARKS => push_char(&mut out, c),
                _ => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            at += 1;
            marks = 0;
            push_byte(&mut out, *byte);
        }
    }
    Cow::Owned(out)
}

// Writing to a `String` cannot fail.
fn push_byte(out: &mut String, byte: u8) {
    let _ = write!(out, r"\x{byte:02x}");
}

fn push_char(out: &mut String, c: char) {
    let _ = write!(out, r"\u{{{:x}}}", u32::from(c));
}

/// Whether a character beyond ASCII is a control character, reorders text, ends the line or is invisible: the general
/// categories Cc, Zl and Zp, the properties Bidi_Control and Default_Ignorable_Code_Point of Unicode 17, and two other groups
/// of format characters that hide text.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        // Includes U+FFF9 to U+FFFB, which enclose annotations.
        | '\u{fff0}'..='\u{fffb}'
        // Format controls of hieroglyphs.
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The length of the escape at the beginning of `text`, whatever its target.
fn escape_len(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'\\', ..] => Some(2),
        [b'\\', b'x', high, low, ..] if hex_byte(*high, *low).is_some() => Some(4),
        [b'\\', b'u', b'{', rest @ ..] => memchr::memchr(b'}', rest).map(|end| end + 4),
        _ => None,
    }
}

/// Whether a spreadsheet may run `text` as a formula. A single dash, the mark for no value, is not one.
#[must_use]
pub(crate) fn is_formula(text: &str) -> bool {
    let starts = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{2212}'];
    text != "-" && text.trim_start().starts_with(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes that `text` stands for.
    fn unescape_in(text: &str, target: EscapeTarget) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in units(text) {
            match unit.as_bytes() {
                [b'\\', b'\\'] => out.push(b'\\'),
                [b'\\', b'x', high, low] if target.has_escape_for(hex_byte(*high, *low).unwrap()) => {
                    out.push(hex_byte(*high, *low).unwrap());
                }
                [b'\\', b'u', b'{', hex @ .., b'}'] => {
                    let code = u32::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
                    out.extend_from_slice(char::from_u32(code).unwrap().to_string().as_bytes());
                }
                other => out.extend_from_slice(other),
            }
        }
        out
    }

    fn assert_printable(text: &str) {
        for c in text.chars() {
            assert!(!c.is_control() && !is_hidden(c), "{c:?} in {text:?}");
            assert!(!matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}'));
        }
    }

    #[test]
    fn what_shows_is_kept() {
        for text in ["", "mysqld", "a b", "Привет", "日本語", "e\u{301}", "🦀", r"a\b", r"C:\temp", "\u{e000}", r"\"]
        {
            assert_eq!(printable(text.as_bytes()), text);
        }
        assert!(matches!(printable(b"kworker/0:1-events"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_does_not_show_is_spelt_out() {
        let cases: [(&[u8], &str); 12] = [
            (b"\x1b[2J\x07", r"\x1b[2J\x07"),
            (b"a\r\n\tb\x00\x7f", r"a\x0d\x0a\x09b\x00\x7f"),
            (b"\x9b31m", r"\x9b31m"),
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            (b"\xff\xc3", r"\xff\xc3"),
            (b"ab\xe6\x97", r"ab\xe6\x97"),
            (b"\xed\xa0\x80", r"\xed\xa0\x80"),
            ("\u{202e}gpj.exe".as_bytes(), r"\u{202e}gpj.exe"),
            ("a\u{200b}b\u{feff}".as_bytes(), r"a\u{200b}b\u{feff}"),
            ("x\u{e0041}".as_bytes(), r"x\u{e0041}"),
            ("\u{2028}\u{2029}".as_bytes(), r"\u{2028}\u{2029}"),
            ("\u{ad}\u{fff9}\u{3164}".as_bytes(), r"\u{ad}\u{fff9}\u{3164}"),
        ];
        for (bytes, text) in cases {
            assert_eq!(printable(bytes), text);
        }
    }

    #[test]
    fn a_backslash_is_doubled_only_where_it_could_be_mistaken() {
        let cases: [(&[u8], &str); 8] = [
            (br"\x1b", r"\\x1b"),
            (b"\\\x1b", r"\\\x1b"),
            (br"\x2d", r"\x2d"),
            (br"\x1B", r"\x1B"),
            (br"\u{61}", r"\\u{61}"),
            (br"\\a", r"\\\a"),
            (br"\\", r"\\\"),
            (br"\x", r"\x"),
        ];
        for (bytes, text) in cases {
            assert_eq!(printable(bytes), text);
        }
    }

    #[test]
    fn marks_need_a_base_and_do_not_pile_up() {
        assert_eq!(printable("\u{301}e\u{301}".as_bytes()), "\\u{301}e\u{301}");
        let pile = format!("e{}", "\u{301}".repeat(6));
        assert_eq!(printable(pile.as_bytes()), format!("e{}\\u{{301}}\\u{{301}}", "\u{301}".repeat(4)));
    }

    #[test]
    fn a_frame_holds_no_separator_and_ends_in_no_count() {
        let cases: [(&str, &str); 9] = [
            ("a;b", r"a\x3bb"),
            ("worker 12", r"worker\x2012"),
            ("worker 1.5", r"worker\x201.5"),
            ("worker 12 ", r"worker 12\x20"),
            ("worker 12\u{a0}", "worker\\x2012\u{a0}"),
            ("worker 12b", "worker 12b"),
            ("Disk (Uninterruptible)", "Disk (Uninterruptible)"),
            (r"\x3b", r"\\x3b"),
            (r"\;", r"\\\x3b"),
        ];
        for (text, expected) in cases {
            assert_eq!(frame(text.as_bytes()), expected);
        }
    }

    #[test]
    fn escapes_are_never_cut() {
        let text = printable("a\x1bб\u{202e}\\\\\u{61c}".as_bytes()).into_owned();
        let parts: Vec<&str> = units(&text).collect();
        assert_eq!(parts, ["a", r"\x1b", "б", r"\u{202e}", r"\\", r"\\", r"\u{61c}"]);
    }

    /// Bytes that are often text, often broken, and often look like escapes.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            any::<u8>().prop_map(|byte| vec![byte]),
            proptest::sample::select(vec![
                "\\", "x", "1b", "3b", "20", "u{", "}", ";", " ", "7", ".", "\u{301}", "\u{202e}", "\u{9b}", "日",
                "[0m"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn nothing_hidden_gets_through(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "\\PC*|.*") {
            assert_printable(&printable(&bytes));
            assert_printable(&printable(text.as_bytes()));
            assert_printable(&frame(&bytes));
        }

        #[test]
        fn every_escape_can_be_undone(bytes in hostile()) {
            let text = printable(&bytes);
            assert_printable(&text);
            prop_assert_eq!(unescape(&text), &*bytes, "{}", text);
            prop_assert_eq!(unescape_in(&text, EscapeTarget::Cell), &*bytes, "{}", text);
            let text = ascii(&bytes);
            prop_assert!(text.is_ascii());
            assert_printable(&text);
            prop_assert_eq!(unescape(&text), &*bytes, "{}", text);
            let text = frame(&bytes);
            assert_printable(&text);
            prop_assert_eq!(unescape_in(&text, EscapeTarget::Frame), &*bytes, "{}", text);
            prop_assert!(!text.contains(';'));
        }

        #[test]
        fn units_are_the_whole_text(bytes in hostile()) {
            let text = printable(&bytes);
            prop_assert_eq!(units(&text).collect::<String>(), &*text);
        }
    }
}
