//! Finds the paths that the code of a module names, including nested `use` groups, globs and renames.

use crate::code::{closing, is_word};
use crate::tree::Module;

/// A path into the crate, absolute.
pub struct Seen {
    pub path: Vec<String>,
    /// The name by which this module uses the path.
    pub name: String,
    /// Whether a `pub use` names it.
    pub is_offered: bool,
}

/// Finds the paths in the code of a module.
pub struct Paths<'a> {
    pub text: &'a str,
    pub module: &'a Module,
    /// Whether the module has a child of this name.
    pub is_child: &'a dyn Fn(&str) -> bool,
}

impl Paths<'_> {
    /// All paths that begin with `crate`, `self`, `super` or the name of a child module, in `use` or elsewhere.
    pub fn all(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        let mut at = 0;
        while at < self.text.len() {
            let word = word_at(self.text, at);
            if word.is_empty() {
                at += 1;
                continue;
            }
            if self.text[at + word.len()..].starts_with("::") && self.is_start(at) {
                self.add(at, word, &mut all);
            } else if word == "use" {
                self.add_list(at, &mut all);
            }
            at += word.len();
        }
        all
    }

    /// Whether a path starts here, rather than the middle of a path, a field, or a visibility.
    fn is_start(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end();
        !before.ends_with("::") && !before.ends_with('.') && !before.ends_with("(in")
    }

    /// Adds the paths that begin at `at` with `first`, if they are in this crate.
    fn add(&self, at: usize, first: &str, all: &mut Vec<Seen>) {
        let Some(base) = self.base(first) else { return };
        let end = path_end(self.text, at + first.len());
        let is_offered = self.is_offered(at);
        for path in expand(&self.text[at..end]) {
            self.add_one(&base, &path, is_offered, all);
        }
    }

    /// Adds the paths of `use {…}`, whose braces come first.
    fn add_list(&self, at: usize, all: &mut Vec<Seen>) {
        let list = self.text[at + "use".len()..].trim_start();
        if !list.starts_with('{') {
            return;
        }
        let is_offered = self.is_offered(at + "use".len());
        for path in expand(&list[..closing(list, 0)]) {
            let first = path.split("::").next().unwrap_or_default();
            if let Some(base) = self.base(first) {
                self.add_one(&base, &path, is_offered, all);
            }
        }
    }

    fn add_one(&self, base: &[String], path: &str, is_offered: bool, all: &mut Vec<Seen>) {
        let (path, renamed) = path.split_once(" as ").map_or((path, None), |(path, name)| (path, Some(name.trim())));
        let mut absolute = base.to_vec();
        for part in path.split("::").skip(1).map(str::trim) {
            match part {
                "super" => drop(absolute.pop()),
                "self" | "*" | "" => {}
                name => absolute.push(name.to_owned()),
            }
        }
        let name = renamed.map(str::to_owned).or_else(|| absolute.last().cloned()).unwrap_or_default();
        all.push(Seen { path: absolute, name, is_offered });
    }

    /// Where a path that begins with `first` starts from.
    fn base(&self, first: &str) -> Option<Vec<String>> {
        match first {
            "crate" => Some(Vec::new()),
            "self" => Some(self.module.clone()),
            "super" => Some(self.module.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default()),
            name if (self.is_child)(name) => Some(self.module.iter().cloned().chain([name.to_owned()]).collect()),
            _ => None,
        }
    }

    /// Whether the code at `at` is in a `pub use`.
    fn is_offered(&self, at: usize) -> bool {
        let statement = self.text[..at].rfind([';', '}']).map_or(0, |end| end + 1);
        let mut words = self.text[statement..at].split_whitespace();
        let last = words.next_back();
        let is_public = self.text[statement..at].split_whitespace().any(|word| word.starts_with("pub"));
        last == Some("use") && is_public
    }
}

/// The name that begins at an offset, if any.
fn word_at(text: &str, at: usize) -> &str {
    let len = text.bytes().skip(at).take_while(|byte| is_word(*byte)).count();
    text.get(at..at + len).unwrap_or_default()
}

/// The end of a path that goes on at `at`: names, then perhaps braces, a star or another name.
fn path_end(text: &str, mut at: usize) -> usize {
    while text[at..].starts_with("::") {
        at += 2;
        let word = word_at(text, at);
        if !word.is_empty() {
            at += word.len();
        } else if text[at..].starts_with('{') {
            return closing(text, at);
        } else {
            return at;
        }
    }
    let renamed = text[at..].strip_prefix(" as ").map_or(0, |rest| " as ".len() + word_at(rest, 0).len());
    at + renamed
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn expand(path: &str) -> Vec<String> {
    let Some(open) = path.find('{') else { return vec![path.trim().to_owned()] };
    let (before, list) = (path[..open].trim(), &path[open + 1..closing(path, open) - 1]);
    split(list).into_iter().flat_map(expand).map(|rest| format!("{before}{rest}")).collect()
}

/// The parts of a list between commas outside of braces.
fn split(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = list.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}
