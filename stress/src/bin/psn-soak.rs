//! `psn-soak`: soaks psn in churn, and says whether it held.

use std::process::ExitCode;

fn main() -> ExitCode {
    psn_stress::soak_main()
}
