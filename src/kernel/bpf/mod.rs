//! BPF in general: an assembler, a reader of BTF, and bpf(2).

pub(crate) mod asm;
mod attr;
pub mod btf;
pub(crate) mod field;
mod operand;
pub(crate) mod sys;
