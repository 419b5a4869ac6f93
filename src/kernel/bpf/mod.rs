//! What it takes to have a program in the kernel: an assembler, the kernel's own description of its types, and bpf(2).

pub(crate) mod asm;
mod attr;
pub mod btf;
pub(crate) mod field;
pub(crate) mod sys;
