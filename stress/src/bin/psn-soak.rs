//! `psn-soak`: runs psn for a long time while threads and processes are born and end, and checks its reports and its size.

use std::process::ExitCode;

fn main() -> ExitCode {
    psn_stress::soak_main()
}
