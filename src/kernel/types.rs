//! The kernel's types by name, found in its BTF in one pass for everything that is asked for.

use std::collections::HashMap;

use crate::kernel::bpf::btf::{Btf, Structure, TypeId};
use crate::kernel::bpf::field::StructField;

/// Names to look for.
#[derive(Debug, Clone, Copy)]
pub struct TypeNames {
    /// Structures beside `task_struct`.
    pub structures: &'static [&'static str],
    /// Functions that a program calls, or whose id it needs.
    pub functions: &'static [&'static str],
    /// Enumerators. `BPF_FUNC_…` is there if the kernel has that helper.
    pub constants: &'static [&'static str],
}

impl TypeNames {
    /// No names: `task_struct` is enough.
    pub const NONE: Self = Self { structures: &[], functions: &[], constants: &[] };
}

/// What was found.
#[derive(Debug)]
pub struct Types<'a> {
    structures: HashMap<&'static str, Structure<'a>>,
    functions: HashMap<&'static str, TypeId>,
    constants: HashMap<&'static str, i64>,
}

impl<'a> Types<'a> {
    /// Looks for all these names.
    pub fn find(btf: &'a Btf<'_>, names: &[&[TypeNames]]) -> Self {
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
    pub fn structure(&self, name: &str) -> Option<&Structure<'a>> {
        self.structures.get(name)
    }

    /// The member of `task_struct` at the end of a path: see [`Structure::field`].
    pub fn task(&self, path: &[&str]) -> Option<StructField> {
        self.field("task_struct", path)
    }

    /// The same for another structure.
    pub fn field(&self, structure: &str, path: &[&str]) -> Option<StructField> {
        self.structure(structure)?.field(path)
    }

    /// A member of `task_struct` that no walk can do without.
    ///
    /// # Errors
    /// Its name, if the kernel has no such member.
    pub fn required(&self, name: &'static str) -> Result<StructField, &'static str> {
        self.structure("task_struct").ok_or("task_struct")?.field(&[name]).ok_or(name)
    }

    /// The id of the function of this name.
    pub fn function(&self, name: &str) -> Option<TypeId> {
        self.functions.get(name).copied()
    }

    /// The value of the enumerator of this name.
    pub fn constant(&self, name: &str) -> Option<i64> {
        self.constants.get(name).copied()
    }
}
