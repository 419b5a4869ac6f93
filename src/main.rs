//! The `psn` command; the library does the work.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match psn::options::parse(&args) {
        Ok(cli) => psn::app::main(cli),
        Err(said) => psn::app::answer(&said),
    }
}
