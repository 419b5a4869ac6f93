//! The kinds of requests to the readers of lookups.
//!
//! A further kind is a variant of [`LookupRequest`], a file of its own beside this one, and a function in [`ask`](super::ask)
//! by which rows ask for it.

use std::sync::Arc;

use super::descriptors::{Batch, Descriptors};
use super::files::LookupFiles;
use super::held::KnownPaths;
use super::mounts::{MountTables, MountsRequest};
use super::path::{PathAnswer, PathRequest};
use crate::proc::ReadError;
use crate::proc::source::Source;

/// What is to be read.
#[derive(Debug, Clone)]
pub(super) enum LookupRequest {
    /// The path that a system call was given.
    Path(Arc<PathRequest>),
    /// The mounts that a thread sees.
    Mounts(Arc<MountsRequest>),
    /// All that rows of a tick ask about descriptors.
    Descriptors(Arc<Batch>),
}

/// What was read and may serve other rows too, of each kind.
#[derive(Debug, Default)]
pub(super) struct KnownLookups {
    pub(super) paths: KnownPaths,
    pub(super) mounts: MountTables,
    pub(super) descriptors: Descriptors,
}

impl LookupRequest {
    /// The sources of all kinds but questions about descriptors, which follow from the columns.
    pub(super) const SOURCES: [Source; 2] = [Source::Path, Source::Mounts];

    /// The process whose files are read, of a batch the present one; 0 before the first. If it blocks its readers, it is asked no more for a while.
    pub(super) fn tgid(&self) -> u32 {
        match self {
            Self::Path(request) => request.wait.tgid,
            Self::Mounts(request) => request.tgid,
            Self::Descriptors(batch) => batch.tgid(),
        }
    }

    /// Whose turn it is: requests with the same number are served one after another. Of batches it is 0, as they read many processes.
    pub(super) fn turn(&self) -> u32 {
        match self {
            Self::Path(_) | Self::Mounts(_) => self.tgid(),
            Self::Descriptors(_) => 0,
        }
    }

    /// The source in whose account a read that does not return is counted.
    pub(super) const fn source(&self) -> Source {
        match self {
            Self::Path(_) => Source::Path,
            Self::Mounts(_) => Source::Mounts,
            Self::Descriptors(_) => Source::Socket,
        }
    }

    /// Reads what is asked for, and stores the answer. An answer that comes after [`fail`](Self::fail) has no effect on its row.
    pub(super) fn read(&self, known: &KnownLookups, files: &mut LookupFiles<'_>) {
        match self {
            Self::Path(request) => request.read(&known.paths, files),
            Self::Mounts(request) => known.mounts.read(request, files),
            Self::Descriptors(batch) => known.descriptors.read(batch, files),
        }
    }

    /// Stores as the answer why it was not read.
    pub(super) fn fail(&self, known: &KnownLookups, error: ReadError) {
        match self {
            Self::Path(request) => _ = request.answer.set(PathAnswer::Failed(error)),
            Self::Mounts(request) => known.mounts.fail(&request.view, error),
            Self::Descriptors(_) => known.descriptors.give_up(),
        }
    }

    /// Whether it serves rows of later ticks too, and so is read however late.
    pub(super) const fn serves_later_rows(&self) -> bool {
        matches!(self, Self::Descriptors(_))
    }

    /// Notes that it will not be read, because no row waits for it any more.
    pub(super) fn drop_late(&self, known: &KnownLookups) {
        match self {
            Self::Path(_) => {}
            Self::Mounts(request) => known.mounts.begin(&request.view),
            Self::Descriptors(_) => known.descriptors.give_up(),
        }
    }
}
