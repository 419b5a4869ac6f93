//! `psn-soak`: psn under churn, for as long as asked. Threads are born and end, processes fork and exec, names are
//! hostile or contain the thread's own id. psn must not grow, must not give any thread the name of another, must see
//! every thread that lives for the whole soak in every tick, and must account for every read.
//!
//! Two psn run beside the storm. The **long run** goes on for the whole soak, grouped by few columns: its memory and
//! descriptors are watched. The **short runs** follow one after another, grouped by thread: their rows are checked one
//! by one.

mod cli;
mod runs;
mod verdict;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;
use cli::Cli;
use runs::{LongRun, short_run};
use verdict::{Verdict, check_accounting, check_growth, check_window};

use crate::storm::Storm;

/// The program `psn-soak`: soaks psn, and says whether all checks passed.
#[must_use]
pub fn main() -> ExitCode {
    match soak(&Cli::parse()) {
        Ok(verdict) if verdict.failures.is_empty() => {
            println!("held");
            ExitCode::SUCCESS
        }
        Ok(verdict) => {
            println!("{} failures", verdict.failures.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("psn-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn soak(cli: &Cli) -> Result<Verdict, Box<dyn Error>> {
    let beside = std::env::current_exe()?;
    let psn = cli.psn.clone().unwrap_or_else(|| beside.with_file_name("psn"));
    let storm = Storm::builder()
        .program(beside.with_file_name("psn-storm"))
        .processes(4)
        .threads(cli.threads)
        .names(&cli.names)
        .argument(format!("--births={}", cli.births))
        .argument(format!("--forks={}", cli.forks))
        .argument(format!("--execs={}", cli.execs))
        .argument("--list")
        .spawn()?;
    let root = storm.root_pid();
    let mut verdict = Verdict::default();
    let mut long = LongRun::start(&psn, cli, root)?;
    let started = Instant::now();
    let mut footprints = Vec::new();
    while started.elapsed() < Duration::from_secs(cli.duration) {
        let report = short_run(&psn, cli, root)?;
        check_window(&report, &storm, &mut verdict);
        let footprint = long.footprint()?;
        println!("{:>5} s: {footprint:?}", started.elapsed().as_secs());
        footprints.push(footprint);
    }
    let report = long.finish()?;
    check_accounting(&report, &mut verdict);
    check_growth(&footprints, &mut verdict);
    println!("long run: ticks {}, tasks {}, cost {}", report["ticks"], report["tasks"], report["cost"]);
    println!("churn: {:?}", storm.end()?.churn);
    Ok(verdict)
}
