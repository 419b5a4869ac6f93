//! Which scan: how threads are to be found.

/// How threads are to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Scan {
    /// The kernel's own walk where psn may have it and it costs less, else /proc
    #[default]
    Auto,
    /// The kernel's own walk; if there is none, psn fails and says why
    Kernel,
    /// /proc, a read for each thread
    Proc,
}
