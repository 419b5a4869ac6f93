//! `psn-storm`: fills a host with threads in known states, and prints exactly which threads these are.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A storm starts this program again in other roles than the leader's.
    if psn_stress::live_if_told() || psn_stress::hang_if_told() {
        return ExitCode::SUCCESS;
    }
    psn_stress::storm_main()
}
