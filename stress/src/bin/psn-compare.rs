//! `psn-compare`: what psn costs, compared with the bare reads that it cannot do without and with other programs.

use std::process::ExitCode;

fn main() -> ExitCode {
    psn_stress::compare_main()
}
