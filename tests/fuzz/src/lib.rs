//! What must hold for any input bytes: one function for each fuzz target.
//!
//! The functions panic if it does not hold. Two drivers run them: libFuzzer
//! (`cargo +nightly fuzz run --fuzz-dir tests/fuzz TARGET`), and a deterministic mutator in
//! `cargo test` (`tests/it/mutations.rs`), which includes this file. Both start from `corpus/TARGET/`.

mod expressions;
mod kernel;
mod output;
mod parsers;

pub use expressions::expressions;
pub use kernel::btf;
pub use output::{escape, render};
pub use parsers::{cmdline_cgroup, fd_link, io_schedstat, smaps, stack, stat, status, syscall, system};

/// A target: its name, which is also the name of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 13] = [
    ("stat", stat),
    ("status", status),
    ("syscall", syscall),
    ("stack", stack),
    ("io_schedstat", io_schedstat),
    ("cmdline_cgroup", cmdline_cgroup),
    ("fd_link", fd_link),
    ("smaps", smaps),
    ("system", system),
    ("btf", btf),
    ("expressions", expressions),
    ("escape", escape),
    ("render", render),
];
