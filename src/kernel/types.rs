//! Looks up the kernel's types by name, all of them in one pass over its BTF.

use std::collections::HashMap;

use crate::kernel::bpf::btf::{Btf, Structure, TypeId};
use crate::kernel::bpf::field::StructField;

/// Names to look up.
#[derive(Debug, Clone, Copy)]
pub struct TypeNames {
    /// Names of structures, besides `task_struct`.
    pub(crate) structures: &'static [&'static str],
    /// Names of functions that a program calls, or whose id it needs.
    pub(crate) functions: &'static [&'static str],
    /// Names of enumerators. `BPF_FUNC_…` exists if the kernel has that helper.
    pub(crate) constants: &'static [&'static str],
}

impl TypeNames {
    /// No names besides `task_struct`.
    pub(crate) const NONE: Self = Self { structures: &[], functions: &[], constants: &[] };
}

/// The types that were found.
#[derive(Debug)]
pub struct Types<'a> {
    structures: HashMap<&'static str, Structure<'a>>,
    functions: HashMap<&'static str, TypeId>,
    constants: HashMap<&'static str, i64>,
}

impl<'a> Types<'a> {
    /// Looks up all these names.
    pub(crate) fn find(btf: &'a Btf<'_>, names: &[&[TypeNames]]) -> Self {
        let all = |names_of: fn(&TypeNames) -> &'static [&'static str]| -> Vec<&'static str> {
            names.iter().copied().flatten().flat_map(|names| names_of(names).iter().copied()).collect()
        };
        let mut structures = all(|names| names.structures);
        structures.push("task_struct");
        Self {
            structures: btf.structures(&structures),
            functions: btf.functions(&all(|names| names.functions)),
            constants: btf.enumerators(&all(|names| names.constants)),
        }
    }

    /// The structure of this name.
    pub(crate) fn structure(&self, name: &str) -> Option<&Structure<'a>> {
        self.structures.get(name)
    }

    /// The member of `task_struct` at the end of a path: see [`Structure::field`].
    pub(crate) fn task(&self, path: &[&str]) -> Option<StructField> {
        self.field("task_struct", path)
    }

    /// The member of another structure at the end of a path.
    pub(crate) fn field(&self, structure: &str, path: &[&str]) -> Option<StructField> {
        self.structure(structure)?.field(path)
    }

    /// A member of `task_struct` that every walk needs.
    ///
    /// # Errors
    /// Its name, if the kernel has no such member.
    pub(crate) fn required(&self, name: &'static str) -> Result<StructField, &'static str> {
        self.structure("task_struct").ok_or("task_struct")?.field(&[name]).ok_or(name)
    }

    /// The id of the function of this name.
    pub(crate) fn function(&self, name: &str) -> Option<TypeId> {
        self.functions.get(name).copied()
    }

    /// The value of the enumerator of this name.
    pub(crate) fn constant(&self, name: &str) -> Option<i64> {
        self.constants.get(name).copied()
    }
}
