//! The modules of a crate, and which of them import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::code::Code;
use crate::paths::{Paths, Seen};

/// The path of a module within its crate; empty for the crate itself.
pub type Module = Vec<String>;

/// The paths of all source files below `dir`, and of their directories, which end with a slash.
pub fn paths(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    collect(dir, dir, &mut files);
    let files: Vec<String> = files.into_iter().map(|(path, _)| path).collect();
    let directories: BTreeSet<String> =
        files.iter().flat_map(|path| path.match_indices('/').map(|(end, _)| path[..=end].to_owned())).collect();
    files.into_iter().chain(directories).collect()
}

/// The modules of a crate by their paths; programs are left out.
pub struct Tree {
    pub modules: BTreeMap<Module, Code>,
}

impl Tree {
    /// Reads the crate whose `lib.rs` is in `dir`.
    pub fn read(dir: &Path) -> Self {
        let mut files = Vec::new();
        collect(dir, dir, &mut files);
        Self::new(files)
    }

    /// The crate of these files: paths below the directory of `lib.rs`, and what they hold.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_module = |path: &str| path != "main.rs" && !path.starts_with("bin/");
        let files = files.into_iter().filter(|(path, _)| is_module(path));
        let mut modules: BTreeMap<Module, Code> =
            files.map(|(path, source)| (module_of(&path), Code::new(&source))).collect();
        let tests: BTreeSet<Module> = modules
            .iter()
            .flat_map(|(module, code)| code.test_modules.iter().map(|name| child(module, name)))
            .collect();
        modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self { modules }
    }

    /// The modules that each module imports from, without itself. Re-exports of `lib.rs` do not count as imports, nor do a
    /// module's re-exports of its own children.
    pub fn imports(&self) -> BTreeSet<(Module, Module)> {
        let mut imports = BTreeSet::new();
        for module in self.modules.keys().filter(|module| !module.is_empty()) {
            for seen in self.paths(module) {
                let target = self.resolve(&seen.path, 0);
                let is_own = seen.is_offered && target.starts_with(module);
                if target != *module && !is_own {
                    imports.insert((module.clone(), target));
                }
            }
        }
        imports
    }

    /// All paths into the crate that a module names.
    fn paths(&self, module: &Module) -> Vec<Seen> {
        let Some(code) = self.modules.get(module) else { return Vec::new() };
        let is_child = |name: &str| self.modules.contains_key(&child(module, name));
        Paths { text: &code.text, module, is_child: &is_child }.all()
    }

    /// The module that an item belongs to; follows re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Module {
        let known = (0..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len])).unwrap_or(0);
        let (module, rest) = path.split_at(known);
        let Some(name) = rest.first() else { return module.to_vec() };
        let offers = |seen: &Seen| seen.is_offered && seen.name == *name;
        let offered = self.paths(&module.to_vec()).into_iter().find(offers);
        match offered {
            Some(seen) if depth < 8 => self.resolve(&seen.path, depth + 1),
            _ => module.to_vec(),
        }
    }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// `a/b.rs` and `a/b/mod.rs` are the module `a::b`, `lib.rs` is the crate.
fn module_of(path: &str) -> Module {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.split('/').filter(|part| *part != "mod" && *part != "lib").map(str::to_owned).collect()
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}
