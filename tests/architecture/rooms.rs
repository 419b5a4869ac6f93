//! Checks imports between rooms and between files: none may run in a circle, none to a room above.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Module, Tree};

/// What is wrong with the imports of a crate whose rooms, from the top, are `rooms`.
pub fn faults(tree: &Tree, rooms: &[String]) -> Vec<String> {
    let imports = tree.imports();
    let mut faults = unlisted(tree, rooms);
    faults.extend(upward(&imports, rooms));
    faults.extend(circles(&imports).into_iter().map(|circle| format!("files in a circle: {circle}")));
    // Between siblings in one directory; a sibling includes everything below it.
    let parents: BTreeSet<&[String]> = tree.modules.keys().filter_map(|module| Some(module.split_last()?.1)).collect();
    for parent in parents {
        let of = |module: &Module| {
            module.strip_prefix(parent).filter(|rest| !rest.is_empty()).map(|_| module[..=parent.len()].to_vec())
        };
        let between =
            imports.iter().filter_map(|(from, to)| Some((of(from)?, of(to)?))).filter(|(from, to)| from != to);
        faults.extend(circles(&between.collect()).into_iter().map(|circle| format!("rooms in a circle: {circle}")));
    }
    faults.sort();
    faults.dedup();
    faults
}

/// Rooms that are not listed, and listed rooms that do not exist.
fn unlisted(tree: &Tree, rooms: &[String]) -> Vec<String> {
    let found: BTreeSet<&String> = tree.modules.keys().filter_map(|module| module.first()).collect();
    let listed: BTreeSet<&String> = rooms.iter().collect();
    let unlisted = found.difference(&listed).map(|room| format!("{room} is not in the list of rooms"));
    unlisted.chain(listed.difference(&found).map(|room| format!("{room} is listed and not there"))).collect()
}

fn upward(imports: &BTreeSet<(Module, Module)>, rooms: &[String]) -> Vec<String> {
    let floor = |module: &Module| rooms.iter().position(|room| Some(room) == module.first());
    let mut faults = Vec::new();
    for (from, to) in imports {
        if to.is_empty() {
            faults.push(format!("{} imports from lib.rs what it does not offer from a room", name(from)));
        } else if floor(to) < floor(from) {
            faults.push(format!("{} imports from {}, which is above", name(from), name(to)));
        }
    }
    faults
}

/// The groups of modules that reach each other, as text.
fn circles(imports: &BTreeSet<(Module, Module)>) -> Vec<String> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.iter().map(|(from, _)| (from, reach(imports, from))).collect();
    let groups: BTreeSet<Vec<String>> = reached
        .iter()
        .filter(|(from, to)| to.contains(*from))
        .map(|(from, to)| {
            let returns = |to: &Module| reached.get(to).is_some_and(|back| back.contains(from));
            to.iter().filter(|to| returns(to)).map(|to| name(to)).collect()
        })
        .collect();
    groups.into_iter().map(|group| group.join(", ")).collect()
}

/// The modules that `start` imports from, directly or through others.
fn reach<'a>(imports: &'a BTreeSet<(Module, Module)>, start: &'a Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        let targets = imports.iter().filter(|(from, _)| from == module).map(|(_, to)| to);
        next.extend(targets.filter(|to| reached.insert(*to)));
    }
    reached
}

fn name(module: &Module) -> String {
    module.join("::")
}
