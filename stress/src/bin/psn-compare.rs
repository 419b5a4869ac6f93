//! `psn-compare`: what psn costs, beside the bare reads it is made of and beside other programs.

use std::process::ExitCode;

fn main() -> ExitCode {
    psn_stress::compare_main()
}
