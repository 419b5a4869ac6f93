//! What threads wait on, where the link of a descriptor does not say enough: the ends of a socket, the files that an epoll instance
//! watches, or that poll(2) and select(2) were given.
//!
//! The lanes put questions while they visit threads. When the pass is over, one reader answers all questions of the tick together
//! ([`visit`]): so each table of sockets is read once for all of them.
//!
//! # Answers belong to a wait
//! A thread that waits on a socket keeps it open, and the inode's number is its own. So an entry that was read after the row is the
//! row's if the thread has not run since; the reader compares its switch counts. If it has run, the ends are the row's nevertheless:
//! a TCP socket has the same ends from its connection to its end. Only its state may have changed.

mod answers;
mod batch;
mod budget;
mod owners;
mod polled;
mod question;
mod sets;
mod tables;
mod visit;
mod watch;

pub(super) use batch::{Batch, Descriptors};
pub(crate) use question::{DescriptorQuestion, Found, KnownSet, KnownSocket, Peer, PeerWanted, Polled, Subject};
