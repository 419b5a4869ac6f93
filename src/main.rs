//! The `psn` command; the library does the work.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match psn::cli::Cli::try_parse() {
        Ok(cli) => psn::app::main(cli),
        Err(said) => psn::app::answer(&said),
    }
}
