//! Synthetic thread storms with a known ground truth, and the comparison and the soak test that use them.
//!
//! ```text
//!  psn-storm:  leader ──fork──► worker ──threads──► kinds        psn-compare: compare ──► chart
//!                │               └── churn            │          psn-soak:    soak
//!                │                                    │                         │
//!                │◄────────────── board ◄─────────────┘                         ▼
//!                └── audit (/proc) ──► truth: one line of JSON ─────────────► storm (a child process)
//! ```
//!
//! The leader forks every worker of the plan, waits until all threads are on the board, checks each of them
//! in `/proc`, and prints the truth. Then it sleeps until a signal, the end of its parent, or the end of the
//! duration ends the storm. The kernel ties each worker to the leader (`PR_SET_PDEATHSIG`) and kills it when
//! the leader ends.
//!
//! # Words
//! - **storm**: all threads that one run of `psn-storm` starts.
//! - **kind**: what a thread of the storm does, which determines its state: `futex`, `spin`, `vfork` …
//! - **mix**: how many threads of which kind (`--mix`).
//! - **plan**: the mix dealt to processes; each thread has a **slot**, its number in the plan.
//! - **leader**: the process that was started as `psn-storm`. It has one thread and no kind.
//! - **worker**: a process of the plan. It runs threads of the mix.
//! - **behaviour**: the code of a kind, with the kernel objects that its threads sleep on.
//! - **board**: the memory that leader and workers share: which threads have **arrived**, what failed, and the
//!   **gate** at which busy threads wait until the storm is complete.
//! - **churn**: short-lived threads, forks and programs; a **churner** is a thread that starts them.
//! - **truth**: the line that says which threads there are. **ending**: the line that says why the storm ended.
//! - **contender**: the program that a step of a comparison runs: psn, a **floor** (a bare loop of the same
//!   reads), or a **peer** (another program).
//!
//! # The rooms, from the top: each imports only from those below it
//! - `soak`: `psn-soak`, psn under churn for as long as asked
//! - `compare`: `psn-compare`, psn compared with bare loops and peers on storms
//! - `chart`: line charts in SVG
//! - `hang`: processes that block whoever reads their files in `/proc`
//! - `storm`: a storm for tests, in a child process
//! - `leader`: `psn-storm`, builds a storm, checks it, prints the truth, ends it
//! - `truth`: the lines that the leader prints and tests read
//! - `worker`: one process of the storm, and the churners
//! - `kinds`: what the threads of each kind do, one file for each kind
//! - `board`: the memory that all processes of a storm share
//! - `plan`: what a storm will be: kinds, mix, names, rates of churn, and which thread is in which process
//! - `host`: the host's hardware and kernel, its load, and its limits on the number of threads
//! - `sys`: system calls that neither std nor rustix offers in a safe form
//!
//! # Adding a kind
//! 1. A row in `plan/kind.rs`: its name, the state that its threads settle in, its line of `--help`.
//! 2. A file in `kinds/` that implements `Behaviour`: it opens the objects that the threads sleep on, in the
//!    leader and before any fork, and sleeps on them. The compiler asks for the file's line in `kinds/mod.rs`.
//!
//! Names, arrival, the mix, the check that threads settle, and the truth follow from these. If no other kind
//! waits in the same system call, add the call's name to `leader/audit.rs`; without it the truth has only the
//! number. A kind that gets a process for itself (like `stopped`) or a second slot (like `vfork`) is
//! dealt in `plan/mod.rs`.
//!
//! Threads that wait for one another (for the holder of a lock, for a peer's answer) use objects that their
//! behaviour opens: all processes inherit these, and `sys::memory` maps words that they share. A kind that calls deeply
//! needs larger stacks: `sys::stacks` makes all of one size. What a test must know beyond a state (who holds a
//! lock) goes from the thread to the board, and from there into a field of the truth. How long waits were is counted in
//! memory that the behaviour shares with all processes (`kinds/measured.rs`), and is in the ending.
//!
//! # As a library
//! Tests use [`Storm`], which runs the program `psn-storm` as a child process and reads its [`Truth`], and
//! [`Hang`]. The other functions are the programs.

mod board;
mod chart;
mod compare;
mod hang;
mod host;
mod kinds;
mod leader;
mod plan;
mod soak;
pub mod storm;
mod sys;
pub mod truth;
mod worker;

pub use compare::main as compare_main;
pub use hang::Hang;
pub use hang::roles::hang_if_told;
pub use host::limits::Limit;
pub use leader::main as storm_main;
pub use plan::kind::Kind;
pub use soak::main as soak_main;
pub use storm::Storm;
pub use truth::{Ending, TaskGroup, Truth, WaitTruth};
pub use worker::churn::execs::live_if_told;

/// Names of threads.
pub mod names {
    pub use crate::plan::names::HOSTILE;
}
