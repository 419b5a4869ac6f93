//! Lookups: what one row asks of its own wait, read beside the sampling: the path that its system call was given, the mount that
//! its file lies on, the ends of its socket, the files that its epoll instance watches.
//!
//! Reading the memory of a process can block as long as a page takes to come; reading the table of mounts takes a lock that whoever
//! mounts holds. So only the threads of [`LookupReaders`] read them, at a desk (`tasks::desk`). Rows wait for them to the end of the pass, with
//! one deadline for all. A reader that does not return is left behind and replaced, and its process is asked no more for a while.
//!
//! An answer belongs to the wait that it was asked for: see `path`, `mounts` and `descriptors`.

mod ask;
mod blocked;
mod descriptors;
mod files;
mod held;
mod mounts;
mod path;
mod readers;
mod request;
mod turns;
mod wait;

pub(crate) use descriptors::{DescriptorQuestion, Found, KnownSet, KnownSocket, Peer, PeerWanted, Polled, Subject};
pub(crate) use held::HeldText;
pub(crate) use mounts::{AwaitedMount, Mount, MountStatus, MountView};
pub(crate) use path::{PathAnswer, PathRequest};
pub use readers::LookupReaders;
pub(crate) use wait::PathWait;
