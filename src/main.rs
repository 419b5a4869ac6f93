//! The `psn` command. The library does the work.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Lower psn's rights before it reads anything that its user names: arguments, TZ, the terminal's description.
    if let Err(refusal) = psn::proc::rights::begin() {
        return psn::app::refuse(&refusal);
    }
    let args: Vec<_> = std::env::args_os().collect();
    match psn::config::options::parse(&args) {
        Ok(cli) => psn::app::main(cli),
        Err(answer) => psn::app::answer(&answer),
    }
}
