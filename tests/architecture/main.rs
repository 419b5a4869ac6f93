//! Checks the structure of both crates: imports run from upper rooms to lower ones and never in a circle, and no function
//! or file is too long.
//!
//! `cargo test --test architecture` runs all checks. Test code is not checked.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "what fails here fails a test, and all places are those of ASCII letters"
)]

mod code;
mod lengths;
mod map;
mod paths;
mod rooms;
mod tree;

use std::path::Path;

use tree::Tree;

/// The rooms of psn from the top: each imports only from those below it.
const ROOMS: &[&str] = &[
    "app", "session", "config", "replay", "record", "sample", "output", "observe", "report", "count", "tasks",
    "kernel", "symbol", "ask", "proc", "row", "text", "time",
];

/// The modules of psn that are tables of data and may exceed the length of a file, each with the reason why it is in one
/// piece.
const TABLES: &[(&str, &str)] = &[];

fn read(dir: &str) -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir))
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn imports_of_psn_run_down() {
    let rooms: Vec<String> = ROOMS.iter().map(ToString::to_string).collect();
    assert_none(&rooms::faults(&read("src"), &rooms));
}

#[test]
fn functions_and_files_of_psn_are_short() {
    assert_none(&lengths::faults(&read("src"), TABLES));
}

#[test]
fn the_map_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    assert!(map.contains("| `count/` |"), "the table of rooms has another form");
    assert_none(&map::faults(&map, &tree::paths(&root.join("src"))));
}

/// The rooms that the head of a `lib.rs` lists, in its order.
fn listed_rooms(lib: &str) -> Vec<String> {
    let items = lib.lines().filter_map(|line| line.strip_prefix("//! - `"));
    items.filter_map(|item| Some(item.split_once("`:")?.0.to_owned())).collect()
}

#[test]
fn imports_of_the_storms_run_down() {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("stress/src/lib.rs");
    let rooms = listed_rooms(&std::fs::read_to_string(lib).unwrap());
    assert_none(&rooms::faults(&read("stress/src"), &rooms));
}

#[test]
fn functions_and_files_of_the_storms_are_short() {
    assert_none(&lengths::faults(&read("stress/src"), &[]));
}

fn faults_of(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(path, source)| ((*path).to_owned(), (*source).to_owned()));
    rooms::faults(&Tree::new(files), &["top", "middle", "low"].map(str::to_owned))
}

const LIB: (&str, &str) = ("lib.rs", "pub mod top; mod middle; mod low; pub use low::Thing;");

#[test]
fn imports_from_rooms_below_are_no_fault() {
    let files = [
        LIB,
        ("top.rs", "use std::fmt;\nuse crate::{low::Thing, middle::{self, a::A}};\nfn f() { crate::low::g() }"),
        ("middle/mod.rs", "mod a;\nmod b;\npub use a::A;\npub struct M;"),
        ("middle/a.rs", "use super::M;\npub(in crate::middle) struct A;"),
        ("middle/b.rs", "use super::A;\n// crate::top\n#[cfg(test)]\nmod tests { use crate::top::*; }"),
        ("low.rs", "pub struct Thing; const PATH: &str = \"crate::top\";"),
        ("main.rs", "use crate::anything;"),
    ];
    assert_eq!(faults_of(&files), [""; 0]);
}

#[test]
fn imports_that_run_up_or_in_a_circle_are_told() {
    let files = [
        LIB,
        ("top.rs", "use crate::middle::A as Other;"),
        ("middle/mod.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\nfn f() { c::g() }"),
        ("middle/a.rs", "use super::b::{self, B};\nfn f() -> super::super::top::T {}"),
        ("middle/b.rs", "fn f() { super::A::new() }"),
        ("middle/c.rs", "use super::*;"),
        ("low.rs", "use {std::fmt, crate::low::x};\nuse crate::middle::{a::{A}};"),
    ];
    assert_eq!(
        faults_of(&files),
        [
            "files in a circle: middle, middle::c",
            "files in a circle: middle::a, middle::b, top",
            "low imports from middle::a, which is above",
            "middle::a imports from top, which is above",
            "rooms in a circle: middle, top",
            "rooms in a circle: middle::a, middle::b",
        ]
    );
}

#[test]
fn rooms_and_their_list_must_agree() {
    let faults =
        faults_of(&[LIB, ("top.rs", ""), ("middle.rs", "use crate::Thing;"), ("other.rs", "use crate::Lost;")]);
    assert_eq!(
        faults,
        [
            "low is listed and not there",
            "middle imports from lib.rs what it does not offer from a room",
            "other imports from lib.rs what it does not offer from a room",
            "other is not in the list of rooms",
        ]
    );
}

#[test]
fn the_list_of_rooms_is_the_order_in_lib_rs() {
    let lib = "//! Words.\n//! - **word**: `x`: what it is\n//! - `top`: above\n//! - `low`: below\n";
    assert_eq!(listed_rooms(lib), ["top", "low"]);
}
