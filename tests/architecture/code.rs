//! Reduces Rust source to the code that the checks look at, by plain scanning of its bytes.

/// The source of one file with comments, strings, characters and test code replaced by spaces. All other bytes keep their
/// offsets, lines keep their numbers, and every brace that is left is a brace of the code.
pub struct Code {
    pub text: String,
    /// Lines that are not test code.
    pub lines: usize,
    /// Child modules that are compiled for tests only.
    pub test_modules: Vec<String>,
}

impl Code {
    pub fn new(source: &str) -> Self {
        let mut text = blank(source);
        let mut test_lines = 0;
        let mut test_modules = Vec::new();
        while let Some((start, end)) = test_item(&text) {
            let item = &text[start..end];
            test_lines += item.matches('\n').count() + 1;
            let module = item.split_once("mod ").map(|(_, rest)| rest.trim_start());
            test_modules.extend(module.and_then(|rest| rest.strip_suffix(';')).map(|name| name.trim().to_owned()));
            text.replace_range(start..end, &spaces(item));
        }
        Self { lines: source.lines().count().saturating_sub(test_lines), text, test_modules }
    }
}

/// Replaces everything but line breaks by spaces.
fn spaces(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

fn blank(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let len = blank_len(rest, text.bytes().next_back());
        if len > 0 {
            text += &spaces(&rest[..len]);
            at += len;
        } else {
            let letter = rest.chars().next().unwrap_or(' ');
            // One space for each byte of the character.
            text += if letter.is_ascii() { &rest[..1] } else { &"    "[..letter.len_utf8()] };
            at += letter.len_utf8();
        }
    }
    text
}

/// The length of the comment, string or character that `rest` begins with; 0 when it begins with none.
fn blank_len(rest: &str, before: Option<u8>) -> usize {
    let end = |from: usize, what: &str| rest[from..].find(what).map_or(rest.len(), |place| from + place + what.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return end(2, "*/");
    }
    if rest.starts_with('"') {
        return string_len(rest);
    }
    if rest.starts_with('\'') {
        return character_len(rest);
    }
    let raw = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = raw.strip_prefix('r')
        && !before.is_some_and(is_word)
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return end(rest.len() - raw.len() + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    0
}

fn string_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of a character literal; 0 for a lifetime.
fn character_len(rest: &str) -> usize {
    let mut letters = rest.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => rest.get(3..).and_then(|rest| rest.find('\'')).map_or(0, |place| place + 4),
        Some(_) => letters.next().filter(|(_, letter)| *letter == '\'').map_or(0, |(place, _)| place + 1),
        None => 0,
    }
}

/// The first item that is compiled for tests only, from its attribute to its end.
fn test_item(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(start) = text[from..].find("#[cfg(").map(|place| from + place) {
        let attribute_end = closing(text, start + 1);
        let condition = &text[start..attribute_end];
        let is_test = condition.split(|letter: char| !is_word(letter as u8)).any(|word| word == "test");
        if is_test && !condition.contains("not(") {
            return Some((start, item_end(text, attribute_end)));
        }
        from = attribute_end;
    }
    None
}

/// The end of the item after an attribute that ends at `from`.
fn item_end(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(place) = text[at..].find(['#', ';', '{', '(', '[']) {
        at += place;
        match text.as_bytes()[at] {
            b';' => return at + 1,
            b'{' if !text[from..at].trim_start().starts_with("use ") => return closing(text, at),
            b'#' => at += 1,
            _ => at = closing(text, at),
        }
    }
    text.len()
}

/// The place after the bracket that closes the one at `open`.
pub fn closing(text: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (place, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return place + 1;
        }
    }
    text.len()
}

/// Whether a byte can be part of a name.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let source = "a // {\n/* } */ b \"\\\"{\" r#\"\"{\"# '{' '\\'' &'a str 'é' br\"}\" c\n";
    let code = Code::new(source);
    assert_eq!(code.text.split_whitespace().collect::<Vec<_>>(), ["a", "b", "&'a", "str", "c"]);
    assert_eq!((code.text.len(), code.lines), (source.len(), 2));
}

#[test]
fn test_code_is_left_out_of_the_count() {
    let source =
        "fn a() {}\n#[cfg(test)]\npub(super) mod tests {\n    fn b() {}\n}\n#[cfg(test)]\nmod fixture;\nfn c() {}\n";
    let code = Code::new(source);
    assert_eq!(code.text.split_whitespace().collect::<Vec<_>>(), ["fn", "a()", "{}", "fn", "c()", "{}"]);
    assert_eq!((code.lines, code.test_modules), (2, vec!["fixture".to_owned()]));
}
