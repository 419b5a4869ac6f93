//! What it takes to have a program in the kernel: an assembler, the kernel's own description of its types, and bpf(2).

pub(crate) mod asm;
pub mod btf;
pub(crate) mod sys;
