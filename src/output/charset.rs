//! The characters that may be written: UTF-8 or ASCII, by the locale.
//!
//! A terminal that is not in UTF-8 mode takes some bytes of harmless letters for control characters: the second byte of U+00DB
//! begins a sequence that moves the cursor. So in a locale without UTF-8, only ASCII is written.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};

use crate::report::Bounds;
use crate::text::escape::{self, printable};

/// The characters that may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// All printable characters.
    #[default]
    Utf8,
    /// ASCII only; other characters are [escaped](escape).
    Ascii,
}

impl Charset {
    /// The charset of texts for people, by the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set.
    ///
    /// If none is set, as in most containers and services, it is ASCII for a terminal. A file or a pipe gets UTF-8: it acts upon
    /// no byte.
    #[must_use]
    pub fn of_people(variable: &dyn Fn(&str) -> Option<OsString>, is_terminal: bool) -> Self {
        match names_utf8(variable) {
            Some(true) => Self::Utf8,
            Some(false) => Self::Ascii,
            None if is_terminal => Self::Ascii,
            None => Self::Utf8,
        }
    }

    /// The charset of formats for programs: UTF-8, except in a terminal whose locale is not.
    #[must_use]
    pub fn of_programs(variable: &dyn Fn(&str) -> Option<OsString>, is_terminal: bool) -> Self {
        if is_terminal { Self::of_people(variable, true) } else { Self::Utf8 }
    }

    /// `bytes` as text for a cell or a line, as [`printable`].
    #[must_use]
    pub fn printable(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Utf8 => printable(bytes),
            Self::Ascii => escape::ascii(bytes),
        }
    }

    /// A text that psn made, or one that is printable already.
    #[must_use]
    pub fn text(self, text: &str) -> Cow<'_, str> {
        if self == Self::Utf8 || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() * 2);
        text.chars().for_each(|c| push(c, &mut out));
        Cow::Owned(out)
    }

    /// A text of a `trend` column: bars are kept, or become their ASCII form; anything else is escaped.
    #[must_use]
    pub fn bars(self, bytes: &[u8]) -> Cow<'_, str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(|c| matches!(c, ' ' | '\u{2581}'..='\u{2588}')) => self.text(text),
            _ => self.printable(bytes),
        }
    }

    /// The sign before the age of a wait if it is a bound: `≥` if the wait may have lasted longer, `≤` if it may have been
    /// shorter, `~` if some may have lasted longer and others may have been shorter.
    #[must_use]
    pub const fn bound(self, bounds: Bounds) -> &'static str {
        match (bounds.has_at_least, bounds.has_at_most, self) {
            (false, false, _) => "",
            (true, true, _) => "~",
            (true, false, Self::Utf8) => "≥",
            (true, false, Self::Ascii) => ">=",
            (false, true, Self::Utf8) => "≤",
            (false, true, Self::Ascii) => "<=",
        }
    }

    /// The sign for omitted text.
    #[must_use]
    pub const fn ellipsis(self) -> &'static str {
        match self {
            Self::Utf8 => "…",
            Self::Ascii => "...",
        }
    }

    /// Bars of eight heights, lowest first.
    #[must_use]
    pub const fn levels(self) -> [&'static str; 8] {
        match self {
            Self::Utf8 => ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
            Self::Ascii => ["_", ".", ":", "-", "=", "+", "*", "#"],
        }
    }

    /// The filled, current and empty parts of a progress bar; `None` for the usual ones.
    #[must_use]
    pub const fn bar(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Ascii => Some("=> "),
        }
    }

    /// The frames of a spinner; `None` for the usual ones.
    #[must_use]
    pub const fn spinner(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Ascii => Some("|/-\\ "),
        }
    }
}

/// Whether the locale is one with UTF-8; `None` if no variable is set.
fn names_utf8(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<bool> {
    let value = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty())?;
    let value = value.to_string_lossy().to_ascii_lowercase();
    Some(value.contains("utf-8") || value.contains("utf8"))
}

/// Appends `c`, or its ASCII form.
fn push(c: char, out: &mut String) {
    match c {
        '…' => out.push_str("..."),
        '×' => out.push('x'),
        '\u{2581}'..='\u{2588}' => {
            let height = u32::from(c) - 0x2581;
            out.push_str(
                usize::try_from(height).ok().and_then(|at| Charset::Ascii.levels().get(at).copied()).unwrap_or("#"),
            );
        }
        c if c.is_ascii() => out.push(c),
        c => out.push_str(&escape::ascii(c.to_string().as_bytes())),
    }
}

/// How characters beyond ASCII are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `\u{e9}`, as in all formats but JSON.
    Escape,
    /// `\u00e9`, which JSON readers decode.
    Json,
}

/// A writer that turns UTF-8 into ASCII.
pub(super) struct AsciiWriter<'a> {
    out: &'a mut dyn Write,
    notation: Notation,
    /// The first bytes of a character that was not written to its end.
    pending: Vec<u8>,
}

impl<'a> AsciiWriter<'a> {
    pub(super) fn new(out: &'a mut dyn Write, notation: Notation) -> Self {
        Self { out, notation, pending: Vec::new() }
    }
}

impl Write for AsciiWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.pending.split_off(whole);
        let text = std::mem::replace(&mut self.pending, rest);
        let text = String::from_utf8_lossy(&text);
        let mut ascii = String::with_capacity(text.len());
        for c in text.chars() {
            match self.notation {
                Notation::Json if !c.is_ascii() => {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
                }
                _ => push(c, &mut ascii),
            }
        }
        self.out.write_all(ascii.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], is_terminal: bool) -> (Charset, Charset) {
        let variable = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
        };
        (Charset::of_people(&variable, is_terminal), Charset::of_programs(&variable, is_terminal))
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_locale() {
        use Charset::{Ascii, Utf8};
        for (variables, on_terminal, in_pipe) in [
            (&[("LANG", "de_DE.UTF-8")][..], (Utf8, Utf8), (Utf8, Utf8)),
            (&[("LANG", "C.utf8")], (Utf8, Utf8), (Utf8, Utf8)),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], (Ascii, Ascii), (Ascii, Utf8)),
            (&[("LC_ALL", ""), ("LC_CTYPE", "de_DE.utf8"), ("LANG", "C")], (Utf8, Utf8), (Utf8, Utf8)),
            (&[("LC_CTYPE", "de_DE.ISO-8859-1"), ("LANG", "de_DE.UTF-8")], (Ascii, Ascii), (Ascii, Utf8)),
            (&[("LANG", "POSIX")], (Ascii, Ascii), (Ascii, Utf8)),
            (&[], (Ascii, Ascii), (Utf8, Utf8)),
        ] {
            assert_eq!(of(variables, true), on_terminal, "{variables:?} on a terminal");
            assert_eq!(of(variables, false), in_pipe, "{variables:?} in a pipe");
        }
    }

    #[test]
    fn what_is_not_ascii_is_escaped_and_psns_own_signs_have_another_form() {
        let ascii = Charset::Ascii;
        assert_eq!(ascii.printable("A\u{db}2JB".as_bytes()), r"A\u{db}2JB");
        assert_eq!(ascii.printable("e\u{301}日\x1b".as_bytes()), r"e\u{301}\u{65e5}\x1b");
        assert_eq!(ascii.text("5 × é…▁█"), r"5 x \u{e9}..._#");
        assert_eq!(ascii.bars("▁ █".as_bytes()), "_ #");
        assert_eq!(ascii.bars("▁é".as_bytes()), r"\u{2581}\u{e9}");
        assert!(ascii.levels().iter().all(|level| level.is_ascii() && level.len() == 1));
        assert_eq!(Charset::Utf8.text("5 × é…"), "5 × é…");
        let signs = |has_at_least, has_at_most| {
            [Charset::Utf8, ascii].map(|charset| charset.bound(Bounds { has_at_least, has_at_most }))
        };
        assert_eq!([signs(false, false), signs(true, false)], [["", ""], ["≥", ">="]]);
        assert_eq!([signs(false, true), signs(true, true)], [["≤", "<="], ["~", "~"]]);
    }

    #[test]
    fn a_stream_is_made_ascii_wherever_it_is_cut() {
        let text = "é\"日\u{1f980}\n";
        for cut in 0..text.len() {
            let mut out = Vec::new();
            let mut writer = AsciiWriter::new(&mut out, Notation::Json);
            writer.write_all(&text.as_bytes()[..cut]).unwrap();
            writer.write_all(&text.as_bytes()[cut..]).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), "\\u00e9\"\\u65e5\\ud83e\\udd80\n");
        }
    }
}
