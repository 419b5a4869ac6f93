//! How long functions and files are.

use crate::code::{Code, closing, is_word};
use crate::tree::Tree;

/// Lines of a function, from its name to its closing brace.
const FUNCTION: usize = 60;

/// Lines of a file without its tests.
const FILE: usize = 400;

/// The functions and files of a crate that are too long. `tables` names the modules that are one table of data,
/// each with the reason why it is in one piece.
pub fn faults(tree: &Tree, tables: &[(&str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (module, code) in &tree.modules {
        let name = module.join("::");
        for (function, lines) in functions(code).into_iter().filter(|(_, lines)| *lines > FUNCTION) {
            faults.push(format!("{name}: fn {function} has {lines} lines, {FUNCTION} are allowed"));
        }
        let is_table = tables.iter().any(|(table, _)| *table == name);
        if code.lines > FILE && !is_table {
            faults.push(format!("{name}: {} lines without tests, {FILE} are allowed", code.lines));
        }
    }
    faults
}

/// The functions that have a body, with their lines.
fn functions(code: &Code) -> Vec<(&str, usize)> {
    let text = &code.text;
    let mut functions = Vec::new();
    for (at, _) in text.match_indices("fn ") {
        if text[..at].bytes().next_back().is_some_and(is_word) {
            continue;
        }
        let name_len = text[at + 3..].bytes().take_while(|byte| is_word(*byte)).count();
        if name_len == 0 {
            continue;
        }
        if let Some(open) = body(text, at + 3 + name_len) {
            let lines = text[at..closing(text, open)].matches('\n').count() + 1;
            functions.push((&text[at + 3..at + 3 + name_len], lines));
        }
    }
    functions
}

/// The brace that opens the body of a function whose name ends at `at`; `None` if it has no body.
fn body(text: &str, mut at: usize) -> Option<usize> {
    loop {
        at += text[at..].find(['(', '[', '{', ';'])?;
        match text.as_bytes()[at] {
            b'{' => return Some(at),
            b';' => return None,
            _ => at = closing(text, at),
        }
    }
}

#[test]
fn functions_are_counted_from_their_name_to_their_end() {
    let code = Code::new("trait T {\n    fn a(&self) -> [u8; 4];\n}\nfn b(x: [u8; 2]) {\n    let fn_c = { x };\n}\n");
    assert_eq!(functions(&code), [("b", 3)]);
}

#[test]
fn what_is_too_long_is_told() {
    let long = format!("fn long() {{\n{}}}\n{}", "    a();\n".repeat(60), "const A: u8 = 1;\n".repeat(340));
    let tree = Tree::new([("table.rs".to_owned(), long)]);
    let told = ["table: fn long has 62 lines, 60 are allowed", "table: 402 lines without tests, 400 are allowed"];
    assert_eq!(faults(&tree, &[]), told);
    assert_eq!(faults(&tree, &[("table", "one row for each A")]), told[..1]);
}
