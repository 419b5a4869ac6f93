//! The scan: how threads and their states are found.

/// How threads and their states are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scan {
    /// A kernel walk if psn may make one and it costs less, else /proc
    #[default]
    Auto,
    /// A kernel walk; psn fails with the reason if it cannot make one
    Kernel,
    /// /proc, with one read per thread
    Proc,
}
