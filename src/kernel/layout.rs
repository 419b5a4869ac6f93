//! The offsets of the kernel's fields that a walk reads, and the functions that it calls. They come from the BTF of the running
//! kernel, so one psn works with all versions.

use crate::kernel::bpf::btf::{Btf, TypeId};
use crate::kernel::parts::namespace::NamespaceFields;
use crate::kernel::parts::{self, cpu, identity, state};
use crate::kernel::types::{TypeNames, Types};

/// The fields and functions of the running kernel.
#[derive(Debug, Clone)]
pub struct KernelLayout {
    pub(super) state: state::StateFields,
    pub(super) cpu: cpu::CpuFields,
    pub(super) identity: identity::IdentityFields,
    /// The fields of the optional parts of a record.
    pub(super) parts: parts::PartFields,
    /// The fields for ids in PID namespaces.
    pub(super) ids: Option<NamespaceFields>,
    /// The functions for an open-coded walk; `None` if the kernel lacks one.
    pub(super) loop_functions: Option<LoopFunctions>,
    /// The BTF id of the iterator over tasks; `None` if the kernel has none.
    pub(super) iterator: Option<TypeId>,
}

impl KernelLayout {
    /// Finds the fields and functions in a kernel's BTF.
    ///
    /// # Errors
    /// The name of the first missing field that every walk needs.
    pub fn find(btf: &Btf<'_>) -> Result<Self, &'static str> {
        let types = Types::find(btf, &[parts::PartFields::NAMES, &[NamespaceFields::NAMES, LoopFunctions::NAMES]]);
        Ok(Self {
            state: state::StateFields::find(&types)?,
            cpu: cpu::CpuFields::find(&types)?,
            identity: identity::IdentityFields::find(&types)?,
            parts: parts::PartFields::find(&types),
            ids: NamespaceFields::find(&types),
            loop_functions: LoopFunctions::find(&types),
            iterator: types.function(ITERATOR),
        })
    }
}

/// The function by which programs refer to the kernel's iterator over tasks.
const ITERATOR: &str = "bpf_iter_task";

/// The functions that an open-coded walk calls, and their constants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoopFunctions {
    /// `bpf_rcu_read_lock`
    pub(crate) lock: TypeId,
    /// `bpf_rcu_read_unlock`
    pub(crate) unlock: TypeId,
    /// `bpf_iter_task_new`
    pub(crate) new: TypeId,
    /// `bpf_iter_task_next`
    pub(crate) next: TypeId,
    /// `bpf_iter_task_destroy`
    pub(crate) destroy: TypeId,
    /// The size of `struct bpf_iter_task`.
    pub(crate) iterator_size: u32,
    /// `BPF_TASK_ITER_ALL_THREADS`
    pub(crate) all_threads: i32,
}

impl LoopFunctions {
    const NAMES: TypeNames = TypeNames {
        structures: &["bpf_iter_task"],
        functions: &[
            "bpf_rcu_read_lock",
            "bpf_rcu_read_unlock",
            "bpf_iter_task_new",
            "bpf_iter_task_next",
            "bpf_iter_task_destroy",
            ITERATOR,
        ],
        constants: &["BPF_TASK_ITER_ALL_THREADS"],
    };

    fn find(types: &Types<'_>) -> Option<Self> {
        Some(Self {
            lock: types.function("bpf_rcu_read_lock")?,
            unlock: types.function("bpf_rcu_read_unlock")?,
            new: types.function("bpf_iter_task_new")?,
            next: types.function("bpf_iter_task_next")?,
            destroy: types.function("bpf_iter_task_destroy")?,
            iterator_size: types.structure("bpf_iter_task")?.size(),
            all_threads: i32::try_from(types.constant("BPF_TASK_ITER_ALL_THREADS")?).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_own_description_is_found_whole() {
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/kernel");
        let layout = KernelLayout::find(&Btf::parse(bytes).unwrap()).unwrap();
        assert_eq!((layout.state.state.offset, layout.state.exit_state.offset), (24, 56));
        let walk = layout.loop_functions.unwrap();
        assert_eq!((walk.iterator_size, walk.all_threads), (24, 1));
        assert_eq!(layout.ids.unwrap().numbers, 96);
        assert!(layout.iterator.is_some() && layout.parts.uid.is_some() && layout.parts.frames.is_some());
        #[cfg(target_arch = "x86_64")]
        assert!(layout.parts.call.is_some());
    }

    #[test]
    fn what_is_missing_is_named() {
        let bytes = include_bytes!("../../tests/fuzz/corpus/btf/odd");
        assert_eq!(KernelLayout::find(&Btf::parse(bytes).unwrap()).unwrap_err(), "exit_state");
    }
}
