//! The `psn` command; the library does the work.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    psn::app::main(psn::cli::Cli::parse())
}
