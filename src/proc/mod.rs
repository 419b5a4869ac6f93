//! The only place that opens or reads anything under the proc root.
//!
//! Every read lands in exactly one class: the bytes, or a [`ReadError`]. A vanished thread is data, never an error worth a
//! message. Files are opened relative to an open directory, so that a reused pid cannot slip in between, and each is read with
//! one `pread`.

mod attempts;
mod buffer;
pub mod cpus;
pub(crate) mod deadline;
mod error;
mod faults;
pub mod health;
pub mod host;
mod host_files;
mod limits;
pub mod lookup;
mod memory;
pub(crate) mod net;
pub(crate) mod open;
pub(crate) mod own;
pub mod parse;
mod path;
pub(crate) mod path_calls;
mod process;
pub mod rights;
mod root;
pub mod signals;
pub(crate) mod socket;
pub mod source;
pub mod state;
pub mod syscall;
mod task;
pub(crate) mod unix_diag;

pub use attempts::Attempts;
pub use buffer::Buffer;
pub use error::ReadError;
pub use faults::{Call, Fault, Faults};
pub use limits::raise_fd_limit;
pub use open::DEFAULT_ROOT;
pub use root::ProcRoot;
pub use task::{TaskDir, TaskDirStatus};
