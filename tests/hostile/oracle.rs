//! What printed text must look like, by an independent implementation of the rules: nothing here calls psn's own escaping.

use unicode_width::UnicodeWidthStr as _;

use super::{Verdict, ensure};

/// Whether a character moves the cursor, reorders or breaks the line, or shows as nothing, by the tables of Unicode.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            // Soft hyphen, joiners, fillers, separators.
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x3164 | 0xfeff | 0xffa0
            // Zero-width and directional marks; separators of lines and paragraphs; embeddings, overrides, isolates.
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xfe00..=0xfe0f | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// Whether every character of `text` is visible.
pub fn shows(text: &str) -> Verdict {
    let hidden = text.chars().find(|c| is_hidden(*c));
    ensure!(hidden.is_none(), "{hidden:?} is in {text:?}");
    Ok(())
}

/// The bytes that `text` stands for. `stands_for` says which bytes `\xNN` may be; any other `\xNN` is itself.
pub fn decode(text: &str, stands_for: fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let unit = (*first == b'\\').then(|| escape(after, stands_for)).flatten();
        let (bytes, len) = unit.unwrap_or_else(|| (vec![*first], 0));
        out.extend_from_slice(&bytes);
        rest = &after[len..];
    }
    out
}

/// The bytes that a backslash followed by `after` stands for, and the number of bytes of `after` that belong to it.
fn escape(after: &[u8], stands_for: fn(u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let number = |digits: &[u8]| {
        let is_lower = digits.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| is_lower)
    };
    match after {
        [b'\\', ..] => Some((b"\\".to_vec(), 1)),
        [b'x', digits @ ..] => {
            let byte = u8::try_from(number(digits.get(..2)?)?).ok()?;
            stands_for(byte).then(|| (vec![byte], 3))
        }
        [b'u', b'{', digits @ ..] => {
            let end = digits.iter().position(|c| *c == b'}')?;
            let c = char::from_u32(number(&digits[..end])?)?;
            Some((c.to_string().into_bytes(), end + 3))
        }
        _ => None,
    }
}

/// The bytes that are escaped in cells.
pub const fn in_cells(byte: u8) -> bool {
    byte < b' ' || byte >= 0x7f
}

/// The bytes that are escaped in frames: a frame ends at `;`, and a count follows a space.
pub const fn in_frames(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || byte == b';'
}

/// The cells of a line. Its bars are in the same terminal columns as those of `header`.
pub fn cells<'a>(header: &str, line: &'a str) -> Result<Vec<&'a str>, String> {
    const BAR: &str = " | ";
    let mut wanted: Vec<usize> = header.match_indices(BAR).map(|(at, _)| header[..at].width()).collect();
    let mut cells = Vec::new();
    let mut start = 0;
    // A cell may contain bars too, and may end in part of one.
    let is_bar = |at: &usize| line.get(*at..).is_some_and(|rest| rest.starts_with(BAR));
    for at in (0..line.len()).filter(is_bar) {
        if at >= start && wanted.first() == Some(&line[..at].width()) {
            wanted.remove(0);
            cells.push(&line[start..at]);
            start = at + BAR.len();
        }
    }
    ensure!(wanted.is_empty(), "no bars at {wanted:?} of {line:?}");
    cells.push(&line[start..]);
    Ok(cells)
}

/// A field of a CSV record, and whether it was quoted.
pub type Field = (String, bool);

/// The records of a CSV file by RFC 4180, without any extension.
pub fn records(text: &str) -> Result<Vec<Vec<Field>>, String> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut record = Vec::new();
        loop {
            let (field, after) = field(rest)?;
            record.push(field);
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else if let Some(after) = after.strip_prefix("\r\n") {
                rest = after;
                break;
            } else {
                return Err(format!("neither a comma nor the end of the record before {after:?}"));
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// The field at the start of `text`, and the rest.
fn field(text: &str) -> Result<(Field, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\r', '\n']).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        ensure!(!field.contains('"'), "a bare quote in {field:?}");
        return Ok(((field.to_owned(), false), rest));
    };
    let mut out = String::new();
    loop {
        let end = rest.find('"').ok_or_else(|| format!("no end of the quotes of {text:?}"))?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                out.push('"');
                rest = after;
            }
            None => return Ok(((out, true), rest)),
        }
    }
}

/// Whether some spreadsheet runs `cell` as a formula.
pub fn is_formula(cell: &str) -> bool {
    let first = cell.chars().find(|c| !c.is_whitespace());
    let is_sign = first.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '−'));
    // A single dash is the mark for "no value".
    is_sign && cell != "-"
}

/// Whether a reader of folded stacks would read the end of `frame` as a count.
pub fn ends_in_a_count(frame: &str) -> bool {
    let tail = frame.trim_end().rsplit_once(char::is_whitespace).map_or("", |(_, tail)| tail);
    !tail.is_empty() && tail.chars().all(|c| c.is_ascii_digit() || c == '.')
}
